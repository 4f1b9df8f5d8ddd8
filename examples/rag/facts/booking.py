"""What may stand under "Booking", said and asked: data, however much there is."""

from __future__ import annotations

from collections.abc import Mapping

from wordings import Fact, Wording

BOOKING: Mapping[str, Fact] = {
    "deposit": Fact(
        "Booking",
        "price",
        Wording(
            (
                "We take a deposit of {v} when you book.",
                "Every booking needs a deposit of {v}.",
                "A deposit of {v} secures your place.",
                "{v} is due as a deposit.",
                "Please leave a deposit of {v} with us.",
            ),
            (
                "How much deposit does {n} take?",
                "What deposit do I have to pay at {n}?",
                "How high is the deposit at {n}?",
                "How much do I leave as a deposit at {n}?",
            ),
            ("the deposit", "the amount of the deposit"),
        ),
        Wording(
            ("To hold a date you put down {v}.", "An advance payment of {v} is asked for."),
            ("How much do I have to put down in advance to book at {n}?",),
            ("the advance payment", "the sum to pay up front"),
        ),
        ("Before the move the deposit was {o}.",),
    ),
    "notice": Fact(
        "Booking",
        "hours",
        Wording(
            (
                "You can cancel free of charge up to {v} before.",
                "Cancelling costs nothing until {v} before the appointment.",
                "Please cancel at least {v} ahead.",
                "We need {v} of notice if you cannot come.",
            ),
            (
                "How long before can I cancel at {n} for free?",
                "How much notice does {n} need for a cancellation?",
                "By when must I cancel at {n}?",
                "How far ahead do I have to cancel at {n}?",
            ),
            ("the cancellation notice", "the notice period for cancelling"),
        ),
        Wording(
            ("Call off your visit {v} before it or earlier and you owe us nothing.",),
            ("If something comes up, how early must I call off my visit to {n}?",),
            ("the deadline for calling off a visit",),
        ),
    ),
    "group": Fact(
        "Booking",
        "count",
        Wording(
            (
                "Groups may have up to {v} people.",
                "We take groups of at most {v} people.",
                "No more than {v} people can come together.",
                "The largest group we accept has {v} people.",
            ),
            (
                "How many people can come as a group to {n}?",
                "What is the largest group {n} takes?",
                "How big may a group be at {n}?",
                "How many people at most does {n} take at once?",
            ),
            ("the largest group size", "the maximum number of people in a group"),
        ),
        Wording(
            ("Parties of {v} people are the most we can host.",),
            ("There are a lot of us, how many does {n} have room for?",),
            ("the upper limit for parties",),
        ),
    ),
    "insurance": Fact(
        "Booking",
        "price",
        Wording(
            ("Insurance for the day is {v}.", "You can insure yourself for {v}."),
            ("How much is insurance at {n}?", "What does insurance cost at {n}?"),
            ("the price of insurance",),
        ),
        Wording(
            ("For {v} you are insured.",), ("What is it to be insured at {n}?",), ("the premium",)
        ),
        trained=False,
    ),
    "refund": Fact(
        "Booking",
        "days",
        Wording(
            ("Refunds are paid within {v}.", "You get a refund after {v}.", "A refund takes {v}."),
            (
                "How long does a refund take at {n}?",
                "When does {n} pay a refund?",
                "After how many days do I get a refund from {n}?",
            ),
            ("the time a refund takes", "the waiting time for a refund"),
        ),
        Wording(
            ("Your money is back with you {v} later.",),
            ("How soon do I have my money back from {n}?",),
            ("the wait until the money is back",),
        ),
    ),
    "ahead": Fact(
        "Booking",
        "days",
        Wording(
            (
                "Bookings open {v} ahead.",
                "You can book up to {v} in advance.",
                "We take bookings {v} in advance.",
            ),
            (
                "How far in advance can I book at {n}?",
                "How many days ahead do bookings open at {n}?",
                "How early does {n} take bookings?",
            ),
            ("how far in advance one can book", "the earliest booking date"),
        ),
        Wording(
            ("Places are given out {v} before the day.",),
            ("How long before the day does {n} give out places?",),
            ("how soon places are given out",),
        ),
    ),
    "hold": Fact(
        "Booking",
        "hours",
        Wording(
            (
                "We hold a reservation for {v}.",
                "A reservation is kept for {v}.",
                "Reservations lapse after {v}.",
            ),
            (
                "How long does {n} hold a reservation?",
                "After how many hours does a reservation lapse at {n}?",
                "How long is a reservation kept at {n}?",
            ),
            ("how long a reservation is held", "the time a reservation is kept"),
        ),
        Wording(
            ("What you put aside stays put aside for {v}.",),
            ("I had something put aside at {n}, until when is it mine?",),
            ("how long things stay put aside",),
        ),
    ),
    "bookings_by": Fact(
        "Booking",
        "person",
        Wording(
            (
                "Bookings are handled by {v}.",
                "{v} looks after bookings.",
                "For bookings ask for {v}.",
            ),
            (
                "Who handles bookings at {n}?",
                "Whom do I ask about a booking at {n}?",
                "Who looks after bookings at {n}?",
            ),
            ("the person for bookings", "the name of the person who handles bookings"),
        ),
        Wording(
            ("{v} keeps the diary.",),
            ("Who keeps the diary at {n}?",),
            ("the keeper of the diary",),
        ),
    ),
}
