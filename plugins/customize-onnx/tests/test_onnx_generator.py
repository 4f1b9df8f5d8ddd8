"""The generator: text in and out, from a folder alone, without torch or transformers."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from tiny_decoders import export, write_adapter, write_model

from customize import (
    ChatRenderer,
    DataError,
    Exportable,
    ExportError,
    Manifest,
    ModelFolder,
    OptionError,
    Query,
    Sampling,
    open_package,
)
from customize_onnx import Generator
from customize_onnx.exporter import ONNX

ASKED = [{"role": "user", "content": "Café 🍕?"}]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generator")
    model = write_model(folder / "model", "llama, long")
    peft = write_adapter(folder / "peft", model, seed=1, rank=4)
    return export(model, folder / "out", peft, "mine", weights="float32")


@pytest.fixture(scope="module")
def generator(package: Path) -> Iterator[Generator]:
    made = Generator(package, threads=1)
    yield made
    made.close()


def test_a_reply_is_the_text_of_what_is_streamed(generator: Generator) -> None:
    sampling = Sampling(max_tokens=40, temperature=1.0)
    query = Query(generator.renderer.prompt(ASKED), sampling, seed=3, adapter="mine")
    tokens = [said.token for said in generator.stream(query)]
    wanted = generator._text(tokens)
    assert generator.reply(ASKED, sampling, adapter="mine", seed=3) == wanted
    pieces = [*generator.say(ASKED, sampling, adapter="mine", seed=3)]
    assert "".join(pieces) == wanted
    assert len(pieces) > 5


def test_replies_are_those_of_each_alone(generator: Generator) -> None:
    asked = [[{"role": "user", "content": "ab" * number}] for number in range(1, 12)]
    sampling = Sampling(max_tokens=9, temperature=0.0)
    alone = [generator.reply(messages, sampling) for messages in asked]
    assert generator.replies(asked, sampling) == alone
    assert generator.replies(asked, sampling, adapter="mine") != alone


def test_the_likeliest_tokens_are_taken_unless_sampling_says_otherwise(
    generator: Generator,
) -> None:
    greedy = Sampling(temperature=0.0)
    assert generator.reply(ASKED) == generator.reply(ASKED, greedy, seed=9)


def test_an_adapter_that_is_not_there_is_named(generator: Generator) -> None:
    with pytest.raises(OptionError, match="'other': there are mine"):
        generator.reply(ASKED, adapter="other")


def test_what_is_no_package_is_refused(tmp_path: Path, package: Path) -> None:
    with pytest.raises(ExportError, match=r"no model\.onnx"):
        Generator(tmp_path)
    shutil.copytree(package, tmp_path / "damaged")
    (tmp_path / "damaged" / "model.onnx").write_bytes(b"no graph at all")
    with pytest.raises(ExportError, match=r"model\.onnx cannot be loaded"):
        Generator(tmp_path / "damaged")
    with pytest.raises(ExportError, match="own adapter"):
        Generator(package, {"other": tmp_path})
    with pytest.raises(OptionError, match="two adapters are called 'mine'"):
        Generator(package, {"mine": package})
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "mine.onnx_adapter").write_bytes(b"no adapter at all")
    with pytest.raises(ExportError, match=r"no package: it has no package\.json"):
        Generator(package, {"other": tmp_path})
    shutil.copyfile(package / "package.json", tmp_path / "package.json")
    with pytest.raises(ExportError, match=r"mine\.onnx_adapter cannot be loaded"):
        Generator(package, {"other": tmp_path})


def test_an_adapter_that_was_put_into_a_package_is_not_its_own(
    tmp_path: Path, package: Path
) -> None:
    added = Path(shutil.copytree(package, tmp_path / "added"))
    for name in ("aaa", "zzz"):
        (added / "adapters" / f"{name}.onnx_adapter").write_bytes(b"no adapter at all")
    for made in (Generator(added, threads=1), Generator(package, {"again": added}, threads=1)):
        assert made.adapters[0] == "mine"
        assert not {"aaa", "zzz"} & {*made.adapters}
        made.close()
    (added / "adapters" / "mine.onnx_adapter").unlink()
    with pytest.raises(ExportError, match=r"holds no adapters/mine\.onnx_adapter"):
        Generator(added)
    attrs.evolve(Manifest.read(package), holds_adapter=False).write(added)  # merged
    (made := Generator(added, threads=1)).close()
    assert made.adapters == ()


def test_an_adapter_for_another_graph_is_refused(tmp_path: Path, package: Path) -> None:
    model = write_model(tmp_path / "model", "llama")  # of three layers; the package's has two
    peft = write_adapter(tmp_path / "peft", model, seed=1, rank=4)
    other = export(model, tmp_path / "out", peft, "other", weights="float32")
    # It claims to be of one base.
    attrs.evolve(Manifest.read(package), name="other").write(other)
    with pytest.raises(ExportError, match=r"other\.onnx_adapter changes model\.layers\.2\."):
        Generator(package, {"other": other})


def test_an_adapter_of_another_base_is_refused_though_it_fits(
    tmp_path: Path, package: Path
) -> None:
    model = write_model(tmp_path / "model", "llama, long")
    model = attrs.evolve(model, fingerprint="other weights of the same shapes")
    peft = write_adapter(tmp_path / "peft", model, seed=2, rank=4)
    other = export(model, tmp_path / "out", peft, "other", weights="float32")
    with pytest.raises(ExportError, match="theirs is no adapter of the base of mine"):
        Generator(package, {"theirs": other})
    merged = export(model, tmp_path / "merged", peft, "merged", weights="float32", merged=True)
    with pytest.raises(ExportError, match="the weights of merged are merged or whole"):
        Generator(merged, {"theirs": other})


def test_an_adapter_that_was_proven_on_other_weights_is_refused_though_it_fits(
    tmp_path: Path, package: Path
) -> None:
    """As one of a package in 16 bits beside the base in 32."""
    other = Path(shutil.copytree(package, tmp_path / "other"))
    attrs.evolve(Manifest.read(package), precision="float16").write(other)
    told = "theirs was proven on weights kept as float16, and those of mine are kept as float32"
    with pytest.raises(ExportError, match=told):
        Generator(package, {"theirs": other})
    with pytest.raises(ExportError, match=told):
        open_package(package, {"theirs": other})


@pytest.mark.parametrize("start", [0, 4, -1])
def test_logprobs_begin_where_something_precedes(generator: Generator, start: int) -> None:
    with pytest.raises(DataError, match="places 1 to 3"):
        generator.logprobs([1, 2, 3], start)


def test_neither_torch_nor_transformers_is_imported_to_answer(package: Path) -> None:
    code = f"""
import sys
from customize_onnx import Generator
import customize_onnx.exporter  # which a package's runtime is looked up by
generator = Generator({str(package)!r}, threads=1)
print(repr(generator.reply([{{"role": "user", "content": "hi"}}], adapter="mine")))
print({{"torch", "transformers", "onnx", "peft"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_no_connection_is_made_to_answer(package: Path) -> None:
    code = f"""
import os, sys
sys.addaudithook(lambda event, given: event.startswith("socket.") and os._exit(3))
from customize_onnx import Generator
generator = Generator({str(package)!r}, threads=1)
print(repr(generator.reply([{{"role": "user", "content": "hi"}}], adapter="mine")))
"""
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_the_context_is_the_models_own_or_what_was_asked(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama")
    short = Generator(export(model, tmp_path / "short", context=100), threads=1)
    long = Generator(export(model, tmp_path / "long", context=10_000), threads=1)
    assert (short.context, long.context) == (100, 256)
    assert len([*short.stream(Query([1] * 98, Sampling(stop_tokens=())))]) == 2
    short.close()
    long.close()


def test_a_package_of_before_that_has_no_plain_graph_answers_as_it_did(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama")
    package = export(model, tmp_path / "out", weights="float32")
    said = []
    for _ in range(2):
        generator = Generator(package, threads=1)
        said.append([*generator.stream(Query([1, 2, 3], Sampling(max_tokens=9)))])
        generator.close()
        (package / "plain.onnx").unlink(missing_ok=True)
    assert said[0] == said[1]


def test_the_base_answers_beside_adapters_as_it_does_alone(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama")
    adapter = write_adapter(tmp_path / "peft", model, seed=1, rank=4)
    alone = Generator(export(model, tmp_path / "whole", weights="int8"), threads=1)
    beside = Generator(export(model, tmp_path / "out", adapter, "mine", weights="int8"), threads=1)
    asked = [Query([1, 2, 3 + n], Sampling(max_tokens=9)) for n in range(3)]
    others = [attrs.evolve(one, adapter="mine") for one in asked]
    wanted = [[*said] for said in alone.together(asked)]
    found = [[*said] for said in beside.together([*others, *asked])]
    assert found[3:] == wanted != found[:3]
    alone.close()
    beside.close()


def test_a_graph_of_before_answers_for_the_base_with_empty_inputs(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama")
    adapter = write_adapter(tmp_path / "peft", model, seed=1, rank=4)
    package = export(model, tmp_path / "out", adapter, "mine", weights="int8")
    query, said = Query([1, 2, 3], Sampling(max_tokens=9)), []
    for _ in range(2):
        generator = Generator(package, threads=1)
        said.append([*generator.stream(query)])
        generator.close()
        (package / "plain.onnx").unlink(missing_ok=True)
    assert said[0] == said[1]


def test_stop_tokens_are_written_for_other_runtimes(package: Path, generator: Generator) -> None:
    said = json.loads((package / "genai_config.json").read_text())
    assert said["model"]["eos_token_id"] == [*generator.renderer.stop_tokens]


def test_what_a_package_says_of_how_it_is_run_works(package: Path, tmp_path: Path) -> None:
    model = ModelFolder(tmp_path, "any", "any")
    (tmp_path / "adapter_config.json").write_text("{}")
    what = Exportable("mine", model, tmp_path, ChatRenderer.from_folder(package))
    told = ONNX().how_to_run(what)
    assert told["onnxruntime, as a server"] == "customize serve {folder}"
    _, *asked = shlex.split(told["onnxruntime, in Python"].replace("{folder}", str(package)))
    done = subprocess.run([sys.executable, *asked], capture_output=True, text=True, check=True)
    assert done.stdout
