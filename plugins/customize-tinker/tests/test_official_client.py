"""The official client, unmodified, of the version that is installed, makes every call it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from listening import listening

from customize.testing.tiny_model import write_tiny_model

if find_spec("tinker") is None:
    pytest.skip("the official client is not installed: see nox -s tinker", allow_module_level=True)
pytest.importorskip("customize_torch")

SCRIPT = Path(__file__).with_name("official_script.py")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its own path is a name from which the client loads the tokenizer."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny").path


@pytest.fixture(scope="module")
def url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with listening(model, tmp_path_factory.mktemp("kept")) as url:
        yield url


def test_every_call_of_the_client_works(url: str, model: Path) -> None:
    own = {"TINKER_BASE_URL": url, "TINKER_API_KEY": "tml-a-test", "TINKER_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), str(model)],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    if folder := os.environ.get("TINKER_REPORT"):
        file = Path(folder, f"{report['version']}.json")
        file.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    wrong = {name: said for name, said in report["calls"].items() if said.startswith("fails")}
    assert not wrong, done.stderr
    missing = report["untried"] if find_spec("torch") else []
    assert not missing, f"public methods that no call here uses: {missing}"
