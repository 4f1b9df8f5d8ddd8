"""What an external checkpoint holds beside the adapter, for those who load it elsewhere.

Knows no request. The adapter in PEFT's format is always there; merged weights and the like are made
by exporters, each in a folder of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from customize import Exportable, Exporter, OptionError, Renderer, choose_exporter
from customize_tinker.base import Base

MERGED = "merged"
_TOKENIZER = ("tokenizer*", "special_tokens_map.json", "chat_template*", "generation_config.json")


@attrs.frozen
class Forms:
    """Exporters by the name of the folder that each fills."""

    exporters: Mapping[str, Exporter] = attrs.field(factory=dict)

    @classmethod
    def named(cls, names: Sequence[str]) -> Forms:
        """``merged`` for whole weights in safetensors, else an exporter's name.

        Raises:
            UnknownName: nobody provides it.
            OptionError: the adapter itself is asked for, which is there without.
        """
        if "hf" in names:
            raise OptionError("the adapter is kept without asking: take merged, or leave hf out")
        return cls({name.rpartition(":")[2]: _exporter(name) for name in names})

    def write(self, name: str, base: Base, renderer: Renderer, adapter: Path) -> None:
        """Fill a folder for each form, within the one of the adapter.

        Raises:
            ExportError: the model or the adapter is none of those that a form is made of.
        """
        source = Exportable(name, base.folder, adapter, renderer)
        for exporter in self.exporters.values():
            exporter.check(source)
        for form, exporter in self.exporters.items():
            folder = adapter / form
            folder.mkdir()
            exporter.write(source, folder)
            _copy_tokenizer(base.folder.path, folder)


def _exporter(name: str) -> Exporter:
    return choose_exporter("hf", {"merged": True}) if name == MERGED else choose_exporter(name)


def _copy_tokenizer(model: Path, folder: Path) -> None:
    """As it is; what the exporter wrote itself stays."""
    for pattern in _TOKENIZER:
        for file in model.glob(pattern):
            if file.is_file() and not (folder / file.name).exists():
                shutil.copyfile(file, folder / file.name)
