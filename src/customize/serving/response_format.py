"""``response_format``: the schema that an answer is to fit. Knows no runtime."""

from __future__ import annotations

import json

from customize.data.strict_json import type_name
from customize.serving.fields import Fields

_ANY_OBJECT = '{"type": "object"}'


def read_schema(form: Fields | None) -> str | None:
    """The schema, as JSON; None where any text will do.

    Raises:
        Refusal: it asks for something else.
    """
    if form is None:
        return None
    kind = form.text("type")
    if kind not in ("text", "json_object", "json_schema"):
        form.refuse("type", "must be 'text', 'json_object' or 'json_schema'")
    asked = form.inside("json_schema") if kind == "json_schema" else None
    form.finish({})
    if kind == "text":
        return None
    if kind == "json_object":
        return _ANY_OBJECT
    if asked is None:
        form.refuse("json_schema", "is missing")
    return _schema(asked)


def _schema(asked: Fields) -> str:
    """``strict`` or not, the answer is held to it."""
    if not asked.text("name"):
        asked.refuse("name", "is missing")
    asked.text("description")
    asked.flag("strict")
    schema = asked.take("schema")
    if not isinstance(schema, dict):
        told = "is missing" if schema is None else f"must be an object, not {type_name(schema)}"
        asked.refuse("schema", told)
    asked.finish({})
    return json.dumps(schema)
