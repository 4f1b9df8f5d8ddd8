"""Measures how often the intervals hold the truth, and writes it into the docs.

``python docs/measure_coverage.py`` takes about a minute.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from customize.evaluation.statistics import Interval, paired_difference, wilson

PAGE = Path(__file__).parent / "explanation" / "how-comparison-stays-honest.md"
BEGIN = "<!-- coverage: written by docs/measure_coverage.py -->\n"
END = "<!-- end of coverage -->\n"
NUM_STUDIES, RESAMPLES = 2000, 1000
RATES = (0.2, 0.35, 0.5, 0.65, 0.8)
# Shares of rows that only the new and only the old model has right.
ONLY = ((0.05, 0.05), (0.15, 0.15), (0.3, 0.3), (0.15, 0.02), (0.3, 0.1), (0.5, 0.02), (0.6, 0.0))

of_difference = lru_cache(maxsize=None)(paired_difference)
of_rate = lru_cache(maxsize=None)(wilson)


def main() -> None:
    """One line for each number of rows."""
    lines = [
        "| rows | a rate | a paired change | the same by bootstrap |",
        "| --- | --- | --- | --- |",
    ]
    for n in (10, 20, 30, 50, 100, 200, 500):
        worst = (
            min(_of_rates(n, rate) for rate in RATES),
            min(_of_differences(n, *only) for only in ONLY),
            min(_of_bootstraps(n, *only) for only in ONLY),
        )
        lines.append(f"| {n} | " + " | ".join(f"{share:.1%}" for share in worst) + " |")
        print(lines[-1])
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + after, "utf-8")


def _of_rates(n: int, rate: float) -> float:
    draws = np.random.default_rng(0).binomial(n, rate, NUM_STUDIES)
    return float(np.mean([_holds(of_rate(int(k), n), rate) for k in draws]))


def _of_differences(n: int, new: float, old: float) -> float:
    draws = np.random.default_rng(0).multinomial(n, [new, old, 1 - new - old], NUM_STUDIES)
    return float(
        np.mean([_holds(of_difference(int(b), int(c), n), new - old) for b, c, _ in draws])
    )


def _of_bootstraps(n: int, new: float, old: float) -> float:
    rng = np.random.default_rng(0)
    draws = rng.multinomial(n, [new, old, 1 - new - old], NUM_STUDIES)
    held = 0
    for cells in draws:
        again = rng.multinomial(n, cells / n, RESAMPLES)
        low, high = np.percentile((again[:, 0] - again[:, 1]) / n, [2.5, 97.5])
        held += low <= new - old <= high
    return held / NUM_STUDIES


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


if __name__ == "__main__":
    main()
