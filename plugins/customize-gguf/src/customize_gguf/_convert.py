"""From a GGUF file to a folder that any loader of the field reads. Knows nothing of caches."""

from __future__ import annotations

import functools
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
from tokenizers import Tokenizer

from customize import ModelError, OptionError
from customize_gguf import _rope, _safetensors
from customize_gguf._families import Floats, Layout, Weight
from customize_gguf._metadata import Metadata
from customize_gguf._reader import GGUFFile, Tensor, open_gguf
from customize_gguf._safetensors import Entry
from customize_gguf._tokenizer import Vocabulary

Json = dict[str, object]
_LICENCE = re.compile(r"[A-Za-z][A-Za-z0-9.+-]*")  # an identifier, as the hub has them


def convert(gguf: Path, to: Path, dtype: str = "bfloat16") -> Path:
    """Write the model in ``gguf`` as an ordinary folder ``to``, and return ``to``.

    The weights are the dequantised ones bit for bit ("float32"), or these rounded to nearest,
    ties to even ("bfloat16"). The folder appears whole or not at all.

    Raises:
        ModelError: the file is damaged, or of a family, tokenizer or type that is not supported.
        OptionError: ``dtype`` is unknown, or ``to`` exists and is not an empty folder.
    """
    if dtype not in _safetensors.DTYPES:
        raise OptionError(f"dtype must be one of {', '.join(_safetensors.DTYPES)} (got {dtype!r})")
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise OptionError(f"{to} exists already; name a new or empty folder")
    to.parent.mkdir(parents=True, exist_ok=True)
    beside = to.parent / f".{to.name}.{secrets.token_hex(6)}"
    beside.mkdir()
    try:
        with open_gguf(gguf) as file:
            _write_folder(file, beside, dtype)
        if to.exists():
            to.rmdir()
        beside.rename(to)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return to


def _write_folder(file: GGUFFile, folder: Path, dtype: str) -> None:
    metadata = Metadata(file.metadata)
    layout = _layout(metadata, file.tensors)
    vocabulary = Vocabulary.of_gguf(metadata)
    entries = list(_entries(layout, file.tensors))
    config = layout.config()
    _write_tokenizer(vocabulary, folder)
    ids = {f"{role}_token_id": vocabulary.roles.get(role) for role in ("bos", "eos", "pad")}
    ids["eos_token_id"] = vocabulary.ends[0]
    _write_json(folder / "config.json", config | ids | {"dtype": dtype})
    ends = vocabulary.ends if len(vocabulary.ends) > 1 else vocabulary.ends[0]
    _write_json(folder / "generation_config.json", ids | {"eos_token_id": ends})
    _write_json(folder / "tokenizer_config.json", vocabulary.settings(layout.context))
    _write_card(metadata, folder)
    _safetensors.write(folder / "model.safetensors", entries, dtype)


def _write_card(metadata: Metadata, folder: Path) -> None:
    """The licence, where the file says it, as cards of the hub do; what is trained inherits it."""
    licence = metadata.values.get("general.license")
    if not isinstance(licence, str) or not _LICENCE.fullmatch(licence):
        return
    name = metadata.values.get("general.name")
    title = " ".join(name.split()) if isinstance(name, str) else "A model"
    text = f"---\nlicense: {licence}\n---\n\n# {title}\n\nConverted from a GGUF file.\n"
    (folder / "README.md").write_text(text, "utf-8", newline="\n")


def _layout(metadata: Metadata, tensors: Mapping[str, Tensor]) -> Layout:
    layout = Layout.of_gguf(metadata, tensors)
    if not layout.family.stretches or _rope.TENSOR not in tensors:
        return layout
    divisors_H = _checked(tensors, _rope.TENSOR, (layout.head // 2,)).dequantised()
    stretch = _rope.Llama3.of_divisors(divisors_H, layout.theta, metadata)
    return attrs.evolve(layout, stretch=stretch)


def _entries(layout: Layout, tensors: Mapping[str, Tensor]) -> Iterator[Entry]:
    """Every weight of the model under its Hugging Face name.

    Raises:
        ModelError: a tensor is missing, left over, or not of the shape the metadata imply.
    """
    wanted = {weight.gguf: weight for weight in layout.weights()}
    known = {*wanted, *([_rope.TENSOR] if layout.family.stretches else [])}
    if left_over := sorted(tensors.keys() - known):
        raise ModelError(
            f"the GGUF file has tensors that a plain {layout.name} model has not: "
            f"{', '.join(left_over[:5])}; this variant is not supported"
        )
    for name, weight in wanted.items():
        tensor = _checked(tensors, name, weight.shape)
        yield Entry(weight.name, weight.shape, functools.partial(_load, weight, tensor))


def _checked(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in tensors:
        raise ModelError(f"the GGUF file lacks the tensor {name!r}")
    if tensors[name].shape != shape:
        raise ModelError(
            f"the GGUF file's tensor {name!r} has shape {tensors[name].shape}, "
            f"but its metadata imply {shape}"
        )
    return tensors[name]


def _load(weight: Weight, tensor: Tensor) -> Floats:
    return weight.in_halves(tensor.dequantised())


def _write_tokenizer(vocabulary: Vocabulary, folder: Path) -> None:
    path = folder / "tokenizer.json"
    _write_json(path, vocabulary.tokenizer())
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers package raises plain Exception
        raise ModelError(f"the GGUF vocabulary makes no tokenizer: {error}") from error
    if tokenizer.get_vocab_size(with_added_tokens=True) > len(vocabulary.tokens):
        raise ModelError("the GGUF vocabulary makes a tokenizer with more ids than embeddings")


def _write_json(path: Path, value: Json) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
