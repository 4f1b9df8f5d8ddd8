"""The shops: their facts, how a system prompt tells them, and how to recognise them in an answer.

Every row has a shop of its own, drawn by hashing (so that a Python release changes nothing), and
the three splits share no name, town, district, pizza, price, time or telephone number: an answer
that is right on the test rows has been read from the prompt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Pool:
    """What the shops of one split are drawn from, and the styles of their system prompts."""

    names: Sequence[str]
    cities: Sequence[str]
    districts: Sequence[str]
    pizzas: Sequence[str]
    cents: Sequence[str]
    minutes: Sequence[str]
    phones: range
    styles: Sequence[dict[str, str]]


POOLS = {
    "train": Pool(
        names=(
            *("Bella Napoli", "Slice Corner", "Da Enzo", "The Round Table", "Pizza Luna"),
            *("Casa Rosso", "Oven & Olive", "Tony's", "Il Forno", "Crust Club", "Mamma Pia"),
            *("Dough Brothers", "La Piazza", "Hot Stone", "Sapori", "Golden Slice", "Via Roma"),
            *("Nino's", "Uncle Sal", "The Red Apron", "Il Gatto", "Pomodoro", "Blue Oven"),
            *("Zia Teresa", "Rocco's Place", "The Crooked Table", "Sette Colli", "Ember & Ash"),
            *("Lucky Crust", "Osteria Verdi", "Papa Franco", "Harvest Pizza", "Peel & Pan"),
        ),
        cities=(
            *("Leeds", "Dayton", "Graz", "Cork", "Bergen", "Tampa", "Lyon", "Utrecht", "Perth"),
            *("Bristol", "Omaha", "Basel", "Ghent", "Malmo", "Reno", "Halifax", "Turin"),
            *("Porto", "Austin", "Zurich", "Dublin", "Oslo", "Miami", "Lille", "Leiden", "York"),
            *("Denver", "Bern", "Bruges", "Lund", "Boston", "Ottawa", "Genoa", "Krakow", "Nelson"),
        ),
        districts=(
            *("Old Town", "Mill Lane", "Station Square", "Westfield", "Oak Hill", "Harbour Side"),
            *("Kingsway", "Green Park", "Newtown", "Bridge End", "Eastgate", "Castle Road"),
            *("Chapel Hill", "Queen's Quay", "Beech Avenue", "The Meadows", "Foxglove Lane"),
            *("Canal Side", "Cherry Garden", "Long Acre", "Sandbank", "West Pier", "St Mary's"),
        ),
        pizzas=(
            *("Margherita", "Pepperoni", "Funghi", "Hawaiian", "Diavola", "Quattro", "Romana"),
            *("Parma", "Rustica", "Montanara", "Genovese", "Contadina", "Tropicale", "Piccante"),
            *("Caprese", "Pugliese", "Americana", "Barbecue", "Bianca", "Rucola", "Fantasia"),
        ),
        cents=("", "", ".50", ".90", ".10", ".30", ".60", ".70", ".95"),
        minutes=("", "", ":15", ":05", ":20", ":35", ":40", ":55"),
        phones=range(100, 160),
        styles=(
            {
                "opening": "You answer customers of {name}, a pizza shop in {city}.",
                "hours": "Open {opens} to {closes}, closed on {day}s.",
                "menu": "{a} {pa}, {b} {pb}.",
                "delivery": "Delivery to {near} and {near2}, {fee}.",
                "phone": "Phone {phone}.",
            },
            {
                "opening": "You are the assistant of {name} in {city}.",
                "hours": "We open at {opens} and close at {closes}; {day} is our day off.",
                "menu": "Our pizzas: {a} ({pa}) and {b} ({pb}).",
                "delivery": "We deliver to {near} and {near2} for {fee}.",
                "phone": "Call {phone}.",
            },
            {
                "opening": "{name}, pizzeria, {city}. You write to our guests.",
                "hours": "Hours: {opens}-{closes}, not on {day}.",
                "menu": "Menu: {a} {pa}; {b} {pb}.",
                "delivery": "Delivery area: {near}, {near2}. Delivery fee: {fee}.",
                "phone": "Tel. {phone}.",
            },
            {
                "opening": "You work in the chat of {name} ({city}), where people order pizza.",
                "hours": "Opening hours are {opens} to {closes}, except {day}.",
                "menu": "{a} costs {pa} and {b} costs {pb}.",
                "delivery": "Drivers go to {near} and {near2}; that costs {fee}.",
                "phone": "The shop's number is {phone}.",
            },
            {
                "opening": "Guests of {name} in {city} write to you.",
                "hours": "From {opens} we bake, at {closes} we lock up. {day}: no baking.",
                "menu": "You sell {a}, {pa} each, and {b}, {pb} each.",
                "delivery": "{near} and {near2} get deliveries, {fee} extra.",
                "phone": "Number for calls: {phone}.",
            },
            {
                "opening": "Chat assistant, {name}, {city}.",
                "hours": "Hours {opens} - {closes}; {day} off.",
                "menu": "Price of the {a}: {pa}. Price of the {b}: {pb}.",
                "delivery": "Zones: {near} + {near2}. Charge: {fee}.",
                "phone": "Contact: {phone}.",
            },
            {
                "opening": "{city}'s pizza shop {name} has put you at the counter.",
                "hours": "The shop is open between {opens} and {closes} and rests on {day}.",
                "menu": "Among the pizzas are {a} ({pa} apiece) and {b} ({pb} apiece).",
                "delivery": "A delivery costs {fee} and reaches {near} and {near2}.",
                "phone": "For calls, {phone}.",
            },
            {
                "opening": "Be kind to everyone who writes to {name}, the pizzeria of {city}.",
                "hours": "Opening at {opens}, closing at {closes}. No pizza on {day}s.",
                "menu": "Today: {a} - {pa}, {b} - {pb}.",
                "delivery": "The scooter goes to {near} or {near2} for {fee}.",
                "phone": "Dial {phone}.",
            },
        ),
    ),
    "dev": Pool(
        names=("Nonna Gina", "Pizzeria Sole", "The Brick Oven", "Piccolo", "Flour Power"),
        cities=("Dundee", "Tulsa", "Linz", "Galway", "Aarhus", "Nantes", "Boise"),
        districts=("Riverside", "Church Street", "Southfield", "Elm Grove", "Lakeview", "Hilltop"),
        pizzas=("Prosciutto", "Tonno", "Siciliana", "Ortolana", "Primavera"),
        cents=(".20", ".80"),
        minutes=(":10", ":50"),
        phones=range(160, 175),
        styles=(
            {
                "opening": "You help the guests of {name}, pizza makers in {city}.",
                "hours": "Doors open {opens}, doors close {closes}, never on {day}s.",
                "menu": "On the menu: {a} at {pa}, {b} at {pb}.",
                "delivery": "We bring pizza to {near} and {near2}, charge {fee}.",
                "phone": "Telephone {phone}.",
            },
            {
                "opening": "This is the chat of {name}, {city}, and you reply for the shop.",
                "hours": "Open from {opens} until {closes}; closed {day}.",
                "menu": "Prices: {a} {pa}, {b} {pb}.",
                "delivery": "Delivering in {near} and {near2} ({fee}).",
                "phone": "Reach us on {phone}.",
            },
        ),
    ),
    "test": Pool(
        names=(
            *("Vesuvio", "Little Ischia", "Fratelli Conti", "Stone & Basil", "Pizza Aurora"),
            *("The Hungry Baker", "Trattoria Zita", "Wheel of Dough", "Porta Nuova", "Amici"),
        ),
        cities=(
            *("Exeter", "Fresno", "Salzburg", "Limerick", "Odense", "Rennes", "Tucson", "Arnhem"),
            *("Winterthur", "Hobart", "Trieste"),
        ),
        districts=(
            *("Northgate", "Market Row", "Willow Bank", "The Docks", "Rose Valley", "Abbey Fields"),
            *("Clock Tower", "Orchard Street"),
        ),
        pizzas=("Capricciosa", "Marinara", "Bufala", "Calzone", "Salami", "Verdura", "Boscaiola"),
        cents=(".25", ".75", ".40"),
        minutes=(":30", ":45"),
        phones=range(175, 200),
        styles=(
            {
                "opening": "You speak for {name}, where {city} eats pizza.",
                "hours": "Business hours {opens} till {closes}, {day}s closed.",
                "menu": "We bake {a} for {pa} and {b} for {pb}.",
                "delivery": "Our couriers serve {near} and {near2} at {fee} a trip.",
                "phone": "Customers can ring {phone}.",
            },
            {
                "opening": "Reply to messages sent to {name}, a pizzeria from {city}.",
                "hours": "Every day but {day}, from {opens} up to {closes}.",
                "menu": "Pizza list: {a} = {pa}, {b} = {pb}.",
                "delivery": "Home delivery ({fee}): {near}, {near2}.",
                "phone": "Our line: {phone}.",
            },
            {
                "opening": "Shop: {name}. Town: {city}. Job: chatting with pizza lovers.",
                "hours": "Opens: {opens}. Closes: {closes}. Closed day: {day}.",
                "menu": "{a}: {pa}. {b}: {pb}.",
                "delivery": "Delivers to: {near}, {near2}. Fee: {fee}.",
                "phone": "Phone line: {phone}.",
            },
        ),
    ),
}
DAYS = ("Monday", "Tuesday", "Wednesday", "Sunday")
FACTS = ("hours", "menu", "delivery", "phone")


@dataclass(frozen=True)
class Shop:
    """One shop, a function of its split and number alone."""

    split: str
    number: int

    @cached_property
    def facts(self) -> dict[str, str]:
        """What stands for each placeholder in a text."""
        pool = POOLS[self.split]
        a, b, c = self._several(pool.pizzas, 3, "pizza")
        near, near2, far = self._several(pool.districts, 3, "district")
        currency = self._one("$€", "currency")
        euros = self._several(range(7, 16), 3, "price")
        prices = [f"{currency}{euro}{self._one(pool.cents, 'cents', euro)}" for euro in euros]
        cheap = euros[0] < euros[1]
        return {
            "name": self._one(pool.names, "name"),
            "city": self._one(pool.cities, "city"),
            "phone": f"555-0{self._one(pool.phones, 'phone')}",
            "opens": f"{self._one((9, 10, 11), 'opens')}{self._one(pool.minutes, 'from')} am",
            "closes": f"{self._one((8, 9, 10, 11), 'closes')}{self._one(pool.minutes, 'to')} pm",
            "day": self._one(DAYS, "day"),
            "a": a,
            "b": b,
            "c": c,
            "pa": prices[0],
            "pb": prices[1],
            "pc": prices[2],
            "cheap": a if cheap else b,
            "pcheap": prices[0] if cheap else prices[1],
            "near": near,
            "near2": near2,
            "far": far,
            "fee": f"{currency}{self._one((2, 3), 'fee')}{self._one(pool.cents, 'fee cents')}",
        }

    def fill(self, text: str) -> str:
        """``text`` with the shop's facts in it."""
        filled = re.sub(r"\{([a-z]+2?)\}", lambda found: self.facts[found[1]], text)
        return filled[:1].upper() + filled[1:] if text.startswith("{") else filled

    def fill_pattern(self, pattern: str) -> str:
        """``pattern`` with, for each fact, what recognises it however it is written."""
        return re.sub(r"\{([a-z]+2?)\}", lambda found: recognise(self.facts[found[1]]), pattern)

    def system_prompt(self, extra: Sequence[str], without: Sequence[str]) -> str:
        """The shop introduced, then its facts and ``extra`` in an order of its own."""
        style = self._one(POOLS[self.split].styles, "style")
        told = [style[fact] for fact in FACTS if fact not in without] + list(extra)
        told = self._several(told, len(told), "order")
        return " ".join(self.fill(text) for text in [style["opening"], *told])

    def _one(self, options: Sequence[T], *key: object) -> T:
        return options[self._draw(*key) % len(options)]

    def _several(self, options: Sequence[T], count: int, *key: object) -> list[T]:
        order = sorted(range(len(options)), key=lambda index: self._draw(*key, index))
        return [options[index] for index in order[:count]]

    def _draw(self, *key: object) -> int:
        text = "/".join(str(part) for part in (self.split, self.number, *key))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def recognise(fact: str) -> str:
    """A pattern for ``fact``: 9:30 pm, 9.30pm and 21:30 are one time; $9.50 and 9,50 one price."""
    if time := re.fullmatch(r"(\d+)(?::(\d\d))? ([ap]m)", fact):
        return _recognise_time(int(time[1]), time[2] or "00", time[3])
    if price := re.fullmatch(r"[$€](\d+)(?:\.(\d\d?))?", fact):
        return _recognise_price(price[1], price[2] or "00")
    return r"\b" + re.escape(fact).replace(r"\-", r"[-\s.]?").replace(r"\ ", r"\s+") + r"(?!\d)"


def _recognise_time(hour: int, minutes: str, half: str) -> str:
    whole = "?" if minutes == "00" else ""
    word = {8: "|eight", 9: "|nine", 10: "|ten", 11: "|eleven"}[hour] if whole else ""
    other_half = r"\s*[ap]\.?m|[:.]\d|\d"
    of_24 = f"{hour % 12 + (12 if half == 'pm' else 0):02}"
    return (
        rf"(?<![\d:.,$€])(?:(?:0?{hour}(?:[:.]{minutes}){whole}{word})"
        rf"(?:\s*{half[0]}\.?m|(?!{other_half}))|{of_24}[:.]{minutes})"
    )


def _recognise_price(whole: str, cents: str) -> str:
    optional = "?" if cents == "00" else ""
    return rf"(?<![\d.,]){whole}(?:[.,]{cents}){optional}(?!\d|[.,]\d|\s*[ap]\.?m)"
