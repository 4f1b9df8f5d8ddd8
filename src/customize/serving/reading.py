"""Requests read from their fields: what is asked for, or why it is refused."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any

import numpy as np

from customize._batch import Ints
from customize.serving.asked import AskedChat, AskedCompletion
from customize.serving.fields import Fields
from customize.serving.limits import Limits
from customize.serving.menu import Menu
from customize.serving.messages import read_messages, read_tools
from customize.serving.refusal import Refusal
from customize.serving.response_format import read_schema

_MOST_CHOICES, _MOST_STOPS, _MOST_TOP = 16, 16, 20
_MOST_SEED = 2**63 - 1
_TEMPERATURE = 1.0  # where a request names none
# Colder than this, logits over the temperature leave the range of 32-bit numbers.
_COLDEST = 0.01
# Of the interface, and not done here; let through with a value that asks for nothing.
_WITHOUT: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "frequency_penalty": ("0", "0.0"),
        "presence_penalty": ("0", "0.0"),
        "logit_bias": ("{}",),
        "user": (),
    }
)
_WITHOUT_IN_CHAT = {
    **_WITHOUT,
    "audio": (),
    "function_call": (),
    "functions": (),
    "metadata": ("{}",),
    "modalities": ('["text"]',),
    "parallel_tool_calls": ("true",),
    "prediction": (),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "reasoning_effort": (),
    "safety_identifier": (),
    "service_tier": ('"auto"', '"default"'),
    "store": ("false",),
    "verbosity": (),
    "web_search_options": (),
}
_WITHOUT_IN_COMPLETIONS = {**_WITHOUT, "best_of": ("1",), "echo": ("false",), "suffix": ()}


def read_chat(body: Mapping[str, Any], menu: Menu, limits: Limits, tags: Set[str]) -> AskedChat:
    """``tags`` are the asker's. Raises Refusal, which names the field."""
    fields = Fields(body)
    given = _common(fields, menu, limits)
    most = given["max_tokens"]
    more = fields.integer("max_completion_tokens", 1, limits.max_tokens)
    if None not in (most, more) and most != more:
        fields.refuse("max_tokens", "and max_completion_tokens differ: give one of them")
    given["max_tokens"] = more if most is None else most
    wanted = fields.flag("logprobs")
    top = fields.integer("top_logprobs", 0, _MOST_TOP)
    if top is not None and not wanted:
        fields.refuse("top_logprobs", 'needs "logprobs": true')
    schema = read_schema(fields.inside("response_format"))
    messages, tools = read_messages(fields), read_tools(fields)
    if schema is not None and tools is not None:
        fields.refuse("response_format", "and tools that may be called: give one of them")
    fields.finish(_WITHOUT_IN_CHAT)
    is_grounded = given["served"].library is not None
    if is_grounded:
        _check_grounded(fields, tools is not None, schema is not None)
    if given["temperature"] is None:
        given["temperature"] = 0.0 if is_grounded else _TEMPERATURE
    top = (top or 0) if wanted else None
    given |= {"top_logprobs": top, "schema": schema}
    return AskedChat(**given, messages=messages, tools=tools, tags=tags)


def _check_grounded(fields: Fields, has_tools: bool, has_schema: bool) -> None:
    """What an answer from documents is not, since it has a form of its own."""
    for name, is_given in (("tools", has_tools), ("response_format", has_schema)):
        if is_given:
            fields.refuse(name, "cannot be kept by a model that answers from documents")


def read_completion(body: Mapping[str, Any], menu: Menu, limits: Limits) -> AskedCompletion:
    """Raises Refusal, which names the field."""
    fields = Fields(body)
    given = _common(fields, menu, limits)
    if given["temperature"] is None:
        given["temperature"] = _TEMPERATURE
    top = fields.integer("logprobs", 0, _MOST_TOP)
    texts = _given(fields.take("prompt"), given["served"].renderer.vocabulary_size)
    fields.finish(_WITHOUT_IN_COMPLETIONS)
    return AskedCompletion(**given, top_logprobs=top, given=texts)


def _common(fields: Fields, menu: Menu, limits: Limits) -> dict[str, Any]:
    """What both kinds of requests have, as arguments of ``Asked``.

    temperature: None where the request names none.
    """
    name = fields.text("model")
    if name is None:
        fields.refuse("model", f"is missing; served here: {', '.join(menu.names)}")
    temperature = fields.number("temperature", 0, 2)
    if temperature is not None and 0 < temperature < _COLDEST:
        fields.refuse("temperature", f"must be 0, or at least {_COLDEST}")
    top_p = fields.number("top_p", 0, 1)
    if top_p == 0:
        fields.refuse("top_p", "must be more than 0")
    seed = fields.integer("seed", 0, _MOST_SEED)
    stream = fields.flag("stream")
    return {
        "served": menu.find(name),
        "num_choices": fields.integer("n", 1, _MOST_CHOICES) or 1,
        "max_tokens": fields.integer("max_tokens", 1, limits.max_tokens),
        "temperature": temperature,
        "top_p": 1.0 if top_p is None else top_p,
        "seed": secrets.randbelow(_MOST_SEED) if seed is None else seed,
        "stops": _stops(fields),
        "stream": stream,
        "include_usage": _include_usage(fields, stream),
    }


def _include_usage(fields: Fields, stream: bool) -> bool:
    options = fields.inside("stream_options")
    if options is None:
        return False
    if not stream:
        fields.refuse("stream_options", 'needs "stream": true')
    wanted = options.flag("include_usage")
    options.finish({"include_obfuscation": ("false",)})
    return wanted


def _stops(fields: Fields) -> tuple[str, ...]:
    value = fields.take("stop")
    stops = [value] if isinstance(value, str) else (value or [])
    if not isinstance(stops, list) or not all(isinstance(s, str) and s for s in stops):
        fields.refuse("stop", "must be a text, or a list of texts, none of them empty")
    if len(stops) > _MOST_STOPS:
        fields.refuse("stop", f"may hold {_MOST_STOPS} texts at most")
    return tuple(stops)


def _given(value: object, vocabulary: int) -> list[str | Ints]:
    """A text, tokens, or a list of either."""
    many = value if isinstance(value, list) and value and _is_prompt(value[0]) else [value]
    if len(many) > _MOST_CHOICES:
        raise Refusal(400, f"prompt may hold {_MOST_CHOICES} at most", param="prompt")
    return [_one_prompt(one, vocabulary) for one in many]


def _is_prompt(value: object) -> bool:
    return isinstance(value, (str, list))


def _one_prompt(value: object, vocabulary: int) -> str | Ints:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value and all(type(token) is int for token in value):
        if not all(0 <= token < vocabulary for token in value):
            raise Refusal(400, f"prompt: tokens are 0 to {vocabulary - 1}", param="prompt")
        return np.asarray(value, np.int32)
    raise Refusal(400, "prompt must be a text or tokens, or a list of them", param="prompt")
