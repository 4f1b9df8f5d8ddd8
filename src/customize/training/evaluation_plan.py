"""What a recipe or a caller says of an evaluation. Evaluates nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from customize._errors import OptionError
from customize._options import option, options
from customize.interfaces.gate import Gate, parse_gate
from customize.training.structuring import Faults, structure


@options
class JudgePlan:
    """A model that judges answers by a criterion, alone or in pairs, and people's labels."""

    model: str = option(help="A run, a model, or https://HOST/v1#MODEL (key: CUSTOMIZE_API_KEY).")
    criterion: str = option(
        default="It is correct, it answers what was asked, and it says nothing false.",
        help="What a good answer is.",
    )
    of: str = option(
        default="answers",
        choices=("answers", "pairs"),
        help="Each answer alone, or the last column's beside its rival's, in both orders.",
    )
    labels: str | None = option(
        default=None, help="A file of people's labels: id, answer, label, and other for pairs."
    )
    max_tokens: int = option(default=256, help="Tokens a judgement may have.", at_least=1)


@options
class EvaluationPlan:
    """Which rows, against which prompts, by which scorers, and what must be shown."""

    data: str = option(help="Rows with messages and expect, or with what the scorers need.")
    prompts: tuple[str, ...] = option(
        default=(), help="Prompts for the base to compare with; of several the best is taken."
    )
    shots: tuple[int, ...] = option(
        default=(0,), help="Numbers of examples to try with each prompt."
    )
    development: str | None = option(
        default=None, help="Rows to choose the prompt and take examples from; never test rows."
    )
    max_tokens: int = option(default=64, help="Tokens an answer may have.", at_least=1)
    samples: int = option(
        default=1,
        help="Answers a row, drawn at the temperature; more tell noise from rows.",
        at_least=1,
    )
    temperature: float = option(
        default=0.0, help="Of all columns' answers; 0 takes the likeliest.", at_least=0
    )
    general: bool | int = option(
        default=False, help="Also ask the 300 general items, or so many, to see what was broken."
    )
    scorers: Mapping[str, Any] | tuple[str, ...] = option(
        default=(), help="Scorers for every row: names, or names with their options."
    )
    slices: tuple[str, ...] = option(
        default=("trait",), help="Fields of rows to slice by; also length and language."
    )
    judge: Mapping[str, Any] | None = option(
        default=None, help="A model as judge: model, criterion, of, labels, max_tokens."
    )
    cluster: str | None = option(
        default=None, help="A field that rows which belong together share, such as document."
    )
    gates: tuple[str, ...] = option(
        default=(), help="Claims that must be shown, such as better(right, than=prompted)."
    )
    prices: Mapping[str, Any] = option(
        factory=dict,
        help="By column: hour (of the machine), or input and output (a million tokens); fixed.",
    )
    environment: str | None = option(
        default=None,
        help="Play the rows in it: package.module:name, or what a plugin offers, as gsm8k:level=3.",
    )
    max_turns: int = option(default=16, help="Replies of an episode at most.", at_least=1)
    solved: float = option(
        default=1.0, help="The reward from which an episode counts as solved.", at_least=-1e9
    )

    def __attrs_post_init__(self) -> None:
        parse_gates(self.gates)
        check_choice(self.prompts, self.shots, self.development is not None)
        check_samples(self.samples, self.temperature)
        judge_plan_of(self.judge)
        if self.environment is not None:
            check_played(self)


def check_choice(prompts: Sequence[str], shots: Sequence[int], has_development: bool) -> None:
    """Refuse to choose a prompt on nothing.

    Raises:
        OptionError: there is a choice, and there are no development rows.
    """
    if (max(shots, default=0) > 0 or len(prompts) * len(shots) > 1) and not has_development:
        raise OptionError(
            "several prompts, or shots above 0, need development rows to choose on: "
            "chosen on the test rows a prompt would fit them"
        )


def judge_plan_of(given: Mapping[str, Any] | None) -> JudgePlan | None:
    """A judge from plain values, strictly.

    Raises:
        OptionError: a key is unknown or wrong; all faults at once.
    """
    if given is None:
        return None
    faults = Faults()
    made = structure(JudgePlan, given, faults, "judge.")
    faults.raise_if_any("the judge")
    return made


def check_played(given: object) -> None:
    """Refuse, of an evaluation with an environment, what the environment says itself.

    Raises:
        OptionError: a prompt, scorer, judge or price is given too.
    """
    beside = ("prompts", "development", "scorers", "judge", "prices")
    both = [name for name in beside if getattr(given, name)]
    if both or max(given.shots, default=0) > 0:  # type: ignore[attr-defined]  # a plan, or as it
        raise OptionError(
            "an environment says itself what is asked and what is right: leave out "
            f"{', '.join(both) or 'shots'}"
        )


def check_samples(samples: int, temperature: float) -> None:
    """Refuse to draw one answer many times.

    Raises:
        OptionError: several answers are asked for, all of which would be the likeliest.
    """
    if samples > 1 and temperature == 0:
        raise OptionError(
            f"{samples} samples at temperature 0 are one answer {samples} times: give a "
            "temperature, such as 1"
        )


def parse_gates(gates: Sequence[str | Gate]) -> list[Gate]:
    """Gates as they are, or as they are written.

    Raises:
        OptionError: one cannot be read.
    """
    return [parse_gate(gate) if isinstance(gate, str) else gate for gate in gates]
