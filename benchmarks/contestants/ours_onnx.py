"""customize's side of ONNX: exported once a way of keeping weights, answered by the generator."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from answer_times import Tokens, report, size_of

import customize
from customize import Exportable, Query, Sampling
from customize_onnx import Generator
from customize_onnx.exporter import ONNX


def main(asked: dict[str, Any]) -> None:
    """Answer in a process of its own."""
    kind = "adapter" if asked.get("adapter") else "bare" if asked.get("bare") else "plain"
    folder = Path(asked["work"], f"{asked['weights']}-{kind}")
    if not folder.exists():
        _export(folder, asked["weights"], kind)
    start = time.perf_counter()
    generator = Generator(folder, threads=asked["threads"])
    loaded_after = time.perf_counter() - start
    adapter = generator.adapters[0] if generator.adapters else None
    sampling = Sampling(max_tokens=asked["tokens"], temperature=0.0, stop_tokens=())

    def stream(prompt: Tokens) -> Iterator[int]:
        query = Query(prompt, sampling, adapter=adapter)
        return (said.token for said in generator.stream(query))

    def together(prompts: Sequence[Tokens]) -> Iterable[Tokens]:
        queries = [Query(prompt, sampling, adapter=adapter) for prompt in prompts]
        return [[said.token for said in row] for row in generator.together(queries)]

    prompts = [
        generator.renderer.prompt([{"role": "user", "content": q}]).tolist()
        for q in asked["questions"]
    ]
    report(loaded_after, size_of(folder, "model.onnx*"), prompts, stream, together)


def _export(folder: Path, weights: str, kind: str) -> None:
    model = customize.resolve("smollm2")
    beside = folder.with_name(f"{folder.name}.making")
    beside.mkdir()
    source = Exportable("a", model, model.path, customize.ChatRenderer.from_folder(model.path))
    if kind == "adapter":
        source = Exportable("a", model, _adapter(beside), source.renderer)
    ONNX(weights=weights).write(source, beside)
    if kind == "bare":
        take_inputs_out(beside / "model.onnx")
    for file in model.path.iterdir():
        if file.name.startswith("tokenizer") or file.name in _BESIDE:
            shutil.copyfile(file, beside / file.name)
    beside.rename(folder)


_BESIDE = ("chat_template.jinja", "generation_config.json")


def take_inputs_out(file: Path) -> None:
    """Leave of a graph what it computes without adapters: neither inputs for them nor the product
    and the sum that read these.
    """
    import onnx  # not in the process that answers, whose memory is measured

    model = onnx.load(file, load_external_data=False)
    graph = model.graph
    adapters = {given.name for given in graph.input if ".lora_" in given.name}
    theirs = [node for node in graph.node if not adapters.isdisjoint(node.input)]
    sums = {node.output[0]: node.input[2] for node in theirs if node.op_type == "Gemm"}
    dropped = adapters | {node.name for node in theirs}
    for values in (graph.node, graph.input, graph.initializer):
        kept = [value for value in values if value.name not in dropped]
        del values[:]
        values.extend(kept)
    for node in graph.node:
        node.input[:] = [sums.get(name, name) for name in node.input]
    onnx.save(model, file)


def _adapter(folder: Path) -> Path:
    from customize_torch.backend import CPU

    session = CPU(dtype="float32").load(customize.resolve("smollm2")).open(customize.LoRA())
    session.save_weights(folder / "peft")
    return folder / "peft"


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
