"""A run that answers from documents as a package: the same answers, documents swapped, served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rag_corpus import PAIRS, TEXTS

import customize
from customize import DataError, ExportError, Manifest
from customize.cli.group import cli
from customize.packaging.manifest import damage
from customize.runs import assistant_package
from customize.testing import write_tiny_model

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

ASKED = "When does the Clock Shop open?"
OPTIONS: dict[str, Any] = {"k": 1, "replay": 0.0, "batch_size": 2, "max_rows": 4}
FORMS = ["hf", *(["onnx"] if find_spec("onnxruntime") else [])]


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    for name, text in TEXTS.items():
        (folder / f"{name}.md").write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="module")
def run(docs: Path, tmp_path_factory: pytest.TempPathFactory) -> customize.Run:
    folder = tmp_path_factory.mktemp("run")
    write_tiny_model(folder / "model")
    questions = folder / "questions.jsonl"
    pairs = [{**pair, "document": f"{pair['document']}.md"} for pair in PAIRS]
    questions.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), "utf-8")
    return customize.train(
        model=folder / "model",
        data=docs,
        to=folder / "run",
        method="rag",
        options={**OPTIONS, "questions": str(questions), "lr": 0.03},
        adapter={"rank": 4},
        backend="cpu",
        evaluate=False,
    )


@pytest.fixture(scope="module")
def packages(run: customize.Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One that a backend loads, and one that has a runtime of its own."""
    folder = tmp_path_factory.mktemp("packages")
    for form in FORMS:
        run.export(form, folder / form)
    return {form: folder / form for form in FORMS}


@pytest.fixture
def package(packages: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of its own."""
    return Path(shutil.copytree(packages[FORMS[-1]], tmp_path / "package"))


def update(package: Path, docs: Path, **more: Any) -> customize.Indexed:
    return customize.update_package(package, docs, **more)


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """The documents as they are later: one is new, and the others are gone."""
    folder = tmp_path / "others"
    folder.mkdir()
    (folder / "pool.md").write_text("# Pool\n\nThe Clock Shop opens the pool at noon.\n", "utf-8")
    (folder / "ask.md").write_text("Write to ann@example.com.\n", "utf-8")
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_a_package_answers_as_its_run(
    run: customize.Run, packages: dict[str, Path], form: str
) -> None:
    theirs = run.assistant().answer(ASKED, max_tokens=12)
    ours = customize.open(packages[form]).assistant().answer(ASKED, max_tokens=12)
    assert ours == theirs
    assert ours.hits[0].chunk.document == "shop.md"


@pytest.mark.parametrize("form", FORMS)
def test_a_package_says_how_it_answers_and_what_it_was_made_for(
    run: customize.Run, packages: dict[str, Path], form: str
) -> None:
    [file] = packages[form].glob("*/rag.json")
    told = json.loads(file.read_text("utf-8"))
    assert told["grounding"]["abstention"] == "The documents do not say."
    assert told["grounding"]["k"] == 1
    assert told["index"] == run.assistant().index.fingerprint
    assert run.customized.renderer.fingerprint in told["renderers"]
    manifest = Manifest.read(packages[form])
    assert damage(packages[form], manifest) is None
    assert file.relative_to(packages[form]).as_posix() in manifest.files
    assert "## What it answers from" in (packages[form] / "README.md").read_text("utf-8")


def test_the_card_says_with_which_documents_it_was_measured(package: Path, others: Path) -> None:
    def index() -> str:
        [file] = package.glob("*/rag.json")
        return str(json.loads(file.read_text("utf-8"))["index"])

    def card() -> str:
        return (package / "README.md").read_text("utf-8")

    assert f"was measured with the documents of the index {index()}" in card()
    update(package, others)
    assert index() not in card()
    assert "they were replaced since" in card()


def test_documents_are_swapped_and_the_weights_stay(package: Path, others: Path) -> None:
    before = Manifest.read(package)
    (package / "model.sig").write_text("{}")
    done = CliRunner().invoke(cli, ["index", "update", str(package), str(others)])
    assert done.exit_code == 0, done.output
    assert "2 documents" in done.output
    assert "personal: 1 x e-mail in 1 documents" in done.output
    assert "customize sign" in done.output
    assert not (package / "model.sig").exists()
    [hit] = customize.open(package).assistant().hits(ASKED)
    assert hit.chunk.document == "pool.md"
    everything = b"".join(p.read_bytes() for p in package.rglob("*") if p.is_file())
    assert b"10:20 am" not in everything
    after = Manifest.read(package)
    assert damage(package, after) is None
    changed = {name for name in before.files if after.files.get(name) != before.files[name]}
    assert changed
    assert all(name.startswith("assistant-") for name in changed)


def test_a_package_with_other_documents_is_verified(package: Path, others: Path) -> None:
    update(package, others)
    assert customize.verify(package).passed


def test_the_same_documents_change_nothing(package: Path, docs: Path, tmp_path: Path) -> None:
    done = update(package, docs)  # the first time hashes of the files are learnt
    assert (done.num_added, done.num_deleted) == (0, 0)
    before = (package / "package.json").read_bytes()
    assert update(package, docs).num_unchanged == len(TEXTS)
    assert (package / "package.json").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"package"}


def test_an_update_that_is_stopped_leaves_a_package_that_answers(
    package: Path, others: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(assistant_package, "replace_text", stop)
        with pytest.raises(KeyboardInterrupt):
            update(package, others)
    [hit] = customize.open(package).assistant().hits(ASKED)
    assert hit.chunk.document == "shop.md"
    update(package, others)
    assert damage(package, Manifest.read(package)) is None
    assert len(list(package.glob("assistant-*"))) == 1


def test_documents_that_cannot_be_read_leave_it_as_it_was(package: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="holds no document"):
        update(package, empty)
    assert damage(package, Manifest.read(package)) is None
    assert {path.name for path in tmp_path.iterdir()} == {"package", "empty"}


def test_what_was_changed_by_hand_is_refused(package: Path) -> None:
    [file] = package.glob("*/rag.json")
    file.write_text(file.read_text("utf-8").replace('"k": 1', '"k": 9'), "utf-8")
    with pytest.raises(ExportError, match=r"rag\.json"):
        customize.open(package)


def test_a_package_that_answers_from_no_documents_is_told(package: Path, others: Path) -> None:
    manifest = Manifest.read(package)
    [kept] = package.glob("assistant-*")
    shutil.rmtree(kept)
    kept_files = {n: h for n, h in manifest.files.items() if not n.startswith("assistant-")}
    plain = {**json.loads(manifest.text()), "files": kept_files}
    (package / "package.json").write_text(json.dumps(plain), "utf-8")
    with pytest.raises(ExportError, match="answers from no documents"):
        update(package, others)


@pytest.mark.parametrize("form", FORMS)
def test_a_passage_that_the_model_cannot_hold_is_told(packages: dict[str, Path], form: str) -> None:
    long = customize.Document("long", "The Clock Shop opens. " * 60)
    assistant = customize.open(packages[form]).assistant(customize.index_of([long]))
    with pytest.raises(DataError, match="the model holds 512: ask for fewer"):
        assistant.answer(ASKED)


def test_one_can_chat_with_a_package_and_search_it(package: Path) -> None:
    told = customize.open(package).assistant().answer(ASKED, max_tokens=6)
    asked = ["chat", str(package), "--message", ASKED, "--max-tokens", "6"]
    done = CliRunner().invoke(cli, asked)
    assert (done.exit_code, done.output.split("\n")[0]) == (0, told.text.split("\n")[0])
    found = CliRunner().invoke(cli, ["index", "search", str(package), ASKED])
    assert "shop.md" in found.output


def test_a_served_package_answers_as_its_run(
    run: customize.Run, packages: dict[str, Path], chat: Callable[[list[str], str, str], Any]
) -> None:
    sources = [f"packed={packages[FORMS[-1]]}", f"run={run.folder.path if run.folder else ''}"]
    told = run.assistant().answer(ASKED, max_tokens=12)
    for name in ("packed", "run"):
        [choice] = chat(sources, name, ASKED)
        assert choice.message.content == told.raw
        assert choice.grounding["abstained"] == told.abstained
        assert len(choice.grounding["citations"]) == len(told.citations)


@pytest.fixture
def chat() -> Callable[[list[str], str, str], Any]:
    """``chat(sources, model, text)``: the choices of a server of the sources."""
    for needed in ("starlette", "uvicorn", "openai"):
        pytest.importorskip(needed)
    from openai import OpenAI

    from customize.runs.serving import offers_of
    from customize.serving.address import Address
    from customize.serving.limits import Limits
    from customize.serving.server import Server

    def asked(sources: list[str], model: str, text: str) -> Any:
        address = Address.take(port=0)
        with Server(offers_of(sources), Limits(), address) as server:
            client = OpenAI(base_url=server.url, api_key="none", max_retries=0)
            messages: Any = [{"role": "user", "content": text}]
            made = client.chat.completions.create(model=model, messages=messages, max_tokens=12)
            client.close()
        return made.choices

    return asked
