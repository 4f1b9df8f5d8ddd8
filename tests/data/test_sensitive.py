"""Personal data and secrets: what is found, what is not, and that no value is shown.

Numbers are the published examples of their standards, or were made for this test. Tokens are
put together here, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import math
import random
import string
import time

import pytest

from customize.data.national_ids import luhn
from customize.data.sensitive import entropy, find, iban

LETTERS = string.ascii_letters + string.digits


def made(prefix: str, length: int) -> str:
    return prefix + "".join(random.Random(prefix).choices(LETTERS, k=length))


FOUND = {
    "e-mail": ["jo.doe+x@mail.example.co.uk", "j\u00fcrgen@example.de"],
    "phone number": [
        "+49 30 901820",
        "+1 (212) 555-0166",
        "212-555-0166",
        "030/901820-12",
    ],
    "IBAN": [
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "FR1420041010050500013M02606",
    ],
    "card number": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"],
    "IPv4 address": ["192.168.10.77", "8.8.4.4"],
    "AWS access key": ["AKIA" + "IOSFODNN7EXAMPLE"],
    "private key": ["-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----"],
    "GitHub token": [made("ghp_", 36), made("github_pat_", 60)],
    "Slack token": ["xoxb-" + "123456789012-abcdefXYZ"],
    "API key (sk-)": [made("sk-proj-", 40), made("sk-", 48)],
    "Google API key": [made("AIza", 35)],
    "Hugging Face token": [made("hf_", 34)],
    "JSON web token": [made("eyJ", 20) + "." + made("eyJ", 30) + "." + made("s", 40)],
    "assigned secret": [
        'db_password = "' + made("", 24) + '"',
        "API_KEY: " + made("k", 30),
    ],
}


@pytest.mark.parametrize("kind", FOUND)
def test_what_is_sensitive_is_found_once_and_masked(kind: str) -> None:
    for value in FOUND[kind]:
        for text in (value, f"Write {value}, please.", f"({value})", f"a\n{value}\nb"):
            matches = list(find(text))
            assert [match.kind for match in matches] == [kind], text
            assert value not in matches[0].masked
            assert value[len(value) // 2 :] not in matches[0].masked


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "DE89 3704 0044 0532 0130 01",
        "version 1.2.3.4 and 1.2.3.4.5 and 256.1.1.1 and 127.0.0.1",
        "Order 20240131-0007 costs 1,299.00 and takes 3-5 days, from 10:50 to 21:10.",
        "2024-01-31T10:20:30.123456Z",
        "me @ home, a@b, @name",
        "password: correcthorsebatterystaple",
        "The secret = 12345678901234567890 of it",
        "token: see https",
        "555-0166",
        "0.123456789 3.14159265358979",
    ],
)
def test_what_is_not_sensitive_is_not_found(text: str) -> None:
    assert [(match.kind, match.masked) for match in find(text)] == []


def test_an_iban_ends_where_its_country_says() -> None:
    (match,) = find("IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFFXXX")
    assert (match.kind, match.start) == ("IBAN", 5)


def test_check_digits_are_the_only_ones_that_pass() -> None:
    for number in ("4111111111111111", "79927398713"):
        passed = [digit for digit in "0123456789" if luhn(number[:-1] + digit)]
        assert passed == [number[-1]]
    right = "DE89370400440532013000"
    passed = [f"{d:02}" for d in range(2, 99) if iban(f"DE{d:02}{right[4:]}")]
    assert passed == ["89"]


def test_entropy_of_a_uniform_alphabet_is_its_logarithm() -> None:
    assert math.isclose(entropy("abcdefgh"), 3.0)
    assert entropy("aaaa") == 0.0


@pytest.mark.parametrize(
    "piece", ["a@", "1.", "+1 ", "AA11 ", "0 ", "eyJa.", "a-", "token", "=", "1", "a@b.co "]
)
def test_a_long_hostile_text_takes_linear_time(piece: str) -> None:
    few, many = (_seconds(piece * times) for times in (2_000, 40_000))
    assert many < 100 * few  # 20, were it exact; 400, were it quadratic


def _seconds(text: str) -> float:
    best = math.inf
    for _ in range(3):
        start = time.process_time()
        list(find(text))
        best = min(best, time.process_time() - start)
    return best
