"""What a person sees while training: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from customize._live_line import LiveLine
from customize._memory import peak_bytes

_PLAIN_EVERY_S = 10.0
# A measure, what it is called in the line, and its form.
_LEARNT = (("loss", "loss", ".3f"),)
_REWARDED = (
    ("reward", "reward", ".3f"),
    ("length", "length", ".0f"),
    ("truncated", "cut", ".0%"),
    ("entropy", "entropy", ".2f"),
)


class Progress:
    """Step, loss, tokens a second, memory and time left."""

    def __init__(self, total: int, done: int, stream: TextIO | None = None) -> None:
        self._shown = LiveLine(stream)
        self._total = total
        self._first = done
        self._begun: float | None = None
        self._said = 0.0
        self._tokens = 0.0

    def step(self, number: int, metrics: Mapping[str, float]) -> None:
        """Tell of a step. The clock starts at the first, which has preparations in it."""
        now = time.monotonic()
        if self._begun is None:
            self._begun, self._first = now, number
        else:
            self._tokens += metrics.get("tokens", 0.0)
        worth_a_line = number in (self._first, self._total) or "validation_loss" in metrics
        if not self._shown.is_live and not worth_a_line and now - self._said < _PLAIN_EVERY_S:
            return
        self._said = now
        tell = self._shown.say if number == self._total else self._shown.show
        tell(self._line(number, metrics, max(now - self._begun, 1e-9)))

    def say(self, text: str) -> None:
        """A line of its own."""
        self._shown.say(text)

    def _line(self, number: int, metrics: Mapping[str, float], seconds: float) -> str:
        taken = number - self._first
        parts = [f"step {number}/{self._total}"]
        parts += [f"{label} {metrics[name]:{form}}" for name, label, form in _watched(metrics)]
        if "validation_loss" in metrics:
            parts.append(f"held out {metrics['validation_loss']:.3f}")
        rewarded = "reward" in metrics  # whose measures leave no room for these two
        if self._tokens and not rewarded:
            parts.append(f"{self._tokens / seconds:,.0f} tokens/s")
        memory = peak_bytes()
        if memory and not rewarded:
            parts.append(f"{memory / 1e6:,.0f} MB at most")
        if number == self._total:
            parts.append(f"took {seconds:.0f} s")
        elif taken:
            parts.append(f"{seconds / taken * (self._total - number):.0f} s left")
        return "  ".join(parts)


def _watched(metrics: Mapping[str, float]) -> Sequence[tuple[str, str, str]]:
    """What the line shows of a step: the loss, or what tells most where there is a reward."""
    shown = _REWARDED if "reward" in metrics else _LEARNT
    return [one for one in shown if one[0] in metrics]
