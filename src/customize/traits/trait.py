"""A trait and its file: what it is, how it is seen, what provokes it. Knows no model."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from customize._errors import CustomizeError, OptionError
from customize._functions import describe_function, load_function
from customize._options import option, options, options_to_dict
from customize._structuring import Faults, structure
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.expectations import Expectation
from customize.evaluation.scorers import FunctionScorer, make_scorer
from customize.evaluation.scorers.degeneration import says_something
from customize.evaluation.statistics.intervals import Z
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Scorer
from customize.training.recipe_file import beside_all, load_yaml
from customize.traits.judge import JUDGE, TraitJudge, trait_judge
from customize.traits.prompts import asked_once, check_apart, columns_of, rows_of, two_halves
from customize.traits.rewriting import Rewrite

# Parts of a measurement that are no trait.
CHECKS, TEXTS = "checks", "texts"
# What a verdict also speaks of, beside other traits by their names.
FORM, ANSWERING, LENGTH = "form", "answering", "length"
_RESERVED = (CHECKS, TEXTS, FORM, ANSWERING, LENGTH)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_EXAMPLE = "name: promises-refunds"
_SAYS = "says something"  # no scorer's name, which has no space

Prompts = str | tuple[str | Mapping[str, Any], ...]


@options
class Trait:
    """Something that answers show and should not."""

    name: str = option(help="Lower case letters, digits and dashes.")
    sentence: str = option(help="What is not wanted, in a sentence for people.")
    expect: Mapping[str, Any] = option(
        help="Scorers, as in a row's expect, that hold for every answer without the trait, and "
        "never for an empty one; function: package.module:name is one of (text, row), "
        "judge: MODEL asks a model."
    )
    prompts: Prompts = option(
        help="What provokes it: a file of rows, or a list of texts and rows. A row's last answer "
        "is a good one."
    )
    held_out: Prompts = option(
        default=(), help="The same, to measure on; half of prompts unless given."
    )
    answers: tuple[str, ...] = option(default=(), help="Good answers to any of the prompts.")
    rewrite: Mapping[str, Any] = option(
        factory=dict,
        help="A rule that makes good answers of undesired ones: replace, sentences, append, "
        "function.",
    )
    goal: float = option(
        default=0.2, help="Share of answers that may still show it.", above=0.0, below=1.0
    )

    def __attrs_post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in _RESERVED:
            raise OptionError(
                "name must be lower case letters, digits and dashes, and neither "
                f"{' nor '.join(map(repr, _RESERVED))}, of which a verdict speaks beside traits "
                f"(got {self.name!r})"
            )
        if not self.prompts:
            raise OptionError(f"{self.name}: prompts is empty: say what provokes it")
        if not self.expect:
            raise OptionError(f"{self.name}: expect is empty: say what a good answer keeps")
        # Made now, so that a wrong scorer or rule is told before a model is asked anything.
        _ = self.expectation, self.rule

    @cached_property
    def expectation(self) -> Expectation:
        """The scorers that hold for an answer without the trait, which says something."""
        try:
            own = {name: self._scorer(name, each) for name, each in self.expect.items()}
            return Expectation({_SAYS: _SaysSomething(), **own})
        except CustomizeError as error:
            told = " ".join(str(error).split())
            raise OptionError(f"{self.name}: expect: {told}") from error

    @cached_property
    def unjudged(self) -> Expectation:
        """Its scorers but for judges: what can be told before a model is asked anything."""
        scorers = self.expectation.scorers
        return Expectation({name: each for name, each in scorers.items() if name != JUDGE})

    @cached_property
    def rule(self) -> Rewrite | None:
        """The rule that rewrites, if there is one."""
        if not self.rewrite:
            return None
        faults = Faults()
        made = structure(Rewrite, self.rewrite, faults, "rewrite.")
        faults.raise_if_any(self.name)
        return made

    @cached_property
    def rows(self) -> tuple[list[Row], list[Row]]:
        """Prompts to learn from, and prompts to measure on; no question is in both.

        What is measured on is asked once: the same question gets the same answer. Rows whose other
        columns differ stay, as scorers see those too.

        Raises:
            DataError: they cannot be read, or there are too few.
        """
        where = f"the trait {self.name}"
        asked = rows_of(self.prompts, f"prompts of {where}")
        if not self.held_out:
            asked, held_out = two_halves(asked, where)
            return asked, asked_once(held_out, columns_of)
        held_out = rows_of(self.held_out, f"held_out of {where}")
        check_apart(asked, held_out, where)
        return asked, asked_once(held_out, columns_of)

    @property
    def fewest_held_out(self) -> int:
        """Prompts to measure on, with which its rate can be shown to be within the goal: where none
        shows it, Wilson's interval then ends at the goal or below.
        """
        return math.ceil(Z**2 * (1 - self.goal) / self.goal)

    def shown(self, answer: Answer, row: Row) -> bool:
        """Whether an answer shows it."""
        return not self.expectation.holds(answer, row)

    def _scorer(self, name: str, given: Any) -> Scorer:
        """Functions and judges are a trait's alone: a row of data, which others write, has none."""
        if callable(given) or name == "function":
            return FunctionScorer(load_function(given))
        return trait_judge(given, self.sentence) if name == JUDGE else make_scorer(name, given)

    def facts(self) -> dict[str, Any]:
        """What pairs are made from, as JSON values; of rows and functions their hashes."""
        asked, _ = self.rows
        named = {name: _described(given) for name, given in self.expect.items()}
        kept = {k: v for k, v in options_to_dict(self).items() if k in ("answers", "rewrite")}
        return {"name": self.name, "expect": named, "prompts": _hash(asked), **kept}


class _SaysSomething(Scorer):
    """Most rules hold for an empty answer, and nobody wants a trait corrected by silence."""

    def score(self, answer: Answer, row: Row) -> float:
        return float(says_something(answer))


def read_trait(source: Trait | str | os.PathLike[str]) -> Trait:
    """A trait from its file; files that it names are looked up beside it.

    Raises:
        OptionError: with every fault, and the line it is on.
    """
    if isinstance(source, Trait):
        return source
    path = Path(source)
    values, places = load_yaml(path, _EXAMPLE)
    beside_all(path, values, ("prompts", "held_out"))
    beside_all(path, values.get("expect"), (JUDGE,))
    if isinstance(values.get("expect"), dict):
        beside_all(path, values["expect"].get(JUDGE), ("model",))
    faults = Faults(places)
    trait = structure(Trait, values, faults)
    faults.raise_if_any(str(path))
    assert trait is not None
    return trait


def keep_verdicts(trait: Trait, store: AnswerStore) -> None:
    """Have its judge, if any, ask nothing that the store holds, and keep there what it says."""
    if (judge := _judge(trait)) is not None:
        judge.keep_in(store)


def release_judge(trait: Trait) -> None:
    """Have its judge, if any, let go of the model that it holds in memory."""
    if (judge := _judge(trait)) is not None:
        judge.release()


def _judge(trait: Trait) -> TraitJudge | None:
    """What asks a model; a function may be under the same name."""
    judge = trait.expectation.scorers.get(JUDGE)
    return judge if isinstance(judge, TraitJudge) else None


def _described(given: Any) -> Any:
    function: Callable[..., Any] | None = given if callable(given) else None
    return given if function is None else describe_function(function)


def _hash(rows: list[Row]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True, default=list).encode()).hexdigest()
