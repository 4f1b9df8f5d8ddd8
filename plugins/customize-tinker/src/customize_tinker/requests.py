"""The one request that is protobuf, ``forward_backward``, read and written. Knows no loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from customize_tinker.tensors import INT32, Ints, Tensor, decode_tensor, encode_tensor, numbers
from customize_tinker.wire import Writer, as_bytes, as_double, as_int, as_text, fields

_CHUNKS = {1: "text", 2: "image", 3: "audio"}


@attrs.frozen(eq=False)
class Datum:
    """tokens: int32 [T]. foreign: what stands among them that is no text, such as ``image``."""

    tokens: Ints
    inputs: Mapping[str, Tensor]
    foreign: str | None = None


@attrs.frozen(eq=False)
class ForwardBackward:
    """Data, the name of a loss and its settings, for one model."""

    model_id: str
    seq: int
    data: Sequence[Datum]
    loss: str
    config: Mapping[str, float | str]
    forward_only: bool = False


def decode_forward_backward(body: bytes) -> ForwardBackward:
    """Raises WireError where the bytes are no such request."""
    texts = {1: "", 4: ""}
    seq, forward_only = 0, False
    data: list[Datum] = []
    config: dict[str, float | str] = {}
    for number, _, value in fields(memoryview(body)):
        if number in texts:
            texts[number] = as_text(value)
        elif number == 2:
            seq = as_int(value)
        elif number == 3:
            data.append(_datum(as_bytes(value)))
        elif number == 5:
            key, setting = _entry(as_bytes(value))
            config.setdefault(key, as_double(setting))
        elif number == 6:
            forward_only = bool(as_int(value))
        elif number == 7:
            key, setting = _entry(as_bytes(value))
            config[key] = _setting(setting)
    return ForwardBackward(texts[1], seq, data, texts[4], config, forward_only)


def encode_forward_backward(request: ForwardBackward) -> bytes:
    """As the newest official client writes it."""
    message = Writer().text(1, request.model_id).varint(2, request.seq)
    for datum in request.data:
        message.message(3, _encoded_datum(datum))
    message.text(4, request.loss)
    for key, value in request.config.items():
        if isinstance(value, str):
            setting = Writer().text(2, value)
        else:
            message.message(5, Writer().text(1, key).double(2, value))
            setting = Writer().double(1, value)
        message.message(7, Writer().text(1, key).message(2, setting))
    return message.varint(6, int(request.forward_only)).done()


def _datum(data: memoryview) -> Datum:
    chunks: list[Ints] = []
    inputs: dict[str, Tensor] = {}
    foreign = None
    for number, _, value in fields(data):
        if number == 1:
            for kind, _, content in fields(as_bytes(value)):
                if kind == 1:
                    chunks.append(_tokens(as_bytes(content)))
                else:
                    foreign = _CHUNKS.get(kind, f"chunk of kind {kind}")
        elif number == 2:
            name, tensor = _entry(as_bytes(value))
            inputs[name] = decode_tensor(tensor)
    tokens = np.concatenate(chunks) if chunks else np.zeros(0, np.int32)
    return Datum(tokens.astype(np.int32), inputs, foreign)


def _tokens(data: memoryview) -> Ints:
    for number, _, value in fields(data):
        if number == 1:
            return numbers(as_bytes(value), INT32).astype(np.int32)
    return np.zeros(0, np.int32)


def _entry(data: memoryview) -> tuple[str, memoryview]:
    """Key and value of a map's entry."""
    key, held = "", memoryview(b"")
    for number, _, value in fields(data):
        if number == 1:
            key = as_text(value)
        elif number == 2:
            held = as_bytes(value)
    return key, held


def _setting(data: memoryview) -> float | str:
    setting: float | str = 0.0
    for number, _, value in fields(data):
        setting = as_double(value) if number == 1 else as_text(value)
    return setting


def _encoded_datum(datum: Datum) -> Writer:
    tokens = Writer().blob(1, datum.tokens.astype("<i4").tobytes())
    message = Writer().message(1, Writer().message(1, tokens))
    for name, tensor in datum.inputs.items():
        message.message(2, Writer().text(1, name).message(2, encode_tensor(tensor)))
    return message
