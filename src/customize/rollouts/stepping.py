"""Classes with ``reset`` and ``step`` as environments. Knows the shapes of what they give."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from typing import Any

import attrs

from customize._errors import OutOfRoom
from customize.interfaces.dataset import Row
from customize.interfaces.environment import Environment, Reply, Verdict
from customize.rollouts.rewards import name_of

World = Any  # a person's, or a package's: what it has is seen when it is called


def stepped(
    make: Callable[[Row], World],
    *,
    action: Callable[[str], Any] = str,
    text: Callable[[Any], str] = str,
    seconds: float = 30.0,
) -> Environment:
    """The environment that a class with ``reset(seed=…)`` and ``step(action)`` makes.

    ``make(row)`` gives a new one for each episode, which is closed when it has ended. What they
    give may be gymnasium's tuples, objects with observation, reward and done, as OpenEnv's, or
    mappings of these. The rewards of all steps are summed.

    Args:
        action: from what the model said to what ``step`` takes. A ValueError, as of ``int``, or a
            BadCall says that it is none: the episode ends with the rewards so far, and the model's
            fault is counted as ``bad_action``.
        text: from an observation to what the model sees.
    """

    def play(row: Row, rng: random.Random) -> Generator[str, Reply, Verdict]:
        world, total, faults = make(row), 0.0, {}
        try:
            seen = _Seen.of(world.reset(seed=rng.getrandbits(31)))
            while not seen.over:
                reply = yield text(seen.observation)
                try:
                    chosen = action(reply.text)
                except ValueError:  # and BadCall, which is one
                    faults = {"bad_action": 1}
                    break
                seen = _Seen.of(world.step(chosen))
                total += seen.reward
        except OutOfRoom:
            pass  # what was reached counts
        finally:
            getattr(world, "close", lambda: None)()
        return Verdict(total, {}, faults)

    return Environment(play, name_of(make), seconds)


@attrs.frozen
class _Seen:
    observation: Any
    reward: float
    over: bool

    @classmethod
    def of(cls, given: Any) -> _Seen:
        """From what ``reset`` or ``step`` gave; raises TypeError for other shapes."""
        if isinstance(given, tuple) and len(given) == 2:  # gymnasium's reset
            return cls(given[0], 0.0, False)
        if isinstance(given, tuple) and len(given) == 5:  # its step
            observation, reward, terminated, truncated, _ = given
            return cls(observation, float(reward), bool(terminated or truncated))
        known = given if isinstance(given, Mapping) else _attributes(given)
        observation = known.get("observation", known.get("observations"))
        if observation is None or "done" not in known:
            raise TypeError(
                f"reset and step give gymnasium's tuples, or observation, reward and done "
                f"(got {str(given)[:80]!r}, a {type(given).__name__})"
            )
        return cls(observation, float(known.get("reward") or 0.0), bool(known["done"]))


def _attributes(given: Any) -> dict[str, Any]:
    names = ("observation", "observations", "reward", "done")
    return {name: getattr(given, name) for name in names if hasattr(given, name)}
