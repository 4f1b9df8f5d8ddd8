"""Encoders that plugins offer: an index says whose vectors it has, and is opened without saying."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from offered_encoder import SOURCE

import customize
from customize import DataError, OptionError, UnknownName, build_index, open_index, update_index
from customize.cli.group import cli
from customize.plugins.encoders import encoder_of
from customize.plugins.references import split
from customize.retrieval.fusion import FusedIndex
from customize.testing import write_tiny_model

Install = Callable[..., None]
RECORDS = [
    {"id": "shop.md", "text": "The doors open at 10:20 am."},
    {"id": "camp.md", "text": "A tent pitch costs $31.20."},
]


@pytest.fixture(autouse=True)
def letters(install: Install) -> None:
    install("acme-letters", SOURCE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_index(RECORDS, tmp_path / "index", encoder="letters:letters=aeiou,weight=2")
    return tmp_path / "index"


def test_an_index_is_opened_by_the_encoder_that_it_names(folder: Path) -> None:
    index = open_index(folder)
    assert isinstance(index, FusedIndex)
    assert index.encoder == encoder_of("acme-letters:letters:letters=aeiou,weight=2.0")
    assert index.search("When do the doors open?", 1)[0].chunk.document == "shop.md"


def test_an_update_encodes_with_it_too(folder: Path) -> None:
    done = update_index(folder, [*RECORDS, {"id": "pool.md", "text": "The pool opens."}])
    assert (done.num_added, done.num_unchanged) == (1, 2)
    assert len(open_index(folder)) == 3


def test_another_than_it_names_can_be_given_and_must_make_the_same_vectors(folder: Path) -> None:
    assert len(open_index(folder, "letters:weight=2,letters=aeiou")) == 2
    with pytest.raises(DataError, match="give the one they are of"):
        open_index(folder, "letters")


def test_an_encoder_that_nobody_offers_any_more_is_named(folder: Path) -> None:
    file = folder / "index.json"
    file.write_text(file.read_text("utf-8").replace("acme-letters:letters", "acme-gone:letters"))
    with pytest.raises(UnknownName, match="acme-gone:letters"):
        open_index(folder)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("letters:wait=2", "did you mean 'weight'"),
        ("letters:weight=much", "weight must be a number"),
        ("letters:weight=0", "weight must be > 0"),
        ("weight=2", "options are NAME:name=value"),
        ("letters:weight=2,more", "options are NAME:name=value"),
        ("lettters", "did you mean 'letters'"),
    ],
)
def test_what_is_no_encoder_says_what_is_wrong(given: str, told: str) -> None:
    with pytest.raises(customize.CustomizeError, match=told):
        encoder_of(given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("letters", ("letters", {})),
        ("acme:letters:a=1,b=x", ("acme:letters", {"a": "1", "b": "x"})),
        (
            "st:query_prompt=query: ,model=a:b/c=d",
            ("st", {"query_prompt": "query: ", "model": "a:b/c=d"}),
        ),
    ],
)
def test_a_value_may_hold_what_separates(text: str, expected: tuple[str, dict[str, str]]) -> None:
    assert split(text) == expected


def test_the_command_line_takes_it(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "shop.md").write_text("The doors open at 10:20 am.\n")
    to = str(tmp_path / "made")
    build = ["index", "build", str(tmp_path / "docs"), "--to", to, "--encoder", "letters"]
    assert CliRunner().invoke(cli, build).exit_code == 0
    found = CliRunner().invoke(cli, ["index", "search", to, "doors"])
    assert "shop.md" in found.output
    assert isinstance(open_index(to), FusedIndex)


@pytest.mark.slow
def test_a_run_keeps_vectors_and_its_package_the_encoders_name_alone(tmp_path: Path) -> None:
    for needed in ("torch", "peft", "customize_rag"):
        pytest.importorskip(needed)
    from customize.runs.serving import offers_of

    docs, encoder = tmp_path / "docs", "letters:letters=aeiou,weight=2"
    docs.mkdir()
    for record in RECORDS:
        (docs / record["id"]).write_text(record["text"] + "\n", "utf-8")
    write_tiny_model(tmp_path / "model")
    run = customize.train(
        model=tmp_path / "model",
        data=docs,
        to=tmp_path / "run",
        method="rag",
        options={"encoder": encoder, "k": 1, "replay": 0.0, "max_rows": 2},
        adapter={"rank": 2},
        backend="cpu",
        evaluate=False,
    )
    told = run.assistant().answer("doors", max_tokens=4)
    run.export("hf", tmp_path / "package")
    asked = ["chat", "--message", "doors", "--max-tokens", "4"]
    for source, given in ((tmp_path / "run", []), (tmp_path / "package", ["--encoder", encoder])):
        done = CliRunner().invoke(cli, [*asked, str(source), *given])
        assert (done.exit_code, done.stdout.split("\n")[0]) == (0, told.raw.split("\n")[0])
        [offer] = offers_of([str(source)], encoder=given[-1] if given else None)
        assert offer.library is not None
        assert offer.library.hits("doors") == list(told.hits)
    package = customize.open(tmp_path / "package")
    [file] = (tmp_path / "package").glob("assistant-*/index/index.json")
    assert json.loads(file.read_text("utf-8"))["named"] == {
        "name": "acme-letters:letters",
        "options": {},
    }
    with pytest.raises(OptionError, match="none here has: leave it out"):
        offers_of([str(tmp_path / "run")], encoder=encoder)
    with pytest.raises(DataError, match="another encoder's: give the one they are of"):
        package.assistant()  # by its name alone it is one with other options
    assert customize.update_package(tmp_path / "package", docs, encoder).num_chunks == 2


def test_options_that_a_package_names_are_not_used(tmp_path: Path) -> None:
    kept = tmp_path / "assistant-0123"
    index = customize.index_of(
        [customize.Document("a", "The doors open.")], encoder="letters:weight=2"
    )
    customize.save_assistant(kept, customize.Grounding(), index, "a renderer")
    from customize.runs.assistant import library_in

    with pytest.raises(DataError, match="another encoder's"):
        library_in(kept, "a renderer")
    library = library_in(kept, "a renderer", encoder="letters:weight=2")
    assert library.hits("doors")[0].chunk.document == "a"
    own = kept.rename(tmp_path / "assistant")
    assert library_in(own, "a renderer").hits("doors")[0].chunk.document == "a"


def test_an_encoder_without_a_name_is_given_by_who_opens(tmp_path: Path) -> None:
    class Nameless(type(encoder_of("letters"))):  # type: ignore[misc]
        pass

    build_index(RECORDS, tmp_path / "index", encoder=Nameless())
    with pytest.raises(OptionError, match="give the encoder they are of"):
        open_index(tmp_path / "index")
