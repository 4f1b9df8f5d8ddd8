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
    ParityError,
    check_parity,
    logprobs_of,
    option,
    options,
    reference_answers,
)

# Mean difference of log-probabilities that rounding explains, in nats, by what is stored.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}


@options
class HF(Exporter):
    """An adapter folder (PEFT), or merged weights (transformers)."""

    serves: ClassVar[str] = "transformers"

    merged: bool = option(default=False, help="Merged weights instead of the adapter alone.")
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
        stops = {"eos_token_id": list(source.engine.renderer.stop_tokens)}
        (folder / "generation_config.json").write_text(json.dumps(stops), "utf-8")
        (folder / "README.md").write_text(source.card, "utf-8")

    def _merge(self, source: Exportable, adapter: Path, folder: Path) -> None:
        import torch

        from customize_hf.merging import merge

        merge(source.model.path, adapter, folder, getattr(torch, self.dtype))

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
