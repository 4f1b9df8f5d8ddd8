"""The backend ``tinker`` against our own server: every rule of backends, and whole runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from customize import Full, LoRA, Unsupported
from customize.testing import conformance, write_tiny_model
from customize_tinker.client.backend import Tinker

with socket.socket() as _free:
    _free.bind(("127.0.0.1", 0))
    PORT: int = _free.getsockname()[1]
TOY = Tinker(url=f"http://127.0.0.1:{PORT}", base_model="toy")


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("kept")
    script = Path(__file__).with_name("toy_server.py")
    process = subprocess.Popen([sys.executable, str(script), str(folder), str(PORT)])
    os.environ["TINKER_API_KEY"] = "tml-a-test"
    try:
        _wait(f"{TOY.url}/api/v1/healthz")
        assert TOY.probe() is None  # or the rules would be skipped
        yield
    finally:
        del os.environ["TINKER_API_KEY"]
        process.terminate()
        process.wait()


def _wait(address: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server did not begin")


test_plugin = conformance(plugin="customize_tinker._plugin")
test_rules = conformance(
    backend=TOY,
    known_failures={"check_peft_loads_the_weights": "the toy engine's weights are a table"},
)


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (Full(), "does not declare 'full'"),
        (LoRA(alpha=8), "leave alpha at 32"),
        (LoRA(targets="q_proj"), "targets at all-linear"),
        (LoRA(on="runs/before"), "does not declare 'stack'"),
    ],
)
def test_what_the_protocol_cannot_say_is_refused(
    adapter: Full | LoRA, message: str, tmp_path: Path
) -> None:
    engine = TOY.load(write_tiny_model(tmp_path / "tiny"))
    with pytest.raises(Unsupported, match=message):
        engine.open(adapter)


def test_without_a_service_or_a_key_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINKER_API_KEY")
    assert "TINKER_BASE_URL" in (Tinker().probe() or "")
    assert "TINKER_API_KEY" in (TOY.probe() or "")
