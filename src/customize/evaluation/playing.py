"""Environments as evaluators: all columns play the same episodes of the same rows.

Knows neither runs nor statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

import attrs

from customize._errors import EpisodesFailed, OptionError
from customize.evaluation.columns import Column, SnapshotColumn
from customize.evaluation.grouping import Grouping
from customize.evaluation.item import Item, Sample
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.questions import Question
from customize.evaluation.scoring import Fault, mean_scores
from customize.interfaces.scorer import Answer
from customize.rollouts.driver import Driver
from customize.rollouts.episode import Ask, Episode, episode_seed

REWARD, ONE = "reward", "pass@1"
LOWER_IS_BETTER = frozenset({"tokens", "truncated"})
_SEED, _STEP = 0, -1  # no step of training has these episodes
_AT_ONCE = 128  # episodes

# By column, then row and index: what was played.
Played = Mapping[str, Sequence[Sequence[Episode]]]


@attrs.frozen
class Playing:
    """How rows are played. samples: episodes of each. solved: the reward that counts as solved."""

    driver: Driver
    samples: int = 1
    solved: float = 1.0

    def items(
        self,
        columns: Sequence[Column],
        questions: Sequence[Question],
        grouping: Grouping,
        progress: AnswerProgress | None = None,
    ) -> tuple[list[Item], list[Fault]]:
        """A row's episodes are one item's samples, scored by ``reward``, ``pass@1``, ``reward/…``
        of each part, ``tokens``, ``turns`` and ``truncated``.

        An episode that fails for one column, twice, is left out of all: they are paired by row and
        seed. ``pass@k`` is of rows whose k episodes all went well.

        Raises:
            EpisodesFailed: no episode went well for all columns.
            OptionError: a column is no model here; before anything is played.
        """
        playing = [_model(column) for column in columns]
        played = {one.name: self._play(one, questions, progress) for one in playing}
        faults = [
            Fault(questions[n].id, column, REWARD, str(episode.error))
            for column, rows in played.items()
            for n, row in enumerate(rows)
            for episode in row
            if episode.error is not None
        ]
        items = [
            self._item(question, kept, grouping)
            for n, question in enumerate(questions)
            if (kept := _sound({column: rows[n] for column, rows in played.items()}))
        ]
        if not items:
            raise EpisodesFailed(f"no episode went well; the first: {_first_traceback(played)}")
        return items, faults

    def _play(
        self, column: SnapshotColumn, questions: Sequence[Question], progress: AnswerProgress | None
    ) -> list[Sequence[Episode]]:
        if progress is not None:
            progress.begin(column.name, len(questions) * self.samples)
        found: list[Sequence[Episode]] = []
        for asks in self._asks(questions):
            episodes = self.driver.play(column.snapshot, asks)
            found += [
                episodes[at : at + self.samples] for at in range(0, len(episodes), self.samples)
            ]
            if progress is not None:
                progress.tell(len(episodes))
        return found

    def _asks(self, questions: Sequence[Question]) -> Iterator[list[Ask]]:
        """Of some rows at a time, whole; the seeds are of row and index alone."""
        step = max(1, _AT_ONCE // self.samples)
        for start in range(0, len(questions), step):
            yield [
                Ask(questions[n].row, n, n, index, episode_seed(_SEED, _STEP, n, index))
                for n in range(start, min(start + step, len(questions)))
                for index in range(self.samples)
            ]

    def _item(
        self, question: Question, kept: Mapping[str, Sequence[Episode]], grouping: Grouping
    ) -> Item:
        samples = {
            column: tuple(Sample(_answer(e), self._scores(e)) for e in episodes)
            for column, episodes in kept.items()
        }
        first = next(iter(kept.values()))[0]
        return Item(
            id=question.id,
            question=_asked(first) or question.text,
            hash=question.hash,
            slices=grouping.slices_of(question),
            cluster=grouping.cluster_of(question),
            answers={column: drawn[0].answer for column, drawn in samples.items()},
            scores={column: self._means(drawn) for column, drawn in samples.items()},
            samples=samples if self.samples > 1 else {},
        )

    def _scores(self, episode: Episode) -> dict[str, float]:
        return {
            REWARD: episode.reward,
            ONE: float(episode.reward >= self.solved),
            **{f"{REWARD}/{name}": value for name, value in episode.parts.items()},
            "tokens": float(episode.num_sampled),
            "turns": float(episode.turns),
            "truncated": float(episode.truncated),
        }

    def _means(self, drawn: Sequence[Sample]) -> dict[str, float]:
        means = mean_scores([sample.scores for sample in drawn])
        if len(drawn) < self.samples or self.samples == 1:
            return means
        return {**means, f"pass@{self.samples}": max(sample.scores[ONE] for sample in drawn)}


def _model(column: Column) -> SnapshotColumn:
    if not isinstance(column, SnapshotColumn):
        raise OptionError(f"{column.name}: a run or a model plays, and no endpoint")
    return column


def _sound(row: Mapping[str, Sequence[Episode]]) -> dict[str, list[Episode]]:
    """The episodes of a row that failed for no column; nothing where there is none."""
    pairs = [each for each in zip(*row.values(), strict=True) if not any(e.failed for e in each)]
    return {column: [each[n] for each in pairs] for n, column in enumerate(row)} if pairs else {}


def _answer(episode: Episode) -> Answer:
    """What was said, the environment's part too where the model spoke more than once."""
    asked = list(takewhile(lambda m: m["role"] != "assistant", episode.messages))
    after = episode.messages[len(asked) :]
    text = "\n".join(f"{m['role']}: {m['content']}" for m in after)
    spoken = [float(s.logprobs.sum()) for s in episode.sequences]
    num_tokens = episode.num_sampled
    return Answer(
        text=episode.completion if len(after) == 1 else text,
        message={"role": "assistant", "content": episode.completion},
        num_prompt_tokens=sum(len(s.tokens) for s in episode.sequences) - num_tokens,
        num_tokens=num_tokens,
        logprob=sum(spoken),
        finished=not episode.truncated,
        latency_s=0.0,
        share_s=0.0,
    )


def _asked(episode: Episode) -> str:
    """What the model saw last before it spoke."""
    asked = list(takewhile(lambda m: m["role"] != "assistant", episode.messages))
    return asked[-1]["content"] if asked else ""


def _first_traceback(played: Played) -> str | None:
    every = (episode for rows in played.values() for row in rows for episode in row)
    return next(episode.traceback for episode in every if episode.error is not None)
