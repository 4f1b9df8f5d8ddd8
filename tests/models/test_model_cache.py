"""The cache: whole folders or none, in the right place, whoever else is at it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from customize._errors import ModelError
from customize.models.cache import cache_root, known_here, made_once, remembered

HASH = "0" * 64


def test_the_cache_lies_where_the_system_keeps_caches(tmp_path: Path) -> None:
    home = tmp_path
    assert cache_root({}, "linux", home) == home / ".cache" / "customize"
    assert cache_root({}, "darwin", home) == home / "Library" / "Caches" / "customize"
    local = str(home / "AppData")
    assert cache_root({"LOCALAPPDATA": local}, "win32", home).parts[-3:-2] == ("AppData",)
    xdg = str(home / "xdg")
    assert cache_root({"XDG_CACHE_HOME": xdg}, "linux", home) == home / "xdg" / "customize"
    assert cache_root({"XDG_CACHE_HOME": "relative"}, "linux", home) == home / ".cache/customize"
    own = str(home / "own")
    assert cache_root({"CUSTOMIZE_CACHE": own, "XDG_CACHE_HOME": xdg}, "linux") == home / "own"


def test_a_folder_is_made_once() -> None:
    calls = []

    def make(path: Path) -> None:
        calls.append(path)
        path.mkdir()
        (path / "x").write_text("made")

    first, second = made_once("models", "k", make), made_once("models", "k", make)
    assert first == second
    assert (first / "x").read_text() == "made"
    assert len(calls) == 1


def test_a_making_that_fails_leaves_nothing(cache: Path) -> None:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "half").write_text("")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        made_once("models", "k", make)
    assert list((cache / "models").iterdir()) == []


def test_the_first_of_two_makers_wins() -> None:
    def slow(path: Path) -> None:
        path.mkdir()
        (path / "who").write_text("slow")
        made_once("models", "k", quick)

    def quick(path: Path) -> None:
        path.mkdir()
        (path / "who").write_text("quick")

    made = made_once("models", "k", slow)
    assert (made / "who").read_text() == "quick"
    assert [path.name for path in made.parent.iterdir()] == ["k"]


def test_processes_making_the_same_folder_all_get_it(cache: Path) -> None:
    code = """
import sys, time
from customize.models.cache import made_once
def make(path):
    path.mkdir()
    time.sleep(0.2)
    (path / "x").write_text("whole")
print((made_once("models", "k", make) / "x").read_text())
"""
    command = [sys.executable, "-c", code]
    makers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [maker.communicate()[0].strip() for maker in makers] == ["whole"] * 4
    assert [path.name for path in (cache / "models").iterdir()] == ["k"]


def test_what_a_killed_process_left_is_swept_after_a_day(cache: Path) -> None:
    old, new = cache / "models" / ".k.dead", cache / "models" / ".k.alive"
    old.mkdir(parents=True)
    new.mkdir()
    two_days_ago = time.time() - 48 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    made_once("models", "k", Path.mkdir)
    assert not old.exists()
    assert new.exists()


def test_a_cache_that_cannot_be_written_says_how_to_move_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match="set CUSTOMIZE_CACHE"):
        made_once("models", "k", Path.mkdir)


def test_no_home_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ModelError, match="set CUSTOMIZE_CACHE"):
        cache_root({}, "linux")


def test_a_fact_is_computed_again_only_when_a_file_changed(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("a")
    answers = iter(["1" * 64, "2" * 64])

    def ask() -> str:
        return remembered("fact", [file], lambda: next(answers))

    assert [ask(), ask()] == ["1" * 64] * 2
    file.write_text("longer")
    assert ask() == "2" * 64


def test_a_damaged_note_is_not_believed(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "data"
    file.write_text("a")
    remembered("fact", [file], lambda: HASH)
    for note in (cache / "facts").iterdir():
        note.write_text("damaged")
    assert remembered("fact", [file], lambda: "1" * 64) == "1" * 64


def test_facts_need_no_writable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").write_text("")
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "data" / "cache"))
    assert remembered("fact", [tmp_path / "data"], lambda: HASH) == HASH


def test_what_a_machine_is_like_is_found_out_anew_where_it_is_another(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([[1.5, 2], 3, 4, 5])

    def known(**depends: object) -> object:
        return known_here("speed", depends, lambda: next(answers))

    assert known(torch="2.9", threads=1) == known(threads=1, torch="2.9") == [1.5, 2]
    assert known(torch="2.10", threads=1) == 3
    assert known_here("threads", {"torch": "2.9", "threads": 1}, lambda: 8) == 8
    monkeypatch.setattr("customize.models.cache.processor", lambda: "another")
    assert known(torch="2.9", threads=1) == 4
    for note in (cache / "machine").iterdir():
        note.write_text("[1.")
    assert known(torch="2.9", threads=1) == 5


def test_where_the_cache_cannot_be_written_a_machine_is_asked_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "file" / "cache"))
    answers = iter([1, 2])
    assert [known_here("speed", {}, lambda: next(answers)) for _ in range(2)] == [1, 2]
