"""The exporter ``hf``. Knows the layout of Hugging Face folders."""

import json
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from customize import Exportable, Exporter, ExportError, option, options
from customize_hf import adapters

_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "customize.json")


@options
class HF(Exporter):
    """An adapter folder (PEFT), or whole weights (transformers)."""

    serves: ClassVar[str] = "transformers"
    runtime: ClassVar[str] = "customize_hf.runtime:Transformers"

    merged: bool = option(default=False, help="Whole weights instead of the adapter alone.")
    dtype: str = option(
        default="float32",
        help="How whole weights are stored; an adapter is always float32.",
        choices=("float32", "bfloat16"),
    )
    shard_mb: int = option(
        default=5000, help="Size of a file of whole weights at most, in MB.", at_least=1
    )

    @property
    def precision(self) -> str:
        return self.dtype

    def needs_base(self, source: Exportable) -> bool:
        return source.is_adapter and not self.merged

    def check(self, source: Exportable) -> None:
        if not source.is_adapter:
            return
        if not self.merged and self.dtype != "float32":
            raise ExportError(
                f"dtype={self.dtype} is for whole weights, and an adapter is always float32: set "
                "merged=true, or leave dtype out"
            )
        adapter = adapters.read(source.weights)
        fault = adapter.unmergeable() if self.merged else adapter.unservable()
        if fault is not None:
            raise ExportError(fault)

    def write(self, source: Exportable, folder: Path) -> None:
        if self.needs_base(source):
            _copy_adapter(source, folder)
            return
        from customize_hf.merging import merge

        base = source.model.path if source.is_adapter else None
        merge(base, source.weights, folder, self.dtype, self.shard_mb * 10**6)
        _copy_config(source.model.path, folder, self.dtype)

    def how_to_run(self, source: Exportable) -> Mapping[str, str]:
        if not self.needs_base(source):
            return {
                "vLLM": "vllm serve {folder}",
                "SGLang": "python -m sglang.launch_server --model-path {folder}",
            }
        model, name = source.model, shlex.quote(source.name)
        # Servers know models of the hub by name; any other by its folder.
        base = f"{model.name} --revision {model.revision}" if model.revision else "{base}"
        rank = adapters.served_rank(adapters.read(source.weights).rank)
        return {
            "vLLM": f"vllm serve {base} --enable-lora --max-lora-rank {rank} "
            f"--lora-modules {name}={{folder}}",
            "SGLang": f"python -m sglang.launch_server --model-path {base} --enable-lora "
            f"--max-lora-rank {rank} --lora-paths {name}={{folder}}",
        }


def _copy_adapter(source: Exportable, folder: Path) -> None:
    for name in _ADAPTER:
        if (source.weights / name).is_file():
            shutil.copyfile(source.weights / name, folder / name)
    model = source.model  # one of the hub is found by all; of another PEFT has the folder here
    name = str(model.path) if model.revision is None else model.name
    place = {"base_model_name_or_path": name, "revision": model.revision}
    _set_json(folder / _ADAPTER[0], place)


def _copy_config(model: Path, folder: Path, dtype: str) -> None:
    shutil.copyfile(model / "config.json", folder / "config.json")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    key = "torch_dtype" if "torch_dtype" in config else "dtype"
    _set_json(folder / "config.json", {key: dtype})


def _set_json(file: Path, more: Mapping[str, Any]) -> None:
    """What the file says already stays, but for these keys."""
    known = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**known, **more}, indent=1), "utf-8")
