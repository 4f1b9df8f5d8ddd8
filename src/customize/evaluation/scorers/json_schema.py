"""Whether an answer is JSON of a schema. The schema's rules are the package jsonschema's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from customize._errors import MissingDependency, OptionError
from customize._options import option, options
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Score, Scorer


@options
class JsonSchema(Scorer):
    """The whole answer is JSON that the schema allows; nothing is fetched for a ``$ref``."""

    schema: Mapping[str, Any] = option(help="A JSON Schema.")

    def __attrs_post_init__(self) -> None:
        _validator(json.dumps(self.schema, sort_keys=True))

    def score(self, answer: Answer, row: Row) -> Score:
        try:
            value = json.loads(answer.text, parse_constant=_refuse)
        except ValueError:
            return False
        return bool(_validator(json.dumps(self.schema, sort_keys=True)).is_valid(value))


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:  # jsonschema is imported when used
    try:
        import jsonschema
        import referencing
    except ImportError as error:
        raise MissingDependency("json_schema needs: pip install customize[json-schema]") from error
    rules = json.loads(schema)
    kind = jsonschema.validators.validator_for(rules, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(rules)
    except jsonschema.SchemaError as error:
        raise OptionError(f"json_schema: the schema is wrong: {error.message}") from error
    # A registry of its own, as the default one fetches what a "$ref" names.
    return kind(rules, registry=referencing.Registry())


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
