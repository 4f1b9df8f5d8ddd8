"""What a plugin's offers are tried on: by name, since there may be several."""

from __future__ import annotations

from pathlib import Path

import pytest

from customize import OptionError
from customize.testing.expansion import cases_of
from customize.testing.holding import hold

PLUGIN = """
import customize

def read(path):
    return ({"prompt": line} for line in path.read_text("ascii").splitlines())

@customize.hookimpl
def customize_readers():
    yield customize.ReaderSpec(
        name="lines", target="plugin_with_a_reader:read", summary="Lines.", suffixes={".lines"}
    )
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "plugin_with_a_reader.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "plugin_with_a_reader"


def test_a_plugins_offer_is_tried_on_what_is_given_under_its_name(
    plugin: str, tmp_path: Path
) -> None:
    file = tmp_path / "some.lines"
    file.write_text("one\ntwo\n")
    for on, expected in (({"lines": file}, "passed"), (None, "skipped")):
        cases = [case for case in cases_of("plugin", plugin, on) if case.rule.kind == "reader"]
        assert {hold(case.subject(), case.rule).status for case in cases} == {expected}


def test_a_name_that_a_plugin_does_not_offer_is_refused(plugin: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'words', which plugin_with_a_reader does not offer"):
        cases_of("plugin", plugin, {"words": tmp_path})


def test_a_plugin_is_tried_on_nothing_but_a_mapping(plugin: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="name it offers: what"):
        cases_of("plugin", plugin, tmp_path)
