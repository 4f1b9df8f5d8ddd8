"""customize's side of ONNX: exported once a way of keeping weights, answered by the generator."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from answer_times import Tokens, report, size_of

import customize
from customize import Exportable, Query, Sampling
from customize_onnx import Generator
from customize_onnx.exporter import ONNX


def main(asked: dict[str, Any]) -> None:
    """Answer in a process of its own."""
    has_adapter = "adapter" in asked
    folder = Path(asked["work"], f"{asked['weights']}-{'adapter' if has_adapter else 'plain'}")
    if not folder.exists():
        # In a process of its own too: the memory of this one is measured.
        exporting = get_context("spawn").Process(
            target=_export, args=(folder, asked["weights"], has_adapter)
        )
        exporting.start()
        exporting.join()
    start = time.perf_counter()
    generator = Generator(folder, threads=asked["threads"])
    loaded_after = time.perf_counter() - start
    adapter = generator.adapters[0] if asked.get("adapter") == "asked" else None
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
    report(loaded_after, size_of(folder, "*.onnx*"), prompts, stream, together)


def _export(folder: Path, weights: str, has_adapter: bool) -> None:
    model = customize.resolve("smollm2")
    beside = folder.with_name(f"{folder.name}.making")
    beside.mkdir()
    source = Exportable("a", model, model.path, customize.ChatRenderer.from_folder(model.path))
    if has_adapter:
        source = Exportable("a", model, _adapter(beside), source.renderer)
    ONNX(weights=weights).write(source, beside)
    for file in model.path.iterdir():
        if file.name.startswith("tokenizer") or file.name in _BESIDE:
            shutil.copyfile(file, beside / file.name)
    beside.rename(folder)


_BESIDE = ("chat_template.jinja", "generation_config.json")


def _adapter(folder: Path) -> Path:
    from customize_torch.backend import CPU

    session = CPU(dtype="float32").load(customize.resolve("smollm2")).open(customize.LoRA())
    session.save_weights(folder / "peft")
    return folder / "peft"


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
