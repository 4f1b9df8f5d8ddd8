"""What a customization broke: general items, general text, and the distance from the base.

Compares nothing: what it collects is an evaluation's items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from customize._batch import Batch
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.answering import Tell
from customize.evaluation.collecting import Collector
from customize.evaluation.columns import Column, Draw, SnapshotColumn
from customize.evaluation.grouping import Grouping
from customize.evaluation.item import Item
from customize.evaluation.questions import Question, questions_of
from customize.evaluation.scorers.degeneration import Degeneration
from customize.evaluation.scorers.likelihood import Perplexity
from customize.evaluation.scoring import Fault
from customize.evaluation.suites import general as suite
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Likelihood, Scorer

KL = "kl_to_base"
SCORERS: Mapping[str, Scorer] = {"degeneration": Degeneration(), "text": Perplexity()}
_MAX_TOKENS = 24
_NUM_DRAWN = 40  # answers from which the distance is told
_AT_ONCE = 20


def general_ability(
    columns: Sequence[Column], collect: Collector, num_items: int
) -> tuple[list[Item], list[Fault]]:
    """So many items of the suite, and its texts, answered by the base and another column.

    Choices and texts are only weighed; what is written is also looked through for degeneration,
    and carries the distance from the base.
    """
    plain = attrs.evolve(collect, draw=Draw(_MAX_TOKENS), samples=1, judge=None)
    rows = suite.rows(num_items)
    written = [row for row in rows if "choices" not in row]
    parts: list[tuple[Sequence[Row], dict[str, Scorer]]] = [
        ([row for row in rows if "choices" in row], {}),
        (written, {"degeneration": SCORERS["degeneration"]}),
        (suite.texts(), {"text": SCORERS["text"]}),
    ]
    items, faults = [], []
    for asked, scorers in parts:
        more, wrong = plain.items(columns, _questions(asked), scorers, Grouping())
        items += more
        faults += wrong
    return _with_distance(items, columns, _questions(written[:_NUM_DRAWN]), plain), faults


def kl_to_base(
    base: SnapshotColumn,
    new: SnapshotColumn,
    questions: Sequence[Question],
    store: AnswerStore,
    tell: Tell,
) -> list[float]:
    """By question: log p(base) - log p(new), in nats a token, of an answer drawn from the base.

    Its mean is the Kullback-Leibler divergence from the base to the new one, where the base goes.
    """
    draw = Draw(_MAX_TOKENS, temperature=1.0)
    keys = [_key(base, new, question, draw) for question in questions]
    found = {n: kept for n, key in enumerate(keys) if (kept := store.likelihood(key))}
    tell(len(found))
    missing = [n for n in range(len(questions)) if n not in found]
    for start in range(0, len(missing), _AT_ONCE):
        batch = missing[start : start + _AT_ONCE]
        ratios = _ratios(base, new, [questions[n] for n in batch], draw)
        store.keep({keys[n]: ratio for n, ratio in zip(batch, ratios, strict=True)})
        found |= dict(zip(batch, ratios, strict=True))
        tell(len(batch))
    return [found[n].logprob / found[n].num_tokens for n in range(len(questions))]


def _questions(rows: Sequence[Row]) -> list[Question]:
    return questions_of(rows, need_expect=False) if rows else []


def _with_distance(
    items: Sequence[Item],
    columns: Sequence[Column],
    questions: Sequence[Question],
    collect: Collector,
) -> list[Item]:
    if len(columns) < 2:
        return list(items)
    base, new = columns
    if not isinstance(base, SnapshotColumn) or not isinstance(new, SnapshotColumn):
        return list(items)
    tell = collect.tell(new.name, len(questions), "distances from the base")
    found = kl_to_base(base, new, questions, collect.store, tell)
    by_id = {question.id: kl for question, kl in zip(questions, found, strict=True)}
    return [_scored(i, base.name, new.name, by_id[i.id]) if i.id in by_id else i for i in items]


def _scored(item: Item, base: str, new: str, kl: float) -> Item:
    scores = {base: {**item.scores[base], KL: 0.0}, new: {**item.scores[new], KL: kl}}
    return attrs.evolve(item, scores=scores)


def _ratios(
    base: SnapshotColumn, new: SnapshotColumn, questions: Sequence[Question], draw: Draw
) -> list[Likelihood]:
    """The base's log-probability minus the new one's, of answers drawn from the base."""
    drawn = base.drawn(questions, draw)
    rows = [
        (
            np.concatenate([prompt.tokens, completion.tokens]),
            {"weights": np.repeat([0.0, 1.0], [len(prompt.tokens), len(completion.tokens)])},
        )
        for prompt, completion in drawn
    ]
    batch = Batch.from_sequences(rows)
    theirs_S = batch.sum_by_sequence(new.snapshot.forward(batch).result())
    return [
        Likelihood(float(completion.logprobs.sum() - theirs), len(completion.tokens))
        for (_, completion), theirs in zip(drawn, theirs_S, strict=True)
    ]


def _key(base: SnapshotColumn, new: SnapshotColumn, question: Question, draw: Draw) -> str | None:
    own, other = base.key(question, draw), new.key(question, draw)
    if own is None or other is None:
        return None
    return hashlib.sha256(f"drawn|{own}|{other}".encode()).hexdigest()
