"""Activations made again in the backward pass where memory is short. Knows no session.

Gradients are the same to the bit: the same kernels run on the same numbers once more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from customize import free_bytes
from customize_torch.attention import following, plan_in_force
from customize_torch.estimating import SHARE
from customize_torch.lora import Switchboard

_log = logging.getLogger(__name__)


def kept_numbers(layers: Iterable[nn.Linear]) -> int:
    """About how many autograd keeps for a token: what each of these layers reads and makes.

    What several read is there once, for which norms and the like keep something beside them.
    """
    return sum(layer.in_features + layer.out_features for layer in layers)


class Recomputing:
    """The decoder's layers, which keep only their inputs while ``on``.

    when: "always", "never", or "auto": where what a piece would keep is more than ``limit_mb``,
        or than a share of the memory that is free when ``limit_mb`` is 0.
    """

    def __init__(
        self,
        decoder: nn.Module,
        layers: Sequence[nn.Module],
        switchboard: Switchboard,
        when: str,
        limit_mb: int,
    ) -> None:
        self._when = when
        self._limit = limit_mb << 20
        self._switchboard = switchboard
        self._on = False
        some = next(decoder.parameters())
        self._device = some.device
        self._bytes_per_token = float(kept_numbers(switchboard.layers.values()) * some.itemsize)
        self._is_measured = False  # until a piece that keeps all was
        self._weights = {p.untyped_storage().data_ptr() for p in decoder.parameters()}
        for layer in layers:
            layer.forward = self._forward(layer, layer.forward)

    @contextmanager
    def deciding(self, num_tokens: int) -> Iterator[None]:
        """Inside, a forward pass over so many tokens keeps all it needs, or little."""
        if not torch.is_grad_enabled():
            yield
            return
        before, self._on = self._on, self._needed(num_tokens)
        with ExitStack() as stack:
            if self._when == "auto" and not (self._on or self._is_measured):
                stack.enter_context(self._measuring(num_tokens))
            try:
                yield
            finally:
                self._on = before

    def _needed(self, num_tokens: int) -> bool:
        if self._when != "auto":
            return self._when == "always"
        limit = self._limit or _free_bytes(self._device) * SHARE
        wanted = num_tokens * self._bytes_per_token
        if wanted <= limit:
            return False
        if not self._on:
            _log.info(
                "activations of %d tokens would take %.0f MB of %.0f: they are computed again in "
                "the backward pass",
                num_tokens,
                wanted / 1e6,
                limit / 1e6,
            )
        return True

    @contextmanager
    def _measuring(self, num_tokens: int) -> Iterator[None]:
        """Count what autograd keeps for this piece, each storage once; weights are there anyway."""
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self._weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            yield
        self._bytes_per_token, self._is_measured = sum(kept.values()) / num_tokens, True

    def _forward(self, layer: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def again(*args: Any, **kwargs: Any) -> Any:
            if not (self._on and torch.is_grad_enabled()):
                return forward(*args, **kwargs)
            # What is in force now must be in force when the layer runs again.
            plan, updates = plan_in_force(), self._switchboard.in_force
            own = dict(layer.named_parameters())

            def run(*args: Any, **kwargs: Any) -> Any:
                with following(plan), self._switchboard.using(updates), _with(layer, own):
                    return forward(*args, **kwargs)

            return checkpoint(run, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

        return again


@contextmanager
def _with(layer: nn.Module, own: dict[str, Tensor]) -> Iterator[None]:
    """The parameters of the first run, which full fine-tuning swaps in from outside."""
    with torch.nn.utils.stateless._reparametrize_module(layer, own):
        yield


def _free_bytes(device: torch.device) -> float:
    """What this process may still take there; without limit where the system does not say."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + unused)
    free = free_bytes()
    return float("inf") if free is None else free
