"""Businesses that do not exist: their documents, and what people ask about them.

Each is drawn by hashing, so that no Python release changes it. The splits share no name, street,
person or service, and no value is used twice on purpose: an answer that is right was read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from facts import FACTS
from wordings import FILLERS, FRAMES, Fact, Wording

T = TypeVar("T")


@dataclass(frozen=True)
class Pool:
    """What the businesses of one split are drawn from. kinds: services by kind of business."""

    first: Sequence[str]
    second: Sequence[str]
    kinds: Mapping[str, Sequence[str]]
    streets: Sequence[str]
    given: Sequence[str]
    family: Sequence[str]
    languages: Sequence[str]


POOLS: Mapping[str, Pool] = {
    "train": Pool(
        first=(
            *("Alder", "Birch", "Cedar", "Copper", "Crane", "Dover", "Ember", "Falcon", "Fern"),
            *("Garnet", "Hazel", "Heron", "Indigo", "Ivory", "Juniper", "Kestrel", "Lark"),
            *("Linden", "Maple", "Marble", "Meadow", "Nutmeg", "Opal", "Otter", "Pebble", "Quill"),
            *("Raven", "Saffron", "Sparrow", "Thistle", "Tulip", "Umber", "Velvet", "Walnut"),
            *("Wren", "Zinc"),
        ),
        second=(
            *("Lane", "Hill", "Corner", "Brook", "Gate", "Yard", "Row", "Field", "House", "Bridge"),
            *("Mill", "Square", "Harbour", "Well", "Court", "Green", "Bank", "Point", "Wharf"),
        ),
        kinds={
            "Pottery": ("a bowl course", "a glazing evening", "an hour at the wheel", "a mug"),
            "Cycles": ("a new chain", "a brake check", "a full service", "a day's hire"),
            "Bakery": ("a rye loaf", "a birthday cake", "a tray of rolls", "an apple pie"),
            "Guest House": ("a single room", "a double room", "breakfast", "a late checkout"),
            "Hair Salon": ("a haircut", "colouring", "a beard trim", "a wash and cut"),
            "Garage": ("an oil change", "a tyre change", "an inspection", "a new battery"),
            "Dance School": ("a trial lesson", "a tango course", "a private hour", "a season card"),
            "Dental Practice": ("a cleaning", "a check-up", "an X-ray", "whitening"),
            "Boat Hire": ("a rowing boat", "a canoe", "an hour's sailing", "a life vest"),
            "Kennels": ("a night in the kennel", "a grooming", "a walk", "puppy training"),
            "Book Shop": ("gift wrapping", "a reading ticket", "a notebook", "book repair"),
            "Gym": ("a month's pass", "a day pass", "a towel", "a trainer's hour"),
            "Nursery": ("a rose bush", "a bag of soil", "a garden plan", "a fruit tree"),
            "Tailors": ("a new zip", "shortened trousers", "a fitted suit", "an ironed shirt"),
        },
        streets=(
            *("Foundry Street", "Larch Road", "Priory Walk", "Station Parade", "Weaver Street"),
            *("Canal Street", "Chapel Road", "Dyer Lane", "Elm Street", "Friary Road", "Guild Row"),
            *("High Street", "Ironmonger Lane", "Jubilee Road", "King Street", "Lock Road"),
        ),
        given=(
            *("Alice", "Bruno", "Clara", "Dennis", "Elena", "Felix", "Greta", "Hugo", "Irene"),
            *("Jonas", "Karin", "Louis", "Marta", "Nina", "Oscar", "Paula", "Rosa", "Stefan"),
        ),
        family=(
            *("Abbott", "Becker", "Castell", "Dorn", "Eames", "Fuller", "Grant", "Holm", "Ingram"),
            *("Jansen", "Keller", "Lowe", "Mercer", "Norris", "Olsen", "Pratt", "Quinn", "Rowe"),
        ),
        languages=("French", "German", "Spanish"),
    ),
    "dev": Pool(
        first=("Amber", "Bramble", "Clover", "Denim", "Elder", "Flint", "Ginger", "Hollow"),
        second=("Terrace", "Cross", "Rise", "Haven", "Glen", "Ford"),
        kinds={
            "Framing": ("a small frame", "new glass", "a canvas stretch", "a mount"),
            "Riding School": ("a lesson", "a pony hour", "a ride in the woods", "a helmet"),
            "Optician": ("an eye test", "a pair of lenses", "a new hinge", "contact lenses"),
            "Laundry": ("a load of washing", "a dry-cleaned coat", "a duvet", "a pressed shirt"),
        },
        streets=("Tanner Street", "Moss Road", "Orchard Lane", "Parson Row", "Quay Road"),
        given=("Anton", "Berta", "Cyril", "Dora", "Edgar", "Flora"),
        family=("Tanner", "Usher", "Voss", "Winter", "Yates", "Zeller"),
        languages=("Italian", "Polish"),
    ),
    "test": Pool(
        first=(
            *("Acorn", "Basalt", "Cobalt", "Drift", "Echo", "Foxglove", "Granite", "Heather"),
            *("Ibis", "Jasper", "Kelp", "Lotus", "Mistral", "Nectar", "Olive", "Poppy"),
        ),
        second=("Park", "Steps", "Market", "Dock", "Crescent", "Vale", "Arcade", "Grove", "Quay"),
        kinds={
            "Climbing Hall": ("an afternoon ticket", "a pair of shoes", "a rope course", "chalk"),
            "Photo Studio": (
                "a passport photo",
                "a family portrait",
                "a framed print",
                "retouching",
            ),
            "Music School": (
                "a piano lesson",
                "a violin for hire",
                "a choir term",
                "a theory class",
            ),
            "Clock Repairs": ("a new strap", "a cleaned movement", "a new crystal", "an engraving"),
            "Camp Site": ("a tent pitch", "a caravan night", "a hot shower", "a fire basket"),
            "Cooking School": ("a pasta class", "a knife course", "an apron", "a sushi evening"),
            "Veterinary Practice": ("a vaccination", "a claw trim", "a blood test", "a chip"),
            "Print Shop": ("a poster", "a hundred flyers", "a bound thesis", "a T-shirt print"),
        },
        streets=(
            *("Sailmaker Street", "Vine Road", "Abbey Row", "Cooper Street", "Bellfounder Lane"),
            *("Salt Road", "Tower Street", "Wheelwright Lane"),
        ),
        given=("Agnes", "Boris", "Celia", "Dario", "Edith", "Frank", "Gloria", "Henrik", "Ida"),
        family=("Aldous", "Bright", "Corbin", "Drake", "Evers", "Finch", "Gale", "Hobbs", "Isley"),
        languages=("Dutch", "Greek", "Arabic", "Welsh"),
    ),
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Sunday")
_MONTHS = ("June", "July", "August", "September", "November", "December")
_LETTERS = "BCDFGHJKLMNPRSTVWXZ"


@dataclass(frozen=True)
class Known:
    """A fact of one business. wording: known, new, or new fact. service: None for most facts."""

    key: str
    wording: str
    service: str | None
    value: str

    @property
    def fact(self) -> Fact:
        return FACTS[self.key]

    @property
    def words(self) -> Wording:
        return self.fact.new if self.wording == "new" else self.fact.known


@dataclass(frozen=True)
class Business:
    """One business, a function of its split and number alone. edition: other values, all else
    the same."""

    split: str
    number: int
    edition: int = 0

    @property
    def name(self) -> str:
        return _names(self.split)[self.number]

    @property
    def kind(self) -> str:
        return next(kind for kind in POOLS[self.split].kinds if self.name.endswith(kind))

    @cached_property
    def facts(self) -> Sequence[Known]:
        """What its document tells, in order; some facts of a section are left out."""
        found = []
        for section in self._several(list(_sections(self.split)), 3, "sections"):
            keys = _sections(self.split)[section]
            count = min(len(keys), 2 + self._draw("facts", section) % 2)
            for key in self._several(keys, count, "facts", section):
                found += self._known(key)
        return found

    def document(self) -> str:
        """What its file says, in Markdown."""
        parts = [f"# {self.name}"]
        for section in dict.fromkeys(known.fact.section for known in self.facts):
            told = [self._told(k) for k in self.facts if k.fact.section == section]
            if self._draw("filler", section) % 2:
                told.insert(self._draw("where", section) % (len(told) + 1), self._filler(section))
            parts.append(f"## {section}\n\n{' '.join(told)}")
        return "\n\n".join(parts) + "\n"

    @property
    def id(self) -> str:
        """Its file's name."""
        return f"{self.split}-{self.number}.md"

    def question(self, known: Known, number: int = 0) -> str:
        """One of the ways to ask for it; ``number`` chooses another."""
        frames = FRAMES["new" if known.wording == "new" else "known"]
        asked = list(known.words.asked)
        for named in known.words.named:
            asked += [frame.replace("{x}", named) for frame in frames]
        chosen = asked[self._draw("asked", known.key, known.service, number) % len(asked)]
        return self._filled(chosen, known)

    def unanswered(self) -> list[Known]:
        """Facts that such a business could tell and this one does not."""
        told = {known.key for known in self.facts}
        keys = [key for keys in _sections(self.split).values() for key in keys if key not in told]
        return [known for key in keys for known in self._known(key)[:1]]

    def said(self, known: Known) -> str:
        """The sentence that tells it."""
        return self._filled(self._one(known.words.said, "said", known.key, known.service), known)

    def _known(self, key: str) -> list[Known]:
        wording = self._wording(key)
        if key != "price":
            return [Known(key, wording, None, self._value(FACTS[key].value, key))]
        services = self._several(POOLS[self.split].kinds[self.kind], 2, "services")
        return [Known(key, wording, s, self._value("price", key, s)) for s in services]

    def _wording(self, key: str) -> str:
        if not FACTS[key].trained:
            return "new fact"
        return "new" if self.split == "test" and self._draw("wording", key) % 2 else "known"

    def _told(self, known: Known) -> str:
        sentence = self.said(known)
        outdated = known.fact.outdated
        if not outdated or self._draw("outdated", known.key, known.service) % 3:
            return sentence
        before = self._filled(self._one(outdated, "before", known.key), known)
        first = self._draw("order", known.key) % 2
        return f"{before} {sentence}" if first else f"{sentence} {before}"

    def _filled(self, text: str, known: Known) -> str:
        filled = text.replace("{n}", self.name).replace("{s}", known.service or "")
        filled = filled.replace("{v}", known.value)
        if "{o}" in filled:
            filled = filled.replace("{o}", self._value(known.fact.value, "old", known.key))
        return filled[:1].upper() + filled[1:]

    def _filler(self, section: str) -> str:
        return self._one(FILLERS, "which filler", section)

    def _value(self, kind: str, *key: object) -> str:
        draw = self._draw("value", self.edition, *key)
        pool = POOLS[self.split]
        minute = (":05", ":10", ":15", ":20", ":30", ":40", ":45", ":50")[draw // 7 % 8]
        cents = ("00", "20", "40", "50", "75", "80", "90")[draw // 97 % 7]
        if kind == "person":
            return f"{self._one(pool.given, draw)} {self._one(pool.family, 'family', draw)}"
        if kind == "street":
            return f"{1 + draw % 180} {self._one(pool.streets, draw)}"
        if kind == "language":
            return self._one(pool.languages, draw)
        if kind == "code":
            return "".join(_LETTERS[draw // 19**n % 19] for n in range(3)) + str(draw % 900 + 100)
        made = {
            "morning": f"{6 + draw % 5}{minute} am",
            "noon": f"{1 + draw % 4}{minute} pm",
            "evening": f"{5 + draw % 6}{minute} pm",
            "weekday": _DAYS[draw % 5],
            "price": f"${2 + draw % 95}.{cents}",
            "hours": f"{12 + draw % 85} hours",
            "days": f"{2 + draw % 27} days",
            "months": f"{3 + draw % 58} months",
            "phone": f"555-{1000 + draw % 9000}",
            "year": str(1902 + draw % 120),
            "count": str(4 + draw % 84),
            "percent": f"{3 + draw % 40}%",
            "age": str(3 + draw % 14),
            "date": f"{_MONTHS[draw % 6]} {1 + draw // 7 % 28}",
            "line": str(1 + draw % 40),
        }
        return made[kind]

    def _one(self, options: Sequence[T], *key: object) -> T:
        return options[self._draw(*key) % len(options)]

    def _several(self, options: Sequence[T], count: int, *key: object) -> list[T]:
        order = sorted(range(len(options)), key=lambda index: self._draw(*key, index))
        return [options[index] for index in order[:count]]

    def _draw(self, *key: object) -> int:
        text = "/".join(str(part) for part in (self.split, self.number, *key))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@lru_cache
def _names(split: str) -> Sequence[str]:
    """All names, in an order in which neighbours have little in common."""
    pool = POOLS[split]
    names = [f"{a} {b} {kind}" for a in pool.first for b in pool.second for kind in pool.kinds]
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


@lru_cache
def _sections(split: str) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for key, fact in FACTS.items():
        if fact.trained or split == "test":
            found.setdefault(fact.section, []).append(key)
    return found


def businesses(split: str, count: int, edition: int = 0) -> list[Business]:
    """The first so many of a split."""
    return [Business(split, number, edition) for number in range(count)]


def pairs(some: Sequence[Business], asked: int = 1) -> Iterator[dict[str, Any]]:
    """Questions with answers and the document that holds them, each fact ``asked`` times."""
    for business in some:
        for known in business.facts:
            for number in range(asked):
                yield {
                    "question": business.question(known, number),
                    "answer": known.value,
                    "document": business.id,
                }
