"""What the session says, which a package is compared with, and the files that keep it.

Knows no format and no runtime.

Shape legend: T tokens of an answer, K tokens whose probability is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from customize._batch import Batch, Floats, Ints
from customize._errors import ExportError
from customize.interfaces.backend import Prompt, Sampling, Snapshot
from customize.packaging.prompts import Question

MAX_TOKENS = 24
CASES, NUMBERS = "cases.json", "reference.safetensors"
# Of each distribution the likeliest tokens are kept, and all others as one: a package can carry
# that, and what it leaves out of the divergence is far below any threshold.
KEPT = 256


@attrs.frozen(eq=False)
class Case:
    """A question, the session's greedy answer, and its probabilities at each place of that.

    prompt: int32. answer: int32 [T]. likeliest: int32 [T, K]. logprobs: float32 [T, K], theirs;
    rest: float32 [T], of all other tokens together, -inf where there are none.
    said, base: float32 [T], log-probabilities of the answer by the session and by its base.
    """

    question: Question
    prompt: Ints
    answer: Ints
    likeliest: Ints
    logprobs: Floats
    rest: Floats
    said: Floats
    base: Floats
    stopped: bool


def reference_cases(session: Snapshot, base: Snapshot, questions: Iterable[Question]) -> list[Case]:
    """What the session says to each question, greedily."""
    return [_case(session, base, question) for question in questions]


def _case(session: Snapshot, base: Snapshot, question: Question) -> Case:
    prompt = session.renderer.prompt(question.messages, question.tools)
    sampling = Sampling(max_tokens=MAX_TOKENS, temperature=0.0)
    [[said]] = session.sample([Prompt(prompt)], sampling).result()
    answer = said.tokens
    both = np.concatenate([prompt, answer])
    full_TV = session.distributions(both, len(prompt))
    likeliest_TK = np.argsort(-full_TV, axis=-1, kind="stable")[:, :KEPT].astype(np.int32)
    logprobs_TK, rest_T = condensed(full_TV, likeliest_TK)
    return Case(
        question,
        prompt,
        answer,
        likeliest_TK,
        logprobs_TK,
        rest_T,
        full_TV[np.arange(len(answer)), answer],
        _logprobs(base, prompt, answer),
        said.stop_reason == "stop",
    )


def condensed(full_TV: Floats, likeliest_TK: Ints) -> tuple[Floats, Floats]:
    """Log-probabilities of some tokens of each row, and of all its others together."""
    chosen_TK = np.take_along_axis(full_TV, likeliest_TK, axis=-1)
    if full_TV.shape[1] == likeliest_TK.shape[1]:
        return chosen_TK, np.full(len(full_TV), -np.inf, np.float32)
    others_TV = full_TV.astype(np.float64)
    np.put_along_axis(others_TV, likeliest_TK, -np.inf, axis=-1)
    rest_T = np.logaddexp.reduce(others_TV, axis=-1)
    return chosen_TK, rest_T.astype(np.float32)


def _logprobs(snapshot: Snapshot, prompt: Ints, answer: Ints) -> Floats:
    weights = np.repeat([0.0, 1.0], [len(prompt), len(answer)])
    batch = Batch.from_sequences([(np.concatenate([prompt, answer]), {"weights": weights})])
    out: Floats = snapshot.forward(batch).result()[len(prompt) :]
    return out


_ARRAYS = ("prompt", "answer", "likeliest", "logprobs", "rest", "said", "base")


def write_cases(cases: Sequence[Case], folder: Path) -> None:
    """Write them into a folder, which is made."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    told = [{**attrs.asdict(case.question), "stopped": case.stopped} for case in cases]
    (folder / CASES).write_text(json.dumps(told, ensure_ascii=False, indent=1), "utf-8")
    arrays = {
        f"{number}.{name}": np.ascontiguousarray(getattr(case, name))
        for number, case in enumerate(cases)
        for name in _ARRAYS
    }
    save_file(arrays, folder / NUMBERS)


def read_cases(folder: Path) -> list[Case]:
    """What ``write_cases`` wrote.

    Raises:
        ExportError: the folder holds none, or they are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        told = json.loads((folder / CASES).read_text("utf-8"))
        arrays = load_file(folder / NUMBERS)
        return [_read(one, number, arrays) for number, one in enumerate(told)]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        told = f"{folder} holds no questions that can be asked again: {error}"
        raise ExportError(told) from error


def _read(told: dict[str, Any], number: int, arrays: dict[str, Any]) -> Case:
    stopped = told.pop("stopped")
    own = {name: arrays[f"{number}.{name}"] for name in _ARRAYS}
    return Case(Question(**told), **own, stopped=stopped)
