"""``customize index``: built, searched as somebody, brought up to date and looked through."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from customize import DataError
from customize.cli.group import cli
from customize.retrieval.sqlite_index import FILE

SECRET = "The cook earns 3000 euros."


def run(*arguments: object) -> str:
    done = CliRunner().invoke(cli, ["index", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "hr").mkdir(parents=True)
    (tmp_path / "docs" / "menu.md").write_text("# Menu\n\nA margherita is 9 euros.\n")
    (tmp_path / "docs" / "hr" / "pay.md").write_text(SECRET)
    (tmp_path / "docs" / "access.yaml").write_text('"hr/*": [hr]\n')
    return tmp_path / "docs"


@pytest.fixture
def folder(tmp_path: Path, docs: Path) -> Path:
    assert "2 documents, 2 chunks (2 added" in run("build", docs, "--to", tmp_path / "index")
    return tmp_path / "index"


@pytest.mark.parametrize(
    ("asker", "is_seen"),
    [((), False), (("--tag", "board"), False), (("--tag", "hr"), True), (("--all",), True)],
)
def test_what_the_asker_may_not_see_is_not_shown(
    folder: Path, asker: tuple[str, ...], is_seen: bool
) -> None:
    told = run("search", folder, "What does the cook earn in euros?", *asker)
    assert (SECRET in told, "hr/pay.md" in told) == (is_seen, is_seen)
    assert "menu.md" in told
    alone = run("search", folder, "cook earns", *asker)
    assert ("Nothing in" in alone) is not is_seen


def test_what_changed_is_brought_in(folder: Path, docs: Path) -> None:
    (docs / "menu.md").write_text("# Menu\n\nA calzone is 11 euros. Ask ann@example.com.\n")
    told = run("update", folder, docs)
    assert "(1 added, 1 deleted, 1 files or records unchanged)" in told
    assert "personal: 1 x e-mail in 1 documents" in told
    assert "ann@" not in told
    assert "calzone" in run("search", folder, "calzone")


@pytest.mark.parametrize("command", ["update", "search", "check"])
def test_a_run_is_no_index(tmp_path: Path, docs: Path, command: str) -> None:
    (tmp_path / "recipe.json").write_text("{}")
    others: dict[str, list[object]] = {"update": [docs], "search": ["pay"], "check": []}
    more = others[command]
    with pytest.raises(DataError, match="is a run, which answers from no documents: build"):
        run(command, tmp_path, *more)
    (tmp_path / "assistant").mkdir()
    told = f"is a run, whose own index is {tmp_path}/assistant/index: .*chat {tmp_path} --index"
    with pytest.raises(DataError, match=told):
        run(command, tmp_path, *more)


def test_damage_is_found(folder: Path) -> None:
    assert "2 chunks, and all of them are whole" in run("check", folder)
    [file] = folder.glob(f"*/{FILE}")
    file.write_bytes(file.read_bytes().replace(b"is 9 euros", b"is 1 euros"))
    with pytest.raises(DataError, match="is damaged"):
        run("check", folder)


def test_what_would_steer_the_terminal_is_shown(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07"
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / f"a{evil}.md").write_text(f"# Head{evil}\n\nThe price{evil} is\u202e 9\x9b2J euros.\n")
    (docs / f"b{evil}.png").write_text("of no format")
    told = run("build", docs, "--to", tmp_path / "index")
    told += run("search", tmp_path / "index", "price")
    assert told.count(r"\x1b]0;owned\x07") == 5
    assert r"is\u202e 9\x9b2J euros." in told
    assert all(c.isprintable() or c == "\n" for c in told)
