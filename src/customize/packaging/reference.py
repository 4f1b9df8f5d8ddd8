"""What the session says, which a package is compared with, and the files that keep it.

Knows no format and no runtime.

Shape legend: T tokens of an answer, K tokens whose probability is kept.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from customize._batch import Batch, Floats, Ints
from customize._errors import ExportError
from customize.interfaces.exporter import Exportable
from customize.interfaces.renderer import Renderer
from customize.interfaces.sampling import Prompt, Sampling
from customize.interfaces.session import Snapshot
from customize.packaging.prompts import Question, hard_questions

MAX_TOKENS = 24
_ANSWER = MAX_TOKENS + 8  # with what is asked for beyond an answer's end, which nobody should get
_READ = 256  # tokens of a conversation in which a place is looked for where an answer ends
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
    given: int32, what the answer goes on from: the prompt, or so much of prompt and answer that
    the session ends there.
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
    given: Ints = attrs.field(default=attrs.Factory(lambda self: self.prompt, takes_self=True))


def fits(renderer: Renderer, question: Question, room: int | None) -> bool:
    """Whether a package that takes ``room`` tokens, or None any number, can be asked it."""
    return room is None or _needed(renderer, question) <= room


def least_room(source: Exportable) -> int:
    """Tokens that a package must take to be asked everything that packages are asked."""
    return max(_needed(source.renderer, question) for question in hard_questions(source, room=0))


def _needed(renderer: Renderer, question: Question) -> int:
    return len(renderer.prompt(question.messages, question.tools)) + _ANSWER


def reference_cases(session: Snapshot, base: Snapshot, questions: Iterable[Question]) -> list[Case]:
    """What the session says to each question, greedily.

    Where no answer that may be kept ends within ``MAX_TOKENS``, one more case begins where one
    would end, if there is such a place: else nothing would tell whether a package stops.
    """
    cases = [_case(session, base, question) for question in questions]
    kept = [case for case in cases if case.question.is_kept]
    if any(case.stopped for case in kept):
        return cases
    ends = (_ending(session, base, case) for case in kept)
    return [*cases, *itertools.islice(filter(None, ends), 1)]


def _ending(session: Snapshot, base: Snapshot, case: Case) -> Case | None:
    """The same conversation up to where the session would end its answer, were it one."""
    both = np.concatenate([case.prompt, case.answer])[:_READ]
    stops = session.renderer.stop_tokens
    greedy_T = session.distributions(both, 1).argmax(-1)
    ends_T = np.isin(greedy_T, stops) & ~np.isin(both[:-1], stops)
    for place in np.flatnonzero(ends_T).tolist():
        question = attrs.evolve(case.question, name=f"{case.question.name}, where it ends")
        ending = _case(session, base, question, both[: place + 1])
        if ending.stopped:
            return ending
    return None


def _case(session: Snapshot, base: Snapshot, question: Question, given: Ints | None = None) -> Case:
    prompt = session.renderer.prompt(question.messages, question.tools)
    given = prompt if given is None else given
    sampling = Sampling(max_tokens=MAX_TOKENS, temperature=0.0)
    [[said]] = session.sample([Prompt(given)], sampling).result()
    answer = said.tokens
    both = np.concatenate([given, answer])
    full_TV = session.distributions(both, len(given))
    likeliest_TK = _likeliest(full_TV)
    logprobs_TK, rest_T = condensed(full_TV, likeliest_TK)
    return Case(
        question,
        prompt,
        answer,
        likeliest_TK,
        logprobs_TK,
        rest_T,
        full_TV[np.arange(len(answer)), answer],
        _logprobs(base, given, answer),
        said.stop_reason == "stop",
        given,
    )


def _likeliest(full_TV: Floats) -> Ints:
    """The tokens with the largest values of each row, largest first; of equals the lower first."""
    kept = min(KEPT, full_TV.shape[1])
    some_TK = np.sort(np.argpartition(-full_TV, kept - 1, axis=-1)[:, :kept], axis=-1)
    order_TK = np.argsort(-np.take_along_axis(full_TV, some_TK, -1), axis=-1, kind="stable")
    return np.take_along_axis(some_TK, order_TK, axis=-1).astype(np.int32)


def condensed(full_TV: Floats, likeliest_TK: Ints) -> tuple[Floats, Floats]:
    """Log-probabilities of some tokens of each row, and of all its others together."""
    chosen_TK = np.take_along_axis(full_TV, likeliest_TK, axis=-1)
    if full_TV.shape[1] == likeliest_TK.shape[1]:
        return chosen_TK, np.full(len(full_TV), -np.inf, np.float32)
    others_TV = full_TV.astype(np.float64)
    np.put_along_axis(others_TV, likeliest_TK, -np.inf, axis=-1)
    rest_T = np.logaddexp.reduce(others_TV, axis=-1)
    return chosen_TK, rest_T.astype(np.float32)


def _logprobs(snapshot: Snapshot, given: Ints, answer: Ints) -> Floats:
    weights = np.repeat([0.0, 1.0], [len(given), len(answer)])
    batch = Batch.from_sequences([(np.concatenate([given, answer]), {"weights": weights})])
    out: Floats = snapshot.forward(batch).result()[len(given) :]
    return out


_ARRAYS = ("prompt", "answer", "likeliest", "logprobs", "rest", "said", "base", "given")


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
    every = {name: arrays.get(f"{number}.{name}") for name in _ARRAYS}
    own = {name: array for name, array in every.items() if array is not None}
    return Case(Question(**told), **own, stopped=stopped)
