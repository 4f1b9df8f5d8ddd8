"""The exporter: the adapter, in a file that its runtime beside it reads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from customize import Exportable, Exporter, ExportError, option, options

FILES = ("adapter_config.json", "adapter_model.safetensors", "customize.json")


@options
class Example(Exporter):
    """The adapter alone, for runtimes that have its base."""

    serves: ClassVar[str] = "transformers"
    runtime: ClassVar[str] = "acme_example.runtime:Answers"

    largest_mb: int = option(
        default=1000, help="Adapters larger than this are refused, in MB.", at_least=1
    )

    @property
    def precision(self) -> str:
        return "float32"

    def needs_base(self, source: Exportable) -> bool:
        return True

    def check(self, source: Exportable) -> None:
        if not source.is_adapter:
            raise ExportError("all weights were trained: only an adapter can be exported")
        size = sum((source.weights / name).stat().st_size for name in FILES)
        if size > self.largest_mb * 10**6:
            raise ExportError(f"the adapter has {size} bytes: set largest_mb higher")

    def write(self, source: Exportable, folder: Path) -> None:
        for name in FILES:
            shutil.copyfile(source.weights / name, folder / name)
