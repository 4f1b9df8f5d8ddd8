"""Pairs from what the present model says: drawn once, written once, then yours to edit."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from customize._errors import DataError, OptionError, RenderingError, RunError
from customize._files import replace_text
from customize._options import option, options, options_to_dict
from customize.data.texts import written
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.answering import answers
from customize.evaluation.columns import Draw, SnapshotColumn
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.questions import Question, questions_of
from customize.interfaces.renderer import Message, Renderer
from customize.interfaces.scorer import Answer
from customize.runs.folder import Differs, refuse_difference
from customize.runs.run import Run
from customize.runs.run_columns import column_of, fingerprint_of
from customize.training.lock import held
from customize.traits.pairing import Found, check_given, found_in, prepare
from customize.traits.prompts import read_pairs
from customize.traits.trait import Trait, keep_verdicts

_ANSWERS, _FACTS, _PAIRS = "answers.jsonl", "asked.json", "pairs.jsonl"


@options
class Drawing:
    """How the present model is asked for answers to learn from."""

    num_samples: int = option(
        default=8, help="Answers drawn to each prompt, beside the likeliest.", at_least=0
    )
    temperature: float = option(default=0.7, help="Of what is drawn.", above=0.0)
    max_tokens: int = option(default=64, help="Tokens an answer may have.", at_least=1)
    pairs_per_prompt: int = option(default=2, help="Pairs of a prompt at most.", at_least=1)
    seed: int = option(default=0, help="What is drawn is a function of it.", at_least=0)


@attrs.frozen
class CorrectionFolder:
    """A folder that holds a correction: what was asked, said, paired, trained and measured."""

    path: Path

    @property
    def pairs(self) -> Path:
        """The pairs, one a line, to be edited."""
        return self.path / _PAIRS

    @property
    def run(self) -> Path:
        """The run that learns from them."""
        return self.path / "run"

    @property
    def verdict(self) -> Path:
        """What the correction came to, as JSON."""
        return self.path / "verdict.json"

    def store(self) -> AnswerStore:
        """What models said so far."""
        return AnswerStore(self.path / _ANSWERS)

    def forget_verdict(self) -> None:
        """What is trained or measured anew has none until it is done."""
        self.verdict.unlink(missing_ok=True)

    def begin(self, facts: dict[str, Any]) -> None:
        """Write what pairs are made from, or, where they are there, check that it is the same.

        Raises:
            RunError: the folder cannot be made, holds other files, or another correction.
        """
        file = self.path / _FACTS
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            names = sorted(one.name for one in self.path.iterdir() if one.name[0] != ".")
        except OSError as error:
            raise RunError(f"the folder {self.path} cannot be made: {error.strerror}") from error
        if not file.is_file() and set(names) - {_PAIRS}:
            raise RunError(
                f"{self.path} holds other files ({names[0]}, …): give an empty folder, or one that "
                f"holds {_PAIRS} alone, to learn from those"
            )
        if file.is_file() and self.pairs.is_file():
            self._check_same(json.loads(file.read_text("utf-8")), facts)
        else:
            replace_text(file, json.dumps(facts, indent=1) + "\n")

    def _check_same(self, before: dict[str, Any], facts: dict[str, Any]) -> None:
        try:
            refuse_difference(self.path, "correction whose model, trait or drawing", before, facts)
        except Differs as error:
            raise Differs(
                f"{error}\nTo learn from the same pairs, copy {self.pairs} into an empty folder, "
                "and give that one"
            ) from error


@attrs.frozen
class Proposal:
    """Pairs to look through before anything is learnt from them.

    told: what they were found in, in lines; nothing where they were there already.
    """

    pairs: Path
    num_pairs: int
    told: tuple[str, ...]

    def first(self, num: int) -> list[dict[str, str]]:
        """The first pairs, to be shown: what was ``asked`` last, ``rejected`` and ``chosen``."""
        rows = read_pairs(self.pairs)[:num]
        return [
            {"asked": row["messages"][-1]["content"]}
            | {side: written(row[side][-1]) for side in ("rejected", "chosen")}
            for row in rows
        ]


def proposed(run: Run, trait: Trait, folder: CorrectionFolder, drawing: Drawing) -> Proposal:
    """The pairs of the folder, as they were edited; made where there are none.

    Raises:
        DataError: the model does not show the trait, no desired answer is known, a given one shows
            the trait, or there are no pairs left.
        RunError: the folder holds another correction.
    """
    check_answers(trait)
    facts = {
        "model": fingerprint_of(run),
        "trait": trait.facts(),
        "drawing": dict(options_to_dict(drawing)),
    }
    folder.begin(facts)
    with held(folder.path):
        if folder.pairs.is_file():
            return _as_edited(folder.pairs)
        return _made(column_of(run, "before"), trait, folder, drawing)


def check_answers(trait: Trait) -> None:
    """Whether the good answers that its file gives are free of the trait, by its rules.

    Raises:
        DataError: one shows it.
    """
    check_given(trait, _numbered(trait))


def _as_edited(pairs: Path) -> Proposal:
    num_pairs = sum(bool(line.strip()) for line in pairs.read_text("utf-8").splitlines())
    if not num_pairs:
        raise DataError(
            f"{pairs} holds no pairs: put some back, or remove it, and they are made anew from the "
            "answers that were kept"
        )
    return Proposal(pairs, num_pairs, ())


def _made(
    column: SnapshotColumn, trait: Trait, folder: CorrectionFolder, drawing: Drawing
) -> Proposal:
    questions, writes = _numbered(trait), partial(_writes, column.snapshot.renderer)
    store = folder.store()
    keep_verdicts(trait, store)
    said = _said(column, questions, store, drawing)
    prepare(trait, questions, said)
    found = [
        found_in(trait, question, each, drawing.pairs_per_prompt, writes)
        for question, each in zip(questions, said, strict=True)
    ]
    pairs = [pair for one in found for pair in one.pairs]
    if not pairs:
        raise DataError(_nothing(trait, found, drawing.max_tokens))
    lines = [json.dumps(pair.to_json(trait.name), ensure_ascii=False) for pair in pairs]
    replace_text(folder.pairs, "".join(f"{line}\n" for line in lines))
    _warn_if_mostly_cut(trait, found, drawing.max_tokens)
    return Proposal(folder.pairs, len(pairs), tuple(_told(trait, found, drawing.max_tokens)))


def _numbered(trait: Trait) -> list[Question]:
    asked, _ = trait.rows
    rows = [{**row, "id": f"prompt {number}"} for number, row in enumerate(asked, 1)]
    return questions_of(rows, need_expect=False)


def _said(
    column: SnapshotColumn, questions: Sequence[Question], store: AnswerStore, drawing: Drawing
) -> list[list[Answer]]:
    """To each question the likeliest answer first, then those that were drawn."""
    progress = AnswerProgress()
    n, first = drawing.num_samples, drawing.seed * drawing.num_samples
    draws = [Draw(drawing.max_tokens)]
    draws += [Draw(drawing.max_tokens, drawing.temperature, first + j) for j in range(n)]
    progress.begin(column.name, len(questions) * len(draws))
    said = [answers(column, questions, draw, store, progress.tell) for draw in draws]
    progress.end()
    return [list(each) for each in zip(*said, strict=True)]


def _writes(renderer: Renderer, question: Question, message: Message) -> bool:
    """Whether the message can be learnt from as an answer to the question."""
    asked = [{**before, "train": False} for before in question.messages]
    try:
        renderer.render([*asked, message], question.tools, question.documents)
    except RenderingError:
        return False
    return True


def _nothing(trait: Trait, found: Sequence[Found], max_tokens: int) -> str:
    num_shown, num_answers, num_empty = _sums(found, "num_shown", "num_answers", "num_empty")
    for failed in _faults(found):
        return f"{trait.name}: no pair was found, and {failed}"
    if num_shown and num_shown == num_empty:
        return (
            f"{trait.name}: all {num_shown} answers that show it are empty, and a pair rejects a "
            "text: give prompts that the model answers"
        )
    if num_shown:
        return "\n".join([_unpaired(trait, found), *_left_out(found, max_tokens)])
    return (
        f"{trait.name}: the model does not show it, in none of {num_answers} answers to "
        f"{len(found)} prompts: there is nothing to correct; or give prompts that provoke it"
    )


def _unpaired(trait: Trait, found: Sequence[Found]) -> str:
    num_shown, num_answers, num_usable = _sums(found, "num_shown", "num_answers", "num_usable")
    shown = f"{trait.name}: {num_shown} of {num_answers} answers show it"
    if not num_usable:
        return f"{shown}, and none of them can be put into a pair:"
    return (
        f"{shown}, and no desired answer is known: give answers or a rewrite in the trait's file, "
        "or raise num_samples"
    )


def _told(trait: Trait, found: Sequence[Found], max_tokens: int) -> list[str]:
    pairs = [pair for one in found for pair in one.pairs]
    sources = Counter(pair.source for pair in pairs)
    by_source = ", ".join(f"{count} {source}" for source, count in sources.items())
    num_shown, num_answers = _sums(found, "num_shown", "num_answers")
    without = sum(one.num_shown > 0 and not one.pairs for one in found)
    left = f"; {without} prompts have no desired answer and are left out" if without else ""
    return [
        f"{num_shown} of {num_answers} answers to {len(found)} prompts show {trait.name}.",
        f"{len(pairs)} pairs; their desired answers: {by_source}{left}.",
        *_beside(found, max_tokens),
        *_left_out(found, max_tokens),
        *_faults(found),
    ]


def _beside(found: Sequence[Found], max_tokens: int) -> Iterator[str]:
    [num_cut] = _sums(found, "num_cut")
    if num_cut:
        yield f"{num_cut} of those that show it were cut off at {max_tokens} tokens."


def _left_out(found: Sequence[Found], max_tokens: int) -> Iterator[str]:
    num_empty, num_thoughts = _sums(found, "num_empty", "num_thoughts")
    num_unwritten, num_refused = _sums(found, "num_unwritten", "num_refused")
    if num_empty:
        yield f"{num_empty} of those that show it are empty, and make no pair."
    if num_thoughts:
        yield (
            f"{num_thoughts} answers only reason, and make no pair: raise max_tokens "
            f"({max_tokens} now), so that they come to an answer."
        )
    if num_unwritten:
        yield (
            f"{num_unwritten} answers hold calls of tools or reasoning that the chat template does "
            "not write, and make no pair."
        )
    if num_refused:
        yield (
            f"{num_refused} times a given answer was left out of a prompt: the judge found the "
            "trait in it, or gave no verdict."
        )


def _warn_if_mostly_cut(trait: Trait, found: Sequence[Found], max_tokens: int) -> None:
    num_shown, num_cut = _sums(found, "num_shown", "num_cut")
    if 2 * num_cut > num_shown:
        warnings.warn(
            f"{num_cut} of the {num_shown} answers that show {trait.name} were cut off at "
            f"{max_tokens} tokens, and whole ones might not show it: raise max_tokens",
            stacklevel=2,
        )


def _sums(found: Sequence[Found], *names: str) -> list[int]:
    return [sum(getattr(one, name) for one in found) for name in names]


def _faults(found: Sequence[Found]) -> list[str]:
    """What went wrong with answers, each kind in a line with its first reason."""
    kinds = {
        "judged": [fault for one in found for fault in one.faults],
        "rewritten": [fault for one in found for fault in one.unmade],
    }
    return [
        f"{len(faults)} answers could not be {kind} ({faults[0]})."
        for kind, faults in kinds.items()
        if faults
    ]


def folder_of(to: Path) -> CorrectionFolder:
    """The folder, which is no run's.

    Raises:
        OptionError: it is a run's.
    """
    if (to / "recipe.json").is_file():
        raise OptionError(f"{to} is a run's folder: a correction needs a folder of its own")
    return CorrectionFolder(to)
