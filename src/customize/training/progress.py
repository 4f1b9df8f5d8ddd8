"""What a person sees while training: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from customize._live_line import LiveLine
from customize._memory import peak_bytes
from customize.training.watched_lines import WIDTH, lines_of

_PLAIN_EVERY_S = 10.0
_WATCHED_EVERY_S = 60.0
# Measures, what they are called in the line, and the form of their sum; the most telling first.
_Shown = tuple[tuple[str, ...], str, str]
_LEARNT: Sequence[_Shown] = (
    (("loss",), "loss", ".3f"),
    (("validation_loss",), "held out", ".3f"),
    (("margin",), "margin", ".2f"),
    (("accuracy",), "right", ".0%"),
)
_REWARDED: Sequence[_Shown] = (
    (("reward",), "reward", ".3f"),
    (("validation_reward",), "held out", ".3f"),
    (("flat_right", "flat_wrong"), "flat", ".0%"),
    (("length",), "length", ".0f"),
    (("truncated",), "cut", ".0%"),
    (("entropy",), "entropy", ".2f"),
    (("kl_to_base",), "KL", ".2g"),
)


class Progress:
    """Step, what tells most of it, tokens a second, memory and time left: as much as there is room
    for. Now and then, where there is a reward, all that is watched, in lines that stay."""

    def __init__(self, total: int, done: int, stream: TextIO | None = None) -> None:
        self._shown = LiveLine(stream)
        self._total = total
        self._first = done
        self._begun: float | None = None
        self._said = 0.0
        self._watched = 0.0
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
        due = worth_a_line or now - self._watched >= _WATCHED_EVERY_S
        watched = lines_of(metrics) if due else []
        tell = self._shown.say if number == self._total or watched else self._shown.show
        tell(self._line(number, metrics, max(now - self._begun, 1e-9)))
        for line in watched:
            self._watched = now
            self._shown.say(line)

    def say(self, text: str) -> None:
        """A line of its own."""
        self._shown.say(text)

    def _line(self, number: int, metrics: Mapping[str, float], seconds: float) -> str:
        taken = number - self._first
        end = []
        if number == self._total:
            end = [f"took {seconds:.0f} s"]
        elif taken:
            end = [f"{seconds / taken * (self._total - number):.0f} s left"]
        parts = [f"step {number}/{self._total}"]
        for part in self._parts(metrics, seconds):
            if len("  ".join([*parts, part, *end])) <= WIDTH:
                parts.append(part)
        return "  ".join([*parts, *end])

    def _parts(self, metrics: Mapping[str, float], seconds: float) -> Iterator[str]:
        for names, label, form in _REWARDED if "reward" in metrics else _LEARNT:
            if names[0] in metrics:
                yield f"{label} {sum(metrics[name] for name in names):{form}}"
        if self._tokens:
            yield f"{self._tokens / seconds:,.0f} tokens/s"
        if memory := peak_bytes():
            yield f"{memory / 1e6:,.0f} MB at most"
