"""What may stand under "News", said and asked: data, however much there is."""

from __future__ import annotations

from collections.abc import Mapping

from wordings import Fact, Wording

NEWS: Mapping[str, Fact] = {
    "party": Fact(
        "News",
        "date",
        Wording(
            (
                "Our summer party is on {v}.",
                "We celebrate our summer party on {v}.",
                "Come to the summer party on {v}.",
                "{v} is the date of our summer party.",
            ),
            (
                "When is the summer party of {n}?",
                "On which date is the summer party at {n}?",
                "What day does {n} celebrate its summer party?",
            ),
            ("the date of the summer party", "the summer party's date"),
        ),
        Wording(
            ("This summer's celebration takes place on {v}.",),
            ("Which date do I keep free for the summer party at {n}?",),
            ("the day of the summer celebration",),
        ),
        ("Last year's summer party was on {o}.",),
    ),
    "holiday": Fact(
        "News",
        "date",
        Wording(
            (
                "Our winter break begins on {v}.",
                "From {v} we are away for the winter.",
                "The winter break starts on {v}.",
                "We go into the winter break on {v}.",
            ),
            (
                "When does the winter break of {n} begin?",
                "From which date is {n} on winter break?",
                "When does {n} start its winter break?",
            ),
            ("the start of the winter break", "the first day of the winter break"),
        ),
        Wording(
            ("As of {v} nobody is here for a while, as it is winter.",),
            ("As of which day is {n} gone for the winter?",),
            ("the beginning of the pause in winter",),
        ),
    ),
    "sale": Fact(
        "News",
        "date",
        Wording(
            ("The sale starts on {v}.", "Our sale begins on {v}.", "From {v} on there is a sale."),
            (
                "When does the sale of {n} start?",
                "On which date does the sale at {n} begin?",
                "From what day is there a sale at {n}?",
            ),
            ("the start of the sale", "the first day of the sale"),
        ),
        Wording(
            ("Everything becomes cheaper on {v}.",),
            ("On which day does everything become cheaper at {n}?",),
            ("the day when things become cheaper",),
        ),
    ),
    "move": Fact(
        "News",
        "date",
        Wording(
            ("On {v} we move to new rooms.", "Our move is on {v}.", "We move house on {v}."),
            (
                "When does {n} move?",
                "On which date is the move of {n}?",
                "What day does {n} move to new rooms?",
            ),
            ("the date of the move", "the day of the move"),
        ),
        Wording(
            ("Packed boxes leave for our next home on {v}.",),
            ("When do the boxes of {n} go to its next home?",),
            ("the day the boxes go",),
        ),
    ),
    "colleague": Fact(
        "News",
        "person",
        Wording(
            (
                "{v} joins our team this month.",
                "Our new colleague is {v}.",
                "We welcome {v} as a new colleague.",
            ),
            (
                "Who is the new colleague at {n}?",
                "Who joins the team of {n} this month?",
                "Whom does {n} welcome as a new colleague?",
            ),
            ("the new colleague's name", "the name of the new colleague"),
        ),
        Wording(
            ("A fresh face behind the counter is that of {v}.",),
            ("Whose is the fresh face behind the counter of {n}?",),
            ("the fresh face behind the counter",),
        ),
    ),
    "rise": Fact(
        "News",
        "percent",
        Wording(
            (
                "Prices rise by {v} in spring.",
                "In spring everything becomes {v} dearer.",
                "We raise our prices by {v} in spring.",
            ),
            (
                "By how much do prices rise at {n}?",
                "How much dearer does {n} become in spring?",
                "By what percentage does {n} raise its prices?",
            ),
            ("the rise in prices", "the percentage by which prices rise"),
        ),
        Wording(
            ("From April you pay us {v} more.",),
            ("What more will I pay at {n} from April?",),
            ("what is added from April",),
        ),
    ),
}
