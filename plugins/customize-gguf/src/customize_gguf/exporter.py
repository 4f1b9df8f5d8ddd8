"""The exporter ``gguf``: files for llama.cpp, Ollama and what is built on them. Runs neither."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tokenizers import Tokenizer

from customize import Exportable, Exporter, ExportError, ModelError, option, options
from customize_gguf import _ggml, _llama, _writing
from customize_gguf._adapter import PeftAdapter
from customize_gguf._modelfile import Frame, Messages, modelfile
from customize_gguf._source import DTYPES, Source
from customize_gguf._tokenizer import Vocabulary

MODEL, ADAPTER, MODELFILE = "model.gguf", "adapter.gguf", "Modelfile"
MAX_CONTEXT = 4096  # tokens that the runtime here takes, whatever the model holds
_CONVERTED = ("f32", "f16", "bf16", "q8_0")  # that llama.cpp's own converter writes
PLAIN = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


@options
class GGUF(Exporter):
    """GGUF files, and a Modelfile for Ollama."""

    serves: ClassVar[str] = "llama.cpp"
    runtime: ClassVar[str] = "customize_gguf.runtime:LlamaCpp"

    dtype: str = option(
        default="f16",
        help="How the base's weights, or whole ones, are stored; an adapter is always f32.",
        choices=tuple(DTYPES),
    )
    merged: bool = option(
        default=False, help="The adapter added to the weights, instead of a file of its own."
    )
    base: bool = option(
        default=True,
        help="The base beside the adapter. Without it llama.cpp's own file of it is needed; "
        "customize makes that of the base's folder, for as long as the package is open.",
    )

    @property
    def precision(self) -> str:
        return PLAIN.get(self.dtype, self.dtype)

    @property
    def most_context(self) -> int:
        return MAX_CONTEXT

    def check(self, source: Exportable) -> None:
        if DTYPES[self.dtype][0] in _ggml.TYPES:
            _ggml.check()
        if not self.base and (self.merged or not source.is_adapter):
            raise ExportError(
                "base=false is for an adapter in a file of its own: leave it out with merged=true, "
                "or where all weights were trained"
            )
        self._plan(source)
        _llama.check()

    def needs_base(self, source: Exportable) -> bool:
        return source.is_adapter and not self.merged and not self.base

    def write(self, source: Exportable, folder: Path) -> None:
        model, adapter = self._plan(source)
        if not self.needs_base(source):
            write_model(model, source.name, self.dtype, folder, adapter if self.merged else None)
        beside = adapter is not None and not self.merged
        if adapter is not None and beside:
            said = model.adapter_metadata(source.name, adapter, self.dtype)
            _writing.write(folder / ADAPTER, said, model.adapter_tensors(adapter))
        if self.base:
            stops = [model.vocabulary.tokens[token] for token in source.renderer.stop_tokens]
            frame = _frame(source, model.vocabulary)
            text = modelfile(ADAPTER if beside else None, stops, frame)
            (folder / MODELFILE).write_text(text, "utf-8")

    def how_to_run(self, source: Exportable) -> Mapping[str, str]:
        beside = source.is_adapter and not self.merged
        lora = f" --lora {{folder}}/{ADAPTER}" if beside else ""
        if self.needs_base(source):
            kept = self.dtype if self.dtype in _CONVERTED else "f16"
            make = f"convert_hf_to_gguf.py {{base}} --outtype {kept} --outfile base.gguf"
            return {"llama.cpp": f"{make} && llama-server --jinja -m base.gguf{lora}"}
        return {
            "llama.cpp": f"llama-server --jinja -m {{folder}}/{MODEL}{lora}",
            "Ollama": f"ollama create {shlex.quote(source.name)} -f {{folder}}/{MODELFILE}",
        }

    def _plan(self, source: Exportable) -> tuple[Source, PeftAdapter | None]:
        """The model and the adapter, or whole weights.

        Raises:
            ExportError: GGUF cannot say them.
        """
        weights = None if source.is_adapter else source.weights
        try:
            model = Source.read(source.model.path, source.renderer.stop_tokens, weights)
            if weights is not None:
                return model, None
            adapter = PeftAdapter.read(source.weights)
            model.check_adapter(adapter)
        except ModelError as error:
            raise ExportError(str(error)) from error
        return model, adapter


def write_model(
    model: Source, name: str, dtype: str, folder: Path, adapter: PeftAdapter | None = None
) -> None:
    """Write the whole model, with an adapter's updates where one is given."""
    _writing.write(folder / MODEL, model.metadata(name, dtype), model.tensors(dtype, adapter))


def _frame(source: Exportable, vocabulary: Vocabulary) -> Frame | None:
    tokenizer = Tokenizer.from_file(str(source.model.path / "tokenizer.json"))

    def prompt(messages: Messages) -> str:
        tokens = source.renderer.prompt(messages).tolist()
        # What llama.cpp begins with by itself is not the template's to say.
        begins = vocabulary.adds_bos and tokens[:1] == [vocabulary.roles.get("bos")]
        return str(tokenizer.decode(tokens[begins:], skip_special_tokens=False))

    return Frame.find(prompt)
