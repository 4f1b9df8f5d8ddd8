"""More of what there is to know of a business: the more kinds, the less can be learnt by heart.

As `facts`, in short: what is said, asked and named in training, then what the test alone has.
"""

from __future__ import annotations

from collections.abc import Mapping

from facts import Fact, Wording

Texts = tuple[str, ...]


def _fact(section: str, value: str, known: tuple[Texts, Texts, Texts], new: Texts) -> Fact:
    """``new`` is what is said, asked and named in the test, one of each."""
    return Fact(section, value, Wording(*known), Wording(*((text,) for text in new)))


MORE_FACTS: Mapping[str, Fact] = {
    "sunday": _fact(
        "Opening hours",
        "noon",
        (
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
        (
            "Come by on a Sunday any time after {v}.",
            "I only have Sundays, when may I turn up at {n}?",
            "the earliest time for a Sunday visit",
        ),
    ),
    "last_orders": _fact(
        "Opening hours",
        "evening",
        (
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
        (
            "The order book is shut at {v}.",
            "How late may I still place an order with {n}?",
            "the cut-off for orders",
        ),
    ),
    "members": _fact(
        "Opening hours",
        "morning",
        (
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
        (
            "Whoever has joined us gets in as early as {v}.",
            "I have joined {n}, how early may I come in now?",
            "the early admission for those who joined",
        ),
    ),
    "seniors": _fact(
        "Prices",
        "percent",
        (
            (
                "Pensioners get {v} off.",
                "There is a discount of {v} for pensioners.",
                "We take {v} off for pensioners.",
            ),
            (
                "What discount do pensioners get at {n}?",
                "How much do pensioners save at {n}?",
                "What does {n} take off for pensioners?",
            ),
            ("the discount for pensioners", "the pensioners' discount"),
        ),
        (
            "Those who have retired pay {v} less.",
            "My father has retired, what would he save at {n}?",
            "the reduction for the retired",
        ),
    ),
    "late_fee": _fact(
        "Prices",
        "price",
        (
            (
                "Coming late costs {v} extra.",
                "There is a late fee of {v}.",
                "We charge {v} if you are late.",
            ),
            (
                "What does it cost to be late at {n}?",
                "How high is the late fee at {n}?",
                "How much does {n} charge if I am late?",
            ),
            ("the late fee", "the charge for coming late"),
        ),
        (
            "Whoever keeps us waiting owes {v}.",
            "I will not be on time at {n}, what do I owe them?",
            "the penalty for not being on time",
        ),
    ),
    "voucher": _fact(
        "Prices",
        "price",
        (
            (
                "Gift vouchers start at {v}.",
                "The smallest gift voucher is {v}.",
                "You can buy gift vouchers from {v}.",
            ),
            (
                "What is the smallest gift voucher of {n}?",
                "From what price does {n} sell gift vouchers?",
                "How much is the cheapest gift voucher at {n}?",
            ),
            ("the price of the smallest gift voucher", "the lowest value of a gift voucher"),
        ),
        (
            "Make somebody a present of {v} or more.",
            "I need a present from {n}, how little can I spend on a card?",
            "the least one can spend on a present card",
        ),
    ),
    "least_order": _fact(
        "Prices",
        "price",
        (
            (
                "The smallest order we accept is {v}.",
                "The minimum order is {v}.",
                "We accept orders from {v} on.",
            ),
            (
                "What is the minimum order at {n}?",
                "How small may an order be at {n}?",
                "From what amount does {n} accept an order?",
            ),
            ("the minimum order", "the smallest order accepted"),
        ),
        (
            "Please spend {v} or more when you order.",
            "How much do I have to spend when I order from {n}?",
            "the least amount one has to spend",
        ),
    ),
    "refund": _fact(
        "Booking",
        "days",
        (
            ("Refunds are paid within {v}.", "You get a refund after {v}.", "A refund takes {v}."),
            (
                "How long does a refund take at {n}?",
                "When does {n} pay a refund?",
                "After how many days do I get a refund from {n}?",
            ),
            ("the time a refund takes", "the waiting time for a refund"),
        ),
        (
            "Your money is back with you {v} later.",
            "How soon do I have my money back from {n}?",
            "the wait until the money is back",
        ),
    ),
    "ahead": _fact(
        "Booking",
        "days",
        (
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
        (
            "Places are given out {v} before the day.",
            "How long before the day does {n} give out places?",
            "how soon places are given out",
        ),
    ),
    "hold": _fact(
        "Booking",
        "hours",
        (
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
        (
            "What you put aside stays put aside for {v}.",
            "I had something put aside at {n}, until when is it mine?",
            "how long things stay put aside",
        ),
    ),
    "bookings_by": _fact(
        "Booking",
        "person",
        (
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
        ("{v} keeps the diary.", "Who keeps the diary at {n}?", "the keeper of the diary"),
    ),
    "fax": _fact(
        "Contact",
        "phone",
        (
            ("Our fax number is {v}.", "You can send a fax to {v}.", "The fax is {v}."),
            (
                "What is the fax number of {n}?",
                "To which number can I fax {n}?",
                "Where can I send a fax to {n}?",
            ),
            ("the fax number", "the number of the fax"),
        ),
        (
            "Documents reach us by facsimile at {v}.",
            "I have to send {n} a facsimile, to which number?",
            "the facsimile line",
        ),
    ),
    "emergency": _fact(
        "Contact",
        "phone",
        (
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
        (
            "If it cannot wait until morning, use {v}.",
            "It cannot wait until morning, how do I reach {n}?",
            "the line for what cannot wait",
        ),
    ),
    "bicycles": _fact(
        "Contact",
        "count",
        (
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
        (
            "Up to {v} people can leave what they cycled here on.",
            "A few of us cycle to {n}, how many could lock up there?",
            "the places to lock up a bike",
        ),
    ),
    "chairs": _fact(
        "About us",
        "count",
        (
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
        (
            "While you wait, {v} seats are at your disposal.",
            "If we have to wait at {n}, how many of us get a seat?",
            "the seating for those who wait",
        ),
    ),
    "branches": _fact(
        "About us",
        "count",
        (
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
        (
            "You meet us in {v} places by now.",
            "In how many places is {n} by now?",
            "the count of its places",
        ),
    ),
    "renovated": _fact(
        "About us",
        "year",
        (
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
        (
            "New floors and windows went in in {v}.",
            "What year did {n} get its new floors and windows?",
            "the year of the new floors",
        ),
    ),
    "founder": _fact(
        "About us",
        "person",
        (
            ("The founder was {v}.", "{v} founded the business.", "It was founded by {v}."),
            ("Who founded {n}?", "Who was the founder of {n}?", "By whom was {n} founded?"),
            ("the founder's name", "the name of the founder"),
        ),
        (
            "{v} began it all with nothing but an idea.",
            "Who had the idea to begin {n}?",
            "the one who began it all",
        ),
    ),
    "prize": _fact(
        "About us",
        "year",
        (
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
        (
            "The mayor honoured our work in {v}.",
            "In what year did the mayor honour {n}?",
            "the year of the mayor's honour",
        ),
    ),
    "lockers": _fact(
        "Good to know",
        "count",
        (
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
        (
            "Bags go into one of {v} boxes with a key.",
            "Can I lock away a bag at {n}, how many boxes have a key?",
            "the boxes with a key",
        ),
    ),
    "kept": _fact(
        "Good to know",
        "months",
        (
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
        (
            "What we wrote down about you is gone after {v}.",
            "When is what {n} wrote down about me gone?",
            "how long one's data lasts",
        ),
    ),
    "lost": _fact(
        "Good to know",
        "days",
        (
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
        (
            "Umbrellas left behind wait {v} for you.",
            "I left my umbrella at {n}, how long will it wait for me?",
            "how long things left behind wait",
        ),
    ),
    "first_aid": _fact(
        "Good to know",
        "person",
        (
            ("{v} is trained in first aid.", "Our first-aider is {v}.", "For first aid ask {v}."),
            (
                "Who is trained in first aid at {n}?",
                "Who is the first-aider at {n}?",
                "Whom do I ask for first aid at {n}?",
            ),
            ("the first-aider's name", "the person trained in first aid"),
        ),
        (
            "If somebody is hurt, fetch {v}.",
            "Somebody is hurt at {n}, whom do I fetch?",
            "the one to fetch when somebody is hurt",
        ),
    ),
    "sale": _fact(
        "News",
        "date",
        (
            ("The sale starts on {v}.", "Our sale begins on {v}.", "From {v} on there is a sale."),
            (
                "When does the sale of {n} start?",
                "On which date does the sale at {n} begin?",
                "From what day is there a sale at {n}?",
            ),
            ("the start of the sale", "the first day of the sale"),
        ),
        (
            "Everything becomes cheaper on {v}.",
            "On which day does everything become cheaper at {n}?",
            "the day when things become cheaper",
        ),
    ),
    "move": _fact(
        "News",
        "date",
        (
            ("On {v} we move to new rooms.", "Our move is on {v}.", "We move house on {v}."),
            (
                "When does {n} move?",
                "On which date is the move of {n}?",
                "What day does {n} move to new rooms?",
            ),
            ("the date of the move", "the day of the move"),
        ),
        (
            "Packed boxes leave for our next home on {v}.",
            "When do the boxes of {n} go to its next home?",
            "the day the boxes go",
        ),
    ),
    "colleague": _fact(
        "News",
        "person",
        (
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
        (
            "A fresh face behind the counter is that of {v}.",
            "Whose is the fresh face behind the counter of {n}?",
            "the fresh face behind the counter",
        ),
    ),
    "rise": _fact(
        "News",
        "percent",
        (
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
        (
            "From April you pay us {v} more.",
            "What more will I pay at {n} from April?",
            "what is added from April",
        ),
    ),
}
