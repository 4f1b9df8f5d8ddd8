"""How well one question's hits answer to what was wanted. Means over questions are the caller's."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence


def hit_at_k(found: Sequence[str], wanted: Collection[str], k: int) -> float:
    """1 where one of the first ``k`` ids is wanted, else 0; its mean is hit@k."""
    return float(any(one in wanted for one in found[:k]))


def reciprocal_rank(found: Sequence[str], wanted: Collection[str]) -> float:
    """1 / the rank of the first id that is wanted, or 0; its mean is MRR."""
    ranks = (rank for rank, one in enumerate(found, start=1) if one in wanted)
    return 1 / next(ranks, math.inf)


def ndcg_at_k(found: Sequence[str], gains: Mapping[str, float], k: int) -> float:
    """Discounted gain of the first ``k`` ids, of the most there could be; 0 where that is 0.

    A gain counts 1 / log2(1 + rank) of itself (Järvelin and Kekäläinen, TOIS 2002, in the form
    that is usual now).
    """
    best = _discounted(sorted(gains.values(), reverse=True)[:k])
    return _discounted([gains.get(one, 0.0) for one in found[:k]]) / best if best else 0.0


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(1 + rank) for rank, gain in enumerate(gains, start=1))
