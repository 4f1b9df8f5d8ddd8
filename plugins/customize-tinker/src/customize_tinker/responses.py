"""The two results that are protobuf, written and read. Knows no engine."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from customize import Completion
from customize_tinker.tensors import (
    FLOAT32,
    INT32,
    Tensor,
    decode_tensor,
    dense,
    encode_tensor,
    numbers,
    size_of,
)
from customize_tinker.wire import Value, Writer, as_bytes, as_double, as_int, as_text, fields

Floats = npt.NDArray[np.float32]
_STOP, _LENGTH = 0, 1


@attrs.frozen(eq=False)
class Output:
    """Of a forward_backward. logprobs: float32 [T] a datum. metrics end in how they are joined."""

    logprobs: Sequence[Floats]
    metrics: Mapping[str, float]


def encode_output(output: Output) -> bytes:
    lengths = [4 * len(values) for values in output.logprobs]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("<i8")
    data = b"".join(values.astype("<f4").tobytes() for values in output.logprobs)
    batched = Writer().blob(1, data).blob(2, offsets.tobytes()).varint(3, FLOAT32)
    record = Writer().text(1, "ArrayRecord")
    record.message(2, Writer().text(1, "logprobs").message(2, batched))
    record.varint(3, len(output.logprobs))
    message = Writer().text(1, "ArrayRecord").message(2, record)
    for key, value in output.metrics.items():
        message.message(3, Writer().text(1, key).double(2, value))
    return message.done()


def decode_output(body: bytes) -> Output:
    """Raises WireError where the bytes are no such result."""
    logprobs: list[Floats] = []
    metrics: dict[str, float] = {}
    for number, _, value in fields(memoryview(body)):
        if number == 2:
            logprobs += _record(as_bytes(value))
        elif number == 3:
            held = {n: v for n, _, v in fields(as_bytes(value))}
            metrics[as_text(held[1])] = as_double(held[2])
    return Output(logprobs, metrics)


def _record(data: memoryview) -> list[Floats]:
    for number, _, value in fields(data):
        if number == 2:
            held = {n: v for n, _, v in fields(as_bytes(value))}
            if as_text(held[1]) == "logprobs":
                return _batched(as_bytes(held[2]))
    return []


def _batched(data: memoryview) -> list[Floats]:
    held = {n: v for n, _, v in fields(data)}
    data, dtype = as_bytes(held.get(1, memoryview(b""))), as_int(held[3])
    values = numbers(data, dtype)  # of more bytes than they came in, where they came in 16 bits
    bounds = np.frombuffer(as_bytes(held[2]), "<i8") // size_of(dtype)
    return [values[a:b].astype(np.float32) for a, b in itertools.pairwise(bounds)]


@attrs.frozen(eq=False)
class Likeliest:
    """The likeliest tokens of each place, the likeliest first.

    tokens: int32 [T, K]; 0 where nothing is told. logprobs: float32 [T, K]; there -99999.
    """

    tokens: npt.NDArray[np.int32]
    logprobs: Floats


@attrs.frozen(eq=False)
class Alternatives:
    """Tokens drawn for each place but the first: int64 and float32 [T - 1, K]."""

    tokens: npt.NDArray[np.int64]
    logprobs: Floats


@attrs.frozen(eq=False)
class Samples:
    """Completions of a prompt, and what else was asked for.

    prompt_logprobs: float32 [prompt tokens], NaN where there is none. target_logprobs: of the
    tokens that were chosen for each of its places.
    """

    completions: Sequence[Completion]
    prompt_logprobs: Floats | None = None
    likeliest_of_prompt: Likeliest | None = None
    likeliest: Sequence[Likeliest] = ()
    target_logprobs: Tensor | None = None
    alternatives: Alternatives | None = None


def encode_samples(samples: Samples) -> bytes:
    """The log-probabilities told are those of the distribution that was drawn from."""
    message = Writer()
    for number, completion in enumerate(samples.completions):
        sequence = Writer().varint(1, _STOP if completion.stop_reason == "stop" else _LENGTH)
        sequence.blob(2, completion.tokens.astype("<i4").tobytes())
        sequence.blob(3, completion.sampling_logprobs.astype("<f4").tobytes())
        if samples.likeliest:
            sequence.message(4, _encoded_likeliest(samples.likeliest[number]))
        message.message(1, sequence)
    if samples.prompt_logprobs is not None:
        message.blob(2, samples.prompt_logprobs.astype("<f4").tobytes())
    if samples.likeliest_of_prompt is not None:
        message.message(3, _encoded_likeliest(samples.likeliest_of_prompt))
    if samples.target_logprobs is not None:
        message.message(5, encode_tensor(samples.target_logprobs))
    if samples.alternatives is not None:
        tokens, logprobs = (dense(a) for a in attrs.astuple(samples.alternatives))
        message.message(
            6, Writer().message(1, encode_tensor(tokens)).message(2, encode_tensor(logprobs))
        )
    return message.done()


def _encoded_likeliest(found: Likeliest) -> Writer:
    length, k = found.tokens.shape
    message = Writer().blob(1, found.tokens.astype("<i4").tobytes())
    message.blob(2, found.logprobs.astype("<f4").tobytes())
    return message.varint(3, k).varint(4, length)


def decode_samples(body: bytes) -> Samples:
    """What is told of each completion; its ``logprobs`` are those that were drawn from."""
    completions: list[Completion] = []
    likeliest: list[Likeliest] = []
    prompt = of_prompt = targets = drawn = None
    for number, _, value in fields(memoryview(body)):
        if number == 1:
            held = {n: v for n, _, v in fields(as_bytes(value))}
            completions.append(_completion(held))
            likeliest += [_likeliest(as_bytes(held[4]))] if 4 in held else []
        elif number == 2:
            prompt = numbers(as_bytes(value), FLOAT32).astype(np.float32)
        elif number == 3:
            of_prompt = _likeliest(as_bytes(value))
        elif number == 5:
            targets = decode_tensor(as_bytes(value))
        elif number == 6:
            drawn = _alternatives(as_bytes(value))
    return Samples(completions, prompt, of_prompt, likeliest, targets, drawn)


def _completion(held: Mapping[int, Value]) -> Completion:
    tokens = numbers(as_bytes(held.get(2, memoryview(b""))), INT32).astype(np.int32)
    logprobs = numbers(as_bytes(held.get(3, memoryview(b""))), FLOAT32).astype(np.float32)
    stopped = as_int(held.get(1, _STOP)) == _STOP
    return Completion(tokens, logprobs, logprobs, "stop" if stopped else "length")


def _likeliest(data: memoryview) -> Likeliest:
    held = {n: v for n, _, v in fields(data)}
    shape = as_int(held[4]), as_int(held[3])
    tokens = numbers(as_bytes(held[1]), INT32).astype(np.int32).reshape(shape)
    return Likeliest(tokens, numbers(as_bytes(held[2]), FLOAT32).astype(np.float32).reshape(shape))


def _alternatives(data: memoryview) -> Alternatives:
    held = {n: decode_tensor(as_bytes(v)) for n, _, v in fields(data)}
    tokens, logprobs = (held[n].values.reshape(held[n].shape) for n in (1, 2))
    return Alternatives(tokens.astype(np.int64), logprobs.astype(np.float32))
