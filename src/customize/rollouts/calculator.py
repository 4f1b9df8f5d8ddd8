"""A calculator for models: a parser of exact arithmetic, with caps. Runs no code of theirs."""

from __future__ import annotations

import re
from fractions import Fraction

from customize._errors import BadCall

_TOKEN = re.compile(r"\s*(?:([0-9]+(?:\.[0-9]+)?)|(\*\*|[-+*/%^()]))")
_MOST_CHARACTERS, _MOST_DEPTH = 200, 20
_MOST_DIGITS, _MOST_EXPONENT = 60, 64
_SHOWN_DIGITS = 12


def calculator(expression: str) -> str:
    """Calculate an expression of numbers, + - * / % ^ and brackets, exactly.

    expression: for example (3 + 4) * 2.5
    """
    return shown(_Parser(expression).value())


def shown(value: Fraction) -> str:
    """A whole number whole, any other with up to twelve digits after the point."""
    if value.denominator == 1:
        return str(value.numerator)
    scaled = round(abs(value) * 10**_SHOWN_DIGITS)
    whole, part = divmod(scaled, 10**_SHOWN_DIGITS)
    digits = f"{part:0{_SHOWN_DIGITS}}".rstrip("0") or "0"
    return f"{'-' if value < 0 else ''}{whole}.{digits}"


class _Parser:
    """By descent: sums of products of signed powers."""

    def __init__(self, text: str) -> None:
        if len(text) > _MOST_CHARACTERS:
            raise BadCall(f"an expression has {_MOST_CHARACTERS} characters at most")
        self._tokens = _tokens(text)
        self._at = self._depth = 0

    def value(self) -> Fraction:
        """Raises BadCall unless the text is one whole expression, within the caps."""
        found = self._sum()
        if self._next():
            raise BadCall(f"{self._next()!r} is one too many in the expression")
        return found

    def _sum(self) -> Fraction:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise BadCall(f"brackets go {_MOST_DEPTH} deep at most")
        value = self._product()
        while (sign := self._take("+", "-")) is not None:
            other = self._product()
            value = _capped(value + other if sign == "+" else value - other)
        self._depth -= 1
        return value

    def _product(self) -> Fraction:
        value = self._signed()
        while (sign := self._take("*", "/", "%")) is not None:
            value = _capped(_joined(value, sign, self._signed()))
        return value

    def _signed(self) -> Fraction:
        minus = 0
        while (sign := self._take("-", "+")) is not None:
            minus += sign == "-"
        value = self._power()
        return -value if minus % 2 else value

    def _power(self) -> Fraction:
        base = self._atom()
        if self._take("**", "^") is None:
            return base
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise BadCall(f"powers go {_MOST_DEPTH} deep at most")
        exponent = self._signed()
        self._depth -= 1
        if exponent.denominator != 1 or abs(exponent) > _MOST_EXPONENT:
            raise BadCall(f"an exponent is a whole number of {_MOST_EXPONENT} at most")
        if base == 0 and exponent < 0:
            raise BadCall("division by zero")
        return _capped(base ** int(exponent))

    def _atom(self) -> Fraction:
        if self._take("(") is not None:
            value = self._sum()
            if self._take(")") is None:
                raise BadCall("a bracket is not closed")
            return value
        token = self._next()
        if not token or not token[0].isdigit():
            raise BadCall(f"a number is missing{f' before {token!r}' if token else ' at the end'}")
        self._at += 1
        return _capped(Fraction(token))

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, *wanted: str) -> str | None:
        token = self._next()
        if token not in wanted:
            return None
        self._at += 1
        return token


def _tokens(text: str) -> list[str]:
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadCall(f"{text[at:].strip()[:20]!r} is no number, + - * / % ^ or bracket")
        found.append(match[1] or match[2])
        at = match.end()
    return found


def _joined(value: Fraction, sign: str, other: Fraction) -> Fraction:
    if sign == "*":
        return value * other
    if other == 0:
        raise BadCall("division by zero")
    return value / other if sign == "/" else value % other


def _capped(value: Fraction) -> Fraction:
    if max(abs(value.numerator), value.denominator) >= 10**_MOST_DIGITS:
        raise BadCall(f"a number has {_MOST_DIGITS} digits at most")
    return value
