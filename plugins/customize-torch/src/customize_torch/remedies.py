"""What to do where memory ran out, as whoever ran into it is told. Knows no computation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from customize import Adapter, CustomizeError, Full, LoRA, OutOfMemoryError
from customize_torch.own_options import ANEW, OwnOptions

T = TypeVar("T")
_MUCH = 4  # times less in an adapter's rank
# Of errors that torch raises as any other: processors' allocators (the second is Windows'), what
# the libraries of products and convolutions allocate themselves, and drivers.
_TOLD = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "STATUS_ALLOC_FAILED",
    "error: out of memory",
    "[CUDA]: out of memory",
)


def held(compute: Callable[[], T], what: str, remedies: Callable[[], Iterator[str]]) -> T:
    """What ``compute`` makes.

    Raises:
        OutOfMemoryError: memory runs out; the message has ``what`` it does not hold, and what to
            do, from the cheapest.
    """
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        told = first_line(error)
    # Here, since what the error holds is freed only when it is left.
    free_unused()
    raise out_of_memory(what, remedies(), told)


def out_of_memory(what: str, remedies: Iterator[str], told: str) -> OutOfMemoryError:
    """``told``: torch's own words."""
    cheapest = ", ".join([*remedies, "a smaller model"])
    return OutOfMemoryError(f"memory does not hold {what}. From the cheapest: {cheapest} ({told})")


def of_training(
    own: OwnOptions, adapter: Adapter | None, longest: int, *without: str
) -> Iterator[str]:
    """In the order of ``customize plan``.

    adapter: what is trained; None where there is no gradient. longest: tokens of the largest unit.
    without: options that do not help.
    """
    without = without if adapter is not None else (*without, "recompute")
    helping = [one for one in own.smaller(longest) if one.option not in without]
    yield from (own.told(one) for one in helping if one.exact)
    yield from of_adapter(adapter)
    if not isinstance(adapter, Full):
        yield from (own.told(one) for one in helping if not one.exact)
    if longest > 1:
        yield f"rows of {longest // 2} tokens at most ({ANEW})"


def of_adapter(adapter: Adapter | None) -> Iterator[str]:
    """What trains fewer parameters."""
    if isinstance(adapter, Full):
        setting = f"--set 'adapter={{rank: {LoRA().rank}}}'"
        yield f"{setting} (an adapter in place of all weights; {ANEW})"
    elif isinstance(adapter, LoRA) and adapter.rank > 1:
        yield f"--set adapter.rank={max(1, adapter.rank // _MUCH)} (a smaller adapter; {ANEW})"


def of_base(own: OwnOptions) -> Iterator[str]:
    """How the base is held smaller."""
    yield from (own.told(one) for one in own.smaller(1) if not one.exact)


def is_out_of_memory(error: Exception) -> bool:
    """Of many it is told by the text alone. What has been told already is not told again."""
    if isinstance(error, CustomizeError):
        return False
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(told in str(error) for told in _TOLD)


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def free_unused() -> None:
    """Give back what torch keeps for later."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
