"""A model of a service as a session: operations are sent, and waited for when asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from customize import (
    AdamW,
    Batch,
    CheckpointError,
    Completion,
    Handle,
    Loss,
    LossOutput,
    ModelError,
    ModelFolder,
    OnToken,
    Prompt,
    Renderer,
    Sampling,
    Session,
    Snapshot,
)
from customize_tinker.client.connection import Connection, Later, Pending
from customize_tinker.client.greeting import Flags
from customize_tinker.client.native import data_of, joined, native, parts, unscored
from customize_tinker.client.snapshot import TinkerSnapshot
from customize_tinker.requests import ForwardBackward, encode_forward_backward
from customize_tinker.responses import Output, decode_output

Floats = npt.NDArray[np.float32]
PATH, STATE = "tinker.json", "state.json"
_PROTOBUF = "application/x-protobuf"


class Remote:
    """What all sessions of an engine share. counter: of samplers and models of its session."""

    def __init__(
        self,
        connection: Connection,
        flags: Flags,
        session_id: str,
        base_model: str,
        renderer: Renderer,
    ) -> None:
        self.connection = connection
        self.flags = flags
        self.session_id = session_id
        self.base_model = base_model
        self.renderer = renderer
        self._numbers = {"sampler": 0, "model": 0}

    def number(self, what: str) -> int:
        self._numbers[what] += 1
        return self._numbers[what] - 1

    def sampler(self, **of: str) -> TinkerSnapshot:
        """Of the base, or of a checkpoint by its path."""
        told = self.connection.told(
            "create_sampling_session",
            {
                "session_id": self.session_id,
                "sampling_session_seq_id": self.number("sampler"),
                **of,
            },
        )
        return TinkerSnapshot(self.connection, told["sampling_session_id"], self.renderer)


class TinkerSession(Session):
    """One customization that a service holds."""

    def __init__(
        self,
        remote: Remote,
        model_id: str,
        model: ModelFolder,
        capabilities: frozenset[str],
        seed: int,
    ) -> None:
        self.renderer = remote.renderer
        self.seed = seed
        self.capabilities = capabilities
        self._remote = remote
        self._connection = remote.connection
        self._id = model_id
        self._model = model
        self._seq = 0
        self._named: dict[str, str] = {}

    def forward(self, batch: Batch) -> Handle[Floats]:
        sent = self._learn(batch, "cross_entropy", {}, forward_only=True)
        return Later(lambda: joined(batch, sent.result().logprobs))

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        found = native(loss, batch)
        if found is None:
            return self.surrogate(batch, loss)
        sent = self._learn(batch, *found)
        rest = unscored(loss, batch)

        def told() -> LossOutput:
            output = sent.result()
            return LossOutput(rest + output.metrics["loss:sum"], joined(batch, output.logprobs))

        return Later(told)

    def _learn(
        self, batch: Batch, loss: str, config: dict[str, float], forward_only: bool = False
    ) -> Later[Output]:
        """In as many requests as the service wants: losses are sums, and gradients add up."""
        flags, sent = self._remote.flags, list[Pending[Output]]()
        for data in parts(data_of(batch, loss), flags.most_data, flags.most_bytes):
            self._seq += 1
            asked = ForwardBackward(self._id, self._seq, data, loss, config, forward_only)
            _, body = self._connection.post(
                "forward_backward", encode_forward_backward(asked), _PROTOBUF
            )
            id = json.loads(body)["request_id"]
            sent.append(Pending(self._connection, id, decode_output))
        return Later(lambda: _whole([one.result() for one in sent]))

    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        adam = {
            "learning_rate": optimizer.lr,
            "beta1": optimizer.beta1,
            "beta2": optimizer.beta2,
            "eps": optimizer.eps,
            "weight_decay": optimizer.weight_decay,
            "grad_clip_norm": optimizer.max_grad_norm,
        }
        sent = self._send("optim_step", {"adam_params": adam})
        return Later(lambda: _norm(sent.result()))

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        return self.snapshot().sample(prompts, sampling, on_token)

    def snapshot(self, name: str | None = None) -> Snapshot:
        if name is not None:
            told = self._do("save_weights_for_sampler", {"path": f"kept-{self._seq + 1}"})
            self._named[name] = told["path"]
            return self.named_snapshot(name)
        number = self._remote.number("sampler")
        told = self._do("save_weights_for_sampler", {"sampling_session_seq_id": number})
        return TinkerSnapshot(self._connection, told["sampling_session_id"], self.renderer)

    def named_snapshot(self, name: str) -> Snapshot:
        if name not in self._named:
            raise CheckpointError(f"no snapshot is named {name!r} (there are {list(self._named)})")
        return self._remote.sampler(model_path=self._named[name])

    def base(self) -> Snapshot:
        return self._remote.sampler(base_model=self._remote.base_model)

    def save(self, folder: Path) -> None:
        """Where the service keeps it: weights and optimizer stay there."""
        told = self._do("save_weights", {"path": f"state-{self._seq + 1}"})
        state = {
            "base": self._model.fingerprint,
            "seed": self.seed,
            "path": told["path"],
            "named": self._named,
        }
        (folder / STATE).write_text(json.dumps(state), "utf-8")

    def load(self, folder: Path) -> None:
        state = read_state(folder / STATE)
        if lacking := {"base", "seed", "path", "named"} - state.keys():
            raise CheckpointError(f"{folder} lacks {', '.join(sorted(lacking))}: it cannot go on")
        if state["base"] != self._model.fingerprint:
            raise ModelError(f"{folder} was saved from another base than {self._model.name}")
        self._do("load_weights", {"path": state["path"], "optimizer": True})
        self.seed, self._named = state["seed"], dict(state["named"])

    def save_weights(self, folder: Path) -> None:
        """PEFT's format, downloaded; and where the service keeps it, to go on from there."""
        kept = self._do("save_weights", {"path": f"weights-{self._seq + 1}"})["path"]
        out = self._do("save_weights_external", {"path": f"out-{self._seq + 1}"})["path"]
        run, kind, name = out.removeprefix("tinker://").split("/")
        asked = f"training_runs/{run}/checkpoints/{kind}/{name}/external_weights_urls"
        folder.mkdir(parents=True, exist_ok=True)
        urls = json.loads(self._connection.get(asked))["urls"]
        for file in (file for file in urls if "/" not in file):  # other forms have folders
            (folder / Path(file).name).write_bytes(self._connection.download(urls[file]))
        state = {"base": self._model.fingerprint, "path": kept}
        (folder / PATH).write_text(json.dumps(state), "utf-8")

    def _do(self, endpoint: str, value: dict[str, Any]) -> dict[str, Any]:
        return self._send(endpoint, value).result()

    def _send(self, endpoint: str, value: dict[str, Any]) -> Pending[dict[str, Any]]:
        self._seq += 1
        asked = {"model_id": self._id, "seq_id": self._seq, **value}
        told = self._connection.told(endpoint, asked)
        return Pending(self._connection, told["request_id"], json.loads)


def _whole(outputs: Sequence[Output]) -> Output:
    total = sum(one.metrics.get("loss:sum", 0.0) for one in outputs)
    return Output([each for one in outputs for each in one.logprobs], {"loss:sum": total})


def read_state(file: Path) -> dict[str, Any]:  # any JSON
    """Raises CheckpointError where the file is missing or is no JSON object."""
    if not file.is_file():
        raise CheckpointError(f"{file.parent} lacks {file.name}")
    try:
        found = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{file} holds no JSON object")
    return found


def _norm(told: dict[str, Any]) -> float:
    """Not every service tells it."""
    return float((told.get("metrics") or {}).get("grad_norm", np.nan))
