"""From a model's folder to the base that sessions share. Knows no session.

The llama family is loaded by us, whatever else by transformers.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from customize import ModelError, ModelFolder
from customize_torch import llama, quantized
from customize_torch.few_rows import Packing
from customize_torch.holding import PLAIN
from customize_torch.kernels import Place
from customize_torch.lora import Switchboard, linear_layers
from customize_torch.parts import Parts
from customize_torch.policy import Base
from customize_torch.recomputing import Recomputing
from customize_torch.stacking import lies_stacked, room_for

_log = logging.getLogger(__name__)
_INDEX, _WHOLE = "model.safetensors.index.json", "model.safetensors"


def load(model: ModelFolder, place: Place, recompute: str, activation_mb: int) -> Base:
    """The base, frozen, at its place.

    Raises:
        ModelError: it cannot be loaded, is not whole, or needs what this engine does not do.
        MissingDependency: what its weights are to be held by is not installed.
    """
    quantized.check_installed(place.base)
    parts = _native(model, place) or _through_transformers(model, place)
    parts.model.eval().requires_grad_(False)  # no dropout, and nothing of the base is trained
    names = {id(module): name for name, module in parts.model.named_modules()}
    layers = linear_layers(parts.model, parts.head)
    held = quantized.hold(parts.model, layers, place)
    switchboard = Switchboard(layers, held)
    joints = {joint: [names[id(layer)] for layer in joint.layers] for joint in parts.joints}
    recomputing = Recomputing(parts.decoder, parts.layers, switchboard, recompute, activation_mb)
    return Base(
        parts.model,
        names[id(parts.decoder)],
        names[id(parts.head)],
        switchboard,
        recomputing,
        Packing({} if held else joints, parts.head),
        place,
        parts.layers,
    )


def _through_transformers(model: ModelFolder, place: Place) -> Parts:
    from customize_torch import transformers_models

    return transformers_models.load(model, place)


def _native(model: ModelFolder, place: Place) -> Parts | None:
    """The llama family by our own decoder; None where the folder holds anything else."""
    files = _files(model.path)
    shape = llama.shape_of(_json(model.path / "config.json"))
    if shape is None or not files:
        return None
    with torch.device("meta"):
        loaded = llama.CausalLM(shape, place.kernels)
    rooms = _rooms(loaded, place)
    tensors = {
        name: _placed(tensor, place, rooms.get(name))
        for file in files
        for name, tensor in load_file(file).items()
    }
    _fill(model, loaded, tensors)
    if shape.tied:
        loaded.lm_head.weight = loaded.model.embed_tokens.weight
    return Parts(
        loaded, loaded.model, loaded.lm_head, list(loaded.model.layers), loaded.model.joints
    )


def _rooms(loaded: llama.CausalLM, place: Place) -> dict[str, Tensor]:
    """Where weights lie that read one input, by their names, where a device has them so."""
    if place.base != PLAIN or not lies_stacked(place.device):
        return {}
    names = {id(module): name for name, module in loaded.named_modules()}
    return {
        f"{names[id(layer)]}.weight": room
        for joint in loaded.model.joints
        for layer, room in zip(joint.layers, room_for(joint.layers, place), strict=True)
    }


def _placed(tensor: Tensor, place: Place, room: Tensor | None) -> Tensor:
    if place.base != PLAIN:
        return tensor  # as its file has it: ``hold`` takes one after the other
    if room is None or room.shape != tensor.shape:
        return tensor.to(place.device, place.dtype)
    return room.copy_(tensor)


def _fill(model: ModelFolder, loaded: llama.CausalLM, tensors: dict[str, Tensor]) -> None:
    """Give the model its tensors; refuse one that is not whole, and tell what is left aside."""
    wanted = {name: parameter.shape for name, parameter in loaded.named_parameters()}
    if missing := sorted(wanted.keys() - tensors.keys()):
        raise ModelError(
            f"{model.name} lacks {len(missing)} of the tensors its config.json implies "
            f"({', '.join(missing[:3])}): its files are not all there, or the config is not theirs"
        )
    for name, shape in wanted.items():
        if tensors[name].shape != shape:
            raise ModelError(
                f"{model.name} holds {name} as {[*tensors[name].shape]} where config.json implies "
                f"{[*shape]}: the file and the config are not of one model"
            )
    if unexpected := sorted(tensors.keys() - {*wanted, "lm_head.weight"}):
        _log.warning(
            "%s holds %d tensors its architecture does not use (%s): they are left aside",
            model.name,
            len(unexpected),
            ", ".join(unexpected[:3]),
        )
    loaded.load_state_dict({name: tensors[name] for name in wanted}, strict=False, assign=True)


def _files(folder: Path) -> list[Path]:
    if (folder / _WHOLE).is_file():
        return [folder / _WHOLE]
    names = _json(folder / _INDEX).get("weight_map", {}).values()
    return [folder / name for name in sorted(set(names))]


def _json(file: Path) -> dict[str, Any]:  # JSON
    """The object in a file; one that is missing or malformed is left for transformers to tell."""
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
