"""Answers from ONNX beside transformers' ``generate``: tokens a second, memory, seconds to load.

``python onnx_answers.py`` runs every contestant in a process of its own, in turns, and writes
``onnx_results.json`` and ``ONNX_RESULTS.md`` beside this file. Nothing else may be at work on the
machine. All answer the same questions greedily with as many tokens, on as many threads.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import race

HERE = Path(__file__).parent
ROUNDS = int(os.environ.get("ROUNDS", "3"))
THREADS = int(os.environ.get("THREADS", "1"))
TOKENS = 64
QUESTIONS = [
    "Do you deliver on Mondays?",
    "Write a short poem about the sea.",
    "Explain why the sky is blue.",
    "List five fruits and their colours.",
]
CONTESTANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "transformers, fp32": ("transformers_generate.py", {}),
    "ONNX, float32": ("ours_onnx.py", {"weights": "float32"}),
    "ONNX, float16": ("ours_onnx.py", {"weights": "float16"}),
    "ONNX, int8": ("ours_onnx.py", {"weights": "int8"}),
    "ONNX, int8, adapter": ("ours_onnx.py", {"weights": "int8", "adapter": True}),
}
FIGURES = {
    "tokens_per_second": ("tokens/s, one at a time", ".1f"),
    "together_per_second": ("tokens/s, four together", ".1f"),
    "first_token_ms": ("first token, ms", ".0f"),
    "load_seconds": ("load, s", ".1f"),
    "peak_mb": ("peak MB", ".0f"),
    "size_mb": ("on disk, MB", ".0f"),
}


def main() -> None:
    """Measure and write down."""
    with tempfile.TemporaryDirectory() as folder:
        laps: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
        for _ in range(ROUNDS):
            for name, (script, more) in CONTESTANTS.items():
                asked = {"work": folder, "questions": QUESTIONS, "tokens": TOKENS}
                laps[name].append(race.run(script, {**asked, "threads": THREADS, **more}))
                print(name, laps[name][-1], file=sys.stderr, flush=True)
    found = {name: _summary(rounds) for name, rounds in laps.items()}
    said = {name: rounds[0]["said"] for name, rounds in laps.items()}
    equal = {name: sum(map(list.__eq__, said[name], said[_FIRST])) for name in CONTESTANTS}
    made = {**race.versions(["torch", "transformers", "onnxruntime"]), "threads": str(THREADS)}
    results = {"found": found, "equal": equal, "rounds": ROUNDS, "made with": made}
    (HERE / "onnx_results.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    (HERE / "ONNX_RESULTS.md").write_text(_page(results), "utf-8")
    print(_page(results))


_FIRST = next(iter(CONTESTANTS))


def _summary(rounds: list[dict[str, Any]]) -> dict[str, float]:
    return {key: statistics.median(lap[key] for lap in rounds) for key in FIGURES}


def _page(results: dict[str, Any]) -> str:
    found, made = results["found"], results["made with"]
    heads = [head for head, _ in FIGURES.values()]
    lines = [
        "# ONNX beside transformers",
        "",
        "Written by `onnx_answers.py`: SmolLM2-135M-Instruct, greedy answers to four questions, "
        f"{TOKENS} tokens each.",
        "Medians over rounds in which the contestants take turns, each in a process of its own.",
        "The ratio is of tokens/s, one at a time, to transformers'. Equal are the answers that are",
        "transformers' token for token; the adapter's are its own.",
        "",
        f"| contestant | {heads[0]} | ratio | {' | '.join(heads[1:])} | equal answers |",
        "|---" * (len(heads) + 3) + "|",
    ]
    for name, figures in found.items():
        cells = [f"{figures[key]:{form}}" for key, (_, form) in FIGURES.items()]
        ratio = figures["tokens_per_second"] / found[_FIRST]["tokens_per_second"]
        equal = f"{results['equal'][name]} of {len(QUESTIONS)}"
        lines.append(f"| {name} | {cells[0]} | {ratio:.2f} | {' | '.join(cells[1:])} | {equal} |")
    listed = ", ".join(f"{name} {value}" for name, value in made.items())
    return "\n".join([*lines, "", f"Made with: {listed}; rounds: {results['rounds']}"]) + "\n"


if __name__ == "__main__":
    main()
