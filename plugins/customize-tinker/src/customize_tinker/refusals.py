"""How a request is refused. Knows nothing of operations.

A request that cannot be read is 4xx at once: clients take 5xx, and 408, 409 and 429, for reasons to
send it again, for minutes. An operation that fails is no refusal: its result says so.
"""

from __future__ import annotations


class Refusal(Exception):
    """A request is answered with this status and message, and nothing is done."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def unreadable(message: str) -> Refusal:
    return Refusal(422, message)


def missing(what: str) -> Refusal:
    """The same for what is another's and for what never was."""
    return Refusal(404, f"there is no {what}")
