"""The figures of a proof in words, with their units. Knows nothing of how they are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def _plain(value: float) -> str:
    return f"{value:.3g}"


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _share(value: float) -> str:
    return f"{100 * value:.4g} %"


def _nats(value: float) -> str:
    return f"{value:.3g} nats a token"


def _seconds(value: float) -> str:
    return f"{value:.3g} s"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.1f} MB"


_WORDS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "prompts": ("prompts asked", _number),
    "answers_that_end": ("of their answers end at a stop token, as the run's", _number),
    "tokens": ("tokens compared", _number),
    "kl": ("divergence from the run (KL), on average", _nats),
    "kl_p99": ("divergence from the run (KL), 99th percentile", _nats),
    "top1": ("tokens where the likeliest is the run's", _share),
    "greedy_equal": ("answers that are the run's to the last token", _share),
    "mean_logprob_difference": ("log-probabilities away from the run's, on average", _nats),
    "mean_difference_to_base": ("log-probabilities of the run away from the base's", _nats),
    "share_of_customization": ("of what was trained, there is in the package", _share),
    "first_token_s": ("time to the first token, on this machine", _seconds),
    "prompt_tokens": ("tokens of the prompt before it", _number),
    "tokens_per_s": ("tokens a second from then on", _number),
    "memory_bytes": ("memory at most", _megabytes),
    "cores": ("cores of this machine", _number),
    "cores_busy_elsewhere": ("of them kept busy by others meanwhile", _plain),
    "package_bytes": ("size of the package", _megabytes),
}


def in_words(figures: Mapping[str, float | None]) -> Iterator[str]:
    """A line for each; what is not known here keeps its name."""
    for name, value in figures.items():
        words, shown = _WORDS.get(name, (name, _plain))
        yield f"{words}: {'not a number' if value is None else shown(value)}"


def of_rows(rows: Mapping[str, Any] | None) -> Iterator[str]:
    """A line on the run's own rows; none of packages of before that was written down."""
    if rows:
        asked = f"{rows['asked']} of" if rows["asked"] else "none:"
        yield f"the run's own rows that were asked: {asked} {rows['told']}"


_OWN = {
    "prompts": "prompts by the runtime's own tokenizer and template",
    "stop_tokens": "stop tokens by the runtime's own files",
}


def of_own(own: Mapping[str, str] | None) -> Iterator[str]:
    """A line on each of a runtime's own means; none of packages of before that was written down."""
    yield from (f"{_OWN.get(name, name)}: {told}" for name, told in (own or {}).items())


def doubts(parity: Mapping[str, Any]) -> Iterator[str]:
    """What a proof that was passed does not show, in a sentence each."""
    if parity["figures"].get("answers_that_end") == 0:
        yield (
            "none of the run's answers ended within the tokens that were asked for: that the "
            "package stops where the run does was not seen"
        )
    task = parity["task"]
    if task is not None and task["verdict"] in ("inconclusive", "not asked"):
        yield f"that its task is done as well as by the run was not shown: {task['verdict']}"
