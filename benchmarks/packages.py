"""What a run becomes in every format: whether the gate lets it through, how near it is, how large.

``python benchmarks/packages.py runs/pizza ["gguf, q5_k" …]`` exports the run each way, as
``customize export`` does, and writes ``PACKAGES_RESULTS.md``. Takes minutes a package; those that
are named, as the page calls them, are measured alone, and added.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import race

import customize
from customize import ParityError

HERE = Path(__file__).parent
FILE, PAGE = HERE / "packages_results.json", HERE / "PACKAGES_RESULTS.md"
# Options of `customize export RUN FORMAT`, by what the page calls them.
PACKAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "hf, adapter": ("hf", {}),
    "hf, bfloat16, merged": ("hf", {"merged": True, "dtype": "bfloat16"}),
    **{f"onnx, {p}": ("onnx", {"weights": p}) for p in ("float32", "float16", "int8", "int4")},
    **{
        f"gguf, {p}": ("gguf", {"dtype": p})
        for p in ("f32", "f16", "bf16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_1")
    },
}

MADE_WITH = ("torch", "transformers", "onnxruntime", "xllamacpp")  # the last is llama.cpp
MOST_ROWS = 5_000  # more that "are needed" say only that the gain is near the margin

Found = dict[str, Any]


def measure(run: customize.Run, name: str) -> Found:
    """Export once; what the gate found, and bytes of the package where it let one through."""
    form, options = PACKAGES[name]
    with tempfile.TemporaryDirectory() as place:
        to = Path(place, "package")
        try:
            parity: Found = dict(run.export(form, to, **options).parity)
        except ParityError:
            parity = json.loads((to / "parity.json").read_text("utf-8"))
        parity["bytes"] = sum(f.stat().st_size for f in to.rglob("*") if f.is_file())
    parity["made with"] = race.versions(MADE_WITH)
    return parity


def page(results: dict[str, Found]) -> str:
    """What was found, for people."""
    return "\n".join(
        [
            "# A run in every format",
            "",
            "Written by `packages.py`: a customized SmolLM2-135M exported as `customize export`",
            "does, loaded in a fresh process of the format's own runtime, and asked the run's",
            "held-out rows and the gate's hard prompts. KL is the divergence of its probabilities",
            "from the run's, in nats a token; top-1 the share of tokens where both find the same",
            "likeliest; task, of quantized packages, the change of answers to rows of the run's",
            "evaluation that are right, with the interval, and what is allowed: only a change",
            "whose whole interval is below that is refused, and an inconclusive one passes.",
            "63 rows are the development rows of `examples/pizza`, 192 these and its test rows.",
            "Memory is that of one query at a time.",
            "",
            "| package | gate | KL | allowed | top-1 | task | peak MB | on disk, MB |",
            "|---|---|---|---|---|---|---|---|",
            *(_line(name, results[name]) for name in PACKAGES if name in results),
            "",
            *_faults(results),
            *_made(results),
        ]
    )


def _line(name: str, found: Found) -> str:
    figures, measured = found["figures"], found["measured"]
    passed = found["verdict"] == "passed"
    task = found["task"]
    cells = [
        name,
        "passed" if passed else "**refused**",
        f"{figures['kl']:.1e}",
        f"{found['limits']['divergence']:.0e}",
        f"{figures['top1']:.1%}",
        "" if task is None else _task(task),
        f"{measured['memory_bytes'] / 1e6:.0f}",
        f"{found['bytes'] / 1e6:.0f}" if passed else "",
    ]
    return f"| {' | '.join(cells)} |"


def _task(task: Found) -> str:
    """The verdict first: an inconclusive one passes the gate, and is no proof."""
    seen, _, rest = task["told"].partition("; ")
    rows = re.search(r"(\d+) rows are needed", rest)
    told = seen if rows and int(rows[1]) > MOST_ROWS else task["told"]
    allowed = re.search(r"margin=([\d.]+)", task.get("gate", ""))
    margin = f"; allowed is -{100 * float(allowed[1]):.0f}" if allowed else ""
    return f"{task['verdict']}: {told}{margin}"


def _made(results: dict[str, Found]) -> Iterator[str]:
    """Packages may have been measured at several times."""
    names: dict[str, list[str]] = {}
    for name in (name for name in PACKAGES if name in results):
        names.setdefault(race.told(results[name]["made with"]), []).append(name)
    for made, of in names.items():
        yield f"{'; '.join(of)}: made with {made}" if len(names) > 1 else f"Made with: {made}"
        yield ""


def _faults(results: dict[str, Found]) -> Iterator[str]:
    for name, found in results.items():
        if (fault := found["fault"]) is not None:
            yield f"* {name} is refused: prompt {fault['prompt']!r}: {fault['told']}"
            yield ""


def main(place: str, *names: str) -> None:
    results: dict[str, Found] = json.loads(FILE.read_text("utf-8")) if FILE.is_file() else {}
    if unknown := [name for name in names if name not in PACKAGES]:
        raise SystemExit(f"no package is called {unknown[0]!r}: there are {'; '.join(PACKAGES)}")
    run = customize.open(place)
    assert isinstance(run, customize.Run)
    for name in names or PACKAGES:
        results[name] = measure(run, name)
        FILE.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        PAGE.write_text(page(results), "utf-8")
        print(_line(name, results[name]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
