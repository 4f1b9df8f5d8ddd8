"""How much one server takes on. Knows nothing of what is done with it."""

from __future__ import annotations

from customize import option, options


@options
class Limits:
    """Bounds on what clients may ask for; beyond them a request is refused, and says so."""

    body_mb: int = option(default=64, help="MB of one request.", at_least=1)
    tokens: int = option(
        default=1_000_000, help="Tokens of one forward_backward, or of one prompt.", at_least=1
    )
    samples: int = option(default=1024, help="Completions of one prompt.", at_least=1)
    queue: int = option(
        default=4096, help="Operations of one key that wait to be done.", at_least=1
    )
    models: int = option(
        default=64,
        help="Models of one key that are open at a time; others are opened from disk again.",
        at_least=1,
    )
    rank: int = option(default=512, help="Rank of an adapter.", at_least=1)
    samplers: int = option(
        default=64,
        help="Unnamed samplers of one session whose weights are kept; the oldest go first.",
        at_least=1,
    )
    results_mb: int = option(
        default=256, help="MB of results that wait to be fetched, or fetched again.", at_least=1
    )
