"""A base with the weights of one customization: hidden states and log-probabilities.

Knows no optimizer, no sampling and no file. Tensors are never changed in place, so a snapshot is
only a reference.

Shape legend: N tokens, T scored positions, C hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from customize import Batch, DataError
from customize_torch.attention import Plan, Prefill, Segments, following
from customize_torch.few_rows import Packing, Products, multiplying
from customize_torch.head import logprobs_of
from customize_torch.kernels import Place
from customize_torch.layout import lay
from customize_torch.lora import Switchboard, rounded, stacked, updates_of
from customize_torch.recomputing import Recomputing


@attrs.frozen(eq=False)
class Base:
    """The model as loaded, its decoder and its head; held once."""

    model: nn.Module
    decoder_name: str
    head_name: str
    switchboard: Switchboard
    recomputing: Recomputing
    packing: Packing
    place: Place
    layers: Sequence[nn.Module]

    def unrecorded(self) -> AbstractContextManager[object]:
        """Inside nothing is kept for a gradient; what is gathered there serves training as well."""
        return torch.no_grad() if self.place.sharded else torch.inference_mode()

    @property
    def decoder(self) -> nn.Module:
        return self.model.get_submodule(self.decoder_name)

    @property
    def embedding_name(self) -> str:
        """The tensor the head is tied to, where it is."""
        wanted = self.model.get_submodule(self.head_name).weight
        return next(n for n, p in self.model.named_parameters() if p is wanted)


@attrs.frozen(eq=False)
class Policy:
    """tensors: LoRA's by PEFT's names, or all of the model's when everything is trained.

    scale: LoRA's, or None when everything is trained. below: an adapter of the same scale that
    stays as it is. products: all that its layers multiply by, where that is made ready.
    """

    base: Base
    tensors: Mapping[str, Tensor]
    scale: float | None = 0.0
    below: Mapping[str, Tensor] = attrs.field(factory=dict)
    products: Products | None = None

    def hidden(
        self, tokens_N: Tensor, positions_N: Tensor, plan: Plan, kept_T: Tensor | None = None
    ) -> Tensor:
        """The decoder's last hidden states, [N, C], or [T, C] at the places that are wanted."""
        with following(plan), self._in_force():
            places = tokens_N[None], positions_N[None], kept_T
            if self.scale is None:
                prefix = f"{self.base.decoder_name}."
                own = {k.removeprefix(prefix): v for k, v in self.tensors.items()}
                hidden: Tensor = torch.func.functional_call(
                    self.base.decoder, own, places, strict=False
                )
            else:
                hidden = self.base.decoder(*places)
        return hidden[0]

    @property
    def head_VC(self) -> Tensor:
        """The output embedding."""
        if self.scale is None:
            return self.tensors[self.base.embedding_name]
        weight: Tensor = self.base.model.get_submodule(self.base.head_name).weight
        return weight

    def logprobs(self, batch: Batch) -> Tensor:
        """Log-probabilities of the batch's scored tokens, float32 [T], in order."""
        self.check(batch.tokens)
        place = self.base.place
        flat = lay(batch, place.device, place.dtype)
        plan = Segments(flat.segments, place.varlen)
        with self.base.recomputing.deciding(len(flat.tokens_N)):
            hidden_TC = self.hidden(flat.tokens_N, flat.positions_N, plan, flat.before_T)
        logprobs_T = logprobs_of(
            hidden_TC, self.head_VC, flat.targets_T, place.kernels, place.logits
        )
        return logprobs_T[: flat.num_scored]

    def distributions(self, tokens: npt.NDArray[np.int32], start: int) -> Tensor:
        """Log-probabilities of every token at each place from ``start`` on, float32 [T, V]."""
        self.check(tokens)
        place = self.base.place
        tokens_N = torch.from_numpy(tokens.astype(np.int64)).to(place.device)
        positions_N = torch.arange(len(tokens), device=place.device)
        hidden_NC = self.hidden(tokens_N, positions_N, Prefill([0, len(tokens)], place.varlen))
        return self.logits(hidden_NC[start - 1 : -1]).log_softmax(-1)

    def ready(self, many: bool = False) -> Policy:
        """The same, in bfloat16 to the bit, made ready for many steps without gradient.

        many: whether these are of many rows, see `Packing.products`.
        """
        if self.scale is None:
            return self
        both = rounded(stacked(self.below, self.tensors), self.base.place.dtype)
        updates = updates_of(both, self.scale, self.base.place.dtype)
        products = self.base.packing.products(updates, many)
        return attrs.evolve(self, tensors=both, below={}, products=products)

    def logits(self, hidden_NC: Tensor) -> Tensor:
        """Of every token, float32 [N, V]; has no gradient of the head."""
        products = self.products
        return (products.head(hidden_NC) if products else hidden_NC @ self.head_VC.T).float()

    def check(self, tokens: npt.NDArray[np.int32]) -> None:
        """Raises DataError for a token the model has no row for, before a device fails on it."""
        size = self.head_VC.shape[0]
        if len(tokens) and not 0 <= tokens.min() <= tokens.max() < size:
            raise DataError(
                f"tokens must be 0 to {size - 1} (got {tokens.min()} to {tokens.max()}): they were "
                "made with another model's tokenizer"
            )

    @contextmanager
    def _in_force(self) -> Iterator[None]:
        if self.products is not None:
            with multiplying(self.products):
                yield
            return
        updates = {}
        if self.scale is not None:
            both = stacked(self.below, self.tensors)
            updates = updates_of(both, self.scale, self.base.place.dtype)
        with self.base.switchboard.using(updates):
            yield
