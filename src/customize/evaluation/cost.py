"""What answers cost: time, tokens, and money from the user's own prices. Knows no quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from customize.evaluation.item import Item
from customize.interfaces.scorer import Answer
from customize.training.prices import Price


@attrs.frozen
class Cost:
    """p50_s, p95_s: latency, beside the others of a batch. tokens_per_s: written, all together.

    num_uncounted: requests of which the tokens are not known, as of an endpoint that tells no
    ``usage``; tokens are those of the others, and None where there are no others.
    memory_bytes: the most that the process held while it answered; None where not known.
    device_bytes: the same of a device's own memory; None where there is none.
    per_thousand: requests such as these, on a machine at full use; None where that is not known.
    """

    num_requests: int
    p50_s: float
    p95_s: float
    tokens_per_s: float | None
    tokens_read: float | None
    tokens_written: float | None
    num_uncounted: int = 0
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
    """Which of two is cheaper, from or up to how many requests; None without both prices."""
    if own not in prices or other not in prices or own not in costs or other not in costs:
        return None
    mine, theirs = costs[own].per_thousand, costs[other].per_thousand
    if mine is None or theirs is None:
        return None  # the tokens of one are not known, which a remark tells
    parts = [
        f"{own} costs {mine:.3g} per thousand requests at full use, {other} {theirs:.3g}",
        _cheaper(own, other, prices[own].fixed - prices[other].fixed, theirs - mine),
    ]
    if (hour := prices[own].hour) is not None and mine < theirs:
        parts.append(f"a machine that always runs pays from {_requests(hour, theirs)} an hour")
    return "; ".join(parts) + "."


def _cheaper(own: str, other: str, fixed: float, saved: float) -> str:
    """``fixed``: what own costs more, once. ``saved``: and less, in a thousand requests."""
    if fixed == saved == 0:
        return "both cost the same at any number of requests"
    if fixed <= 0 <= saved:
        return f"{own} is cheaper at any number of requests"
    if saved <= 0 <= fixed:
        return f"{other} is cheaper at any number of requests"
    if saved > 0:
        return f"what was spent once is earned back after {_requests(fixed, saved)}"
    return f"{own} is cheaper up to {_requests(fixed, saved)}, and {other} from there on"


def _requests(money: float, per_thousand: float) -> str:
    return f"{money / per_thousand * 1000:,.0f} requests"


def _cost(items: Sequence[Item], column: str, price: Price | None) -> Cost | None:
    drawn = [sample.answer for item in items for sample in item.of(column)]
    given = [answer for answer in drawn if _is_counted(answer) or answer.latency_s]
    if not given:
        return None
    counted = [answer for answer in given if _is_counted(answer)]
    latency = np.percentile([answer.latency_s for answer in given], [50, 95])
    read = _mean([answer.num_prompt_tokens for answer in counted])
    written = _mean([answer.num_tokens for answer in counted])
    seconds = sum(answer.share_s for answer in given) / len(given)
    money = None if price is None else _money(price, seconds, read, written)
    return Cost(
        num_requests=len(given),
        p50_s=float(latency[0]),
        p95_s=float(latency[1]),
        tokens_per_s=_speed(counted),
        tokens_read=read,
        tokens_written=written,
        num_uncounted=len(given) - len(counted),
        per_thousand=None if money is None else 1000 * money,
        memory_bytes=_most([answer.memory_bytes for answer in given]),
        device_bytes=_most([answer.device_bytes for answer in given]),
    )


def _is_counted(answer: Answer) -> bool:
    return answer.num_tokens + answer.num_prompt_tokens > 0


def _speed(counted: Sequence[Answer]) -> float | None:
    if not counted:
        return None
    seconds = sum(answer.share_s for answer in counted)
    return sum(answer.num_tokens for answer in counted) / seconds if seconds else 0.0


def _mean(counts: Sequence[int]) -> float | None:
    return sum(counts) / len(counts) if counts else None


def _most(held: Sequence[int | None]) -> int | None:
    return max((count for count in held if count is not None), default=None)


def _money(price: Price, seconds: float, read: float | None, written: float | None) -> float | None:
    """Of one request; None where it is priced by tokens that are not known."""
    if price.hour is not None:
        return price.hour * seconds / 3600
    assert price.input is not None
    assert price.output is not None
    if read is None or written is None:
        return None
    return (price.input * read + price.output * written) / 1e6
