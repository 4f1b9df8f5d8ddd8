"""What may stand under "Opening hours", said and asked: data, however much there is."""

from __future__ import annotations

from collections.abc import Mapping

from wordings import Fact, Wording

OPENING_HOURS: Mapping[str, Fact] = {
    "opens": Fact(
        "Opening hours",
        "morning",
        Wording(
            (
                "On weekdays the doors open at {v}.",
                "We open at {v} from Monday to Friday.",
                "From Monday to Friday you will find us here from {v} on.",
                "Our weekday mornings begin at {v}.",
                "{v} is when we unlock the door on working days.",
                "The weekday team starts to serve customers at {v}.",
            ),
            (
                "When does {n} open on weekdays?",
                "What time does {n} open from Monday to Friday?",
                "How early can I come to {n} on a weekday?",
                "From what time is {n} open during the week?",
                "At what hour do the doors of {n} open on a working day?",
            ),
            ("the weekday opening time", "the time you open during the week"),
        ),
        Wording(
            ("Between Monday and Friday nobody is let in before {v}.", "Weekdays: open from {v}."),
            ("I want to be first in line on a Tuesday, when does {n} let people in?",),
            ("the hour at which the day starts on weekdays",),
        ),
        ("Until last spring we opened at {o}.", "The old hours, from {o}, no longer apply."),
    ),
    "closes": Fact(
        "Opening hours",
        "evening",
        Wording(
            (
                "In the evening we close at {v}.",
                "The lights go out at {v} on weekdays.",
                "We shut the door at {v} during the week.",
                "Closing time is {v} on working days.",
                "You can stay until {v} from Monday to Friday.",
            ),
            (
                "When does {n} close on weekdays?",
                "Until what time is {n} open during the week?",
                "How late is {n} open on a working day?",
                "What time does {n} shut in the evening?",
                "At what hour does {n} close from Monday to Friday?",
            ),
            ("the weekday closing time", "the hour you shut on weekdays"),
        ),
        Wording(
            ("Weekday evenings end at {v} sharp.", "Our staff go home at {v} on weekdays."),
            ("I finish work late on Thursdays, what is the latest I can walk into {n}?",),
            ("the end of the business day on weekdays",),
        ),
    ),
    "saturday": Fact(
        "Opening hours",
        "noon",
        Wording(
            (
                "On Saturdays we stay open until {v}.",
                "Saturday is a short day and ends at {v}.",
                "We close at {v} on Saturdays.",
                "At the weekend you can come on Saturday until {v}.",
            ),
            (
                "When does {n} close on Saturdays?",
                "How long is {n} open on a Saturday?",
                "Until when can I come to {n} on Saturday?",
                "What time does {n} shut on Saturdays?",
            ),
            ("the closing time on Saturdays", "the Saturday closing hour"),
        ),
        Wording(
            ("Saturday visitors are asked to leave by {v}.",),
            ("Is there still somebody at {n} on Saturday afternoon, and up to what time?",),
            ("the end of business on Saturdays",),
        ),
    ),
    "day_off": Fact(
        "Opening hours",
        "weekday",
        Wording(
            (
                "We are closed every {v}.",
                "{v} is our day off.",
                "Nobody is here on a {v}.",
                "The only day we do not open is {v}.",
            ),
            (
                "On which day is {n} closed?",
                "Which day of the week does {n} not open?",
                "What day is {n} shut?",
                "When is the day off at {n}?",
            ),
            ("the closed day", "the day off"),
        ),
        Wording(
            ("Each {v} the door stays locked.",),
            ("Which day should I avoid if I want to find anybody at {n}?",),
            ("the rest day of the week",),
        ),
    ),
    "lunch": Fact(
        "Opening hours",
        "noon",
        Wording(
            (
                "We are back from lunch at {v}.",
                "The lunch break ends at {v}.",
                "After lunch we open again at {v}.",
                "Lunch is over at {v}.",
            ),
            (
                "When does the lunch break of {n} end?",
                "When is {n} back from lunch?",
                "At what time does {n} open again after lunch?",
            ),
            ("the end of the lunch break", "the time you are back from lunch"),
        ),
        Wording(
            ("Around midday we eat and are with you again at {v}.",),
            ("If they are eating, when can I try {n} again?",),
            ("the hour after the midday pause",),
        ),
    ),
    "sunday": Fact(
        "Opening hours",
        "noon",
        Wording(
            (
                "On Sundays we open at {v}.",
                "Sunday visits are possible from {v}.",
                "We start at {v} on Sundays.",
            ),
            (
                "When does {n} open on Sundays?",
                "From what time can I come to {n} on a Sunday?",
                "How early does {n} start on Sunday?",
            ),
            ("the Sunday opening time", "the start of business on Sundays"),
        ),
        Wording(
            ("Come by on a Sunday any time after {v}.",),
            ("I only have Sundays, when may I turn up at {n}?",),
            ("the earliest time for a Sunday visit",),
        ),
    ),
    "last_orders": Fact(
        "Opening hours",
        "evening",
        Wording(
            (
                "Last orders are taken at {v}.",
                "You can order until {v}.",
                "After {v} we take no more orders.",
            ),
            (
                "Until when can I order at {n}?",
                "When are last orders at {n}?",
                "What time does {n} stop taking orders?",
            ),
            ("the time of last orders", "the latest time for an order"),
        ),
        Wording(
            ("The order book is shut at {v}.",),
            ("How late may I still place an order with {n}?",),
            ("the cut-off for orders",),
        ),
    ),
    "members": Fact(
        "Opening hours",
        "morning",
        Wording(
            (
                "Members may come in from {v}.",
                "For members the doors open at {v}.",
                "With a membership you get in at {v}.",
            ),
            (
                "From when can members come to {n}?",
                "What time does {n} let members in?",
                "When do the doors of {n} open for members?",
            ),
            ("the opening time for members", "the hour from which members get in"),
        ),
        Wording(
            ("Whoever has joined us gets in as early as {v}.",),
            ("I have joined {n}, how early may I come in now?",),
            ("the early admission for those who joined",),
        ),
    ),
}
