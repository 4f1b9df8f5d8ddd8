"""The folder of an index: what it was made of, and how. Knows no format of documents.

``index.json`` names the folder within that holds the index itself; it is replaced last, so that
whatever stops an update leaves the index that was there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from customize._errors import DataError, OptionError
from customize._files import replace_text, sync_all, writing
from customize._options import options_to_dict
from customize.interfaces.index import Encoder, Index
from customize.plugins import load, name_of
from customize.plugins.encoders import NamedEncoder, encoder_of
from customize.retrieval.chunking import Chunking, counter
from customize.retrieval.fusion import FusedIndex, vectors_hash
from customize.retrieval.query_adapter import AdaptedEncoder, QueryAdapter

FILE = "index.json"
_VERSION = 3  # to be raised when the same chunks are to be found otherwise
_READ = (2, 3)  # of one before, what it was made of


@attrs.frozen
class Source:
    """A file or record: the hash of its content, and the ids of its documents."""

    hash: str
    documents: tuple[str, ...]


@attrs.frozen
class IndexFacts:
    """What ``index.json`` says.

    counter: who counted tokens, by a fingerprint. encoder: its fingerprint; None without vectors.
    vectors: the sha256 of their file.
    named: what that encoder is made again of, where a plugin offers it.
    sources: by the name of a file or record. adapter: the fingerprint of a map of its queries.
    adapted: what was measured when such a map was trained, whether or not it is kept.
    """

    index: str
    chunking: Chunking
    counter: str
    encoder: str | None
    sources: Mapping[str, Source] = attrs.field(factory=dict)
    fingerprint: str = ""
    adapter: str | None = None
    adapted: str | None = None
    named: NamedEncoder | None = None
    vectors: str | None = None

    @classmethod
    def new(cls, index: str, chunking: Chunking, encoder: Encoder | None) -> IndexFacts:
        """Of an index that holds nothing yet. index: the name of its kind."""
        _, fingerprint = counter(chunking)
        if encoder is None:
            return cls(index, chunking, fingerprint, None)
        named = NamedEncoder.of(encoder)
        return cls(index, chunking, fingerprint, encoder.fingerprint, named=named)

    def as_json(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "index": self.index,
            "chunking": dict(options_to_dict(self.chunking)),
            "counter": self.counter,
            "encoder": self.encoder,
            "fingerprint": self.fingerprint,
            "sources": {name: attrs.asdict(source) for name, source in self.sources.items()},
            **({"adapter": self.adapter} if self.adapter else {}),
            **({"adapted": self.adapted} if self.adapted else {}),
            **({"vectors": self.vectors} if self.vectors else {}),
            **({"named": attrs.asdict(self.named)} if self.named else {}),
        }


def read_facts(folder: Path) -> IndexFacts:
    """
    Raises:
        DataError: the folder holds no index that this version reads.
    """
    version, facts = _read(folder)
    if version != _VERSION:
        raise DataError(
            f"{folder / FILE} is of another version of customize: make it anew of its documents "
            f"with customize index update {folder} DOCUMENTS (update_index)"
        )
    return facts


def _read(folder: Path) -> tuple[int, IndexFacts]:
    """Of this version or one before; which one, and what it says."""
    file = folder / FILE
    try:
        told = json.loads(file.read_text("utf-8"))
        version = int(told.pop("version"))
        if version not in _READ:
            raise DataError(f"{file} is of another version of customize: build the index anew")
        told["chunking"] = Chunking(**told["chunking"])
        told["sources"] = {
            name: Source(one["hash"], tuple(one["documents"]))
            for name, one in told["sources"].items()
        }
        if "named" in told:
            told["named"] = NamedEncoder(told["named"]["name"], dict(told["named"]["options"]))
        return version, IndexFacts(**told)
    except FileNotFoundError:
        raise DataError(f"{folder} holds no index: make one with customize index build") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file} is damaged ({error}): build the index anew") from error


def to_update(folder: Path, encoder: Encoder | str | None) -> tuple[IndexFacts, Index]:
    """What the index in a folder says, and the index; empty where an older version made it.

    Raises:
        as `open_index`.
    """
    version, facts = _read(folder)
    if version == _VERSION:
        return facts, open_index(folder, encoder)
    asking = _asking(folder, facts, encoder)
    return attrs.evolve(facts, sources={}), new_index(facts.index, asking)


def open_index(folder: str | Path, encoder: Encoder | str | None = None) -> Index:
    """The index in a folder that `build_index` made.

    encoder: of its vectors, where it has some; not needed where a plugin offers it by name. Also as
        a text, ``sentence-transformers:model=FOLDER``.

    Raises:
        DataError: there is none, it is damaged, or not what its ``index.json`` tells of; or its
            vectors, or its query adapter, are another encoder's.
        OptionError: it has vectors, and no encoder is given; or the other way round.
        UnknownName, PluginError: nobody provides its kind of index, or its encoder.
    """
    folder = Path(folder)
    facts = read_facts(folder)
    inside = folder / _inside(facts)
    kind = load("index", facts.index)
    encoder = _asking(folder, facts, encoder)
    index: Index = kind.load(inside) if encoder is None else FusedIndex.of(inside, kind, encoder)
    if index.fingerprint != facts.fingerprint:
        raise DataError(f"{inside} is not the index that {folder / FILE} tells of: build it anew")
    if encoder is not None and vectors_hash(inside) != facts.vectors:
        raise DataError(
            f"the vectors in {inside} are not those that {folder / FILE} tells of: build it anew"
        )
    return index


def new_index(kind: str, encoder: Encoder | None) -> Index:
    """An empty index of the kind of this name.

    Raises:
        UnknownName, PluginError, MissingDependency: as for any plugin.
    """
    words: Index = load("index", kind)()
    return words if encoder is None else FusedIndex(words, encoder)


def kind_of(index: Index) -> str:
    """The full name under which the index, or that of its words, is offered.

    Raises:
        OptionError: nobody offers it, so that nobody could open it again.
    """
    cls = type(index.words if isinstance(index, FusedIndex) else index)
    target = f"{cls.__module__}:{cls.__qualname__}"
    if (name := name_of("index", target)) is None:
        raise OptionError(f"{target} is no index that is offered by a name: add an IndexSpec of it")
    return name


def write_index(folder: Path, index: Index, facts: IndexFacts) -> IndexFacts:
    """Put the index into the folder in place of the one that is there.

    Raises:
        DataError: the disk is full or fails; what was there is whole.
    """
    facts = attrs.evolve(facts, fingerprint=index.fingerprint)
    inside = folder / _inside(facts)
    with writing(str(folder), DataError):
        folder.mkdir(parents=True, exist_ok=True)
        if not inside.exists():
            beside = folder / ".writing"
            shutil.rmtree(beside, ignore_errors=True)
            index.save(beside)
            sync_all(beside)
            beside.rename(inside)
        if isinstance(index, FusedIndex):
            facts = attrs.evolve(facts, vectors=vectors_hash(inside))
        _write_facts(folder, facts)
        for old in folder.glob("chunks-*"):
            if old != inside:
                shutil.rmtree(old)
    return facts


def write_adapter(
    folder: Path, facts: IndexFacts, adapter: QueryAdapter | None, adapted: str | None
) -> None:
    """Map the queries of the index in the folder, or no longer; ``adapted`` says why.

    Raises:
        DataError: the disk is full or fails; the index is as it was.
    """
    fingerprint = None if adapter is None else adapter.fingerprint
    with writing(str(folder), DataError):
        if adapter is not None:
            adapter.save(_adapter_file(folder, adapter.fingerprint))
            sync_all(folder)
        facts = attrs.evolve(facts, adapter=fingerprint, adapted=adapted)
        _write_facts(folder, facts)
        for old in folder.glob("query-adapter-*"):
            if fingerprint is None or old != _adapter_file(folder, fingerprint):
                old.unlink()


def forget_options(folder: Path) -> None:
    """Leave of the encoder that the index names its name alone: options may be whose it was."""
    facts = read_facts(folder)
    if facts.named is not None:
        _write_facts(folder, attrs.evolve(facts, named=NamedEncoder(facts.named.name)))


def _write_facts(folder: Path, facts: IndexFacts) -> None:
    replace_text(folder / FILE, json.dumps(facts.as_json(), indent=1) + "\n")


def _adapter(folder: Path, fingerprint: str) -> QueryAdapter:
    adapter = QueryAdapter.load(file := _adapter_file(folder, fingerprint))
    if adapter.fingerprint != fingerprint:
        raise DataError(
            f"{file} is not the query adapter that {folder / FILE} tells of: train it anew with "
            "adapt_index"
        )
    return adapter


def _adapter_file(folder: Path, fingerprint: str) -> Path:
    return folder / f"query-adapter-{fingerprint[:16]}.safetensors"


def _asking(folder: Path, facts: IndexFacts, given: Encoder | str | None) -> Encoder | None:
    """The encoder of the index, with the map of its queries."""
    encoder = _encoder(facts, given)
    if encoder is None or facts.adapter is None:
        return encoder
    return AdaptedEncoder(encoder, _adapter(folder, facts.adapter))


def _encoder(facts: IndexFacts, given: Encoder | str | None) -> Encoder | None:
    """The one that is given, or the one that the index names."""
    if facts.encoder is None and given is not None:
        raise OptionError("the index has no vectors: leave out the encoder, or build it anew")
    if facts.encoder is None:
        return None
    if given is not None:
        encoder = encoder_of(given)
    elif facts.named is not None:
        encoder = facts.named.made()
    else:
        raise OptionError("the index has vectors: give the encoder they are of, encoder=…")
    if encoder.fingerprint != facts.encoder:
        raise DataError(
            "the index's vectors are another encoder's: give the one they are of, or build it anew "
            "with this one"
        )
    return encoder


def _inside(facts: IndexFacts) -> str:
    """Other vectors of the same chunks are other content, and so is what another version made."""
    own = facts.encoder[:12] if facts.encoder else "words"
    return f"chunks-{_VERSION}-{facts.fingerprint[:16]}-{own}"
