"""Asks a package, in a process of its own, what a reference is compared with. Judges nothing.

``python -P -m customize.packaging.probe ASKED.json FOUND`` with what ``asked`` wrote.

Shape legend: T tokens of an answer, K tokens whose probability is kept, V vocabulary.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from customize._batch import Floats, Ints
from customize._contention import Contention
from customize._errors import CustomizeError, ExportError
from customize._memory import peak_bytes
from customize.interfaces.runtime import Query, Runtime
from customize.interfaces.sampling import Sampling
from customize.packaging.reference import Case, condensed, read_cases

_SPEED_TOKENS = 32
_FURTHER = 4  # tokens that are asked for beyond the end of an answer, which nobody should get
_ARRAYS = ("prompt", "own", "said", "logprobs", "rest", "greedy", "best", "answer", "drawn")


@attrs.frozen(eq=False)
class Found:
    """What the package says to one case.

    prompt, own: int32, the prompt by its renderer and by its runtime's own means.
    said: int32, its greedy answer, drawn token by token; where the session's ends at a stop token
    it may go on for a few more, and should not.
    logprobs: float32 [T, K], rest: float32 [T]: as the case's, of the case's answer.
    greedy: int32 [T], its likeliest token at each place of the case's answer, and best its
    log-probability; answer: float32 [T], that of the case's own token.
    drawn: float32 [T], at each place that of what ``said`` has there, NaN where that is over.
    wrong: why the runtime's own means make no prompt, or nothing.
    """

    prompt: Ints
    own: Ints
    said: Ints
    logprobs: Floats
    rest: Floats
    greedy: Ints
    best: Floats
    answer: Floats
    drawn: Floats
    wrong: str = ""


@attrs.frozen
class Answers:
    """All of it. stop_tokens: that end an answer. measured: figures of this machine.

    holds_adapter: whether the runtime has an adapter apart from the weights.
    has_own_prompt: whether it makes prompts by means of its own. own_stops: by file, the stop
    tokens that it tells programs other than customize.
    """

    found: Sequence[Found]
    stop_tokens: tuple[int, ...]
    measured: Mapping[str, float]
    holds_adapter: bool = False
    has_own_prompt: bool = False
    own_stops: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)


def ask(runtime: str, folder: Path, base: Path | None, cases: Path, work: Path) -> Answers:
    """Load the package in a fresh process by the runtime's import string, and ask the cases.

    Raises:
        ExportError: it cannot be loaded, or fails to answer.
    """
    told = {"runtime": runtime, "folder": str(folder), "cases": str(cases)}
    asked = work / "asked.json"
    asked.write_text(json.dumps({**told, "base": None if base is None else str(base)}), "utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__, str(asked), str(work)],
        capture_output=True,
        text=True,
        errors="replace",
        # As this process finds modules, and nothing from a network.
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "HF_HUB_OFFLINE": "1",
        },
    )
    if done.returncode:
        raise ExportError(f"the package cannot be loaded again:\n{done.stderr.strip()[-2000:]}")
    return _read(work)


def main(asked: Path, work: Path) -> None:
    """Answer what ``ask`` asks."""
    told = json.loads(asked.read_text("utf-8"))
    module, _, name = told["runtime"].partition(":")
    opened: type[Runtime] = getattr(import_module(module), name)
    base = None if told["base"] is None else Path(told["base"])
    runtime = opened.open(Path(told["folder"]), {}, base)
    cases = read_cases(Path(told["cases"]))
    found = [_answer(runtime, case) for case in cases]
    measured = _measured(runtime, min(cases, key=lambda case: len(case.prompt)))
    answers = Answers(
        found,
        tuple(runtime.renderer.stop_tokens),
        measured,
        holds_adapter=bool(runtime.adapters),
        has_own_prompt=type(runtime).own_prompt is not Runtime.own_prompt,
        own_stops={file: tuple(stops) for file, stops in runtime.own_stops().items()},
    )
    _write(answers, work)
    runtime.close()


def _answer(runtime: Runtime, case: Case) -> Found:
    question, adapter = case.question, _adapter(runtime)
    prompt = runtime.renderer.prompt(question.messages, question.tools)
    own, wrong = _own_prompt(runtime, case)
    most = len(case.answer) + _FURTHER * case.stopped
    query = Query(case.given, Sampling(max_tokens=most, temperature=0.0), adapter=adapter)
    said = np.asarray([one.token for one in runtime.stream(query)], np.int32)
    both = np.concatenate([case.given, case.answer])
    full_TV = runtime.logprobs(both, len(case.given), adapter)
    places = np.arange(len(case.answer))
    drawn = np.full(len(places), np.nan, np.float32)
    shared = said[: len(places)]
    drawn[: len(shared)] = full_TV[places[: len(shared)], shared]
    return Found(
        prompt,
        own,
        said,
        *condensed(full_TV, case.likeliest),
        full_TV.argmax(-1).astype(np.int32),
        full_TV.max(-1),
        full_TV[places, case.answer],
        drawn,
        wrong,
    )


def _own_prompt(runtime: Runtime, case: Case) -> tuple[Ints, str]:
    nothing = np.zeros(0, np.int32)
    if not case.question.is_plain:
        return nothing, ""
    try:
        return runtime.own_prompt(case.question.messages, case.question.tools), ""
    except CustomizeError:
        raise
    except Exception as error:  # whatever a runtime raises where it cannot use the template
        return nothing, f"{type(error).__name__}: {error}"


def _adapter(runtime: Runtime) -> str | None:
    return runtime.adapters[0] if runtime.adapters else None


def _measured(runtime: Runtime, case: Case) -> dict[str, float]:
    """Of one query, on this machine: it waits for nobody, and nobody for it; how busy others kept
    the machine meanwhile is told beside.
    """
    sampling = Sampling(max_tokens=_SPEED_TOKENS, temperature=0.0, stop_tokens=())
    query = Query(case.prompt, sampling, adapter=_adapter(runtime))
    others, began = Contention(), time.perf_counter()
    times = [time.perf_counter() - began for _ in runtime.stream(query)]
    measured: dict[str, float | None] = {
        "first_token_s": times[0],
        "prompt_tokens": float(len(case.prompt)),
        "memory_bytes": peak_bytes(),
        "cores": os.cpu_count(),
        "cores_busy_elsewhere": others.cores(),
    }
    if len(times) > 1:
        measured["tokens_per_s"] = (len(times) - 1) / (times[-1] - times[0])
    return {name: float(value) for name, value in measured.items() if value is not None}


def _write(answers: Answers, work: Path) -> None:
    from safetensors.numpy import save_file

    arrays = {
        f"{number}.{name}": np.ascontiguousarray(getattr(found, name))
        for number, found in enumerate(answers.found)
        for name in _ARRAYS
    }
    save_file(arrays, work / "found.safetensors")
    told = {
        "wrong": [found.wrong for found in answers.found],
        "stop_tokens": [int(token) for token in answers.stop_tokens],
        "measured": dict(answers.measured),
        "holds_adapter": answers.holds_adapter,
        "has_own_prompt": answers.has_own_prompt,
        "own_stops": {
            file: [int(token) for token in stops] for file, stops in answers.own_stops.items()
        },
    }
    (work / "found.json").write_text(json.dumps(told), "utf-8")


def _read(work: Path) -> Answers:
    from safetensors.numpy import load_file

    arrays = load_file(work / "found.safetensors")
    told: dict[str, Any] = json.loads((work / "found.json").read_text("utf-8"))
    found = []
    for number, wrong in enumerate(told["wrong"]):
        own: dict[str, Any] = {name: arrays[f"{number}.{name}"] for name in _ARRAYS}
        found.append(Found(**own, wrong=wrong))
    return Answers(
        found,
        tuple(told["stop_tokens"]),
        told["measured"],
        told["holds_adapter"],
        told["has_own_prompt"],
        {file: tuple(stops) for file, stops in told["own_stops"].items()},
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
