"""What a recipe or a caller says of an evaluation. Evaluates nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from customize._errors import OptionError
from customize._options import option, options
from customize._structuring import Faults, structure
from customize.interfaces.gate import Gate, parse_gate
from customize.training.prices import Price, prices_of, structure_prices

# The columns of a run's evaluation, beside others that answer under names of their own.
BASE, PROMPTED, RETRIEVED, CUSTOMIZED = "base", "prompted", "retrieved", "customized"
MAX_ROWS, MAX_TURNS, SOLVED = 200, 16, 1.0  # unless given
OTHER_BASE = "other_base"  # of the older one of two runs, where it is another
OWN = "own"  # the index that a run keeps beside its weights


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

    data: str | None = option(
        default=None,
        help="Rows with messages and expect, or with what the scorers need; the run's held-out "
        "rows unless given.",
    )
    max_rows: int = option(
        default=MAX_ROWS, help="Of the run's held-out rows at most, evenly spread.", at_least=1
    )
    prompts: tuple[str, ...] = option(
        default=(), help="Prompts for the base to compare with; of several the best is taken."
    )
    shots: tuple[int, ...] = option(
        default=(0,), help="Numbers of examples to try with each prompt."
    )
    development: str | None = option(
        default=None, help="Rows to choose the prompt and take examples from; never test rows."
    )
    against: Mapping[str, str] = option(
        factory=dict,
        help="Others that answer too, by name: a run, a model or https://HOST/v1#MODEL.",
    )
    index: str | None = option(
        default=None,
        help="A folder of an index, or own for the run's: the run answers also with what it finds.",
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
    max_turns: int = option(default=MAX_TURNS, help="Replies of an episode at most.", at_least=1)
    solved: float = option(
        default=SOLVED, help="The reward from which an episode counts as solved.", at_least=-1e9
    )

    def __attrs_post_init__(self) -> None:
        _check_sources(self.against)
        check_choice(self.prompts, self.shots, self.development is not None)
        check_samples(self.samples, self.temperature)
        judge_plan_of(self.judge)
        check_used(self)
        if self.data is not None and self.max_rows != MAX_ROWS:
            raise OptionError(
                f"max_rows={self.max_rows} is of held-out rows, and data names a file, of which "
                "every row is taken: leave one of them out"
            )
        check_columns(self.columns, parse_gates(self.gates), prices_of(self.prices))

    @property
    def columns(self) -> tuple[str, ...]:
        """Who will answer, in order."""
        return columns_of(self.prompts, self.shots, self.against, self.index is not None)


def plan_of(
    values: Mapping[str, Any], faults: Faults, prefix: str = "evaluate."
) -> EvaluationPlan | None:
    """A plan from plain values, or None when a fault was added: those of judge, prices and gates
    each with its own key.
    """
    sound = dict(values)
    judge, prices, gates = (values.get(key) for key in ("judge", "prices", "gates"))
    if isinstance(judge, Mapping) and not structure(JudgePlan, judge, faults, f"{prefix}judge."):
        del sound["judge"]
    if isinstance(prices, Mapping) and structure_prices(prices, faults, f"{prefix}prices.") is None:
        del sound["prices"]
    if isinstance(gates, (list, tuple)) and not _are_gates(gates, faults, f"{prefix}gates"):
        del sound["gates"]
    made = structure(EvaluationPlan, sound, faults, prefix)
    return made if len(sound) == len(values) else None


def columns_of(
    prompts: Sequence[str], shots: Sequence[int], against: Iterable[str], has_index: bool
) -> tuple[str, ...]:
    """Who answers in a run's evaluation, in order."""
    has_prompt = bool(prompts) or max(shots, default=0) > 0
    return (
        BASE,
        *([PROMPTED] if has_prompt else []),
        *against,
        *([RETRIEVED] if has_index else []),
        CUSTOMIZED,
    )


def check_columns(
    columns: Sequence[str], gates: Iterable[Gate], prices: Mapping[str, Price]
) -> None:
    """Refuse, before anything is asked, what speaks of a column that is not there.

    Raises:
        OptionError: a gate or a price does, or two columns have one name.
    """
    twice = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
    wrong = [
        *(f"two columns are called {name!r}" for name in twice),
        *(
            f"{gate}: no column {name!r}"
            for gate in gates
            for name in (gate.than, gate.of)
            if name not in (None, *columns)
        ),
        *(f"a price for {name!r}" for name in prices if name not in columns),
    ]
    if wrong:
        raise OptionError(f"{'; '.join(wrong)}: there are {', '.join(columns)}")


def _check_sources(against: Mapping[str, Any]) -> None:
    if wrong := [name for name, source in against.items() if not isinstance(source, str)]:
        raise OptionError(
            f"against.{wrong[0]} must be a run, a model or https://HOST/v1#MODEL "
            f"(got {against[wrong[0]]!r})"
        )


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


def _are_gates(given: Sequence[Any], faults: Faults, place: str) -> bool:
    sound = True
    for gate in given:
        try:
            parse_gates([gate])
        except OptionError as error:
            faults.add(place, f"{place}: {error}")
            sound = False
    return sound


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


def check_used(given: Any) -> None:  # a plan, or what has its fields
    """Refuse what would be read by nobody.

    Raises:
        OptionError: development rows with nothing to choose, what is of an environment's episodes
            without one, or with one what the environment says itself.
    """
    if given.environment is not None:
        _check_played(given)
        return
    if given.development is not None and not given.prompts and max(given.shots, default=0) == 0:
        raise OptionError(
            "development rows are there to choose a prompt on, and none is given: give prompts, or "
            "shots above 0, or leave development out"
        )
    of_episodes = [
        f"{name}={value}"
        for name, value, default in (
            ("max_turns", given.max_turns, MAX_TURNS),
            ("solved", given.solved, SOLVED),
        )
        if value != default
    ]
    if of_episodes:
        raise OptionError(
            f"{' and '.join(of_episodes)}: only an environment's episodes have that: give an "
            "environment, or leave it out"
        )


def _check_played(given: Any) -> None:
    beside = ("prompts", "development", "index", "scorers", "judge", "prices")
    both = [name for name in beside if getattr(given, name)]
    if both or max(given.shots, default=0) > 0:
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
