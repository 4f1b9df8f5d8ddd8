"""What listing a plugin does beside listing: work, prints, heavy imports. Judges nothing."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterator

import attrs

HEAVY = (
    "datasets",
    "jax",
    "numpy",
    "onnxruntime",
    "pandas",
    "peft",
    "pyarrow",
    "scipy",
    "tensorflow",
    "tokenizers",
    "torch",
    "transformers",
)


@attrs.define
class Watched:
    """What happened inside ``watching``; whole once it has ended.

    milliseconds: of processor time, which what else a machine does makes no longer.
    """

    milliseconds: float = 0.0
    printed: str = ""
    heavy: tuple[str, ...] = ()


@contextlib.contextmanager
def watching() -> Iterator[Watched]:
    """Keep what is printed inside, and see which heavy packages come in."""
    seen, output = Watched(), io.StringIO()
    before, start = set(sys.modules), time.thread_time()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            yield seen
    finally:
        seen.milliseconds = (time.thread_time() - start) * 1000
        seen.printed = output.getvalue()
        seen.heavy = tuple(name for name in HEAVY if name in sys.modules and name not in before)
