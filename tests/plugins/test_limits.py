"""``CUSTOMIZE_PLUGINS`` is read before anything loads: what it leaves out is never imported."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from customize import OptionError
from customize.plugins.limits import parse_limit

Python = Callable[..., "subprocess.CompletedProcess[str]"]

# A finder that finds nothing sees every module that is asked for, those that fail too.
LIST_WHAT_IS_IMPORTED = """
import json, sys
class Watch:
    def find_spec(name, path, target=None):
        if name.startswith("acme"):
            asked.add(name.partition(".")[0].replace("_", "-"))
asked = set()
sys.meta_path.insert(0, Watch)
from customize.plugins import names
names("method")
print(json.dumps(sorted(asked)))
"""


def imported(python: Python, **variables: str) -> set[str]:
    done = python("-c", LIST_WHAT_IS_IMPORTED, **variables)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.slow
def test_only_what_the_variable_allows_is_ever_imported(python: Python) -> None:
    everything = imported(python)
    assert {"acme-sound", "acme-exits", "acme-twin-one"} <= everything
    assert imported(python, CUSTOMIZE_PLUGINS="") == set()
    assert imported(python, CUSTOMIZE_PLUGINS="acme-sound") == {"acme-sound"}
    both = imported(python, CUSTOMIZE_PLUGINS=" acme-sound , Acme_Twin.One ")
    assert both == {"acme-sound", "acme-twin-one"}
    without = imported(python, CUSTOMIZE_PLUGINS="-acme-exits,-acme-twin-one")
    assert without == everything - {"acme-exits", "acme-twin-one"}


@pytest.mark.slow
def test_what_is_left_out_is_told(python: Python) -> None:
    text = python("-m", "customize", "plugins", CUSTOMIZE_PLUGINS="-acme-exits").stdout
    assert "Left out by CUSTOMIZE_PLUGINS: acme-exits." in text
    told = python("-m", "customize", "plugins", "--json", CUSTOMIZE_PLUGINS="-acme-exits").stdout
    assert json.loads(told)["left_out"] == ["acme-exits"]
    assert json.loads(told)["limit"] == "-acme-exits"
    code = "from customize.plugins import load; load('method', 'sound')"
    failed = python("-c", code, CUSTOMIZE_PLUGINS="acme-twin-one")
    assert "left out by CUSTOMIZE_PLUGINS: acme-bad-spec" in failed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["acme-suond", "-acme-suond"])
def test_a_name_that_is_not_installed_is_told_with_the_nearest(python: Python, limit: str) -> None:
    done = python("-m", "customize", "plugins", CUSTOMIZE_PLUGINS=limit)
    assert done.returncode == 0
    assert "CUSTOMIZE_PLUGINS names 'acme-suond', and no such plugin is installed" in done.stderr
    assert "did you mean 'acme-sound'?" in done.stderr


@pytest.mark.slow
def test_naming_some_and_leaving_out_others_is_refused(python: Python) -> None:
    done = python("-m", "customize", "plugins", CUSTOMIZE_PLUGINS="acme-sound,-acme-exits")
    assert done.returncode == 2
    assert "(a,b) or plugins to leave out (-a,-b), not both" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unset_variable_allows_all_and_an_empty_one_none() -> None:
    assert parse_limit(None).allows("acme")
    assert not parse_limit("").allows("acme")
    assert not parse_limit(" , ").allows("acme")
    with pytest.raises(OptionError, match="not both"):
        parse_limit("a,-b")


@pytest.mark.slow
@pytest.mark.parametrize("start", [("-m", "customize", "plugins"), ("-c", "{plugins}")])
def test_nothing_is_loaded_from_the_working_directory(
    python: Python, tmp_path: Path, start: tuple[str, ...]
) -> None:
    (tmp_path / "intruder.py").write_text("raise SystemExit('the intruder was run')")
    info = tmp_path / "intruder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: intruder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[customize]\nplugin = intruder\n")
    plugins = "from customize.plugins import listing; print([r.distribution for r in listing()])"
    done = python(*(part.format(plugins=plugins) for part in start), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "acme-sound" in done.stdout
    assert "intruder" not in done.stdout
