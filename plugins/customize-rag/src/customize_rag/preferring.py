"""The model's own mistakes as pairs, what it should have said and what it said; learnt by DPO.

Divide-Then-Align (arXiv 2505.20871) without its quadrants: what the model knows of itself is
nothing here, so there are passages that answer and passages that do not.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from customize import (
    Chunk,
    Grounding,
    Hit,
    Prompt,
    Row,
    Sampling,
    Session,
    Snapshot,
    Step,
    find_answer,
    option,
    options,
    read,
)
from customize_dpo.method import DPO
from customize_rag.plan import RowPlan

PAIRS = "pairs"  # a record, and in the state as text
_OWN = 0.2  # weight of the chosen answers' own loss: else both sides of a pair become less likely
_AT_ONCE = 64
_SPARE = 16  # tokens an answer may be longer than what is right


@options
class Preferring(RowPlan):
    """Whether and how mistakes on rows that were held back are learnt from."""

    preference: str = option(
        default="none",
        help="dta: ask, after SFT, rows that were held back from it, and learn by DPO from what is "
        "answered wrongly, or not at all where it could be (arXiv 2505.20871).",
        choices=("none", "dta"),
    )
    preference_share: float = option(
        default=0.2, help="Share of the rows that dta holds back from SFT.", above=0.0, below=1.0
    )
    preference_steps: int = option(default=20, help="Optimizer steps of dta.", at_least=1)
    preference_rate: float = option(
        default=0.1, help="Peak learning rate of dta, as a share of lr.", above=0.0
    )

    @property
    def prefers(self) -> bool:
        """Whether there is such a part."""
        return self.preference == "dta"

    def preferred(
        self, session: Session, asked: Sequence[Row], lr: float, last: int, resume: Step | None
    ) -> Iterator[Step]:
        """The steps after ``last``, or after ``resume`` of them: pairs are mined once, and kept in
        the state. None where no row is answered wrongly. lr: of SFT.
        """
        if resume is None:
            pairs, before = list(mistakes(session, asked, self.grounding())), None
        else:
            pairs = json.loads(resume.state[PAIRS])
            before = attrs.evolve(resume, number=resume.number - last)
        if not pairs:
            warnings.warn(
                f"none of {len(asked)} questions was answered wrongly: there is nothing to prefer, "
                "and training ends here",
                stacklevel=2,
            )
            return
        dpo = DPO(lr=lr * self.preference_rate, steps=self.preference_steps, sft=_OWN)
        for step in dpo.train(session, read(pairs, kind="preference"), before):
            yield attrs.evolve(
                step,
                number=last + step.number,
                records={PAIRS: pairs} if step.number == 1 else {},
                state={**step.state, PAIRS: json.dumps(pairs)},
            )


def held_back(rows: Sequence[Row], share: float) -> tuple[Sequence[Row], Sequence[Row]]:
    """Rows to learn from, and about ``share`` of them to be asked; none of one set of passages is
    in both."""
    first = min(round(len(rows) * (1 - share)), len(rows) - 1)
    while first > 0 and _are_together(rows[first - 1], rows[first]):
        first -= 1
    return rows[:first], rows[first:]


def mistakes(
    snapshot: Snapshot, rows: Sequence[Row], grounding: Grounding
) -> Iterator[dict[str, Any]]:
    """A pair for each row that is answered wrongly, not though it could be, or though it cannot.

    Rows of no kind ask about no passages.
    """
    asked = [row for row in rows if row.get("kind") is not None]
    for first in range(0, len(asked), _AT_ONCE):
        some = asked[first : first + _AT_ONCE]
        for row, said in zip(some, _said(snapshot, some), strict=True):
            right = row["messages"][-1]
            if said and not _is_right(said, right["content"], grounding):
                yield {
                    "messages": list(row["messages"][:-1]),
                    "chosen": [right],
                    "rejected": [{"role": "assistant", "content": said}],
                    "kind": row["kind"],
                }


def _said(snapshot: Snapshot, rows: Sequence[Row]) -> list[str]:
    renderer = snapshot.renderer
    prompts = [Prompt(renderer.prompt(row["messages"][:-1]), seed=0) for row in rows]
    lengths = [
        len(renderer.render(row["messages"]).tokens) - len(prompt.tokens)
        for row, prompt in zip(rows, prompts, strict=True)
    ]
    sampling = Sampling(max_tokens=max(lengths) + _SPARE, temperature=0.0)
    drawn = snapshot.sample(prompts, sampling).result()
    return [renderer.decode(completion.tokens).strip() for [completion] in drawn]


def _is_right(said: str, right: str, grounding: Grounding) -> bool:
    """Whether the answer is there and rests on the same passages, or both abstain."""
    nothing = [Hit(Chunk(str(place), "", (0, 0)), 0.0) for place in range(grounding.k)]
    ours, theirs = grounding.read(said, nothing), grounding.read(right, nothing)
    if theirs.abstained or ours.abstained:
        return ours.abstained == theirs.abstained
    places = [{citation.place for citation in one.citations} for one in (ours, theirs)]
    return places[0] == places[1] and bool(find_answer(theirs.text, ours.text))


def _are_together(one: Row, other: Row) -> bool:
    return one.get("together") is not None and one["together"] == other.get("together")
