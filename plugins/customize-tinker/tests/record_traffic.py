"""Records what the official client says to a service, and what it makes of the answers.

Not a test: ``python record_traffic.py FOLDER``, with an interpreter that has ``tinker`` 0.38,
writes a JSON file for each scene. The service here is a script: it answers in the shapes that the
client's own types document, and writes protobuf by the client's own package. Knows nothing of ours.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SESSION = "5e551075e551075e551075e551075e55"
KEY = "tml-recorded"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
TRY_AGAIN = {"type": "try_again", "queue_state": "active", "queue_state_reason": None}
PAUSED = {**TRY_AGAIN, "queue_state": "paused_capacity", "queue_state_reason": "all are busy"}

Reply = tuple[int, Any, dict[str, str]]  # status, JSON or bytes, headers


class Service:
    """Answers by a script. planned: replies by the place asked for, before the usual ones."""

    def __init__(self, flags: dict[str, Any], planned: dict[str, list[Reply]]) -> None:
        self.flags = flags
        self.planned = planned
        self.exchanges: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.results: dict[str, Any] = {}
        self.lock = threading.Lock()

    def answer(self, path: str, body: dict[str, Any]) -> Reply:
        with self.lock:
            place = place_of(path, body)
            if planned := self.planned.get(place):
                return planned.pop(0)
            value = self.usual(path, body)
            return value if isinstance(value, tuple) else (200, value, {})

    def usual(self, path: str, body: dict[str, Any]) -> Any:
        number = body.get("seq_id", 0)
        match path:
            case "client/config":
                return self.flags
            case "client/dynamic_config":
                return {}
            case "auth/token":
                return {"jwt": jwt()}
            case "create_session":
                return {"type": "create_session", "session_id": SESSION}
            case "session_heartbeat" | "telemetry":
                return {"type": path, "status": "accepted"}
            case "create_model":
                id = f"{SESSION}:train:{body['model_seq_id']}"
                return self.promise(f"model-{body['model_seq_id']}", {"model_id": id}, id)
            case "get_info":
                told = {"type": "get_info", "model_id": body["model_id"], "is_lora": True}
                return {**told, "lora_rank": 8, "model_data": {"model_name": "recorded"}}
            case "forward_backward":
                return self.promise(f"learn-{number}", learnt(body))
            case "optim_step":
                return self.promise(f"step-{number}", {"metrics": {"grad_norm": 0.5 + number}})
            case "save_weights":
                path = f"tinker://{body['model_id']}/weights/{body['path']}"
                return self.promise(f"save-{number}", {"type": "save_weights", "path": path})
            case "save_weights_for_sampler":
                id = f"{SESSION}:sample:{body['sampling_session_seq_id']}"
                return self.promise(f"snapshot-{number}", {"sampling_session_id": id})
            case "asample":
                promised = self.promise(f"sample-{number % 10**9}", sampled(body))
                ids = [f"{number}-{n}" for n in range(body.get("num_samples", 1))]
                return {**promised, "sample_sequence_ids": ids}
            case "join_sampling_session":
                return {"type": "join_sampling_session", "client_counter": 0}
            case "retrieve_future":
                return self.results[body["request_id"]]
        return {}

    def promise(self, id: str, result: Any, model_id: str | None = None) -> dict[str, Any]:
        self.results[id] = result
        return {"request_id": id, "model_id": model_id}


def place_of(path: str, body: dict[str, Any]) -> str:
    """What is asked for, whoever asks: an operation's number, or a result's id."""
    number = body.get("request_id", body.get("seq_id", body.get("model_seq_id", "")))
    number = number % 10**9 if isinstance(number, int) else number
    return f"{path} {number}".strip()


def learnt(asked: dict[str, Any]) -> bytes:
    """-0.5 for the first target, then each 0.25 less; in bfloat16 for what is a policy's."""
    from tinker.proto import tinker_public_pb2 as pb

    output = pb.ForwardBackwardOutput(loss_fn_output_type="ArrayRecord")
    is_policy = asked["loss_fn"] != "cross_entropy"
    total = 0.0
    for part in (asked["data"][:1], asked["data"][1:]):
        if not part:
            continue
        record = output.loss_fn_outputs.add(type_tag="ArrayRecord", num_datums=len(part))
        told, data, offsets = record.fields["logprobs"], b"", [0]
        for one in part:
            values = [-0.5 - 0.25 * n for n in range(len(one["tokens"]))]
            total -= sum(values)
            data += b"".join(_number(value, is_policy) for value in values)
            offsets.append(len(data))
        told.data, told.offsets = data, struct.pack(f"<{len(offsets)}q", *offsets)
        told.dtype = pb.DTYPE_BFLOAT16 if is_policy else pb.DTYPE_FLOAT32
    output.metrics["loss:sum"] = total
    output.metrics["tokens:sum"] = float(sum(len(one["tokens"]) for one in asked["data"]))
    return bytes(output.SerializeToString())


def _number(value: float, is_short: bool) -> bytes:
    data = struct.pack("<f", value)
    return data[2:] if is_short else data


def sampled(asked: dict[str, Any]) -> bytes:
    from tinker.proto import tinker_public_pb2 as pb

    response = pb.SampleResponse(prompt_cache_hit_tokens=1)
    for n in range(asked.get("num_samples", 1)):
        length = asked["sampling_params"]["max_tokens"]
        sequence = response.sequences.add(
            stop_reason=pb.STOP_REASON_LENGTH if n else pb.STOP_REASON_STOP
        )
        sequence.tokens = struct.pack(f"<{length}i", *range(10 * n, 10 * n + length))
        sequence.logprobs = struct.pack(f"<{length}f", *[-1.5 - n] * length)
    if asked.get("prompt_logprobs"):
        length = sum(len(chunk["tokens"]) for chunk in asked["prompt"]["chunks"])
        values = [float("nan"), *(-2.0 - n for n in range(length - 1))]
        response.prompt_logprobs = struct.pack(f"<{length}f", *values)
    return bytes(response.SerializeToString())


def jwt() -> str:
    claims = {"sub": "recorded", "org_id": "recorded", "iat": 1_000, "exp": 5_000_000_000}
    parts = ({"alg": "none"}, claims)
    told = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return ".".join([*(part.rstrip("=") for part in told), ""])


def read_protobuf(body: bytes) -> dict[str, Any]:
    """A forward_backward, as the client's own package reads it."""
    from tinker.proto import tinker_public_pb2 as pb

    asked = pb.ForwardBackwardRequest()
    asked.ParseFromString(body)
    kinds = {pb.DTYPE_FLOAT32: ("float32", "f", 4), pb.DTYPE_INT64: ("int64", "q", 8)}

    def tensor(one: Any) -> dict[str, Any]:
        name, letter, size = kinds[one.dtype]
        values = struct.unpack(f"<{len(one.dense) // size}{letter}", one.dense)
        return {"dtype": name, "shape": list(one.shape), "values": list(values)}

    def tokens(one: Any) -> list[int]:
        data = b"".join(chunk.encoded_text.tokens for chunk in one.model_input)
        return list(struct.unpack(f"<{len(data) // 4}i", data))

    return {
        "model_id": asked.model_id,
        "seq_id": asked.seq_id,
        "loss_fn": asked.loss_fn,
        "forward_only": asked.forward_only,
        "loss_fn_config": dict(asked.loss_fn_config),
        "data": [
            {"tokens": tokens(one), "inputs": {k: tensor(v) for k, v in one.loss_fn_inputs.items()}}
            for one in asked.data
        ],
    }


def handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.partition("/api/v1/")[2].partition("?")[0]
            is_protobuf = self.headers.get("content-type") == PROTOBUF
            body = read_protobuf(raw) if is_protobuf else json.loads(raw or b"{}")
            status, value, headers = service.answer(path, body)
            is_binary = isinstance(value, bytes)
            out = value if is_binary else json.dumps(value).encode()
            media = PROTOBUF if is_binary else JSON
            exchange = {
                "place": place_of(path, body),
                "key": self.headers["x-api-key"],
                "asked": body,
                "status": status,
                "headers": headers,
                "answer": {"protobuf": base64.b64encode(out).decode()} if is_binary else value,
            }
            if is_protobuf:
                exchange["asked_in_bytes"] = base64.b64encode(raw).decode()
            with service.lock:
                service.exchanges.append(exchange)
            self.send_response(status)
            for name, text in {"Content-Type": media, **headers}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

        do_GET = do_PUT = do_POST

        def log_message(self, *args: Any) -> None:
            """Nothing: the exchanges are the log."""

    return Handler


def datum(tokens: list[int], **inputs: Any) -> Any:
    from tinker import types

    given = {"target_tokens": tokens[1:], **inputs}
    return types.Datum(model_input=types.ModelInput.from_ints(tokens[:-1]), loss_fn_inputs=given)


def told(output: Any) -> dict[str, Any]:
    logprobs = [one["logprobs"].tolist() for one in output.loss_fn_outputs]
    return {"loss": output.metrics["loss:sum"], "logprobs": logprobs}


def begun(service: Any) -> Any:
    return service.create_lora_training_client(base_model="recorded", rank=8, seed=3).result()


def training(service: Any) -> dict[str, Any]:
    """Two steps sent before they are waited for, a forward, and a state that is saved."""
    from tinker import types

    model = begun(service)
    whole = datum([5, 6, 7, 8], weights=[0.0, 1.0, 0.5])
    short = datum([9, 4, 3], weights=[1.0, 1.0])
    policy = {"logprobs": [-1.0, -2.0, -3.0], "advantages": [1.0, -1.0, 0.5]}
    first = model.forward_backward([whole, short], "cross_entropy")
    adam = types.AdamParams(
        learning_rate=0.001, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.01, grad_clip_norm=1.0
    )
    stepped = model.optim_step(adam)
    second = model.forward_backward([datum([5, 6, 7, 8], **policy)], "importance_sampling")
    clip = {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}
    third = model.forward_backward([datum([5, 6, 7, 8], **policy)], "ppo", clip)
    again = model.optim_step(adam)
    ahead = model.forward([whole, short], "cross_entropy")
    saved = model.save_state("state-7")
    return {
        "cross_entropy": told(first.result()),
        "importance_sampling": told(second.result()),
        "ppo": told(third.result()),
        "forward": told(ahead.result()),
        "norms": [one.result().metrics["grad_norm"] for one in (stepped, again)],
        "saved": saved.result().path,
    }


def sampling(service: Any) -> dict[str, Any]:
    """A snapshot that is sampled, and scored."""
    from tinker import types

    sampler = begun(service).save_weights_and_get_sampling_client()
    sampler = sampler.result() if hasattr(sampler, "result") else sampler
    prompt = types.ModelInput.from_ints([5, 6, 7])
    params = types.SamplingParams(max_tokens=4, temperature=1.0, seed=11)
    drawn = sampler.sample(prompt, 2, params, include_prompt_logprobs=True).result()
    whole = types.ModelInput.from_ints([5, 6, 7, 8])
    return {
        "tokens": [one.tokens for one in drawn.sequences],
        "logprobs": [one.logprobs for one in drawn.sequences],
        "stops": [one.stop_reason for one in drawn.sequences],
        "prompt_logprobs": drawn.prompt_logprobs,
        "scores": sampler.compute_logprobs(whole).result(),
    }


def failing(service: Any) -> dict[str, Any]:
    """What becomes of operations that fail, each in its way."""
    from tinker import types

    model = begun(service)
    errors = {}
    for number in range(1, 6):
        whole = datum([5, 6, 7, 8], weights=[0.0, 1.0, 0.5])
        try:
            model.forward_backward([whole], "cross_entropy").result()
        except Exception as error:
            errors[str(number)] = f"{type(error).__name__}: {error}"[:200]
        else:
            errors[str(number)] = "none"
    return {"errors": errors, "step": model.optim_step(types.AdamParams()).result().metrics}


def in_parts(service: Any) -> dict[str, Any]:
    """More data than the service takes in one request."""
    model = begun(service)
    data = [datum([n, n + 1, n + 2], weights=[1.0, 1.0]) for n in range(5)]
    return {"cross_entropy": told(model.forward_backward(data, "cross_entropy").result())}


def with_short_keys(service: Any) -> dict[str, Any]:
    """The key is given for one that ends soon."""
    begun(service)
    return {}


ERROR = "what went wrong"
SCENES: dict[
    str, tuple[Callable[[Any], dict[str, Any]], dict[str, Any], dict[str, list[Reply]]]
] = {
    "training": (
        training,
        {},
        {
            "retrieve_future learn-1": [(408, TRY_AGAIN, {}), (408, PAUSED, {})],
            "retrieve_future step-2": [(200, PAUSED, {})],
            "optim_step 5": [(503, {"detail": "not now"}, {"retry-after-ms": "10"})],
            "retrieve_future learn-6": [
                (200, {"status": "complete_metadata", "response_payload_size": 100}, {})
            ],
        },
    ),
    "sampling": (
        sampling,
        {},
        {
            "asample 0": [(429, {"detail": "too many"}, {"retry-after": "1"})],
            "retrieve_future sample-1": [(410, {"detail": "this promise is lost"}, {})],
        },
    ),
    "failing": (
        failing,
        {},
        {
            "retrieve_future learn-1": [(200, {"error": ERROR, "category": "user"}, {})],
            "retrieve_future learn-2": [(200, {"error": ERROR, "category": "server"}, {})],
            "retrieve_future learn-3": [(200, {"error": ERROR, "category": "unknown"}, {})],
            "retrieve_future learn-4": [(410, {"detail": "this promise is lost"}, {})],
            "forward_backward 5": [(422, {"detail": "it cannot be read"}, {})],
        },
    ),
    "in-parts": (in_parts, {"fwdbwd_max_chunk_len": 2}, {}),
    "short-keys": (with_short_keys, {"pjwt_auth_enabled": True}, {}),
}
_BESIDE = ("telemetry", "client/dynamic_config", "session_heartbeat", "get_info")


def main(folder: Path) -> None:
    import tinker

    logging.disable(logging.CRITICAL)
    for name, (scene, flags, planned) in SCENES.items():
        service = Service(flags, planned)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler(service))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ["TINKER_API_KEY"] = KEY
        client = tinker.ServiceClient(base_url=f"http://127.0.0.1:{server.server_port}")
        made = scene(client)
        server.shutdown()
        kept = [one for one in service.exchanges if one["place"].split()[0] not in _BESIDE]
        source = f"the PyPI package tinker {tinker.__version__}, by record_traffic.py"
        value = {"source": source, "when": time.strftime("%Y-%m-%d"), "flags": flags}
        text = json.dumps({**value, "made": made, "exchanges": kept}, indent=1)
        (folder / f"{name}.json").write_text(text + "\n", "utf-8")
        print(name, len(kept), made, file=sys.stderr)
    os._exit(0)  # the client's threads would wait for servers that are gone


if __name__ == "__main__":
    main(Path(sys.argv[1]))
