"""Makes a schema ready as an answer's is, within limits: the process of `schema_trial`.

Imports nothing else of this package, since it begins anew for each schema.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress

CPU_S, BYTES = 2, 512 << 20


def main() -> None:
    """Read a schema and how it is read; the exit code is 0 unless it takes too much."""
    _limit()
    schema, how = json.load(sys.stdin)
    with suppress(ImportError, ValueError):  # told by who makes it ready for an answer
        from llguidance import LLMatcher, LLTokenizer

        grammar = LLMatcher.grammar_from_json_schema(schema, overrides=how)
        LLMatcher(LLTokenizer("byte"), grammar, log_level=0).compute_bitmask()


def _limit() -> None:
    with suppress(ImportError):  # Windows has none
        import resource

        for limit, most in (
            (resource.RLIMIT_CPU, CPU_S),
            (resource.RLIMIT_AS, BYTES),
            (resource.RLIMIT_CORE, 0),
        ):
            with suppress(ValueError, OSError):  # a lower limit is set already
                resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    main()
