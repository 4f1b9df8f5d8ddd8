"""The exporter ``hf``. Knows the layout of Hugging Face folders."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs

from customize import (
    Exportable,
    Exporter,
    ExportError,
    ModelFolder,
    ParityError,
    check_parity,
    logprobs_of,
    option,
    options,
    reference_answers,
)

# Mean difference of log-probabilities that rounding explains, in nats, by what is stored.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}
_PEFT = "adapter_config.json"


@options
class HF(Exporter):
    """An adapter folder (PEFT), or whole weights (transformers)."""

    serves: ClassVar[str] = "transformers"

    merged: bool = option(default=False, help="Whole weights instead of the adapter alone.")
    dtype: str = option(
        default="float32",
        help="How merged weights are stored; an adapter is always float32.",
        choices=("float32", "bfloat16"),
    )

    def export(self, source: Exportable, to: Path) -> Mapping[str, float]:
        if to.exists():
            raise ExportError(f"{to} exists: give a new folder, nothing is overwritten")
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.") as work:
            folder = Path(work) / "folder"
            self._write(source, folder)
            figures = self._compare(source, folder, Path(work))
            (folder / "parity.json").write_text(json.dumps(figures, indent=1), "utf-8")
            folder.rename(to)
        return figures

    def _write(self, source: Exportable, folder: Path) -> None:
        adapter = folder if not self.merged else folder.parent / "adapter"
        source.session.save_weights(adapter)
        folder.mkdir(exist_ok=True)
        if self.merged:
            self._merge(source, adapter, folder)
        for file in source.model.path.iterdir():
            is_text = file.suffix in (".json", ".jinja") and "safetensors" not in file.name
            if is_text and (self.merged or file.name not in ("config.json", "model.json")):
                shutil.copyfile(file, folder / file.name)
        _set_json(
            folder / "generation_config.json",
            {"eos_token_id": list(source.engine.renderer.stop_tokens)},
        )
        if (folder / _PEFT).is_file():
            _say_base(source.model, folder)
        (folder / "README.md").write_text(source.card, "utf-8")

    def _merge(self, source: Exportable, weights: Path, folder: Path) -> None:
        import torch

        from customize_hf.merging import merge

        base = source.model.path if (weights / _PEFT).is_file() else None
        merge(base, weights, folder, getattr(torch, self.dtype))

    def _compare(self, source: Exportable, folder: Path, work: Path) -> dict[str, float]:
        answers = reference_answers(source.session, source.prompts)
        asked = {
            "base": str(source.model.path),
            "messages": [list(messages) for messages in source.prompts],
            "answers": [attrs.asdict(answer) for answer in answers],
        }
        got = _reloaded(folder, asked, work)
        for number, (answer, prompt) in enumerate(zip(answers, got["prompts"], strict=True)):
            if list(answer.prompt) != prompt:
                raise ParityError(f"prompt {number + 1}: the export's tokenizer gives other tokens")
        base = logprobs_of(source.engine.base(), answers)
        stored = self.dtype if self.merged else "float32"
        return check_parity(answers, got["scored"], base, _TOLERANCE[stored])


def _say_base(model: ModelFolder, folder: Path) -> None:
    """Where to look for the base: for PEFT only a model of the hub has a place."""
    _set_json(folder / "customize.json", {"model": model.name})
    if model.revision is not None:
        place = {"base_model_name_or_path": model.name, "revision": model.revision}
        _set_json(folder / _PEFT, place)


def _set_json(file: Path, more: Mapping[str, Any]) -> None:
    """What the file says already stays, but for these keys."""
    known = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    file.write_text(json.dumps({**known, **more}, indent=1), "utf-8")


def _reloaded(folder: Path, asked: Mapping[str, Any], work: Path) -> dict[str, Any]:
    """What a fresh process says with the folder."""
    (work / "asked.json").write_text(json.dumps(asked), "utf-8")
    command = [sys.executable, "-m", "customize_hf.reload"]
    paths = [str(folder), str(work / "asked.json"), str(work / "got.json")]
    done = subprocess.run([*command, *paths], capture_output=True, text=True)
    if done.returncode:
        raise ExportError(f"the export cannot be loaded again:\n{done.stderr[-2000:]}")
    got: dict[str, Any] = json.loads((work / "got.json").read_text("utf-8"))
    return got
