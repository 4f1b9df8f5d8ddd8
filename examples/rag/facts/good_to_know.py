"""What may stand under "Good to know", said and asked: data, however much there is."""

from __future__ import annotations

from collections.abc import Mapping

from wordings import Fact, Wording

GOOD_TO_KNOW: Mapping[str, Fact] = {
    "ready": Fact(
        "Good to know",
        "days",
        Wording(
            (
                "Orders are ready after {v}.",
                "It takes {v} until an order is ready.",
                "You can collect your order {v} later.",
                "We need {v} to finish an order.",
            ),
            (
                "How long does an order take at {n}?",
                "When is an order ready at {n}?",
                "After how many days can I collect my order from {n}?",
                "How many days does {n} need for an order?",
            ),
            ("the time an order takes", "the waiting time for an order"),
        ),
        Wording(
            ("Expect to wait {v} for anything you order.",),
            ("If I order something today at {n}, how long do I wait?",),
            ("the turnaround for orders",),
        ),
    ),
    "guarantee": Fact(
        "Good to know",
        "months",
        Wording(
            (
                "Our guarantee runs for {v}.",
                "We guarantee our work for {v}.",
                "You have a guarantee of {v}.",
                "Everything comes with {v} of guarantee.",
            ),
            (
                "How long is the guarantee at {n}?",
                "For how many months does {n} guarantee its work?",
                "What guarantee does {n} give?",
                "How long does the guarantee of {n} last?",
            ),
            ("the guarantee period", "the length of the guarantee"),
        ),
        Wording(
            ("Should anything break within {v}, we mend it free of charge.",),
            ("Something from {n} broke, for how long would they mend it free of charge?",),
            ("the warranty",),
        ),
    ),
    "age": Fact(
        "Good to know",
        "age",
        Wording(
            (
                "Children are welcome from the age of {v}.",
                "The minimum age is {v}.",
                "You have to be at least {v} years old.",
                "We admit children who are {v} or older.",
            ),
            (
                "What is the minimum age at {n}?",
                "How old do you have to be at {n}?",
                "From what age are children welcome at {n}?",
                "What age does {n} ask for?",
            ),
            ("the minimum age", "the age limit"),
        ),
        Wording(
            ("Anybody younger than {v} has to stay at home.",),
            ("Is my daughter old enough for {n}, where is the limit?",),
            ("the youngest age allowed",),
        ),
    ),
    "code": Fact(
        "Good to know",
        "code",
        Wording(
            (
                "The code for the wireless network is {v}.",
                "Our guests' wireless code is {v}.",
                "Use the code {v} for the wireless network.",
                "With {v} you get into our wireless network.",
            ),
            (
                "What is the code for the wireless network at {n}?",
                "Which wireless code do I use at {n}?",
                "What is the wireless code of {n}?",
            ),
            ("the wireless code", "the code of the wireless network"),
        ),
        Wording(
            ("To go online here, type {v}.",),
            ("How do I get online at {n}, what do I type?",),
            ("the password for going online",),
        ),
    ),
    "language": Fact(
        "Good to know",
        "language",
        Wording(
            ("Apart from English we speak {v}.", "Our second language is {v}."),
            ("Which language is spoken at {n} besides English?", "What else is spoken at {n}?"),
            ("the second language",),
        ),
        Wording(
            ("{v} is understood here as well.",),
            ("My aunt knows no English, what else do they speak at {n}?",),
            (),
        ),
        trained=False,
    ),
    "lockers": Fact(
        "Good to know",
        "count",
        Wording(
            (
                "There are {v} lockers by the door.",
                "We have {v} lockers.",
                "You can use one of our {v} lockers.",
            ),
            (
                "How many lockers does {n} have?",
                "How many lockers are there at {n}?",
                "What number of lockers is at {n}?",
            ),
            ("the number of lockers", "how many lockers there are"),
        ),
        Wording(
            ("Bags go into one of {v} boxes with a key.",),
            ("Can I lock away a bag at {n}, how many boxes have a key?",),
            ("the boxes with a key",),
        ),
    ),
    "kept": Fact(
        "Good to know",
        "months",
        Wording(
            (
                "We keep your file for {v}.",
                "Your file stays with us for {v}.",
                "After {v} we delete your file.",
            ),
            (
                "How long does {n} keep my file?",
                "For how many months does my file stay with {n}?",
                "When does {n} delete my file?",
            ),
            ("how long a file is kept", "the time files are kept"),
        ),
        Wording(
            ("What we wrote down about you is gone after {v}.",),
            ("When is what {n} wrote down about me gone?",),
            ("how long one's data lasts",),
        ),
    ),
    "lost": Fact(
        "Good to know",
        "days",
        Wording(
            (
                "Lost property is kept for {v}.",
                "We keep lost things for {v}.",
                "You have {v} to fetch lost property.",
            ),
            (
                "How long does {n} keep lost property?",
                "For how many days are lost things kept at {n}?",
                "How long do I have to fetch lost property from {n}?",
            ),
            ("how long lost property is kept", "the time lost things are kept"),
        ),
        Wording(
            ("Umbrellas left behind wait {v} for you.",),
            ("I left my umbrella at {n}, how long will it wait for me?",),
            ("how long things left behind wait",),
        ),
    ),
    "first_aid": Fact(
        "Good to know",
        "person",
        Wording(
            ("{v} is trained in first aid.", "Our first-aider is {v}.", "For first aid ask {v}."),
            (
                "Who is trained in first aid at {n}?",
                "Who is the first-aider at {n}?",
                "Whom do I ask for first aid at {n}?",
            ),
            ("the first-aider's name", "the person trained in first aid"),
        ),
        Wording(
            ("If somebody is hurt, fetch {v}.",),
            ("Somebody is hurt at {n}, whom do I fetch?",),
            ("the one to fetch when somebody is hurt",),
        ),
    ),
}
