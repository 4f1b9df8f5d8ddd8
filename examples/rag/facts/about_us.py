"""What may stand under "About us", said and asked: data, however much there is."""

from __future__ import annotations

from collections.abc import Mapping

from wordings import Fact, Wording

ABOUT_US: Mapping[str, Fact] = {
    "owner": Fact(
        "About us",
        "person",
        Wording(
            (
                "The business belongs to {v}.",
                "{v} owns and runs the place.",
                "Our owner is {v}.",
                "The house is run by {v}.",
                "The person behind it all is {v}.",
            ),
            (
                "Who owns {n}?",
                "Who runs {n}?",
                "Who is the owner of {n}?",
                "Whose business is {n}?",
            ),
            ("the owner's name", "the name of the owner"),
        ),
        Wording(
            ("{v} has been in charge here from the first day.",),
            ("Who is the boss at {n}?", "Who is in charge of {n}?"),
            ("the proprietor's name",),
        ),
        ("Until a few years ago it belonged to {o}.",),
    ),
    "founded": Fact(
        "About us",
        "year",
        Wording(
            (
                "We opened in {v}.",
                "The business was founded in {v}.",
                "It all started in {v}.",
                "We have been here since {v}.",
                "Our history began in {v}.",
            ),
            (
                "When was {n} founded?",
                "In which year did {n} open?",
                "Since when has {n} been there?",
                "How long ago did {n} start, in what year?",
            ),
            ("the founding year", "the year it was founded"),
        ),
        Wording(
            ("Our first customers came in {v}.", "Established {v}."),
            ("What year goes back to the beginnings of {n}?",),
            ("the year of establishment",),
        ),
    ),
    "staff": Fact(
        "About us",
        "count",
        Wording(
            ("We are a team of {v}.", "{v} of us work here."),
            ("How many people work at {n}?", "How big is the team of {n}?"),
            ("the size of the team",),
        ),
        Wording(("The payroll lists {v} people.",), ("How many colleagues are there at {n}?",), ()),
        trained=False,
    ),
    "chairs": Fact(
        "About us",
        "count",
        Wording(
            (
                "Our waiting room has {v} chairs.",
                "There are {v} chairs in the waiting room.",
                "{v} people can sit in our waiting room.",
            ),
            (
                "How many chairs are in the waiting room of {n}?",
                "How many can sit in the waiting room at {n}?",
                "What number of chairs does the waiting room of {n} have?",
            ),
            ("the number of chairs in the waiting room", "the seats in the waiting room"),
        ),
        Wording(
            ("While you wait, {v} seats are at your disposal.",),
            ("If we have to wait at {n}, how many of us get a seat?",),
            ("the seating for those who wait",),
        ),
    ),
    "branches": Fact(
        "About us",
        "count",
        Wording(
            (
                "We run {v} branches.",
                "There are {v} branches of ours.",
                "Our {v} branches are all nearby.",
            ),
            (
                "How many branches does {n} run?",
                "How many branches are there of {n}?",
                "What number of branches does {n} have?",
            ),
            ("the number of branches", "how many branches there are"),
        ),
        Wording(
            ("You meet us in {v} places by now.",),
            ("In how many places is {n} by now?",),
            ("the count of its places",),
        ),
    ),
    "renovated": Fact(
        "About us",
        "year",
        Wording(
            (
                "The building was renovated in {v}.",
                "In {v} we renovated the rooms.",
                "Our rooms were done up in {v}.",
            ),
            (
                "When was the building of {n} renovated?",
                "In which year did {n} renovate its rooms?",
                "When were the rooms of {n} done up?",
            ),
            ("the year of the renovation", "when it was renovated"),
        ),
        Wording(
            ("New floors and windows went in in {v}.",),
            ("What year did {n} get its new floors and windows?",),
            ("the year of the new floors",),
        ),
    ),
    "founder": Fact(
        "About us",
        "person",
        Wording(
            ("The founder was {v}.", "{v} founded the business.", "It was founded by {v}."),
            ("Who founded {n}?", "Who was the founder of {n}?", "By whom was {n} founded?"),
            ("the founder's name", "the name of the founder"),
        ),
        Wording(
            ("{v} began it all with nothing but an idea.",),
            ("Who had the idea to begin {n}?",),
            ("the one who began it all",),
        ),
    ),
    "prize": Fact(
        "About us",
        "year",
        Wording(
            (
                "We won the town's prize in {v}.",
                "In {v} the town gave us its prize.",
                "The town's prize came to us in {v}.",
            ),
            (
                "When did {n} win the town's prize?",
                "In which year did the town give {n} its prize?",
                "What year did {n} win the prize?",
            ),
            ("the year of the town's prize", "when it won the prize"),
        ),
        Wording(
            ("The mayor honoured our work in {v}.",),
            ("In what year did the mayor honour {n}?",),
            ("the year of the mayor's honour",),
        ),
    ),
}
