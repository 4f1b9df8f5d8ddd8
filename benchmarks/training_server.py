"""What the training server adds to an operation: ``python benchmarks/training_server.py``.

The toy backend computes in microseconds, so what is measured is the protocol: a client of our own
over one connection, and the official one where it is installed. Medians of awaited operations, one
after the other, in milliseconds; the same on any machine only as a ratio to its speed.
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
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

from customize_tinker.requests import Datum, ForwardBackward, encode_forward_backward
from customize_tinker.responses import decode_output
from customize_tinker.tensors import Tensor

ROUNDS, FIRST = 200, 20
KEY, PORT = "tml-benchmark", 8479
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
        tokens = np.arange(64, dtype=np.int32)
        self._data = [Datum(tokens, {"target_tokens": Tensor(tokens.astype(np.int64), (64,))})]

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
    tokens = list(range(65))
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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([sys.executable, str(SERVER), folder, str(PORT)])
        try:
            _wait()
            print("own client, ms:", json.dumps(own()))
            if find_spec("tinker") is not None:
                print("official client, ms:", json.dumps(official()))
        finally:
            server.terminate()
            server.wait()


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
