"""Numbers that states give to people: how each is written, and its check digits.

Only those that a text shows plainly: where bare digits would be found in every second invoice, the
usual separators are needed. Knows nothing of texts and of masking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date

import attrs

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_ODD = (
    1,
    0,
    5,
    7,
    9,
    13,
    15,
    17,
    19,
    21,
    2,
    4,
    18,
    20,
    11,
    3,
    6,
    8,
    12,
    14,
    16,
    10,
    22,
    25,
    24,
    23,
)
# Verhoeff (1969): multiplication in the dihedral group of order ten, and its permutation.
_TIMES = tuple(
    tuple(
        (a + b) % 5 + 5 * (b >= 5) if a < 5 else (a - 5 - b) % 5 + 5 if b < 5 else (a - b) % 5
        for b in range(10)
    )
    for a in range(10)
)
_MOVED = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


@attrs.frozen
class NationalId:
    """kind: whose. pattern: how it is written. is_valid: of its letters and digits alone."""

    kind: str
    pattern: str
    is_valid: Callable[[str], bool]


def luhn(digits: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1)."""
    doubled = [int(digit) * (1 + position % 2) for position, digit in enumerate(reversed(digits))]
    return sum(number - 9 * (number > 9) for number in doubled) % 10 == 0


def verhoeff(digits: str) -> bool:
    """Whether the check digit is right (J. Verhoeff 1969)."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit)
        for _ in range(place % 8):
            number = _MOVED[number]
        check = _TIMES[check][number]
    return check == 0


def _weighted(digits: str, weights: Iterable[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def _always(_: str) -> bool:
    return True


def _dni(value: str) -> bool:
    number = value[:-1].translate(str.maketrans("XYZ", "012"))
    return value[-1] == _DNI[int(number) % 23]


def _fiscal_code(value: str) -> bool:
    total = 0
    for place, sign in enumerate(value[:15]):
        number = int(sign) if sign.isdigit() else ord(sign) - ord("A")
        total += number if place % 2 else _ODD[number]
    return chr(ord("A") + total % 26) == value[15]


def _nir(value: str) -> bool:
    return 97 - int(value[:13]) % 97 == int(value[13:])


def _tax_id(value: str) -> bool:
    """ISO 7064, mod 11,10; of the first ten digits one is there two or three times."""
    counts = Counter(value[:10])
    if sorted(counts.values())[-1] not in (2, 3) or list(counts.values()).count(1) < 7:
        return False
    check = 5
    for digit in value:
        check = ((check or 10) * 2 % 11 + int(digit)) % 10
    return value[0] != "0" and check == 1


def _pesel(value: str) -> bool:
    year, month, day = int(value[:2]), int(value[2:4]), int(value[4:6])
    century = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}[month // 20]
    good = _weighted(value, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0
    return good and _is_date(century + year, month % 20, day)


def _cpf(value: str) -> bool:
    first = _weighted(value, range(10, 1, -1)) * 10 % 11 % 10
    second = _weighted(value, range(11, 1, -1)) * 10 % 11 % 10
    return len(set(value)) > 1 and value[9:] == f"{first}{second}"


def _aadhaar(value: str) -> bool:
    return value != value[::-1] and verhoeff(value)


def _resident(value: str) -> bool:
    """ISO 7064, mod 11-2."""
    check = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(value[:17]))
    last = "10X98765432"[check % 11]
    return value[17] == last and _is_date(int(value[6:10]), int(value[10:12]), int(value[12:14]))


def _personnummer(value: str) -> bool:
    year, month, day = int(value[:2]), int(value[2:4]), int(value[4:6])
    return luhn(value) and (_is_date(2000 + year, month, day) or _is_date(1900 + year, month, day))


def _hetu(value: str) -> bool:
    return value[-1] == _HETU[int(value[:6] + value[-4:-1]) % 31] and int(value[-4:-1]) >= 2


def _belgian(value: str) -> bool:
    number, check = value[:9], int(value[9:])
    return any(97 - int(before + number) % 97 == check for before in ("", "2"))


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


_B, _E = r"(?<![\w.-])", r"(?![\w-])"

NATIONAL_IDS = (
    NationalId("Italian fiscal code", r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]", _fiscal_code),
    NationalId("Chinese resident number", r"[1-9]\d{16}[\dX]", _resident),
    NationalId(
        "French social security number",
        r"[1-478] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?\d\d ?\d{3} ?\d{3} ?\d\d",
        _nir,
    ),
    NationalId("Indian Aadhaar", r"[2-9]\d{3} \d{4} \d{4}", _aadhaar),
    NationalId("Brazilian CPF", r"\d{3}\.\d{3}\.\d{3}-\d\d", _cpf),
    NationalId("Belgian national number", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", _belgian),
    NationalId("German tax number", r"[1-9]\d{10}|[1-9]\d \d{3} \d{3} \d{3}", _tax_id),
    NationalId("Polish PESEL", r"\d{11}", _pesel),
    NationalId("Finnish identity code", r"[0-3]\d[01]\d{3}[-+A]\d{3}[0-9A-Y]", _hetu),
    NationalId("Swedish identity number", r"\d{6}[-+]\d{4}", _personnummer),
    NationalId("Spanish identity number", r"(?:\d{8}|[XYZ]-?\d{7})-?[A-Z]", _dni),
    NationalId(
        "British insurance number",
        r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]",
        _always,
    ),
    NationalId(
        "US social security number", r"(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}", _always
    ),
    NationalId("Canadian insurance number", r"[1-79]\d\d([ -])\d{3}\1\d{3}", luhn),
)
WRITTEN = tuple((one, f"{_B}(?:{one.pattern}){_E}") for one in NATIONAL_IDS)
