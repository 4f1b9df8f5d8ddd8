"""What a contestant that answers measures of itself, one line of JSON at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from memory import peak_mb

Tokens = Sequence[int]


def report(
    loaded_after: float,
    size: int,
    prompts: Sequence[Tokens],
    stream: Callable[[Tokens], Iterator[int]],
    together: Callable[[Sequence[Tokens]], Iterable[Tokens]],
) -> None:
    """Ask one question after another, then all at once, and print what was found."""
    list(stream(prompts[0]))  # what is set up at a first run is left out
    said, firsts, seconds, count = [], [], 0.0, 0
    for prompt in prompts:
        start = time.perf_counter()
        answer = stream(prompt)
        tokens = [next(answer)]
        first = time.perf_counter()
        tokens += answer
        firsts.append(first - start)
        seconds, count = seconds + time.perf_counter() - first, count + len(tokens) - 1
        said.append(tokens)
    start = time.perf_counter()
    all_tokens = sum(map(len, together(prompts)))
    found: dict[str, Any] = {
        "tokens_per_second": count / seconds,
        "together_per_second": all_tokens / (time.perf_counter() - start),
        "first_token_ms": 1000 * sorted(firsts)[len(firsts) // 2],
        "load_seconds": loaded_after,
        "peak_mb": peak_mb(),
        "size_mb": size / 1e6,
        "said": said,
    }
    print(json.dumps(found), flush=True)


def size_of(folder: Path, *patterns: str) -> int:
    """Bytes of the files that match."""
    return sum(file.stat().st_size for pattern in patterns for file in folder.glob(pattern))
