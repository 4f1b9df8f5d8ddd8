"""The cheapest changes that make a run fit, where memory is short. Knows no backend's options: each
backend says itself what makes it smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce

import attrs

from customize.interfaces.backend import Backend, Smaller
from customize.interfaces.session import Adapter, LoRA

_FEW_TOKENS = 256  # that are still worth computing together
_MUCH = 4  # times less in an adapter's rank
NOTHING_HELPS = "a smaller model, or another machine: its weights alone leave too little room"


@attrs.frozen
class Way:
    """How a run could be made.

    largest: tokens of the largest unit that is computed at once; 0 where that is not known.
    """

    backend: Backend
    adapter: Adapter
    largest: int


@attrs.frozen(eq=False)
class _Change:
    """told: what to give, and what that costs."""

    make: Callable[[Way], Way]
    told: str


def advice(way: Way, fits: Callable[[Way], bool]) -> str:
    """What to change, a line for each change: as few as are needed, of those that cost least."""
    chosen: list[_Change] = []
    for change in _changes(way):
        chosen.append(change)
        if fits(_changed(way, chosen)):
            return "\n".join(one.told for one in _needed(way, chosen, fits))
    return NOTHING_HELPS


def _changed(way: Way, changes: Sequence[_Change]) -> Way:
    return reduce(lambda so_far, change: change.make(so_far), changes, way)


def _needed(way: Way, chosen: Sequence[_Change], fits: Callable[[Way], bool]) -> Sequence[_Change]:
    """Without those that the dearer ones after them spare, the dearest first."""
    for one in reversed(chosen[:-1]):
        others = [other for other in chosen if other is not one]
        if fits(_changed(way, others)):
            chosen = others
    return chosen


def _changes(way: Way) -> Iterator[_Change]:
    """From the cheapest to the dearest."""
    own = way.backend.smaller(way.largest or _FEW_TOKENS)
    yield from (_of_backend(way.backend, one) for one in own if one.exact)
    yield from _of_adapter(way.adapter)
    yield from (_of_backend(way.backend, one) for one in own if not one.exact)
    if way.largest > 1:
        yield _of_rows(way)


def _of_backend(backend: Backend, one: Smaller) -> _Change:
    return _Change(
        lambda way: attrs.evolve(way, backend=one.of(way.backend)),
        f"{one.setting(backend.name)}: {one.cost}",
    )


def _of_adapter(adapter: Adapter) -> Iterator[_Change]:
    if not isinstance(adapter, LoRA):
        new = LoRA()
        for told, one in (("LoRA", new), ("a smaller LoRA", _lower(new))):
            setting = f"--set 'adapter={{rank: {one.rank}}}'"
            yield _with_adapter(one, f"{setting}: {told} in place of all weights")
    elif adapter.rank > 1:
        low = _lower(adapter)
        yield _with_adapter(low, f"--set adapter.rank={low.rank}: a smaller adapter")


def _lower(adapter: LoRA) -> LoRA:
    rank = max(1, adapter.rank // _MUCH)
    return attrs.evolve(adapter, rank=rank)  # type: ignore[misc]  # it is of attrs


def _with_adapter(adapter: LoRA, told: str) -> _Change:
    return _Change(lambda way: attrs.evolve(way, adapter=adapter), told)


def _of_rows(way: Way) -> _Change:
    """Of half the length, and what a backend can then do."""
    half = way.largest // 2
    own = [one for one in way.backend.smaller(half) if one.exact]

    def make(way: Way) -> Way:
        smaller = reduce(lambda backend, one: one.of(backend), own, way.backend)
        return Way(smaller, way.adapter, half)

    settings = "".join(f"{one.setting(way.backend.name)}, and " for one in own)
    return _Change(make, f"{settings}rows of {half} tokens at most: the longest has {way.largest}")
