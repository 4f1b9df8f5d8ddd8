"""What SFT learns, and what it breaks, where nothing but the model and the rows is given.

``python sft_defaults.py [SETTINGS …]`` trains SmolLM2-135M on the pizza store's rows, once for each
seed, evaluates it on the development rows and the whole general suite, and writes
``sft_defaults_results.json`` and ``SFT_DEFAULTS_RESULTS.md`` beside this file. The first settings
are the defaults; the others are what was tried in their place. Takes some ten minutes a run on two
cores; settings that are named are measured alone, and added. ``runs/sft-defaults`` keeps the runs:
started again, it goes on where it was; what the file of results has is not measured again. The test
rows are not touched.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import race

import customize
from customize.evaluation.evaluation import KEPT, MARGIN
from customize.evaluation.statistics import Interval, non_inferior
from customize_sft.method import SFT

HERE = Path(__file__).parent
FILE = HERE / "sft_defaults_results.json"
PIZZA = HERE.parent / "examples/pizza"
RUNS = Path("runs/sft-defaults")
SEEDS = (0, 1)
_ASKED = ("lr", "epochs", "replay")
# Options by name; what is not among them has its default.
SETTINGS: dict[str, dict[str, float]] = {
    "lr 2.5e-4, 3 epochs": {"lr": 2.5e-4, "epochs": 3.0, "replay": 0.0},
    "lr 5e-4, 3 epochs": {"lr": 5e-4, "epochs": 3.0, "replay": 0.0},
    "lr 5e-4, 1 epoch": {"lr": 5e-4, "epochs": 1.0, "replay": 0.0},
    "lr 5e-4, 3 epochs, replay 0.1": {"lr": 5e-4, "epochs": 3.0, "replay": 0.1},
}

Found = dict[str, Any]
Results = dict[str, dict[str, Found]]  # by settings, then seed


def measure(name: str, seed: int) -> Found:
    """Train and evaluate once."""
    run = customize.train(
        model="smollm2",
        data=PIZZA / "train.jsonl",
        method="sft",
        to=RUNS / f"{name.replace(', ', '-').replace(' ', '-')}-seed-{seed}",
        options=SETTINGS[name],
        seed=seed,
    )
    # In one folder, where the base's answers are kept: it is asked once.
    found = run.evaluate(PIZZA / "dev.jsonl", general=True, to=RUNS / "evaluated")
    assert found.general is not None
    text = found.general.change("customized", "base", metric="text.bits_per_byte")
    return {
        "base": found.rate("base").estimate,
        "right": found.rate("customized").estimate,
        "general": _ends(found.general_change()),
        "verdict": found.general_verdict(),
        "bits": text.estimate,
        "rows": len(found.items),
        "general items": sum(item.right("base") is not None for item in found.general.items),
        "processor": race.processor(),
    }


def _ends(interval: Interval) -> list[float]:
    return [interval.estimate, interval.low, interval.high]


def page(results: Results) -> str:
    """What was found, for people."""
    now = SFT()
    lines = [
        "# What SFT's defaults learn and break",
        "",
        "Written by `sft_defaults.py`: SmolLM2-135M, the pizza store's rows, and no option but",
        "those named; the defaults are in bold. Right are answers to the development rows; general",
        "ability is the change of right answers of the general suite, with its interval, which is",
        f"*kept* where it ends above -{MARGIN:.0%}; the last column is how much less likely",
        "general text became. Over seeds stands the mean, and of an interval the mean of its ends:",
        "wide enough if all seeds erred alike, since all were asked the same.",
        "",
        "| settings | seed | right, base | right | general ability | | bits a byte |",
        "|---|---|---|---|---|---|---|",
    ]
    measured = [name for name in SETTINGS if name in results]
    for name, found in ((name, results[name]) for name in measured):
        is_default = all(getattr(now, key) == SETTINGS[name][key] for key in _ASKED)
        shown = f"**{name}**" if is_default else name
        lines += [_line(shown, seed, one) for seed, one in found.items()]
        if len(found) > 1:
            lines.append(_line(shown, "all", _over(list(found.values()))))
    some, *others = [one for found in results.values() for one in found.values()]
    counts = f"{some['rows']} development rows, {some['general items']} general items"
    where = sorted({one.get("processor", "one that was not noted") for one in (some, *others)})
    made = {**race.versions(("torch", "transformers")), "processor": " and ".join(where)}
    lines += ["", f"Made with: {counts}; {race.told(made)}"]
    return "\n".join(lines) + "\n"


def _over(seeds: list[Found]) -> Found:
    """The mean of the seeds, as one."""
    means = {key: mean(one[key] for one in seeds) for key in ("base", "right", "bits")}
    change = [mean(ends) for ends in zip(*(one["general"] for one in seeds), strict=True)]
    verdict = KEPT[non_inferior(Interval(*change), MARGIN)]
    return {**means, "general": change, "verdict": verdict}


def _line(name: str, seed: str, found: Found) -> str:
    change, low, high = found["general"]
    general = f"{change:+.0%} [{low:+.0%}, {high:+.0%}] | {found['verdict']}"
    right = f"{found['base']:.0%} | {found['right']:.0%}"
    return f"| {name} | {seed} | {right} | {general} | {found['bits']:+.2f} |"


def main() -> None:
    """Measure what is not there yet, and write down after each run: others may run meanwhile."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for name in sys.argv[1:] or SETTINGS:
        for seed in SEEDS:
            results = _results()
            if str(seed) in results.get(name, {}):
                continue
            found = measure(name, seed)
            results = _results()
            results.setdefault(name, {})[str(seed)] = found
            FILE.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    (HERE / "SFT_DEFAULTS_RESULTS.md").write_text(page(_results()), "utf-8")
    print(page(_results()))


def _results() -> Results:
    found: Results = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    return found


if __name__ == "__main__":
    main()
