"""Personal data and secrets in a text, found by pattern and checksum, and masked.

A pattern finds what looks like one: expect misses (names, addresses) and false alarms.
Knows nothing of rows.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

import attrs

from customize.data.national_ids import WRITTEN, NationalId, luhn

# Lengths of IBANs by country, for the most used of the registry (ISO 13616).
_IBAN_LENGTHS = {
    **dict.fromkeys(["NO"], 15),
    **dict.fromkeys(["BE"], 16),
    **dict.fromkeys(["DK", "FI", "NL"], 18),
    **dict.fromkeys(["SI", "MK"], 19),
    **dict.fromkeys(["AT", "BA", "EE", "KZ", "LT", "LU"], 20),
    **dict.fromkeys(["CH", "HR", "LI", "LV"], 21),
    **dict.fromkeys(["BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS"], 22),
    **dict.fromkeys(["AE", "GI", "IL"], 23),
    **dict.fromkeys(["AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN"], 24),
    **dict.fromkeys(["PT"], 25),
    **dict.fromkeys(["IS", "TR"], 26),
    **dict.fromkeys(["FR", "GR", "IT", "MC", "SM"], 27),
    **dict.fromkeys(["AL", "AZ", "CY", "HU", "LB", "PL"], 28),
    **dict.fromkeys(["BR", "EG", "QA", "UA"], 29),
    **dict.fromkeys(["KW", "JO", "MU"], 30),
    **dict.fromkeys(["MT"], 31),
}
_SEPARATORS = str.maketrans("", "", " -.()/\u00a0")
_NUMBER = re.compile(r"\d(?:\D{0,2}\d){5}")
_LEAST_ENTROPY = 3.5  # bits a character


@attrs.frozen
class Match:
    """Something found, from ``start`` to before ``end``; ``masked`` does not show the value."""

    group: Literal["personal", "secret"]
    kind: str
    masked: str
    start: int
    end: int


@attrs.frozen
class _Rule:
    group: Literal["personal", "secret"]
    kind: str
    hint: str  # a text without it has no match; "" is in every text
    pattern: re.Pattern[str]
    value: Callable[[re.Match[str]], str | None]  # None: the checksum says no
    is_number: bool = False  # six digits close together are in all that it finds


def find(text: str) -> Iterator[Match]:
    """Everything sensitive in ``text``, by kind; a stretch is reported once."""
    taken = bytearray()  # a mark for each character; made when there is something to mark
    folded, has_number = text.casefold(), _NUMBER.search(text) is not None
    for rule in _RULES:
        if rule.hint not in folded or (rule.is_number and not has_number):
            continue
        for match in rule.pattern.finditer(text):
            value = rule.value(match)
            if value is None or any(taken[match.start() : match.end()]):
                continue
            taken = taken or bytearray(len(text))
            taken[match.start() : match.end()] = b"\1" * len(match[0])
            yield Match(rule.group, rule.kind, mask(value), *match.span())


def mask(value: str) -> str:
    """The first characters (four of a long value, else one), and how many there are."""
    shown = value[:4] if len(value) >= 16 else value[:1]
    return f"{shown}\u2026 ({len(value)} characters)"


def iban(compact: str) -> bool:
    """Whether length and check digits of an IBAN without spaces are right (ISO 7064, mod 97-10)."""
    if len(compact) != _IBAN_LENGTHS.get(compact[:2]):
        return False
    return int("".join(str(int(part, 36)) for part in compact[4:] + compact[:4])) % 97 == 1


def entropy(value: str) -> float:
    """Shannon entropy of the characters, bits a character."""
    shares = [count / len(value) for count in Counter(value).values()]
    return -sum(share * math.log2(share) for share in shares)


def _whole(match: re.Match[str]) -> str:
    return match[0]


def _iban(match: re.Match[str]) -> str | None:
    # The pattern may run on into the next words: the country says where the number ends.
    compact = match[0].translate(_SEPARATORS).upper()
    compact = compact[: _IBAN_LENGTHS.get(compact[:2], 0)]
    return compact if iban(compact) else None


def _card(match: re.Match[str]) -> str | None:
    digits = match[0].translate(_SEPARATORS)
    lengths = (14, 15) if digits[0] == "3" else (16, 19)
    return digits if len(digits) in lengths and luhn(digits) else None


def _national(one: NationalId) -> Callable[[re.Match[str]], str | None]:
    def value(match: re.Match[str]) -> str | None:
        compact = match[0].translate(_SEPARATORS).replace("+", "")
        return match[0] if one.is_valid(compact) else None

    return value


def _phone(match: re.Match[str]) -> str | None:
    digits = match[0].translate(_SEPARATORS).lstrip("+")
    return match[0] if 9 <= len(digits) <= 15 and len(set(digits)) > 2 else None


def _address(match: re.Match[str]) -> str | None:
    first = int(match[0].split(".")[0])
    return None if first in (0, 127, 255) else match[0]


def _assigned(match: re.Match[str]) -> str | None:
    value = match["value"]
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return value if mixed and entropy(value) >= _LEAST_ENTROPY else None


def _rule(
    group: Literal["personal", "secret"],
    kind: str,
    hint: str,
    pattern: str,
    value: Callable[[re.Match[str]], str | None] = _whole,
) -> _Rule:
    is_number = value not in (_whole, _assigned, _address)
    return _Rule(group, kind, hint, re.compile(pattern), value, is_number)


_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"

# Secrets first, then the numbers with a checksum: what they take, no weaker pattern reports.
_RULES = (
    _rule(
        "secret",
        "private key",
        "private key-----",
        r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY-----",
    ),
    _rule("secret", "AWS access key", "", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    _rule("secret", "GitHub token", "gh", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    _rule("secret", "GitHub token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,255}\b"),
    _rule("secret", "Slack token", "xox", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    _rule("secret", "API key (sk-)", "sk-", r"\bsk-[A-Za-z0-9_-]{20,}"),
    _rule("secret", "Google API key", "aiza", r"\bAIza[0-9A-Za-z_-]{35}"),
    _rule("secret", "Hugging Face token", "hf_", r"\bhf_[A-Za-z0-9]{30,}\b"),
    _rule("secret", "JSON web token", "eyj", r"\beyJ[\w-]{8,}\.eyJ[\w-]{4,}\.[\w-]{8,}"),
    _rule(
        "secret",
        "assigned secret",
        "",
        r"(?i)(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|auth)"
        r"[\w-]{0,20}[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?P<value>[^\s\"',;]{16,200})",
        _assigned,
    ),
    _rule(
        "personal",
        "e-mail",
        "@",
        r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
    ),
    _rule("personal", "IBAN", "", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![a-z])", _iban),
    _rule(
        "personal", "card number", "", r"(?<![\d.+-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\d-])", _card
    ),
    *(_rule("personal", one.kind, "", written, _national(one)) for one, written in WRITTEN),
    _rule(
        "personal",
        "IPv4 address",
        ".",
        rf"(?<![\w.])(?<!version )(?:{_OCTET}\.){{3}}{_OCTET}(?![\w]|\.\d)",
        _address,
    ),
    _rule(
        "personal",
        "phone number",
        "",
        r"(?<![\w.])(?<!\d )(?:\+|00)[1-9](?:[ ().\u00a0/-]{0,2}\d){7,14}(?!\d)",
        _phone,
    ),
    _rule(
        "personal",
        "phone number",
        "",
        r"(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])",
        _phone,
    ),
    _rule(
        "personal",
        "phone number",
        "",
        r"(?<![\w.,-])(?<!\d )0\d{1,5}[ /-]\d{3}(?:[ -]?\d){3,6}(?![\w-])",
        _phone,
    ),
)
