"""The exporter ``onnx``. Knows which files a package has, and leaves the graph to others."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from customize import Exportable, Exporter, ExportError, option, options
from customize_onnx import files, genai
from customize_onnx.adapters import Adapter, Merged
from customize_onnx.architecture import read_architecture
from customize_onnx.quantizing import BITS, BLOCK
from customize_onnx.tensors import read_model

# It does not look for the template in tokenizer_config.json, where a package has it.
_GENAI = (
    "import json; import onnxruntime_genai as og; "
    "model = og.Model(sys.argv[1]); tokenizer = og.Tokenizer(model); "
    'settings = json.load(open(sys.argv[1] + "/tokenizer_config.json")); '
    'asked = json.dumps([{{"role": "user", "content": "Hello"}}]); '
    'text = tokenizer.apply_chat_template(asked, template_str=settings["chat_template"]); '
    "tokens = tokenizer.encode(text); limits = og.GeneratorParams(model); "
    "limits.set_search_options(max_length=len(tokens) + 64); "
    "generator = og.Generator(model, limits); {load}generator.append_tokens(tokens); "
    "[generator.generate_next_token() for _ in iter(generator.is_done, True)]; "
    "print(tokenizer.decode(generator.get_sequence(0)[len(tokens):]))"
)


@options
class ONNX(Exporter):
    """A graph for onnxruntime, that onnxruntime-genai loads too."""

    serves: ClassVar[str] = "onnxruntime"
    runtime: ClassVar[str] = "customize_onnx.generator:Generator"

    weights: str = option(
        default="float16",
        help="How weights are kept. float16 computes in float32 and loses nothing of a base in 16 "
        "bits; int8 is smaller and faster; int4 ruins small models.",
        choices=("float32", "float16", "int8", "int4"),
    )
    merged: bool = option(
        default=False,
        help="The adapter added into the weights, instead of beside a base that others share.",
    )
    context: int = option(
        default=32_768,
        help="Tokens of prompt and answer together, at most; never more than the model was made "
        "for.",
        at_least=1,
    )

    @property
    def precision(self) -> str:
        return self.weights

    @property
    def most_context(self) -> int:
        return self.context

    def check(self, source: Exportable) -> None:
        shape = read_architecture(source.model.path)
        if self.weights in BITS and shape.channels % BLOCK:
            raise ExportError(
                f"a model of width {shape.channels} cannot be kept in blocks of {BLOCK}: set "
                "weights=float16"
            )
        if source.is_adapter:
            Adapter.read(source.weights).check(shape.linears)

    def write(self, source: Exportable, folder: Path) -> None:
        # onnx is needed to write, and not by who looks up the runtime of a package.
        from customize_onnx.graph import build, without_adapters
        from customize_onnx.weight_file import WeightFile
        from customize_onnx.weights import kept_as

        shape = read_architecture(source.model.path)
        adapter = Adapter.read(source.weights) if source.is_adapter else None
        tensors = read_model(source.model.path if adapter else source.weights)
        context = min(self.context, shape.context)
        with WeightFile(folder / files.WEIGHTS) as file:
            given = Merged(tensors, adapter) if adapter and self.merged else tensors
            model = build(shape, given, kept_as(self.weights, file), file, context)
        model.metadata_props.add(key=files.KEPT_AS, value=self.weights)
        (folder / files.GRAPH).write_bytes(model.SerializeToString())
        (folder / files.PLAIN).write_bytes(without_adapters(model).SerializeToString())
        graph = files.PLAIN
        if adapter and not self.merged:
            graph = files.GRAPH
            (folder / files.ADAPTERS).mkdir()
            adapter.write(folder / files.ADAPTERS / (source.name + files.ADAPTER), shape.linears)
        genai.write_config(folder, shape, source, context, graph)

    def how_to_run(self, source: Exportable) -> Mapping[str, str]:
        apart = source.is_adapter and not self.merged
        name = json.dumps(source.name)
        adapter = f", adapter={name}" if apart else ""
        file = f"sys.argv[1] + {json.dumps(f'/{files.ADAPTERS}/{source.name}{files.ADAPTER}')}"
        load = (
            f"adapters = og.Adapters(model); adapters.load({file}, {name}); "
            f"generator.set_active_adapter(adapters, {name}); "
        )
        return {
            "onnxruntime, as a server": "customize serve {folder}",
            "onnxruntime, in Python": _python(
                "from customize_onnx import Generator; "
                f'asked = [{{"role": "user", "content": "Hello"}}]; '
                f"print(Generator(sys.argv[1]).reply(asked{adapter}))"
            ),
            "onnxruntime-genai, in Python": _python(_GENAI.format(load=load if apart else "")),
        }


def _python(code: str) -> str:
    """A command that runs it on the package."""
    return f"python -c {shlex.quote(f'import sys; {code}')} {{folder}}"
