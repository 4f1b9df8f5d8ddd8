"""Finding plugins: each apart from the others, broken ones named and never in the way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from customize import PluginError, UnknownName
from customize.plugins import listing, load, names, registry

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put distributions of the test's own on the path: files as an installer leaves them."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(distribution: str, source: str) -> None:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.delitem(sys.modules, module, raising=False)
        info = tmp_path / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
        )
        (info / "entry_points.txt").write_text(f"[customize]\nplugin = {module}\n")
        registry._find.cache_clear()

    yield put
    registry._find.cache_clear()


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


def test_an_unknown_name_suggests_the_nearest(install: Install) -> None:
    install("acme-kto", method("kto"))
    with pytest.raises(UnknownName, match="did you mean 'kto'"):
        load("method", "ktoo")


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        (method("Not A Name"), "lower case"),
        (method("kto", target="nowhere"), "package.module:Name"),
        (method("kto") + "    raise RuntimeError('half way')", "half way"),
        ("import customize\n@customize.hookimpl\ndef customize_nonsense(): ...", "unknown hook"),
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
