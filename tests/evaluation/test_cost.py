"""Latency, throughput and money, against calculations by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest
from saying import Says, asked, compared, taught

from customize import OptionError, Snapshot
from customize.evaluation import Item, SnapshotColumn, Terms, evaluate
from customize.evaluation.cost import costs, decision
from customize.evaluation.expectations import said
from customize.evaluation.remarks import remarks
from customize.evaluation.results import read
from customize.runs.report import keep
from customize.training.prices import prices_of

FAST = attrs.evolve(said("x"), num_prompt_tokens=100, num_tokens=20, latency_s=2.0, share_s=0.5)
BIG = attrs.evolve(said("x"), num_prompt_tokens=1000, num_tokens=100, latency_s=4.0, share_s=1.0)


def items(count: int = 10) -> list[Item]:
    return [
        Item(str(n), "q", "", {}, None, {"customized": FAST, "big": BIG}, {}) for n in range(count)
    ]


def test_time_and_tokens_are_those_of_the_answers() -> None:
    given = items()
    slow = attrs.evolve(FAST, latency_s=12.0)
    given[0] = attrs.evolve(given[0], answers={"customized": slow, "big": BIG})
    got = costs(given, ["customized", "big"], {})["customized"]
    assert (got.p50_s, got.num_requests) == (2.0, 10)
    assert got.p95_s == pytest.approx(2 + 10 * 0.55)  # 9.5 tenths of the way, between the last two
    assert got.tokens_per_s == pytest.approx(20 / 0.5)
    assert (got.tokens_read, got.tokens_written, got.per_thousand) == (100, 20, None)


def test_a_thousand_requests_cost_machine_time_or_tokens() -> None:
    prices = prices_of({"customized": {"hour": 3.6}, "big": {"input": 3, "output": 15}})
    got = costs(items(), ["customized", "big"], prices)
    assert got["customized"].per_thousand == pytest.approx(1000 * 0.5 * 3.6 / 3600)
    assert got["big"].per_thousand == pytest.approx(1000 * (1000 * 3 + 100 * 15) / 1e6)


def test_the_decision_is_one_line() -> None:
    given: dict[str, Any] = {
        "customized": {"hour": 3.6, "fixed": 400},
        "big": {"input": 3, "output": 15},
    }
    prices = prices_of(given)
    got = decision(costs(items(), ["customized", "big"], prices), prices, "customized", "big")
    # 0.5 and 4.5 for a thousand: 400 / 4 thousands; 3.6 / 4.5 thousands an hour.
    assert got == (
        "customized costs 0.5 per thousand requests at full use, big 4.5; what was spent once is "
        "earned back after 100,000 requests; a machine that always runs pays from 800 requests "
        "an hour."
    )
    dear = prices_of({**given, "customized": {"hour": 360}})
    told = decision(costs(items(), ["customized", "big"], dear), dear, "customized", "big")
    assert told is not None
    assert "big is cheaper at any number" in told
    assert decision({}, {}, "customized", "big") is None


@pytest.mark.parametrize("mine", [0.5, 2.0, 4.5])
@pytest.mark.parametrize("once", [0.0, 1.0, 6.0])
@pytest.mark.parametrize("theirs_once", [0.0, 1.0, 6.0])
def test_the_decision_is_right_at_every_number_of_requests(
    mine: float, once: float, theirs_once: float
) -> None:
    """All quadrants of cheaper and dearer, once and for each request; 2 a thousand for big."""
    prices = prices_of(
        {
            "customized": {"hour": 7.2 * mine, "fixed": once},  # half a second each
            "big": {"input": 2, "output": 0, "fixed": theirs_once},
        }
    )
    told = decision(costs(items(), ["customized", "big"], prices), prices, "customized", "big")
    assert told is not None
    for requests in range(0, 12_001, 7):
        ours, theirs = once + mine * requests / 1000, theirs_once + 2.0 * requests / 1000
        cheaper = _says(told, requests)
        if cheaper == "same":
            assert ours == pytest.approx(theirs)
        elif cheaper is not None:
            assert (ours <= theirs + 1e-9) if cheaper == "customized" else (theirs <= ours + 1e-9)


def _says(told: str, requests: int) -> str | None:
    """Who is cheaper then; None within a request of the break-even, where it is rounded."""
    if "both cost the same" in told:
        return "same"
    if always := re.search(r"(\w+) is cheaper at any number", told):
        return always[1]
    up_to = r"(\w+) is cheaper up to ([0-9,]+) requests, and"
    if found := re.search("earned back after ([0-9,]+) requests", told):
        first, last, even = "big", "customized", found[1]
    else:
        found = re.search(rf"{up_to} (\w+) from there on", told)
        assert found, told
        first, last, even = found[1], found[3], found[2]
    at = int(even.replace(",", ""))
    return None if abs(requests - at) <= 1 else first if requests < at else last


def test_a_column_without_usage_keeps_its_latency_and_says_what_is_not_known(
    tmp_path: Path,
) -> None:
    silent = attrs.evolve(BIG, num_prompt_tokens=0, num_tokens=0)
    given = [attrs.evolve(i, answers={**i.answers, "big": silent}) for i in items()]
    prices = prices_of({"customized": {"hour": 3.6}, "big": {"input": 3, "output": 15}})
    found = costs(given, ["customized", "big"], prices)
    assert (found["big"].p50_s, found["big"].num_requests) == (4.0, 10)
    assert (
        found["big"].tokens_read is found["big"].tokens_per_s is found["big"].per_thousand is None
    )
    assert decision(found, prices, "customized", "big") is None
    by_hour = costs(given, ["big"], prices_of({"big": {"hour": 3.6}}))["big"]
    assert by_hour.per_thousand == pytest.approx(1.0)
    given[0] = items()[0]
    one = costs(given, ["big"], prices)["big"]
    assert (one.num_uncounted, one.tokens_read, one.tokens_per_s) == (9, 1000, 100)
    for cost, told in (
        (found, "big tells no usage: its tokens"),
        ({"big": one}, "big tells no usage of 9 of 10 answers"),
    ):
        got = attrs.evolve(compared([asked(n) for n in range(3)]), costs=cost)
        assert any(line.startswith(told) for line in remarks(got))
        keep(got, tmp_path, None)
        assert read(tmp_path).costs == cost
    assert "not known" in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"big": {"input": 3}}, "a price is hour, or input and output"),
        ({"big": {}}, "a price is hour, or input and output"),
        ({"big": {"hour": 1, "input": 3, "output": 4}}, "a price is hour, or input and output"),
        ({"big": {"hours": 1}}, "did you mean 'big.hour'"),
        ({"big": 3}, "a price has keys"),
        ({"big": {"hour": -1}}, "big.hour must be >= 0"),
    ],
)
def test_a_price_that_is_none_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        prices_of(given)


def test_a_price_of_nobody_is_refused() -> None:
    terms = Terms(prices=prices_of({"huge": {"hour": 1}}))
    with pytest.raises(OptionError, match="a price for 'huge': there are base, customized"):
        evaluate([Says("base"), Says("customized")], [asked(1)], terms)


def test_memory_is_the_most_that_was_held_while_a_column_answered() -> None:
    session = taught("yes")
    got = evaluate(
        [SnapshotColumn("customized", session)], [asked(1), asked(2)], Terms(max_tokens=4)
    )
    held = [item.answers["customized"].memory_bytes for item in got.items]
    assert got.costs["customized"].memory_bytes == max(filter(None, held))
    assert got.costs["customized"].device_bytes is None  # the toy backend has no device


class OnDevice(Snapshot):
    """The toy model as if on a device: what was held there at once, by batch."""

    def __init__(self, peaks: list[int]) -> None:
        self._inner, self._peaks = taught("yes"), peaks
        self.renderer = self._inner.renderer

    def forward(self, batch: Any) -> Any:
        return self._inner.forward(batch)

    def sample(self, *given: Any) -> Any:
        return self._inner.sample(*given)

    def device_peak(self) -> int:
        return self._peaks.pop(0)


def test_a_devices_memory_is_that_of_answering_and_stands_apart(tmp_path: Path) -> None:
    # Asked before and after each batch of 32: what was held before it is not its own.
    columns = [
        SnapshotColumn("base", taught("no")),
        SnapshotColumn("customized", OnDevice([9_000_000, 5_000_000, 1_000_000, 7_000_000])),
    ]
    got = evaluate(columns, [asked(n) for n in range(33)], Terms(max_tokens=2))
    assert {name: cost.device_bytes for name, cost in got.costs.items()} == {
        "base": None,
        "customized": 7_000_000,
    }
    keep(got, tmp_path, None)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "on the device" in page
    assert "7 MB" in page
