"""What may stand under "Prices", said and asked: data, however much there is."""

from __future__ import annotations

from collections.abc import Mapping

from wordings import Fact, Wording

PRICES: Mapping[str, Fact] = {
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
    "seniors": Fact(
        "Prices",
        "percent",
        Wording(
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
        Wording(
            ("Those who have retired pay {v} less.",),
            ("My father has retired, what would he save at {n}?",),
            ("the reduction for the retired",),
        ),
    ),
    "late_fee": Fact(
        "Prices",
        "price",
        Wording(
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
        Wording(
            ("Whoever keeps us waiting owes {v}.",),
            ("I will not be on time at {n}, what do I owe them?",),
            ("the penalty for not being on time",),
        ),
    ),
    "voucher": Fact(
        "Prices",
        "price",
        Wording(
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
        Wording(
            ("Make somebody a present of {v} or more.",),
            ("I need a present from {n}, how little can I spend on a card?",),
            ("the least one can spend on a present card",),
        ),
    ),
    "least_order": Fact(
        "Prices",
        "price",
        Wording(
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
        Wording(
            ("Please spend {v} or more when you order.",),
            ("How much do I have to spend when I order from {n}?",),
            ("the least amount one has to spend",),
        ),
    ),
}
