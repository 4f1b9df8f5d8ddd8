"""An assistant: a model that answers from what an index finds, and the folder that keeps it.

Knows no method: who trained for this says in ``rag.json`` how passages are shown.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from customize._errors import DataError, RunError
from customize._files import replace_text
from customize._options import options_to_dict
from customize.interfaces.backend import Prompt, Sampling, Snapshot
from customize.interfaces.index import Hit, Index
from customize.retrieval.grounding import GroundedAnswer, Grounding
from customize.retrieval.index_folder import open_index
from customize.retrieval.sqlite_index import SqliteIndex
from customize.runs.folder import RunFolder
from customize.training import sealed
from customize.training.structuring import Faults, structure

FILE = "rag.json"
_INDEX = "index"
_FORMAT = 1


@attrs.frozen
class Assistant:
    """Answers from an index. Made by `Run.assistant`."""

    snapshot: Snapshot
    index: Index
    grounding: Grounding

    def answer(
        self, question: str, *, filter: Collection[str] | None = (), max_tokens: int = 128
    ) -> GroundedAnswer:
        """What the documents that the asker may see say; ``filter`` are the asker's tags.

        Raises:
            OutOfRoom: the passages are more than the model can read at once.
        """
        hits = self.hits(question, filter)
        return self.grounding.read(self._said(question, hits, max_tokens), hits)

    def hits(self, question: str, filter: Collection[str] | None = ()) -> list[Hit]:
        """The passages that are shown with a question."""
        return self.index.search(question, self.grounding.k, filter)

    def _said(self, question: str, hits: Sequence[Hit], max_tokens: int) -> str:
        renderer = self.snapshot.renderer
        messages = self.grounding.messages(question, [hit.chunk for hit in hits])
        prompt = Prompt(renderer.prompt(messages), seed=0)
        sampling = Sampling(max_tokens=max_tokens, temperature=0.0)
        [[completion]] = self.snapshot.sample([prompt], sampling).result()
        return renderer.decode(completion.tokens).strip()


def save_assistant(folder: Path, grounding: Grounding, index: Index, renderer: str) -> None:
    """Write into ``folder`` what an assistant needs beside its weights.

    ``renderer`` is the fingerprint of the template and tokenizer it was trained with.
    """
    index.save(folder / _INDEX)
    facts = {
        "format": _FORMAT,
        "grounding": dict(options_to_dict(grounding)),
        "index": index.fingerprint,
        "renderer": renderer,
    }
    replace_text(folder / FILE, json.dumps(facts, indent=1))


def assistant_of(
    snapshot: Snapshot, run: RunFolder | None, index: Index | str | os.PathLike[str] | None
) -> Assistant:
    """The assistant that a run's folder holds, with another index where one is given.

    Raises:
        RunError: the run has none, or it was damaged since.
        DataError: its index or the model's template is not the one it was trained with.
    """
    folder = None if run is None else run.assistant_kept()
    if folder is None:
        raise RunError(
            "there is no assistant here: train with method=rag, whose run keeps one, and open it"
        )
    if fault := sealed.damage(folder):
        raise RunError(f"{folder} is damaged ({fault}): make the run again")
    facts = _facts(folder / FILE)
    if facts["renderer"] != snapshot.renderer.fingerprint:
        raise DataError(
            f"{folder} was made for another template or tokenizer than the model has: "
            "open the run with the model it was trained from"
        )
    if index is None:
        index = _index(folder, facts["index"])
    elif not isinstance(index, Index):
        index = open_index(Path(index))
    return Assistant(snapshot, index, _grounding(folder, facts))


def _index(folder: Path, fingerprint: str) -> Index:
    index = SqliteIndex.load(folder / _INDEX)
    if index.fingerprint != fingerprint:
        raise DataError(f"the index in {folder} is not the one that {FILE} tells of: build it anew")
    return index


def _grounding(folder: Path, facts: Mapping[str, Any]) -> Grounding:
    faults = Faults()
    grounding = structure(Grounding, facts["grounding"], faults)
    faults.raise_if_any(str(folder / FILE))
    assert grounding is not None
    return grounding


def _facts(file: Path) -> dict[str, Any]:
    try:
        facts = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
        raise DataError(f"{file} is of another version of customize, or damaged")
    return facts
