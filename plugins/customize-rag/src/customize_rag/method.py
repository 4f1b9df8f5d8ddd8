"""RAG: rows are made of documents, and learnt by SFT, then perhaps the model's own mistakes by DPO.

Holds no training loop of its own.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs

from customize import (
    DataError,
    Dataset,
    Row,
    Session,
    Snapshot,
    Step,
    option,
    options,
    read,
    save_assistant,
)
from customize_rag.given import check_alone
from customize_rag.making import Made, made_of, made_with
from customize_rag.plan import RowPlan, values_of
from customize_rag.preferring import PAIRS, Preferring, held_back
from customize_sft.method import SFT

_ROWS, _LEFT_OUT = "rows", "left_out"  # records; the state has the rows' fingerprint
# What was made last: a run counts its steps, trains and keeps the index of the same documents,
# and may measure on others.
_MADE: dict[tuple["RAG", str, str, str], Made] = {}


@options
class RAG(Preferring, SFT):
    """Learn to answer from what is retrieved: the options are those of the rows, and SFT's.

    The rows are kept in the run's ``rows.jsonl``, questions that no document answers in its
    ``left_out.jsonl``, and pairs of mistakes in its ``pairs.jsonl``; the index and how passages are
    shown lie beside the weights.
    """

    data: ClassVar[str] = "documents"
    records: ClassVar[tuple[str, ...]] = (_ROWS, _LEFT_OUT, PAIRS)

    rows: str | None = option(
        default=None,
        help="A file of rows to learn in place of those that would be made, as customize-rag rows "
        "writes them and you edited them. Give k, chunk_tokens and what else it was told.",
    )
    lr: float = option(
        default=5e-4,
        help="Peak learning rate. LoRA wants about ten times the rate of full fine-tuning.",
        at_least=0.0,
        full=5e-5,
    )
    epochs: float = option(default=1.0, help="Passes over the rows.", above=0.0)
    together: bool = option(
        default=True,
        help="Questions about the same passages, up to a step's, stay in one step, which computes "
        "the passages once; else every row is shuffled by itself.",
    )
    replay: float = option(
        default=0.05,
        help="Share of rows that are general prompts answered by the base itself: talk without "
        "documents.",
        at_least=0.0,
        below=1.0,
    )

    def __attrs_post_init__(self) -> None:
        RowPlan.__attrs_post_init__(self)
        SFT.__attrs_post_init__(self)
        if self.rows is not None:
            check_alone(self, self.rows)

    def needed(self) -> frozenset[str]:
        return SFT.needed(self) | (
            frozenset({"sample", "snapshot"}) if self.prefers else frozenset()
        )

    def num_steps(self, data: Dataset) -> int:
        """Steps for the rows that are made of these documents, and those of dta.

        Where the model then makes no mistake there is nothing to prefer, and it ends before them.
        """
        learnt, _ = self._divided(data)
        return self._sft().num_steps(learnt) + (self.preference_steps if self.prefers else 0)

    def train(self, session: Session, data: Dataset, resume: Step | None = None) -> Iterator[Step]:
        rows, asked = self._divided(data)
        if resume is not None:
            self._check_same(resume, rows.fingerprint)
        last = self._sft().num_steps(rows)
        if resume is None or resume.number < last:
            for step in self._sft().train(session, rows, resume):
                kept = _kept(self._made(data)) if step.number == 1 else {}
                state = {**step.state, _ROWS: rows.fingerprint}
                yield attrs.evolve(step, records=kept, state=state)
            resume = None  # what comes next begins
        if self.prefers:
            before = None if resume is None or resume.number == last else resume
            for step in self.preferred(session, asked, self.lr, last, before):
                yield attrs.evolve(step, state={**step.state, _ROWS: rows.fingerprint})

    def validate(self, snapshot: Snapshot, rows: Dataset) -> Mapping[str, float]:
        """``validation_loss``, as SFT has it, on the rows that are made of other documents."""
        return self._sft().validate(snapshot, read(self.examples(rows), kind="chat"))

    def examples(self, held_out: Dataset) -> Sequence[Row]:
        """The questions and answers that are made of other documents.

        No query adapter is trained on those, and rows that are given are of the documents that
        are learnt from.
        """
        plain: RAG = attrs.evolve(self, adapt_queries=False, rows=None)  # type: ignore[misc]
        return plain._made(held_out).rows

    def keep_beside(self, session: Session, data: Dataset, folder: Path) -> None:
        """The index, and how passages are shown."""
        made, renderer = self._made(data), session.renderer.fingerprint
        save_assistant(folder, self.grounding(), made.index, renderer, self.chunking, made.adapted)

    def _divided(self, data: Dataset) -> tuple[Dataset, Sequence[Row]]:
        """Rows to learn from, and those that are asked afterwards."""
        rows = self._made(data).rows
        learnt, asked = held_back(rows, self.preference_share) if self.prefers else (rows, ())
        if not learnt:
            raise DataError(
                f"of {len(rows)} rows none is left to learn from: lower preference_share, or give "
                "more documents or questions"
            )
        return read(learnt, kind="chat"), asked

    def _sft(self) -> SFT:
        return _Learning(**values_of(SFT, self))

    def _made(self, data: Dataset) -> Made:
        self.check_rows(data)
        key = (self, data.fingerprint, _fingerprint(self.questions), _fingerprint(self.rows))
        if key not in _MADE:
            if len(_MADE) == 2:
                _MADE.clear()
            given = self.rows
            _MADE[key] = made_of(data, self) if given is None else made_with(data, self, given)
        return _MADE[key]

    def _check_same(self, resume: Step, fingerprint: str) -> None:
        if resume.state.get(_ROWS) != fingerprint:
            raise DataError(
                f"the file of {'questions' if self.rows is None else 'rows'} is another than when "
                "the run began: give the one that it began with, or another run folder"
            )


@options
class _Learning(SFT):
    shorten: ClassVar[str] = "lower k or chunk_tokens, which say what passages a row has"


def _kept(made: Made) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    return {_ROWS: made.rows, _LEFT_OUT: [attrs.asdict(one) for one in made.left_out]}


def _fingerprint(file: str | None) -> str:
    """sha256 of the file; empty where there is none, which is told when it is read."""
    if file is None or not Path(file).is_file():
        return ""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
