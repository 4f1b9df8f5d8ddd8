"""What the training server adds to an operation: ``python benchmarks/training_server.py``.

The toy backend hardly computes, so what is measured is the protocol: a client of our own over one
connection, and the official one where it is installed, beside the same operations in process.
Medians of awaited operations, one after the other, are written to ``TRAINING_SERVER_RESULTS.md``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPConnection
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

from customize import AdamW, Batch, CrossEntropy, LoRA, ModelFolder
from customize.testing import ToyBackend
from customize_tinker.requests import Datum, ForwardBackward, encode_forward_backward
from customize_tinker.responses import decode_output
from customize_tinker.tensors import Tensor

ROUNDS, FIRST = 200, 20
KEY, PORT = "tml-benchmark", 8479
TOKENS = np.arange(65, dtype=np.int32)
RESULTS = Path(__file__).with_name("TRAINING_SERVER_RESULTS.md")
SERVER = Path(__file__).parents[1] / "plugins/customize-tinker/tests/toy_server.py"


def timed(operation: Callable[[], object]) -> float:
    """The median in milliseconds, the first rounds left out."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        operation()
        taken.append(1000 * (time.perf_counter() - began))
    return round(median(taken[FIRST:]), 2)


class Own:
    """One request an operation, over one connection: it prefers to wait for the result."""

    def __init__(self) -> None:
        self._connection = HTTPConnection("127.0.0.1", PORT)
        session = self._told("create_session", {"tags": [], "sdk_version": "1"})["session_id"]
        asked = {"session_id": session, "model_seq_id": 0, "base_model": "toy"}
        self._model = self._told("create_model", asked)["model_id"]
        self._seq = 0
        targets = Tensor(TOKENS[1:].astype(np.int64), (len(TOKENS) - 1,))
        self._data = [Datum(TOKENS[:-1], {"target_tokens": targets})]

    def _post(self, path: str, body: bytes) -> bytes:
        headers = {"X-API-Key": KEY, "Prefer": "wait"}
        self._connection.request("POST", f"/api/v1/{path}", body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        return answer

    def _told(self, path: str, value: object) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._post(path, json.dumps(value).encode()))
        return found

    def forward_backward(self) -> None:
        self._seq += 1
        asked = ForwardBackward(self._model, self._seq, self._data, "cross_entropy", {})
        decode_output(self._post("forward_backward", encode_forward_backward(asked)))

    def optim_step(self) -> None:
        self._seq += 1
        self._told("optim_step", {"model_id": self._model, "seq_id": self._seq})


def in_process() -> dict[str, float]:
    """The same on the toy backend, with nothing between."""
    with tempfile.TemporaryDirectory() as folder:
        session = ToyBackend().load(ModelFolder(Path(folder), "toy", "toy")).open(LoRA(rank=8))
    weights = np.ones(len(TOKENS), np.float32)
    weights[0] = 0.0
    batch = Batch.from_sequences([(TOKENS, {"weights": weights})])
    return {
        "forward_backward": timed(lambda: session.forward_backward(batch, CrossEntropy()).result()),
        "optim_step": timed(lambda: session.optim_step(AdamW(lr=1e-4)).result()),
    }


def own() -> dict[str, float]:
    client = Own()
    return {
        "forward_backward": timed(client.forward_backward),
        "optim_step": timed(client.optim_step),
    }


def official() -> dict[str, float]:
    import tinker
    from tinker import types

    service = tinker.ServiceClient(base_url=f"http://127.0.0.1:{PORT}", api_key=KEY)
    training = service.create_lora_training_client(base_model="toy", rank=8)
    training = training.result() if hasattr(training, "result") else training
    tokens = TOKENS.tolist()
    datum = types.Datum(
        model_input=types.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs={"target_tokens": tokens[1:]},
    )
    adam = types.AdamParams(learning_rate=1e-4)
    return {
        "forward_backward": timed(
            lambda: training.forward_backward([datum], "cross_entropy").result()
        ),
        "optim_step": timed(lambda: training.optim_step(adam).result()),
    }


def measured() -> dict[str, dict[str, float]]:
    """Milliseconds an operation, by who asks for it."""
    found = {"in process": in_process()}
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([sys.executable, str(SERVER), folder, str(PORT)])
        try:
            _wait()
            found["a client of our own"] = own()
            if find_spec("tinker") is not None:
                found[f"the official one, {version('tinker')}"] = official()
        finally:
            server.terminate()
            server.wait()
    return found


def page(found: dict[str, dict[str, float]]) -> str:
    bare = found["in process"]
    lines = [
        "# What the training server adds",
        "",
        "Written by `training_server.py`: the toy backend, one sequence of 64 targets, medians of",
        f"{ROUNDS - FIRST} operations that are awaited one after the other, in milliseconds.",
        "",
        "| who asks | forward_backward | added | optim_step | added |",
        "|---|---|---|---|---|",
    ]
    for who, taken in found.items():
        cells = [f"{taken[key]:.2f} | {taken[key] - bare[key]:.2f}" for key in bare]
        lines.append(f"| {who} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    told = page(measured())
    RESULTS.write_text(told, "utf-8")
    print(told)


def _wait() -> None:
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/v1/healthz").close()
        except OSError:
            time.sleep(0.2)
        else:
            return


if __name__ == "__main__":
    main()
