"""Runs of a tiny random model as packages: opened, verified, served and trained again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import customize
from customize import (
    DataError,
    ExportError,
    Manifest,
    ModelError,
    OptionError,
    ParityError,
    Query,
    Run,
    RunError,
    Sampling,
    UnknownName,
    Unsupported,
)
from customize.cli.group import cli
from customize.testing import write_tiny_model
from customize_hf import merging

pytest.importorskip("torch")
pytestmark = pytest.mark.slow


def rows(count: int = 24) -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"What is {n}?"},
                {"role": "assistant", "content": f"It is {n * 7 % 10}."},
            ]
        }
        for n in range(count)
    ]


def trained(folder: Path, **settings: Any) -> Run:
    """A run that is far from its base."""
    data = folder / "rows.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows()), "utf-8")
    given: dict[str, Any] = {"options": {"lr": 0.03, "epochs": 2.0}, "adapter": {"rank": 4}}
    return customize.train(
        model=folder / "model", data=data, to=folder / "run", backend="cpu", **{**given, **settings}
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("hf")
    write_tiny_model(folder / "model")
    (folder / "model" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A base\n")
    return trained(folder)


@pytest.fixture(scope="module")
def package(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("package") / "out"
    run.export("hf", to)
    return to


def base_of(run: Run) -> Path:
    assert run.model is not None
    return run.model.path


def test_an_adapter_is_a_package_that_says_how_servers_load_it(package: Path) -> None:
    manifest = Manifest.read(package)
    assert (manifest.format, manifest.precision) == ("customize-hf:hf", "float32")
    assert manifest.how_to_run["vLLM"] == (
        "vllm serve {base} --enable-lora --max-lora-rank 8 --lora-modules run={folder}"
    )
    figures = manifest.parity["figures"]
    assert figures["kl"] < 1e-8
    assert figures["mean_difference_to_base"] > 0.1
    kept = json.loads((package / "parity" / "cases.json").read_text())
    assert figures["prompts"] == len(kept) + 6  # of the run's own rows, which stay at home
    assert manifest.parity["rows"] == {"asked": 6, "told": "rows.jsonl"}
    generation = json.loads((package / "generation_config.json").read_text())
    assert generation["eos_token_id"] == list(manifest.stop_tokens)
    card = (package / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: peft\nlicense: apache-2.0\n")
    assert "data: sha256" in card
    assert "* adapter: rank 4," in card


def test_peft_finds_the_base_and_so_does_customize(run: Run, package: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    model = AutoPeftModelForCausalLM.from_pretrained(package)
    assert model.peft_config["default"].base_model_name_or_path == str(base_of(run))
    opened = customize.open(package, backend=run.backend)
    assert opened.model is not None
    assert opened.model.path == base_of(run)


def test_what_was_measured_stands_in_the_runs_report(run: Run, package: Path) -> None:
    assert run.folder is not None
    about = run.folder.packages()[str(package)]
    measured = Manifest.read(package).parity["measured"]
    assert about == {
        "format": "customize-hf:hf",
        "precision": "float32",
        "verdict": "passed",
        "measured": measured,
    }
    page = (run.folder.path / "report.html").read_text("utf-8")
    size = sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
    for told in (f"{measured['tokens_per_s']:,.0f}", f"{size / 1e6:,.1f} MB"):
        assert f'<td class="number">{told}</td>' in page
    assert "hf, float32" in page


def test_a_package_answers_as_its_run_opened_by_a_backend_or_by_its_runtime(
    run: Run, package: Path
) -> None:
    from customize_torch.backend import CPU

    assert run.folder is not None
    exact = CPU(dtype="float32")  # as the runtime computes
    opened = customize.open(package, backend=exact, base=base_of(run))
    wanted = customize.open(run.folder.path, backend=exact).reply("What is 3?", max_tokens=12)
    assert opened.reply("What is 3?", max_tokens=12) == wanted
    assert opened.reply("What is 3?", max_tokens=12, base=True) != wanted
    runtime = customize.open_package(package, {"again": package}, base_of(run))
    assert runtime.adapters == ("run", "again")
    assert runtime.own_stops() == {"generation_config.json": {*runtime.renderer.stop_tokens}}
    own = {"prompts": "equal", "stop_tokens": "equal"}
    assert Manifest.read(package).parity["own"] == own
    prompt = runtime.renderer.prompt([{"role": "user", "content": "What is 3?"}])
    sampling = Sampling(max_tokens=12, temperature=0.0)
    for name in runtime.adapters:
        said = [one.token for one in runtime.stream(Query(prompt, sampling, adapter=name))]
        assert runtime.renderer.decode(np.asarray(said, np.int32)).strip() == wanted
    with pytest.raises(OptionError, match="no adapter is called 'third'"):
        next(runtime.stream(Query(prompt, sampling, adapter="third")))


def test_another_base_is_refused(run: Run, package: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "model", seed=7)
    with pytest.raises(ModelError, match="trained on another base"):
        customize.open_package(package, base=other.path)
    away = base_of(run).rename(tmp_path / "away")
    try:
        with pytest.raises(UnknownName, match="'model'"):
            customize.open(package)
        with pytest.raises(UnknownName, match=r"base of run is not found: .*--base"):
            customize.verify(package)
    finally:
        away.rename(base_of(run))
    with pytest.raises(OptionError, match="is for exported adapters"):
        customize.open(other.path, base=other.path)


def test_a_package_is_verified_and_trained_again(run: Run, package: Path, tmp_path: Path) -> None:
    assert customize.verify(package, base_of(run)).passed
    again = customize.reproduce(package, tmp_path / "again")
    assert again.is_equal, str(again)
    other = rows()
    other[5]["messages"][1]["content"] = "Otherwise."
    changed = tmp_path / "changed.jsonl"
    changed.write_text("\n".join(json.dumps(row) for row in other), "utf-8")
    found = customize.reproduce(package, tmp_path / "changed", changed)
    assert str(found.first).startswith("what went in: data was ")


def test_merged_weights_are_rounded_and_compared(tmp_path: Path) -> None:
    """A base as models are published, whose own weights bfloat16 holds."""
    write_tiny_model(tmp_path / "model", rounded=True)
    run = trained(tmp_path, options={"lr": 0.003, "epochs": 2.0})
    manifest = run.export("hf", tmp_path / "out", merged=True, dtype="bfloat16")
    figures = manifest.parity["figures"]
    assert manifest.parity["verdict"] == "passed"
    assert 0 < figures["kl"] < 1e-4
    assert figures["share_of_customization"] == pytest.approx(1, abs=0.05)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    opened = customize.open(tmp_path / "out", backend=run.backend)
    assert opened.model is not None
    assert isinstance(opened.reply("What is 3?", max_tokens=3), str)
    with pytest.raises(Unsupported, match="merged or whole"):
        opened.reply("What is 3?", base=True)


def test_a_merge_that_does_nothing_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_updates", lambda weights, known: {})
    told = "answers as the base does: 0% of what was trained"
    to = tmp_path / "out"
    with pytest.raises(ParityError, match=told):
        run.export("hf", to, merged=True)
    assert [p.name for p in to.iterdir()] == ["parity.json"]
    assert run.folder is not None
    asked = ["export", str(run.folder.path), "hf", "--to", str(to), "--set", "merged=true"]
    assert run.folder.packages()[str(to)]["verdict"] == "failed"
    assert "hf, float32, failed its proof" in (run.folder.path / "report.html").read_text("utf-8")
    done = CliRunner().invoke(cli, [*asked, "--despite-parity"], catch_exceptions=False)
    assert f"Written: {to}\nParity: failed, for weights in float32\n" in done.output
    assert Manifest.read(to).parity["verdict"] == "failed"
    card = (to / "README.md").read_text("utf-8")
    assert "**It answers otherwise than the run, and was kept all the same**" in card
    assert told in card


def test_where_the_rows_are_gone_only_an_export_without_them_is_made(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    own = trained(tmp_path)
    (tmp_path / "rows.jsonl").unlink()
    assert own.folder is not None
    asked = ["export", str(own.folder.path), "hf", "--to", str(tmp_path / "out")]
    refused = CliRunner().invoke(cli, asked)
    assert isinstance(refused.exception, DataError)
    assert "--without-rows" in str(refused.exception)
    assert not (tmp_path / "out").exists()
    made = CliRunner().invoke(cli, [*asked, "--without-rows"], catch_exceptions=False)
    told = "the run's own rows that were asked: none: they were left out, as was asked for"
    assert told in made.output
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert f"* {told}\n" in card
    rows = Manifest.read(tmp_path / "out").parity["rows"]
    assert rows == {"asked": 0, "told": "they were left out, as was asked for"}


def test_what_cannot_be_exported_is_refused_before_anything_is_loaded(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(run.backend), "load", lambda *given: pytest.fail("it loads"))
    with pytest.raises(ExportError, match="an adapter is always float32"):
        run.export("hf", tmp_path / "out", dtype="bfloat16")
    with pytest.raises(RunError, match="there is nothing to export"):
        customize.open(base_of(run), backend=run.backend).export("hf", tmp_path / "out")
    assert run.folder is not None
    lineage = run.folder.path / "lineage.json"
    kept = lineage.read_text()
    lineage.write_text(kept.replace(json.loads(kept)["model"], "0" * 64))
    with pytest.raises(ModelError, match="is not the base that"):
        run.export("hf", tmp_path / "out")
    lineage.write_text(kept)
    finished = run.folder.path / "finished.json"
    facts = finished.read_text()
    finished.unlink()
    with pytest.raises(RunError, match="is not finished"):
        run.export("hf", tmp_path / "out")
    finished.write_text(facts)
    assert not list(tmp_path.iterdir())


def test_weights_of_full_fine_tuning_are_exported_whole(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    full = trained(tmp_path, adapter="full")
    manifest = full.export("hf", tmp_path / "out")
    assert not manifest.needs_base
    assert manifest.parity["figures"]["mean_difference_to_base"] > 0.1
    assert not (tmp_path / "out" / "adapter_config.json").exists()
