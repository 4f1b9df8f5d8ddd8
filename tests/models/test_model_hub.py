"""Hub models, through the real client in a process of its own and a hub on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from customize.models import resolve

pytest.importorskip("huggingface_hub")

COMMIT = "c" * 40

# Resolves and opens each "name@revision" it is given and prints what came of it.
RESOLVE = """
import json, sys
import customize.models
from customize._errors import ModelError
from customize.testing import ToyBackend
for given in sys.argv[1:]:
    name, _, revision = given.partition("@")
    try:
        found = customize.models.resolve(name, revision=revision or None)
        assert customize.open(name, revision=revision or None, backend=ToyBackend()).model == found
        said = [found.name, found.revision, found.fingerprint, str(found.path)]
    except ModelError as error:
        said = [str(error)]
    print(json.dumps(said))
"""


class Hub(ThreadingHTTPServer):
    """o/good holds ``files``, o/gated is gated, and nothing else is there."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), HubRequest)
        self.files = files
        self.asked: list[tuple[str, str]] = []


class HubRequest(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("authorization", "")))
        if "o/gated" in self.path:
            self.answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif "o/good" not in self.path:
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif "v9" in self.path:
            self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif self.path.startswith("/api/"):
            self.answer(200, self.listing(), {})
        else:
            data = self.server.files[self.path.rsplit("/", 1)[1]]
            etag = f'"{hashlib.sha256(data).hexdigest()}"'
            self.answer(200, data, {"ETag": etag, "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET

    def listing(self) -> bytes:
        if "/tree/" in self.path:
            return json.dumps(
                [
                    {"type": "file", "path": name, "oid": "0" * 40, "size": len(data)}
                    for name, data in self.server.files.items()
                ]
            ).encode()
        names = [{"rfilename": name} for name in self.server.files]
        return json.dumps({"id": "o/good", "sha": COMMIT, "siblings": names, "tags": []}).encode()

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def hub(folder: Path) -> Iterator[Hub]:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    server = Hub(files | {"modeling_x.py": b"raise SystemExit", "pytorch_model.bin": b"\x80"})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def resolved(home: Path, *given: str, **environ: str) -> list[list[str]]:
    """What a fresh process says of each model."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        **environ,
    }
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, *given],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_hub_model_comes_with_its_commit_and_without_its_code(
    hub: Hub, folder: Path, tmp_path: Path
) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    good, gated, nothing, no_revision = resolved(
        tmp_path / "hf",
        *("o/good@main", "o/gated", "o/nothing", "o/good@v9"),
        HF_ENDPOINT=endpoint,
        HF_TOKEN="hf_test",
    )
    assert good[:3] == ["o/good", COMMIT, resolve(folder).fingerprint]
    names = sorted(path.name for path in Path(good[3]).iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer.json"]
    assert "Bearer hf_test" in {token for _, token in hub.asked}
    assert "o/gated is gated: accept its terms" in gated[0]
    assert "no model o/nothing, or it is private" in nothing[0]
    assert "no revision 'v9'" in no_revision[0]

    again, other = resolved(tmp_path / "hf", "o/good", "o/other", HF_HUB_OFFLINE="1")
    assert again == good
    assert "o/other has not been downloaded yet" in other[0]
