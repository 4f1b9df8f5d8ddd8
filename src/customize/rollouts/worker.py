"""The other side of isolation: ``python -P -m customize.rollouts.worker`` plays episodes.

A line of JSON comes, a line of JSON goes. No sandbox: it keeps crashes and endless code away from
the run, and not code with bad intent away from the machine.
"""

from __future__ import annotations

import json
import os
import random
from importlib import import_module
from typing import IO, Any

import attrs

from customize._errors import OutOfRoom
from customize.interfaces.environment import Environment, Turn, Verdict
from customize.rollouts.isolation import reply_of


def main() -> None:
    """Serve until the input ends."""
    lines = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a person prints must not stand among the answers
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    serve(lines, answers)


def serve(lines: IO[str], answers: IO[str]) -> None:
    """Answer each line; the first names the environment."""
    environment = _environment(json.loads(next(lines)))
    episodes: dict[int, Any] = {}  # generators, of whatever types a person's yield
    for line in lines:
        asked = json.loads(line)
        answers.write(json.dumps(_answer(environment, episodes, asked)) + "\n")
        answers.flush()


def _environment(told: dict[str, Any]) -> Environment:
    found = getattr(import_module(told["module"]), told["name"])
    if isinstance(found, Environment):
        return attrs.evolve(found, parameters=told["parameters"])
    return Environment(found, told["name"], parameters=told["parameters"])


def _answer(
    environment: Environment, episodes: dict[int, Any], asked: dict[str, Any]
) -> dict[str, Any]:
    number = asked["episode"]
    try:
        if asked["do"] == "close":
            episodes.pop(number).close()
            return {}
        if asked["do"] == "begin":
            episodes[number] = environment(asked["row"], random.Random(asked["seed"]))
            return {"yielded": _plain(episodes[number].send(None))}
        if asked["do"] == "throw":
            return {"yielded": _plain(episodes[number].throw(OutOfRoom(asked["told"])))}
        return {"yielded": _plain(episodes[number].send(reply_of(asked["reply"])))}
    except StopIteration as end:
        return _returned(end.value)
    except BaseException as error:  # whatever a person's code raises
        return _raised(error)


def _returned(value: Any) -> dict[str, Any]:
    """A reward as JSON values: numpy's numbers and a verdict are rewards like any other."""
    told = {"verdict": attrs.asdict(value)} if isinstance(value, Verdict) else value
    try:
        return {"returned": json.loads(json.dumps(told, default=_number))}
    except (TypeError, ValueError):
        return _raised(TypeError(f"the reward must be JSON values (got a {type(value).__name__})"))


def _number(value: Any) -> float:
    if type(value).__module__ != "numpy":
        raise TypeError
    return float(value)


def _raised(error: BaseException) -> dict[str, Any]:
    import traceback

    lines = traceback.format_exception(error)
    return {"raised": type(error).__name__, "told": str(error), "traceback": "".join(lines)}


def _plain(value: Any) -> Any:
    """A turn as JSON values; other JSON values as they are, for the driver to refuse."""
    told = {"turn": attrs.asdict(value)} if isinstance(value, Turn) else value
    try:
        json.dumps(told)
    except (TypeError, ValueError) as error:
        raise TypeError(f"what is yielded must be JSON values: {error}") from error
    return told


if __name__ == "__main__":
    main()
