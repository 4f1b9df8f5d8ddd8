"""Batches, losses, prompts, completions, adapters and shapes as parcels, and back. Knows no
process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from customize import (
    CISPO,
    DRO,
    PPO,
    Adapter,
    Batch,
    Completion,
    CrossEntropy,
    Full,
    ImportanceSampling,
    LoRA,
    Loss,
    ModelShape,
    Prompt,
    Sampling,
)
from customize_torch.group.parcel import Array, Parcel

_NAMED = {loss.name: loss for loss in (CrossEntropy, ImportanceSampling, PPO, CISPO, DRO)}
_COLUMN, _SEQUENCE = "column ", "sequence "


def batch_out(batch: Batch) -> dict[str, Array]:
    """A batch's arrays, by names that tell what they are."""
    return {
        "tokens": batch.tokens,
        "offsets": batch.offsets,
        "groups": batch.groups,
        **{f"{_COLUMN}{name}": values for name, values in batch.columns.items()},
        **{f"{_SEQUENCE}{name}": values for name, values in batch.sequence_columns.items()},
    }


def batch_in(parcel: Parcel) -> Batch:
    """What ``batch_out`` sent."""
    arrays = parcel.arrays
    return Batch(
        arrays["tokens"],
        arrays["offsets"],
        _under(_COLUMN, arrays),
        _under(_SEQUENCE, arrays),
        arrays["groups"],
    )


def loss_out(loss: Loss) -> dict[str, Any] | None:
    """A named loss as JSON says it; None of one's own, which is code."""
    name = getattr(loss, "name", "")
    if type(loss) is not _NAMED.get(name):
        return None
    return {"name": name, "options": attrs.asdict(loss)}


def loss_in(parcel: Parcel) -> Loss:
    """What ``loss_out`` sent."""
    told = parcel.value["loss"]
    made: Loss = _NAMED[told["name"]](**told["options"])
    return made


def prompts_out(
    prompts: Sequence[Prompt], sampling: Sampling
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Prompts and how to go on from them: a value and arrays."""
    value = {
        "n": [prompt.n for prompt in prompts],
        "seeds": [prompt.seed for prompt in prompts],
        "sampling": attrs.asdict(sampling),  # type: ignore[arg-type]  # it is of attrs
    }
    return value, _joined("tokens", [prompt.tokens for prompt in prompts], np.int32)


def prompts_in(parcel: Parcel) -> tuple[list[Prompt], Sampling]:
    """What ``prompts_out`` sent."""
    told: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in parcel.value["sampling"].items()
    }
    tokens = _parted("tokens", parcel)
    numbers = zip(tokens, parcel.value["n"], parcel.value["seeds"], strict=True)
    return [Prompt(*of_one) for of_one in numbers], Sampling(**told)


def completions_out(drawn: Sequence[Sequence[Completion]]) -> Parcel:
    """Completions, by prompt."""
    every = [one for of_prompt in drawn for one in of_prompt]
    value = {
        "n": [len(of_prompt) for of_prompt in drawn],
        "reasons": [one.stop_reason for one in every],
        "scored": any(one.prompt_logprobs is not None for one in every),
    }
    given = [
        np.zeros(0, np.float32) if one.prompt_logprobs is None else one.prompt_logprobs
        for one in every
    ]
    arrays = {
        **_joined("tokens", [one.tokens for one in every], np.int32),
        **_joined("logprobs", [one.logprobs for one in every], np.float32),
        **_joined("drawn", [one.sampling_logprobs for one in every], np.float32),
        **_joined("given", given, np.float32),
    }
    return Parcel(value, arrays)


def completions_in(parcel: Parcel) -> list[list[Completion]]:
    """What ``completions_out`` sent."""
    parts = [_parted(name, parcel) for name in ("tokens", "logprobs", "drawn", "given")]
    made = (
        Completion(tokens, logprobs, drawn, reason, given if parcel.value["scored"] else None)
        for reason, tokens, logprobs, drawn, given in zip(
            parcel.value["reasons"], *parts, strict=True
        )
    )
    return [[next(made) for _ in range(n)] for n in parcel.value["n"]]


def adapter_out(adapter: Adapter) -> list[Any]:
    """An adapter as JSON says it."""
    if isinstance(adapter, LoRA):
        return ["lora", attrs.asdict(adapter)]  # type: ignore[arg-type]  # of attrs
    return ["full", {}]


def adapter_in(told: Sequence[Any], on: str | None = None) -> Adapter:
    """What ``adapter_out`` sent; ``on``: where what a LoRA lies on is here."""
    kind, options = told
    if kind == "full":
        return Full()
    targets = options["targets"]
    targets = targets if isinstance(targets, str) else tuple(targets)
    return LoRA(**{**options, "targets": targets, "on": on})


def shape_in(told: Mapping[str, Any]) -> ModelShape:
    """A shape whose fields were sent."""
    linear = {name: (inputs, outputs) for name, (inputs, outputs) in told["linear"].items()}
    return ModelShape(**{**told, "linear": linear})


def _under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _joined(name: str, parts: Sequence[Array], kind: npt.DTypeLike) -> dict[str, Array]:
    return {
        name: np.concatenate([np.zeros(0, kind), *parts]).astype(kind),
        f"{name} lengths": np.array([len(part) for part in parts], np.int64),
    }


def _parted(name: str, parcel: Parcel) -> Iterator[Array]:
    ends = np.cumsum(parcel.arrays[f"{name} lengths"])
    parts: list[Array] = np.split(parcel.arrays[name], ends[:-1]) if len(ends) else []
    yield from parts
