"""What may stand under "Contact", said and asked: data, however much there is."""

from __future__ import annotations

from collections.abc import Mapping

from wordings import Fact, Wording

CONTACT: Mapping[str, Fact] = {
    "phone": Fact(
        "Contact",
        "phone",
        Wording(
            (
                "Call us on {v}.",
                "Our telephone number is {v}.",
                "You reach us by phone at {v}.",
                "The number to ring is {v}.",
                "Questions? Ring {v}.",
            ),
            (
                "What is the phone number of {n}?",
                "Which number do I call to reach {n}?",
                "How can I reach {n} by phone?",
                "What number should I ring for {n}?",
            ),
            ("the telephone number", "the phone number"),
        ),
        Wording(
            ("By telephone: {v}.", "Dial {v} and one of us picks up."),
            ("I need to speak to someone at {n}, what do I dial?",),
            ("the number to dial",),
        ),
        ("The number {o} on older cards is no longer in use.",),
    ),
    "street": Fact(
        "Contact",
        "street",
        Wording(
            (
                "You find us at {v}.",
                "Our address is {v}.",
                "We are at {v}.",
                "The shop is located at {v}.",
            ),
            (
                "Where is {n}?",
                "What is the address of {n}?",
                "Where can I find {n}?",
                "At which address is {n} located?",
            ),
            ("the address", "the street address"),
        ),
        Wording(
            ("Come and see us at {v}.",),
            ("I am in a taxi to {n}, what do I tell the driver?",),
            ("the location",),
        ),
        ("We used to be at {o}.",),
    ),
    "parking": Fact(
        "Contact",
        "count",
        Wording(
            (
                "There are {v} parking spaces behind the house.",
                "We have {v} parking spaces of our own.",
                "{v} parking spaces belong to us.",
                "Guests can use our {v} parking spaces.",
            ),
            (
                "How many parking spaces does {n} have?",
                "How many cars can park at {n}?",
                "What number of parking spaces is there at {n}?",
            ),
            ("the number of parking spaces", "the amount of parking spaces"),
        ),
        Wording(
            ("Our yard has room for {v} cars.",),
            ("Is it easy to leave the car at {n}, how many fit?",),
            ("the room for cars",),
        ),
    ),
    "complaints": Fact(
        "Contact",
        "person",
        Wording(
            (
                "Complaints go to {v}.",
                "{v} looks after complaints.",
                "If something went wrong, ask for {v}.",
                "For complaints please turn to {v}.",
            ),
            (
                "Who handles complaints at {n}?",
                "Whom do I turn to with a complaint at {n}?",
                "Who looks after complaints at {n}?",
                "To whom do complaints go at {n}?",
            ),
            ("the person for complaints", "the name of the person who takes complaints"),
        ),
        Wording(
            ("Not happy? {v} will listen to you.",),
            ("I am not happy with {n}, who will listen to me?",),
            ("the contact for unhappy customers",),
        ),
    ),
    "tram": Fact(
        "Contact",
        "line",
        Wording(
            ("Take tram {v} to the door.", "Tram {v} stops in front of the house."),
            ("Which tram goes to {n}?", "What tram do I take to {n}?"),
            ("the number of the tram",),
        ),
        Wording(
            ("Passengers of tram {v} get out right here.",),
            ("I have no car, which tram brings me to {n}?",),
            (),
        ),
        trained=False,
    ),
    "fax": Fact(
        "Contact",
        "phone",
        Wording(
            ("Our fax number is {v}.", "You can send a fax to {v}.", "The fax is {v}."),
            (
                "What is the fax number of {n}?",
                "To which number can I fax {n}?",
                "Where can I send a fax to {n}?",
            ),
            ("the fax number", "the number of the fax"),
        ),
        Wording(
            ("Documents reach us by facsimile at {v}.",),
            ("I have to send {n} a facsimile, to which number?",),
            ("the facsimile line",),
        ),
    ),
    "emergency": Fact(
        "Contact",
        "phone",
        Wording(
            (
                "In an emergency call {v}.",
                "Our emergency number is {v}.",
                "At night, for emergencies, there is {v}.",
            ),
            (
                "What is the emergency number of {n}?",
                "Which number does {n} have for emergencies?",
                "Whom can I ring at {n} in an emergency?",
            ),
            ("the emergency number", "the number for emergencies"),
        ),
        Wording(
            ("If it cannot wait until morning, use {v}.",),
            ("It cannot wait until morning, how do I reach {n}?",),
            ("the line for what cannot wait",),
        ),
    ),
    "bicycles": Fact(
        "Contact",
        "count",
        Wording(
            (
                "There is room for {v} bicycles in the yard.",
                "We have stands for {v} bicycles.",
                "{v} bicycles fit into our shed.",
            ),
            (
                "How many bicycles have room at {n}?",
                "For how many bicycles does {n} have stands?",
                "How many bicycles fit at {n}?",
            ),
            ("the number of bicycle stands", "the room for bicycles"),
        ),
        Wording(
            ("Up to {v} people can leave what they cycled here on.",),
            ("A few of us cycle to {n}, how many could lock up there?",),
            ("the places to lock up a bike",),
        ),
    ),
}
