"""What there is to know of a business, and the many ways to say it and to ask for it.

``{n}`` is the business, ``{v}`` the value, ``{s}`` a service, ``{o}`` a value that no longer holds.
What stands under ``new`` is never trained on: neither said so in a document nor asked so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wording:
    """said: sentences of a document. asked: whole questions. named: noun phrases for frames."""

    said: tuple[str, ...]
    asked: tuple[str, ...]
    named: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """value: how it is drawn. outdated: sentences about a value of the past, set beside it.

    trained: False for facts that only the test's businesses have.
    """

    section: str
    value: str
    known: Wording
    new: Wording
    outdated: tuple[str, ...] = ()
    trained: bool = field(default=True)


# How a noun phrase becomes a question.
FRAMES: Mapping[str, tuple[str, ...]] = {
    "known": (
        "What is {x} at {n}?",
        "Tell me {x} at {n}.",
        "{n}: {x}?",
        "I need to know {x} for {n}.",
        "Can you tell me {x} at {n}?",
        "Do you know {x} at {n}?",
        "Please look up {x} of {n}.",
        "A question about {n}: what is {x}?",
        "Could you say what {x} is at {n}?",
        "I am looking for {x} of {n}.",
        "What do you know about {x} at {n}?",
        "For {n}, what is {x}?",
        "Somebody asked me about {x} at {n}.",
        "Is there anything about {x} at {n}?",
    ),
    "new": (
        "Would you mind finding out {x} at {n}?",
        "My friend wants to hear {x} of {n}, any idea?",
        "{x} at {n}, please?",
        "Remind me of {x} for {n}.",
        "Regarding {n}, I am after {x}.",
    ),
}

FACTS: Mapping[str, Fact] = {
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
    "price": Fact(
        "Prices",
        "price",
        Wording(
            (
                "{s} costs {v}.",
                "The price of {s} is {v}.",
                "For {s} we charge {v}.",
                "You pay {v} for {s}.",
                "We ask {v} for {s}.",
                "{s} comes to {v}.",
            ),
            (
                "How much is {s} at {n}?",
                "What does {s} cost at {n}?",
                "What do I pay for {s} at {n}?",
                "How much does {n} charge for {s}?",
                "What is the price of {s} at {n}?",
                "How expensive is {s} at {n}?",
            ),
            ("the price of {s}", "the cost of {s}", "the charge for {s}"),
        ),
        Wording(
            ("{s} is yours for {v}.", "{s}: {v}."),
            (
                "I'd like {s} from {n}, how much money should I bring?",
                "What would {s} set me back at {n}?",
            ),
            ("the fee for {s}", "the going rate for {s}"),
        ),
        ("Last year {s} was {o}.", "An old leaflet says {o} for {s}, which is no longer right."),
    ),
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
    "discount": Fact(
        "Prices",
        "percent",
        Wording(
            (
                "Students get {v} off.",
                "There is a discount of {v} for students.",
                "With a student card you save {v}.",
                "We take {v} off for students.",
            ),
            (
                "What discount do students get at {n}?",
                "How much do students save at {n}?",
                "How big is the student discount at {n}?",
                "What does {n} take off for students?",
            ),
            ("the student discount", "the discount for students"),
        ),
        Wording(
            ("Anyone at university pays {v} less.",),
            ("I am at university, what reduction can I expect at {n}?",),
            ("the reduction for people at university",),
        ),
        ("The former student discount of {o} has ended.",),
    ),
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
    "delivery": Fact(
        "Prices",
        "price",
        Wording(
            (
                "Delivery within town costs {v}.",
                "We deliver in town for {v}.",
                "For delivery we add {v}.",
                "The delivery fee is {v}.",
            ),
            (
                "How much is delivery from {n}?",
                "What does {n} charge for delivery?",
                "What does it cost to have something delivered by {n}?",
                "How high is the delivery fee at {n}?",
            ),
            ("the delivery fee", "the cost of delivery"),
        ),
        Wording(
            ("We bring things to your house for {v}.",),
            ("What would {n} want for bringing it to my house?",),
            ("the charge for bringing things home",),
        ),
        ("Delivery used to be {o}.",),
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
    "loyalty": Fact(
        "Prices",
        "count",
        Wording(
            (
                "After {v} visits the next one is free.",
                "Collect {v} stamps and one visit is on us.",
                "Our loyalty card takes {v} stamps.",
                "{v} stamps on the card give you a free visit.",
            ),
            (
                "How many stamps does the loyalty card of {n} take?",
                "After how many visits is one free at {n}?",
                "How many stamps do I need for a free visit to {n}?",
            ),
            ("the number of stamps for a free visit", "the stamps needed for a free visit"),
        ),
        Wording(
            ("Come {v} times and we treat you once.",),
            ("How often must I come to {n} before they treat me?",),
            ("the size of the loyalty card",),
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
    # Only businesses of the test have these.
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
}

# Sentences that tell nothing one would ask for.
FILLERS: tuple[str, ...] = (
    "We look forward to your visit.",
    "Everybody is welcome here.",
    "We do our best for each of our customers.",
    "Our regulars come back again and again.",
    "We like it quiet and friendly.",
    "Many of our customers have become friends.",
    "Please ask us if anything is unclear.",
    "The coffee is always hot.",
    "We care for good work and fair dealings.",
    "There is always somebody who can help.",
    "Good things take a little time.",
    "We thank you for your trust.",
)
