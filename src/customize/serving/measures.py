"""What /metrics tells, in Prometheus' text form. Knows no route and keeps nothing of requests."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Measures:
    """Counts since the server's start."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()  # by route and status
        self.prompt_tokens: Counter[str] = Counter()  # by model
        self.tokens: Counter[str] = Counter()
        self._first_tokens: Counter[tuple[str, float]] = Counter()
        self._first_sums: defaultdict[str, float] = defaultdict(float)

    def first_token(self, model: str, seconds: float) -> None:
        """A request's first token came so long after its body."""
        bound = next((b for b in _BOUNDS_S if seconds <= b), float("inf"))
        self._first_tokens[model, bound] += 1
        self._first_sums[model] += seconds

    def text(self, answering: int, admitted: int) -> str:
        """All of it."""
        return "\n".join([*self._lines(answering, admitted), ""])

    def _lines(self, answering: int, admitted: int) -> Iterator[str]:
        yield from _head("requests_total", "counter", "Requests by route and status.")
        for (route, status), count in sorted(self.requests.items()):
            yield _line("requests_total", {"route": route, "status": str(status)}, count)
        for name, counts, what in (
            ("prompt_tokens_total", self.prompt_tokens, "Tokens of prompts by model."),
            ("tokens_total", self.tokens, "Tokens drawn by model."),
        ):
            yield from _head(name, "counter", what)
            for model, count in sorted(counts.items()):
                yield _line(name, {"model": model}, count)
        yield from _head("answers", "gauge", "Answers under way, and those that wait.")
        yield _line("answers", {"state": "answering"}, answering)
        yield _line("answers", {"state": "waiting"}, max(0, admitted - answering))
        yield from _head("first_token_seconds", "histogram", "Until an answer's first token.")
        for model in sorted(self._first_sums):
            yield from self._histogram(model)

    def _histogram(self, model: str) -> Iterator[str]:
        count = 0
        for bound in (*_BOUNDS_S, float("inf")):
            count += self._first_tokens[model, bound]
            told = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield _line("first_token_seconds_bucket", {"model": model, "le": told}, count)
        yield _line("first_token_seconds_sum", {"model": model}, self._first_sums[model])
        yield _line("first_token_seconds_count", {"model": model}, count)


def _head(name: str, kind: str, help: str) -> Iterator[str]:
    yield f"# HELP customize_{name} {help}"
    yield f"# TYPE customize_{name} {kind}"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"customize_{name}{{{inside}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
