"""What a recipe or a caller says of an evaluation. Evaluates nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from customize._errors import OptionError
from customize._options import option, options
from customize.interfaces.gate import Gate, parse_gate


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
    general: bool = option(
        default=False, help="Also ask 150 general items, to see what was broken."
    )
    scorers: Mapping[str, Any] | tuple[str, ...] = option(
        default=(), help="Scorers for every row: names, or names with their options."
    )
    slices: tuple[str, ...] = option(
        default=("trait",), help="Fields of rows to slice by; also length and language."
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

    def __attrs_post_init__(self) -> None:
        parse_gates(self.gates)
        check_choice(self.prompts, self.shots, self.development is not None)


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


def parse_gates(gates: Sequence[str | Gate]) -> list[Gate]:
    """Gates as they are, or as they are written.

    Raises:
        OptionError: one cannot be read.
    """
    return [parse_gate(gate) if isinstance(gate, str) else gate for gate in gates]
