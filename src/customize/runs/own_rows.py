"""The rows of a run, read again after it. Asks no model anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from customize._errors import CustomizeError, DataError
from customize.data.dataset import IndexedDataset
from customize.data.reading import OnBadRows, read
from customize.interfaces.renderer import Renderer
from customize.packaging.prompts import Question, renders
from customize.packaging.reference import fits
from customize.retrieval.document_rows import document_rows
from customize.runs.folder import RunFolder
from customize.runs.given import is_given, method_class
from customize.training.recipe import Recipe

_PROMPTS = 6
LEFT_OUT = "they were left out, as was asked for"


@attrs.frozen
class OwnQuestions:
    """Questions that rows of the run ask, and in words of which rows, or why there are none."""

    questions: list[Question]
    told: str

    def to_json(self) -> dict[str, object]:
        """As it stands in ``package.json``."""
        return {"asked": len(self.questions), "told": self.told}


def own_questions(folder: RunFolder, renderer: Renderer, room: int | None = None) -> OwnQuestions:
    """Of the held-out rows where the run has some, else of its evaluation's, else of training's;
    those that a package asks which takes ``room`` tokens of prompt and answer.

    They stay here: a package is given away, and rows are not.

    Raises:
        DataError: rows that the recipe names cannot be read again.
    """
    why = "the run learnt from documents and holds out no rows"
    for source in _sources(folder.recipe()):
        if is_given(source):
            why = "they were given in Python, and cannot be read again"
            continue
        rows = read_again(folder, source)
        if rows.kind == "documents":
            continue
        picked = range(0, len(rows), max(1, len(rows) // _PROMPTS))
        asked = [_question(rows, i) for i in picked][:_PROMPTS]
        written = [question for question in asked if renders(renderer, question)]
        kept = [question for question in written if fits(renderer, question, room)]
        return OwnQuestions(kept, called(source) if kept else _why(source, written, room))
    return OwnQuestions([], why)


def _why(source: str, written: Sequence[Question], room: int | None) -> str:
    """Why none of the rows is asked, of which so many can be written."""
    if not written:
        return f"the chat template can write none of {called(source)}"
    return f"of {called(source)} none that was looked at leaves room for an answer in {room} tokens"


def called(source: str) -> str:
    """What rows are called in a package, which gives no folder of this machine away."""
    return Path(source).name if Path(source).is_absolute() else source


def read_again(
    folder: RunFolder, source: str, kind: str | None = None, on_bad_rows: OnBadRows = "skip"
) -> IndexedDataset:
    """What the run's recipe names: from where the run was begun, as far as its folder tells.

    Raises:
        DataError: it is gone, or cannot be read here; the message says what to do.
    """
    place = located(folder, source)
    try:
        if kind == "documents" and Path(place).is_dir():
            return read(document_rows(Path(place), on_bad_rows), kind)
        return read(place, kind, on_bad_rows)
    except CustomizeError as error:
        raise DataError(
            f"{source}, which has rows of the run {folder.path}, cannot be read again: {error}\n"
            "Put it back, give the command from the folder that the run was begun in, or export "
            "without the run's rows, which the package then says: without_rows=True "
            "(--without-rows)"
        ) from error


def located(folder: RunFolder, source: str) -> str:
    """A relative path as it was meant: the recipe says what the run's own folder was called."""
    called, path = Path(folder.recipe().to), folder.path.resolve()
    num = len(called.parts)
    if called.is_absolute() or path.parts[len(path.parts) - num :] != called.parts:
        return source
    there = Path(*path.parts[: len(path.parts) - num], source)
    return str(there) if there.exists() else source


def _sources(recipe: Recipe) -> Iterator[str]:
    """What the recipe names, but for documents: these ask nothing."""
    plan = recipe.evaluation_chosen()
    from_documents = _learns_from_documents(recipe)
    named = (
        None if from_documents else recipe.validation,
        plan.data if plan else None,
        None if from_documents else recipe.data,
    )
    return (source for source in named if source is not None)


def _learns_from_documents(recipe: Recipe) -> bool:
    try:
        return method_class(recipe.method).data == "documents"
    except CustomizeError:  # its plugin need not be here
        return False


def _question(rows: IndexedDataset, number: int) -> Question:
    """What comes before the answer; a pair's messages end there already."""
    row = rows[number]
    messages = row["messages"]
    asked = messages[:-1] if messages[-1]["role"] == "assistant" else messages
    return Question(f"row {number + 1}", asked, row.get("tools"), is_kept=False)
