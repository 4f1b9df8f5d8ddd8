"""Broken plugins, all installed at once: each is named with what to do, and stops nobody."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Python = Callable[..., "subprocess.CompletedProcess[str]"]
Rows = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def rows(python: Python) -> Rows:
    """What ``customize plugins --json`` says, by distribution."""
    listed = python("-m", "customize", "plugins", "--json")
    assert listed.returncode == 0, listed.stderr
    assert not listed.stderr
    return {row["distribution"]: row for row in json.loads(listed.stdout)["plugins"]}


def said(python: Python, code: str) -> list[Any]:
    """What ``code`` prints, a JSON value a line."""
    done = python("-c", "import json, customize\nfrom customize.plugins import load\n" + code)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def raised(python: Python, kind: str, name: str) -> tuple[str, str, str]:
    """Type and message of what using a name raises, and its cause."""
    code = (
        f"try: load({kind!r}, {name!r})\n"
        "except customize.PluginError as error:\n"
        "    print(json.dumps([type(error).__name__, str(error), repr(error.__cause__)]))"
    )
    ((error, message, cause),) = said(python, code)
    return error, message, cause


@pytest.mark.parametrize(
    ("distribution", "severity", "code", "message", "fix"),
    [
        (
            "acme-import-fails",
            "error",
            "import",
            "ModuleNotFoundError: No module named 'no_such_module'",
            "CUSTOMIZE_PLUGINS=-acme-import-fails",
        ),
        ("acme-exits", "error", "import", "SystemExit: 3", "pip install --force-reinstall acme-ex"),
        ("acme-bad-spec", "error", "spec", "lower case letters", "tell its authors"),
        ("acme-half-way", "error", "hook", "RuntimeError: the shelf is empty", "tell its authors"),
        ("acme-unknown-hook", "error", "unknown-hook", "customize_nonsense", "upgrade customize"),
        ("acme-twin-one", "warning", "ambiguous", "acme-twin-two", "'acme-twin-one:twin'"),
        ("acme-twin-two", "warning", "ambiguous", "acme-twin-one", "'acme-twin-two:twin'"),
        ("acme-no-target", "error", "target", "no acme_no_target.nowhere", "--force-reinstall"),
        ("acme-heavy", "warning", "heavy", "imports torch", "where it is used"),
        ("acme-prints", "warning", "prints", "'hello from acme' and 2 lines more", "tell its"),
        ("acme-slow", "warning", "slow", "listing it takes", "behind a target"),
        (
            "acme-unmet",
            "error",
            "requirement",
            "needs torch>=2.12, and 2.10.0 is installed",
            "pip install 'torch>=2.12'",
        ),
        (
            "acme-missing",
            "error",
            "requirement",
            "needs no-such-package>=3, which is not installed",
            "pip install 'no-such-package>=3'",
        ),
    ],
)
def test_each_fault_is_listed_with_what_to_do(
    rows: Rows, distribution: str, severity: str, code: str, message: str, fix: str
) -> None:
    (fault,) = rows[distribution]["faults"]
    assert (fault["severity"], fault["code"]) == (severity, code)
    assert message in fault["message"]
    assert fix in fault["fix"]


def test_a_sound_plugin_has_no_fault(rows: Rows) -> None:
    assert rows["acme-sound"]["faults"] == []
    assert rows["acme-sound"]["home_page"] == "https://example.org/sound"
    provided = {(p["kind"], p["full_name"]) for p in rows["acme-sound"]["provides"]}
    assert provided == {
        ("method", "acme-sound:sound"),
        ("dataset", "acme-sound:shop"),
        ("reader", "acme-sound:talk"),
    }


def test_what_a_broken_plugin_offers_beside_its_fault_is_kept(rows: Rows) -> None:
    kept = {name: [p["name"] for p in row["provides"]] for name, row in rows.items()}
    assert kept["acme-bad-spec"] == ["before-bad"]
    assert sorted(kept["acme-half-way"]) == ["half", "whole"]
    assert kept["acme-unknown-hook"] == ["beside-unknown"]


def test_every_offer_that_is_not_broken_works(python: Python) -> None:
    code = """
from customize.testing import ToyBackend
rows = customize.read("shop")
run = customize.train(model="toy", data=rows, method="sound", to="run", backend=ToyBackend())
print(len(rows))
for name in ("sound", "before-bad", "half", "beside-unknown", "heavy", "printing", "slow"):
    load("method", name)
"""
    assert said(python, code) == [3]


def test_a_plugin_of_this_repository_works_beside_them(python: Python) -> None:
    pytest.importorskip("customize_sft")
    assert "Peak learning rate" in python("-m", "customize", "plugins", "show", "sft").stdout


@pytest.mark.parametrize(
    ("name", "error", "message", "cause"),
    [
        ("acme-import-fails:kto", "PluginError", "broken: acme-import-fails 1.0", "no_such_module"),
        ("acme-half-way:other", "PluginError", "the shelf is empty", "RuntimeError"),
        ("acme-no-target:lost", "PluginError", "'acme-no-target:lost' cannot", "ModuleNotFound"),
        ("torn", "PluginError", "ValueError: torn at line 3", "torn at line 3"),
        ("nameless", "PluginError", "no attribute 'Nameless'", "AttributeError"),
        ("missing", "MissingDependency", "pip install 'no-such-package>=3'", "no_such_package"),
    ],
)
def test_using_a_broken_name_raises_with_its_cause(
    python: Python, name: str, error: str, message: str, cause: str
) -> None:
    got, said_message, said_cause = raised(python, "method", name)
    assert got == error
    assert message in said_message
    assert cause in said_cause


def test_a_name_that_nobody_gives_comes_with_who_may_hide_it(python: Python) -> None:
    error, message, _ = raised(python, "method", "gone")
    assert error == "UnknownName"
    [line] = [line for line in message.splitlines() if "broken, and may provide it" in line]
    for broken in ("acme-import-fails", "acme-exits", "acme-half-way"):
        assert f"{broken} 1.0" in line
    assert "acme-no-target" not in line  # what it offers is seen, whether it works or not
    told = raised(python, "index", "gone")[1]
    assert "(indexes: " in told
    assert "sqlite" in told


def test_an_ambiguous_name_names_both_full_names_which_work(python: Python) -> None:
    error, message, _ = raised(python, "method", "twin")
    assert error == "UnknownName"
    assert "use 'acme-twin-one:twin' or 'acme-twin-two:twin'" in message
    code = (
        "print(json.dumps([load('method', f'acme-twin-{n}:twin').__doc__ for n in ('one', 'two')]))"
    )
    assert said(python, code) == [["Twin one.", "Twin two."]]
    shown = python("-m", "customize", "plugins", "show", "twin")
    assert "use 'acme-twin-one:twin' or 'acme-twin-two:twin'" in shown.stderr
    assert (
        "from      acme-twin-two 1.0"
        in python("-m", "customize", "plugins", "show", "Acme_Twin_Two:twin").stdout
    )


def test_using_what_needs_another_version_warns_with_the_fix(python: Python) -> None:
    done = python("-c", "from customize.plugins import load; load('method', 'unmet')")
    assert done.returncode == 0
    assert "acme-unmet 1.0: it needs torch>=2.12, and 2.10.0 is installed" in done.stderr
    assert "pip install 'torch>=2.12'" in done.stderr


def test_the_listing_reads_at_80_columns_and_hides_nothing(python: Python, rows: Rows) -> None:
    text = python("-m", "customize", "plugins").stdout
    assert max(map(len, text.splitlines())) <= 80
    joined = " ".join(text.split())
    for name, row in rows.items():
        assert f"{name} {row['version']}" in joined
        for fault in row["faults"]:
            if fault["code"] not in ("heavy", "slow"):  # those hold milliseconds
                assert f"{fault['message']} to do {fault['fix']}" in joined


def test_show_tells_every_kind(python: Python) -> None:
    def shown(name: str) -> str:
        return python("-m", "customize", "plugins", "show", name).stdout

    assert (
        shown("acme-sound:sound")
        == shown("sound")
        == (
            "method sound: Steps towards every token of a row.\n"
            "  from      acme-sound 1.0, https://example.org/sound\n"
            "  data      chat\n"
            "  needs     forward_backward\n"
            "  options\n"
            "    lr = 0.1 (> 0)\n"
            "        Learning rate.\n"
        )
    )
    assert "  suffixes  .talk\n  no options\n" in shown("talk")
    assert "dataset shop: Questions to a shop.\n" in shown("shop")
    assert "acme-exits 1.0: broken\n" in shown("acme-exits")
