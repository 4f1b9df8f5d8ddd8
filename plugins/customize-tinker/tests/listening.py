"""The server in a process of its own, as clients meet it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def listening(model: Path | str, folder: Path) -> Iterator[str]:
    """Its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "customize_tinker", model, "--port", port, "--folder", folder]
    process = subprocess.Popen([str(part) for part in command])
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{url}/api/v1/healthz")
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait(address: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError("the server did not begin")
