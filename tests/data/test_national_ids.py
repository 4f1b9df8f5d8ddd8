"""National ids: the published examples are found, and check digits are those of python-stdnum."""

from __future__ import annotations

import random
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from customize.data.national_ids import NATIONAL_IDS, verhoeff
from customize.data.sensitive import find

BY_KIND = {one.kind: one for one in NATIONAL_IDS}

# The examples of the standards, or of python-stdnum's pages.
EXAMPLES = {
    "Italian fiscal code": "RCCMNL83S18D969H",
    "Chinese resident number": "360426199101010071",
    "French social security number": "2 95 10 99 126 111 93",
    "Indian Aadhaar": "2341 2341 2346",
    "Brazilian CPF": "390.533.447-05",
    "Belgian national number": "85.07.30-033.28",
    "German tax number": "36 574 261 809",
    "Polish PESEL": "44051401359",
    "Finnish identity code": "131052-308T",
    "Swedish identity number": "880320-0016",
    "Spanish identity number": "54362315-K",
    "British insurance number": "AB 12 34 56 C",
    "US social security number": "536-90-4399",
    "Canadian insurance number": "123-456-782",
}


def test_there_is_an_example_of_each() -> None:
    assert set(EXAMPLES) == set(BY_KIND)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_example_is_found_in_a_text(kind: str) -> None:
    for text in (EXAMPLES[kind], f"It is {EXAMPLES[kind]}, I think."):
        assert [match.kind for match in find(text)] == [kind]


def digits(num: int) -> Callable[[random.Random], str]:
    return lambda rng: "".join(rng.choices("0123456789", k=num))


def dated(form: str) -> Callable[[random.Random], str]:
    """``form`` with y, m, d for a date's digits and # for any."""

    def made(rng: random.Random) -> str:
        parts = {"m": f"{rng.randint(0, 13):02}", "d": f"{rng.randint(0, 32):02}"}
        parts["y"] = f"{rng.randint(1900, 2030)}"[-form.count("y") :]
        seen = {key: iter(value) for key, value in parts.items()}
        return "".join(
            next(seen[sign]) if sign in seen else rng.choice("0123456789") if sign == "#" else sign
            for sign in form
        )

    return made


def ended(before: Callable[[random.Random], str], among: str) -> Callable[[random.Random], str]:
    return lambda rng: before(rng) + rng.choice(among)


def fiscal(rng: random.Random) -> str:
    letters = "".join(rng.choices("ABCDEFGHILMNOPQRSTUVZ", k=6))
    month = rng.choice("ABCDEHLMPRST")
    return f"{letters}{rng.randint(10, 99)}{month}{rng.randint(10, 28)}D969{rng.choice('ABCDEFGH')}"


LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
MADE: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "Spanish identity number": ("es.dni", ended(digits(8), LETTERS)),
    "Italian fiscal code": ("it.codicefiscale", fiscal),
    "German tax number": ("de.idnr", digits(11)),
    "Polish PESEL": ("pl.pesel", dated("yymmdd#####")),
    "Brazilian CPF": ("br.cpf", digits(11)),
    "Indian Aadhaar": ("in_.aadhaar", lambda rng: rng.choice("23456789") + digits(11)(rng)),
    "Chinese resident number": ("cn.ric", ended(dated("110101yyyymmdd###"), "0123456789X")),
    "Finnish identity code": ("fi.hetu", ended(dated("ddmmyy-###"), "0123456789ABCDEFHJKLMN")),
    "Belgian national number": ("be.nn", dated("yymmdd#####")),
    "Canadian insurance number": ("ca.sin", lambda rng: rng.choice("1234567") + digits(8)(rng)),
    "French social security number": ("fr.nir", dated("2yymm########33")),
}


@pytest.mark.parametrize("kind", MADE)
def test_check_digits_are_those_of_stdnum(kind: str) -> None:
    pytest.importorskip("stdnum")
    module, make = MADE[kind]
    theirs: Any = import_module(f"stdnum.{module}")
    rng, num_valid = random.Random(0), 0
    for _ in range(20_000):
        written = make(rng)
        valid = bool(theirs.is_valid(written))
        num_valid += valid
        if valid:  # theirs knows more of regions, years and centuries
            assert BY_KIND[kind].is_valid(written.replace("-", "")), written
    assert num_valid > 20


@pytest.mark.parametrize("kind", MADE)
def test_a_wrong_last_sign_is_seen(kind: str) -> None:
    compact = "".join(c for c in EXAMPLES[kind] if c.isalnum())
    among = LETTERS if compact[-1].isalpha() else "0123456789"
    passed = [sign for sign in among if BY_KIND[kind].is_valid(compact[:-1] + sign)]
    assert passed == [compact[-1]]


def test_verhoeff_sees_every_swap_of_neighbours() -> None:
    digits_ = "234123412346"
    assert verhoeff(digits_)
    for n in range(len(digits_) - 1):
        swapped = digits_[:n] + digits_[n + 1] + digits_[n] + digits_[n + 2 :]
        assert not verhoeff(swapped)


@pytest.mark.parametrize(
    "text",
    [
        "Invoice 12345678901 of 2024",
        "Call 555 123 4568 or order 123-456-789",
        "ISBN 978-3-16-148410-0, model 12345678A",
        "The date 310224-1234 does not exist",
        "000-12-3456 and 900-12-3456",
    ],
)
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert not {match.kind for match in find(text)} & set(BY_KIND)
