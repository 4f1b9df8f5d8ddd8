"""What answers cost: time, tokens, and money from the user's own prices. Knows no quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from customize.evaluation.item import Item
from customize.training.prices import Price


@attrs.frozen
class Cost:
    """p50_s, p95_s: latency, beside the others of a batch. tokens_per_s: written, all together.

    memory_bytes: the most that the process held while it answered; None where not known.
    device_bytes: the same of a device's own memory; None where there is none.
    per_thousand: requests such as these, on a machine at full use; None without a price.
    """

    num_requests: int
    p50_s: float
    p95_s: float
    tokens_per_s: float
    tokens_read: float
    tokens_written: float
    per_thousand: float | None = None
    memory_bytes: int | None = None
    device_bytes: int | None = None


def costs(
    items: Sequence[Item], columns: Sequence[str], prices: Mapping[str, Price]
) -> dict[str, Cost]:
    """By column; one that answered nothing is left out."""
    found = {column: _cost(items, column, prices.get(column)) for column in columns}
    return {column: cost for column, cost in found.items() if cost is not None}


def decision(
    costs: Mapping[str, Cost], prices: Mapping[str, Price], own: str, other: str
) -> str | None:
    """From how many requests on ``own`` is cheaper than ``other``; None without both prices."""
    if own not in prices or other not in prices or own not in costs or other not in costs:
        return None
    mine, theirs = costs[own].per_thousand, costs[other].per_thousand
    assert mine is not None
    assert theirs is not None
    said = f"{own} costs {mine:.3g} per thousand requests at full use, {other} {theirs:.3g}"
    if mine >= theirs:
        return f"{said}: {other} is cheaper at any number of requests."
    parts = []
    if (fixed := prices[own].fixed - prices[other].fixed) > 0:
        parts.append(f"what was spent once is earned back after {_round(fixed, theirs - mine)}")
    if (hour := prices[own].hour) is not None:
        parts.append(f"a machine that always runs pays from {_round(hour, theirs)} an hour")
    return "; ".join([said, *parts]) + "."


def _round(money: float, per_thousand: float) -> str:
    return f"{money / per_thousand * 1000:,.0f} requests"


def _cost(items: Sequence[Item], column: str, price: Price | None) -> Cost | None:
    drawn = [sample.answer for item in items for sample in item.of(column)]
    given = [answer for answer in drawn if answer.num_tokens]
    if not given:
        return None
    num = len(given)
    latency = np.percentile([answer.latency_s for answer in given], [50, 95])
    seconds = sum(answer.share_s for answer in given)
    read = sum(answer.num_prompt_tokens for answer in given) / num
    written = sum(answer.num_tokens for answer in given) / num
    return Cost(
        num_requests=num,
        p50_s=float(latency[0]),
        p95_s=float(latency[1]),
        tokens_per_s=written * num / seconds if seconds else 0.0,
        tokens_read=read,
        tokens_written=written,
        per_thousand=None if price is None else 1000 * _money(price, seconds / num, read, written),
        memory_bytes=_most([answer.memory_bytes for answer in given]),
        device_bytes=_most([answer.device_bytes for answer in given]),
    )


def _most(held: Sequence[int | None]) -> int | None:
    return max((count for count in held if count is not None), default=None)


def _money(price: Price, seconds: float, read: float, written: float) -> float:
    """Of one request."""
    if price.hour is not None:
        return price.hour * seconds / 3600
    assert price.input is not None
    assert price.output is not None
    return (price.input * read + price.output * written) / 1e6
