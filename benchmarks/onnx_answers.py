"""Answers from ONNX beside transformers' ``generate``: tokens a second, memory, seconds to load.

``python onnx_answers.py`` runs every contestant in a process of its own, in turns, and writes
``onnx_results.json`` and ``ONNX_RESULTS.md`` beside this file. Nothing else may be at work on the
machine. All answer the same questions greedily with as many tokens, on as many threads: on one, and
on every core.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator

import race
from race import Contestant, Figure, Laps, Results, processor

THREADS = sorted({1, os.cpu_count() or 1})
TOKENS = 64
QUESTIONS = [
    "Do you deliver on Mondays?",
    "Write a short poem about the sea.",
    "Explain why the sky is blue.",
    "List five fruits and their colours.",
]
CONTESTANTS = {
    "transformers, fp32": Contestant("transformers_generate.py", {}),
    "ONNX, float32": Contestant("ours_onnx.py", {"weights": "float32"}),
    "ONNX, float32, beside": Contestant("ours_onnx.py", {"weights": "float32", "adapter": "idle"}),
    "ONNX, float16": Contestant("ours_onnx.py", {"weights": "float16"}),
    "ONNX, int8": Contestant("ours_onnx.py", {"weights": "int8"}),
    "ONNX, int8, beside": Contestant("ours_onnx.py", {"weights": "int8", "adapter": "idle"}),
    "ONNX, int8, adapter": Contestant("ours_onnx.py", {"weights": "int8", "adapter": "asked"}),
}
FIGURES = (
    Figure("tokens_per_second", "tokens/s, one at a time", ".1f"),
    Figure("together_per_second", "tokens/s, four together", ".1f"),
    Figure("first_token_ms", "first token, ms", ".0f"),
    Figure("load_seconds", "load, s", ".1f"),
    race.PEAK,
    Figure("size_mb", "on disk, MB", ".0f"),
)
AIMS = {"ONNX, float32": 2.5, "ONNX, int8": 5.0}  # times transformers' tokens a second
PACKAGES = ("torch", "transformers", "onnxruntime")
_FIRST = next(iter(CONTESTANTS))


def main() -> None:
    """Measure and write down, beside what other processors gave."""
    file = race.HERE / "onnx_results.json"
    results: Results = json.loads(file.read_text("utf-8")) if file.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        results |= {_with(threads): _measured(folder, threads) for threads in THREADS}
    file.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    (race.HERE / "ONNX_RESULTS.md").write_text(_page(results), "utf-8")
    print(_page(results))


def _with(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''} of {processor()}"


def _measured(folder: str, threads: int) -> Results:
    asked = {"work": folder, "questions": QUESTIONS, "tokens": TOKENS, "threads": threads}
    laps, found = race.take_turns(CONTESTANTS, asked, _summary, PACKAGES)
    said = {name: rounds[0]["said"] for name, rounds in laps.items()}
    found["equal"] = {name: sum(map(list.__eq__, said[name], said[_FIRST])) for name in said}
    return found


def _summary(laps: Laps) -> dict[str, float]:
    return {figure.key: laps[figure.key] for figure in FIGURES}


def _page(results: Results) -> str:
    lines = [
        "# ONNX beside transformers",
        "",
        "Written by `onnx_answers.py`: SmolLM2-135M-Instruct, greedy answers to four questions, "
        f"{TOKENS} tokens each.",
        "Medians over rounds in which the contestants take turns, each in a process of its own.",
        "The ratio is of tokens/s, one at a time, to transformers'. Equal are the answers that are",
        "transformers' token for token. In float32 every token reads 540 MB of weights, so what",
        "bounds one thread is how fast it reads memory.",
        "",
        "`adapter` asks one of rank 16 for every layer; `beside` has it loaded and asks the base:",
        "of float32 by the graph with inputs for adapters, of int8 by the graph without, which is",
        "loaded beside it. Where no adapter is loaded, the graph that answers has no such inputs.",
        "",
        *_reached(results),
    ]
    for head, found in results.items():
        lines += ["", f"## {head}", "", *_table(found)]
    lines += race.made_with(results)
    return "\n".join(lines) + "\n"


def _reached(results: Results) -> Iterator[str]:
    """Which of the ratios that were aimed at are there, and with how many threads of what."""
    for name, aim in AIMS.items():
        yield f"Aimed at in {name.removeprefix('ONNX, ')}: {aim:g} times."
        for head, found in results.items():
            ratio = _ratio(found, name)
            yield f"* {'reached' if ratio >= aim else 'missed'} with {head}: {ratio:.2f}"
        yield ""


def _ratio(found: Results, name: str) -> float:
    key = FIGURES[0].key
    return float(found[name][key] / found[_FIRST][key])


def _table(found: Results) -> list[str]:
    speed, *others = FIGURES
    heads = " | ".join(figure.head for figure in others)
    lines = [
        f"| contestant | {speed.head} | ratio | {heads} | equal answers |",
        "|---" * (len(FIGURES) + 3) + "|",
    ]
    for name in CONTESTANTS:
        if name not in found:  # of before it was raced
            continue
        its = found[name]
        cells = " | ".join(f"{its[key]:{form}}" for key, _, form in others)
        equal = f"{found['equal'][name]} of {len(QUESTIONS)}"
        first = f"{its[speed.key]:{speed.form}} | {_ratio(found, name):.2f}"
        lines.append(f"| {name} | {first} | {cells} | {equal} |")
    return lines


if __name__ == "__main__":
    main()
