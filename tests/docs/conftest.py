"""A place for the docs' commands: small data, and a tiny model under the name ``smollm2``.

The tiny model comes from a plugin of its own, found as any plugin is, so nothing of ours is
replaced: the real one's plugin is left out by CUSTOMIZE_PLUGINS.
"""

from __future__ import annotations

import os
import shutil
import site
import sys
import venv
from pathlib import Path

import pytest

import customize

ROOT = Path(__file__).parents[2]
PLUGIN = """
from pathlib import Path
import customize


class Tiny:
    def fetch(self, dtype="bfloat16"):
        return Path(__file__).parent / "model"


@customize.hookimpl
def customize_models():
    yield customize.ModelSpec(name="smollm2", target="tiny_smollm2:Tiny", summary="Tiny.")
"""


@pytest.fixture(scope="session")
def tiny_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the path with a distribution that offers a random llama as smollm2."""
    folder = tmp_path_factory.mktemp("plugin")
    write_tiny_model(folder / "model")
    (folder / "tiny_smollm2.py").write_text(PLUGIN)
    facts = folder / "tiny_smollm2-0.1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-smollm2\nVersion: 0.1\n")
    (facts / "entry_points.txt").write_text("[customize]\ntiny = tiny_smollm2\n")
    return folder


def write_tiny_model(folder: Path) -> None:
    """Two layers with random weights, under SmolLM2's own tokenizer and template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    for file in customize.resolve("smollm2").path.iterdir():
        if file.name.startswith("tokenizer") or file.suffix == ".jinja":
            shutil.copyfile(file, folder / file.name)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples as a clone has them, their rows cut to eight."""
    folder = tmp_path_factory.mktemp("workspace")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=_runs)
    for file in folder.rglob("*.jsonl"):
        file.write_text("".join(file.read_text("utf-8").splitlines(keepends=True)[:8]), "utf-8")
    return folder


def _runs(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in ("runs", "__pycache__")]


@pytest.fixture
def place(
    tmp_path: Path, workspace: Path, tiny_plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The working directory of one page, with everything on the paths that its blocks need."""
    folder = tmp_path / "place"
    shutil.copytree(workspace, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(tiny_plugin))
    monkeypatch.setenv("PYTHONPATH", str(tiny_plugin))
    monkeypatch.setenv("CUSTOMIZE_PLUGINS", "-customize-smollm2")
    paths = (own_environment(tmp_path / "environment"), Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, paths), os.environ["PATH"]]))
    for name, value in OFFLINE.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


# pip takes what is installed already. To switch isolation off, its variable says no.
OFFLINE = {"NO_INDEX": "1", "NO_DEPS": "1", "NO_BUILD_ISOLATION": "no"}


def own_environment(folder: Path) -> Path:
    """The commands of an environment that sees all of this one, and that a page may change."""
    venv.create(folder, symlinks=True)
    (commands,) = (path.parent for path in folder.glob("*/python"))
    (packages,) = folder.glob("lib/*/site-packages")
    outer = [f"site.addsitedir({path!r})" for path in site.getsitepackages()]
    (packages / "outer.pth").write_text(f"import site; {'; '.join(outer)}\n", "utf-8")
    for name in ("customize", "pip", "pytest"):
        command = commands / name
        command.write_text(f'#!/bin/sh\nexec "{commands}/python" -m {name} "$@"\n', "utf-8")
        command.chmod(0o755)
    return commands
