"""New plugins: the template under another name. That it works as it is, ``downstream`` shows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import customize
from customize import OptionError
from customize.plugins import registry
from customize.scaffold import KINDS, new_plugin

TEMPLATE = Path(customize.__file__).parent / "scaffold" / "template"


def files_of(folder: Path) -> dict[str, str]:
    """Text by path, without weights and bytecode."""
    return {
        file.relative_to(folder).as_posix(): file.read_text("utf-8")
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not {"weights", "__pycache__"} & set(file.parts)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_under_its_own_name_it_is_the_template(kind: str, tmp_path: Path) -> None:
    made = files_of(new_plugin("acme-example", kind, tmp_path))
    assert made == {**files_of(TEMPLATE / "common"), **files_of(TEMPLATE / kind)}


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_of_the_template_is_left(kind: str, tmp_path: Path) -> None:
    made = files_of(new_plugin("tensor-works-2-kto", kind, tmp_path))
    assert f"src/tensor_works_2_kto/{kind}.py" in made
    assert not [path for path, text in made.items() if "example" in (path + text).lower()]


@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_name_makes_no_line_too_long(kind: str, tmp_path: Path) -> None:
    made = files_of(new_plugin("a" * 19 + "-" + "b" * 20, kind, tmp_path))
    python = [text for path, text in made.items() if path.endswith(".py")]
    assert max(len(line) for text in python for line in text.splitlines()) <= 100


@pytest.mark.parametrize("kind", KINDS)
def test_it_depends_on_this_series_of_the_core(kind: str, tmp_path: Path) -> None:
    series = ".".join(customize.__version__.split(".")[:2])
    made = files_of(new_plugin("acme-new", kind, tmp_path))
    assert f'"customize ~= {series}.0"' in made["pyproject.toml"]


@pytest.mark.parametrize("kind", ["exporter", "observer"])
def test_a_project_of_its_own_differs_in_what_its_tests_need_alone(kind: str) -> None:
    common, other = (
        (TEMPLATE / part / "pyproject.toml").read_text("utf-8").splitlines()
        for part in ("common", kind)
    )
    differ = [line for line, its in zip(common, other, strict=True) if line != its]
    assert [line.split(" = ")[0] for line in differ] == ["dev"]


def test_a_model_brings_weights(tmp_path: Path) -> None:
    weights = new_plugin("acme-tiny", "model", tmp_path) / "src/acme_tiny/weights"
    assert customize.resolve(weights).fingerprint


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "acme-kto-2").mkdir()
    with pytest.raises(OptionError, match="exists: nothing is overwritten"):
        new_plugin("acme-kto-2", "method", tmp_path)
    assert files_of(tmp_path) == {}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("Acme_KTO", "write acme-kto$"),
        ("acme kto", "write acme-kto$"),
        ("../kto", "write kto$"),
        ("-", "joined by dashes"),
        ("a" * 41, "40 characters at most"),
        ("acme-7b", "begin it with a letter, as acme-my-7b"),
        ("none", "cannot name a class"),
        ("numpy", "put your own name first, as acme-numpy"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_one_that_can(
    wrong: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=told):
        new_plugin(wrong, "method", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The distribution ``Other_KTO``, which offers the method ``kto-of-others``."""
    folder = tmp_path / "site"
    facts = folder / "other_kto-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: Other_KTO\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[customize]\nplugin = others_of_kto\n")
    (folder / "others_of_kto.py").write_text(
        "import customize\n"
        "@customize.hookimpl\n"
        "def customize_methods():\n"
        "    yield customize.MethodSpec(name='kto-of-others', target='a:B', summary='One.',\n"
        "                               data='chat', needs=())\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    registry._find.cache_clear()
    yield
    registry._find.cache_clear()


@pytest.mark.usefixtures("installed")
def test_names_of_what_is_installed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"other-kto 1\.0 is installed: take another name"):
        new_plugin("other-kto", "method", tmp_path)
    with pytest.raises(OptionError, match="other-kto provides the method 'kto-of-others' already"):
        new_plugin("acme-kto-of-others", "method", tmp_path)
    assert new_plugin("acme-kto-of-others", "reader", tmp_path).is_dir()


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "customize", "new-plugin", "acme-new", "--kind", "reader"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for told in ("cd acme-new", "pytest", "python -m build", "src/acme_new/reader.py"):
        assert told in done.stdout
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (again.returncode, "Traceback" in again.stderr) == (2, False)
