"""Finding plugins: each apart from the others, broken ones named and never in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from customize import PluginError, UnknownName
from customize.plugins import hooks, listing, load, name_of, names
from customize.plugins.specs import KINDS, plural
from customize.plugins.watching import watching

Install = Callable[..., None]


def method(name: str, target: str = "json:loads") -> str:
    return f"""
import customize

@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name={name!r}, target={target!r}, summary="A method.", data="chat", needs=()
    )
"""


def test_two_plugins_with_one_entry_point_name_are_both_found(install: Install) -> None:
    install("acme-kto", method("kto"))
    install("acme-orpo", method("orpo"))
    assert {"kto", "orpo"} <= set(names("method"))


def test_every_kind_has_a_hook_that_is_asked(install: Install) -> None:
    asked = {name for name in vars(hooks) if name.startswith("customize_")}
    assert asked == {f"customize_{plural(kind)}" for kind in KINDS}
    source = method("kto").replace("methods", "indexes").replace("Method", "Index")
    install("acme-kto", source.replace(', data="chat", needs=()', ""))
    assert load("index", "kto")


def test_loading_gives_what_the_target_names(install: Install) -> None:
    import json

    install("acme-kto", method("kto"))
    assert load("method", "kto") is json.loads
    assert load("method", "acme-kto:kto") is json.loads


def test_two_plugins_with_one_name_raise_on_use_and_name_both(install: Install) -> None:
    install("acme-kto", method("kto"))
    install("other-kto", method("kto"))
    with pytest.raises(UnknownName, match="use 'acme-kto:kto' or 'other-kto:kto'"):
        load("method", "kto")
    assert load("method", "other-kto:kto")


def test_what_stands_behind_a_name_is_told_by_its_full_name(install: Install) -> None:
    install("acme-kto", method("kto", target="json:loads"))
    install("other-kto", method("kto", target="json:dumps"))
    assert name_of("method", "json:dumps") == "other-kto:kto"
    assert name_of("method", "json:load") is None
    own = name_of("index", "customize.retrieval.sqlite_index:SqliteIndex")
    assert own == "customize:sqlite"


def test_an_unknown_name_suggests_the_nearest(install: Install) -> None:
    install("acme-kto", method("kto"))
    with pytest.raises(UnknownName, match="did you mean 'kto'"):
        load("method", "ktoo")


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def __dir__(): raise ValueError('no names')", "no names"),
        (method("Not A Name"), "lower case"),
        (method("kto", target="nowhere"), "package.module:Name"),
        (method("kto") + "    raise RuntimeError('half way')", "half way"),
        ("import customize\n@customize.hookimpl\ndef customize_nonsense(): ...", "does not have"),
        (
            "import customize\n@customize.hookimpl\ndef customize_method(): ...",
            "mean customize_meth",
        ),
        (method("kto").replace("yield", "return"), "yield specs, or return a list of them"),
        (method("kto").replace("customize_methods", "customize_models"), "is no ModelSpec"),
        (method("kto") + method("kto")[method("kto").index("    yield") :], "'kto' twice"),
        (method("kto").replace("needs=()", "needs='sample'"), "as {'sample'}"),
        (method("kto").replace('data="chat"', 'data="chats"'), "data is one of chat, preference"),
        (
            "import customize\n@customize.hookimpl\ndef customize_backends(): yield "
            "customize.BackendSpec(name='x', target='a:b', summary='x', priority='high')",
            "priority is a whole number",
        ),
    ],
)
def test_a_broken_plugin_is_a_row_with_its_error_and_stops_nobody(
    install: Install, source: str, fault: str
) -> None:
    install("acme-broken", source)
    install("acme-sound", method("sound"))
    row = next(row for row in listing() if row.distribution == "acme-broken")
    assert row.error is not None
    assert fault in row.error
    assert load("method", "sound")


@pytest.mark.parametrize(
    ("file", "content", "fault"),
    [
        ("entry_points.txt", "[customize]\nno equals sign\n", "its metadata cannot be read: "),
        ("METADATA", None, "its metadata cannot be read: "),
        ("METADATA", "Summary: no name\n", "its metadata cannot be read: "),
    ],
)
def test_damaged_metadata_is_told_and_stops_nobody(
    install: Install, tmp_path: Path, file: str, content: str | None, fault: str
) -> None:
    install("acme-torn", method("torn"))
    damaged = tmp_path / "site" / "acme_torn-1.2.dist-info" / file
    damaged.unlink() if content is None else damaged.write_text(content)
    install("acme-sound", method("sound"))
    row = next(row for row in listing() if row.distribution == "acme-torn")
    assert fault in (row.error or "")
    assert load("method", "sound")


def test_what_others_damaged_is_no_plugin(install: Install, tmp_path: Path) -> None:
    install("acme-sound", method("sound"))
    info = tmp_path / "site" / "other-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_bytes(b"[console_scripts]\nno equals sign \xff\n")
    assert "other" not in {row.distribution for row in listing()}
    assert load("method", "sound")


def test_a_plugin_is_not_told_to_be_slow_for_what_else_a_machine_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([7.0, 7.004])
    monkeypatch.setattr("time.thread_time", lambda: next(clock))
    with watching() as seen:
        pass
    assert seen.milliseconds == pytest.approx(4)


def test_a_target_that_cannot_be_imported_raises_with_its_cause(install: Install) -> None:
    install("acme-kto", method("kto", target="no_such_module:KTO"))
    with pytest.raises(PluginError, match="'acme-kto:kto' cannot be loaded: ModuleNotFoundError"):
        load("method", "kto")


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        ("", set()),
        ("acme-kto", {"kto"}),
        ("acme-kto,acme-orpo", {"kto", "orpo"}),
        ("-acme-kto", {"orpo"}),
    ],
)
def test_the_variable_limits_what_is_loaded(
    install: Install, monkeypatch: pytest.MonkeyPatch, limit: str, found: set[str]
) -> None:
    install("acme-kto", method("kto"))
    install("acme-orpo", method("orpo"))
    monkeypatch.setenv("CUSTOMIZE_PLUGINS", limit)
    assert set(names("method")) & {"kto", "orpo"} == found
