"""What clients may ask for, and how much may wait. Knows no protocol."""

from __future__ import annotations

from customize._options import option, options


@options
class Limits:
    """Bounds on every request, whoever sends it."""

    slots: int | None = option(
        default=None,
        help="Answers at once, at most as many as the runtime can; None is so many.",
        at_least=1,
    )
    queue: int = option(
        default=16, help="Answers that wait for a slot; what comes beyond gets 429.", at_least=0
    )
    max_tokens: int = option(
        default=1024, help="Tokens of an answer, also where a request names none.", at_least=1
    )
    max_body: int = option(default=2**20, help="Bytes of a request's body.", at_least=1)
    time_s: float = option(
        default=300.0, help="Seconds that an answer may take, waiting included.", above=0
    )
    head_time_s: float = option(
        default=10.0, help="Seconds in which a request's head must arrive.", above=0
    )
    body_time_s: float = option(
        default=10.0, help="Seconds in which a request's body must arrive.", above=0
    )
    read_time_s: float = option(
        default=30.0, help="Seconds in which a client must take what was sent.", above=0
    )
