"""An assistant: a model that answers from what an index finds, and the folder that keeps it.

Knows no method: who trained for this says in ``rag.json`` how passages are shown. The folder lies
beside a run's weights, or in a package, whose manifest then says which it is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from customize._errors import DataError, OptionError, RunError
from customize._files import replace_text
from customize._options import options_to_dict
from customize._structuring import Faults, structure
from customize.evaluation.adapting import Adapted
from customize.interfaces.index import Encoder, Hit, Index
from customize.interfaces.sampling import Prompt, Sampling
from customize.interfaces.session import Snapshot
from customize.packaging.manifest import MANIFEST, PACKAGED, Manifest
from customize.retrieval.chunking import Chunking
from customize.retrieval.fusion import RRF_K, FusedIndex
from customize.retrieval.grounding import GroundedAnswer, Grounding
from customize.retrieval.index_folder import (
    IndexFacts,
    kind_of,
    open_index,
    read_facts,
    write_adapter,
    write_index,
)
from customize.retrieval.library import Library
from customize.retrieval.query_adapter import AdaptedEncoder, plain
from customize.training import sealed

if TYPE_CHECKING:
    from customize.runs.run import Run

FILE = "rag.json"
INDEX = "index"
_PACKAGED = re.compile(rf"({PACKAGED}[0-9a-f]+)/{re.escape(FILE)}")
_FORMAT = 2
# What the code does, which a file of another version may ask for otherwise.
_ORDINALS = "[n] is the n-th passage shown, from 1"
_FUSION = f"reciprocal rank, k = {RRF_K}"
_AGAIN = "use the version of customize that wrote it, or train anew"


@attrs.frozen
class Assistant:
    """Answers from an index. Made by `Run.assistant`.

    context: tokens of passages, question and answer together that the model can hold, if known.
    """

    snapshot: Snapshot
    index: Index
    grounding: Grounding
    context: int | None = None

    def answer(
        self, question: str, *, filter: Collection[str] | None = (), max_tokens: int = 128
    ) -> GroundedAnswer:
        """What the documents that the asker may see say; ``filter`` are the asker's tags.

        Raises:
            DataError: the passages are more than the model can hold.
        """
        hits = self.hits(question, filter)
        return self.grounding.read(self._said(question, hits, max_tokens), hits)

    def hits(self, question: str, filter: Collection[str] | None = ()) -> list[Hit]:
        """The passages that are shown with a question."""
        return Library(self.index, self.grounding).hits(question, filter)

    def _said(self, question: str, hits: Sequence[Hit], max_tokens: int) -> str:
        renderer = self.snapshot.renderer
        messages = self.grounding.messages(question, [hit.chunk for hit in hits])
        tokens = renderer.prompt(messages)
        if self.context is not None and len(tokens) + max_tokens > self.context:
            raise DataError(
                f"question and passages have {len(tokens)} tokens and the answer up to "
                f"{max_tokens}, and the model holds {self.context}: ask for fewer (max_tokens), or "
                "index the documents in smaller chunks (most_tokens)"
            )
        prompt = Prompt(tokens, seed=0)
        sampling = Sampling(max_tokens=max_tokens, temperature=0.0)
        [[completion]] = self.snapshot.sample([prompt], sampling).result()
        return renderer.decode(completion.tokens).strip()


@attrs.frozen
class AssistantFacts:
    """What ``rag.json`` says.

    index: fingerprint of its chunks. encoder: of what made its vectors; None without.
    renderers: fingerprints of template and tokenizer: as trained with, and as a package has them.
    """

    grounding: Grounding
    index: str
    encoder: str | None
    renderers: Sequence[str]

    def write(self, folder: Path) -> None:
        facts = {
            "format": _FORMAT,
            "grounding": dict(options_to_dict(self.grounding)),
            "ordinals": _ORDINALS,
            "fusion": None if self.encoder is None else _FUSION,
            "index": self.index,
            "encoder": self.encoder,
            "renderers": list(self.renderers),
        }
        replace_text(folder / FILE, json.dumps(facts, ensure_ascii=False, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> AssistantFacts:
        """
        Raises:
            DataError: it is damaged, or asks for what this version does otherwise.
        """
        file = folder / FILE
        try:
            told = json.loads(file.read_text("utf-8"))
            _check_rules(file, told)
            grounding = _grounding(told["grounding"])
            return cls(grounding, told["index"], told["encoder"], tuple(told["renderers"]))
        except DataError:
            raise
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{file} is damaged ({error}): {_AGAIN}") from error


def save_assistant(
    folder: Path,
    grounding: Grounding,
    index: Index,
    renderer: str,
    chunking: Chunking = Chunking(),  # noqa: B008  # it is frozen
    adapted: Adapted | None = None,
) -> None:
    """Write into ``folder`` what an assistant needs beside its weights.

    ``renderer`` is the fingerprint of the template and tokenizer it was trained with,
    ``chunking`` how the index's documents were cut, for when they change, and ``adapted`` what
    `adapted_index` told of the index, for the run's report.
    """
    encoder = index.encoder if isinstance(index, FusedIndex) else None
    facts = IndexFacts.new(kind_of(index), chunking, None if encoder is None else plain(encoder))
    facts = write_index(folder / INDEX, index, facts)
    adapter = encoder.adapter if isinstance(encoder, AdaptedEncoder) else None
    write_adapter(folder / INDEX, facts, adapter, None if adapted is None else str(adapted))
    AssistantFacts(grounding, index.fingerprint, facts.encoder, [renderer]).write(folder)


def assistant_of(
    run: Run,
    snapshot: Snapshot,
    index: Index | str | os.PathLike[str] | None,
    encoder: Encoder | str | None,
) -> Assistant:
    """The assistant that a run or package holds, with another index where one is given.

    Raises:
        RunError: there is none, or it was damaged since.
        DataError: its index or the model's template is not the one it was trained with.
        OptionError: the index has vectors and no encoder is given, or the other way round.
    """
    library = library_of(run, snapshot.renderer.fingerprint, index, encoder)
    return Assistant(snapshot, library.index, library.grounding, run.context)


def library_of(
    run: Run,
    renderer: str,
    index: Index | str | os.PathLike[str] | None = None,
    encoder: Encoder | str | None = None,
) -> Library:
    """The same without its model, whose template and tokenizer have the fingerprint ``renderer``.

    Raises:
        RunError, DataError, OptionError: as `assistant_of`.
    """
    kept = run.assistant_folder
    if kept is None:
        raise RunError(
            "there is no assistant here: train with method=rag, whose run keeps one, and open it "
            "or a package of it"
        )
    # A package was looked at when it was opened.
    if run.folder is not None and (fault := sealed.damage(kept)):
        raise RunError(f"{kept} is damaged ({fault}): make the run again")
    return library_in(kept, renderer, index, encoder)


def library_in(
    kept: Path,
    renderer: str,
    index: Index | str | os.PathLike[str] | None = None,
    encoder: Encoder | str | None = None,
) -> Library:
    """What the folder of an assistant holds, for a model of this template and tokenizer.

    Raises:
        DataError, OptionError: as `assistant_of`.
    """
    facts = AssistantFacts.read(kept)
    if renderer not in facts.renderers:
        raise DataError(
            f"{kept} was made for another template or tokenizer than the model has: "
            "open the run with the model it was trained from"
        )
    if index is None:
        index = _own_index(kept, facts, encoder_for(kept, encoder))
    elif not isinstance(index, Index):
        index = open_index(Path(index), encoder)
    elif encoder is not None:
        raise OptionError("an index that is open has its encoder: leave encoder out")
    return Library(index, facts.grounding)


def packaged_assistant(package: Path) -> Path | None:
    """The folder of a package's assistant, by its manifest; None where it has none."""
    if not (package / MANIFEST).is_file():
        return None
    named = map(_PACKAGED.fullmatch, Manifest.read(package).files)
    return next((package / found[1] for found in named if found), None)


def is_asked_for_encoder(kept: Path) -> bool:
    """Whether the folder is a package's whose index has vectors: who opens it may say whose."""
    return kept.name.startswith(PACKAGED) and AssistantFacts.read(kept).encoder is not None


def adapted_told(kept: Path | None) -> str | None:
    """What was measured of a query adapter for an assistant's index, where one was trained.

    Raises:
        DataError: the folder is damaged.
    """
    if kept is None or not (kept / FILE).is_file():  # a method may keep what it likes
        return None
    return read_facts(kept / INDEX).adapted


def cut_otherwise(kept: Path, index: Path) -> str | None:
    """What to say where the index is cut into other passages than an assistant's own.

    Raises:
        DataError: one of the folders is damaged.
    """
    own = options_to_dict(read_facts(kept / INDEX).chunking)
    other = options_to_dict(read_facts(index).chunking)
    wanted = [
        f"without {_flag(name)}" if value is None else f"{_flag(name)} {value}"
        for name, value in own.items()
        if other[name] != value
    ]
    if not wanted:
        return None
    return (
        f"{index} is cut otherwise than the passages that the model learnt to read: build it with "
        + " ".join(wanted)
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def encoder_for(kept: Path, given: Encoder | str | None) -> Encoder | str | None:
    """The encoder to open the index of an assistant's folder with; None: as the index says.

    Who made a package may be a stranger. So of the encoder that it names only the name is used,
    and options, which may be addresses, are for who opens it to give.
    """
    named = read_facts(kept / INDEX).named
    is_packaged = kept.name.startswith(PACKAGED)
    return named.name if given is None and is_packaged and named is not None else given


def _own_index(kept: Path, facts: AssistantFacts, encoder: Encoder | str | None) -> Index:
    told = read_facts(kept / INDEX)
    differs = f"of the index in {kept} is not the one in {FILE}: {_AGAIN}"
    if told.encoder != facts.encoder:
        raise DataError(f"the encoder {differs}")
    if told.fingerprint != facts.index:
        raise DataError(f"the fingerprint {differs}")
    return open_index(kept / INDEX, encoder)


def _grounding(told: Mapping[str, Any]) -> Grounding:
    """
    Raises:
        OptionError: a value is of another type, or beyond its bounds.
    """
    grounding = structure(Grounding, told, faults := Faults())
    faults.raise_if_any("grounding")
    assert grounding is not None
    return grounding


def _check_rules(file: Path, told: Mapping[str, Any]) -> None:
    """
    Raises:
        DataError: one is not what this version does.
    """
    if told.get("format") != _FORMAT:
        raise DataError(f"{file} has the format {told.get('format')}, not {_FORMAT}: {_AGAIN}")
    fusion = None if told["encoder"] is None else _FUSION
    for name, ours in (("ordinals", _ORDINALS), ("fusion", fusion)):
        if told[name] != ours:
            raise DataError(f"{file}: {name} is {told[name]!r}, and {ours!r} here: {_AGAIN}")
