"""Indexes: documents cut into chunks, and found again. Know no model and no prompt.

Shape legend: N texts, D dimensions.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import attrs
import numpy as np
import numpy.typing as npt

from customize._errors import OptionError

Vectors = npt.NDArray[np.float32]


def _tags(given: Iterable[str]) -> frozenset[str]:
    return frozenset(given)


@attrs.frozen
class Heading:
    """A heading; what it heads begins at ``start`` of the document's text.

    level: 1 is the outermost.
    """

    level: int
    title: str
    start: int


@attrs.frozen
class Document:
    """A text with a name.

    id: a path within its folder, or what a record calls it.
    tags: who may see it, where only some may: an asker needs one of them. None: everyone.
    headings: in the order of their ``start``.
    """

    id: str
    text: str
    tags: frozenset[str] = attrs.field(default=frozenset(), converter=_tags)
    headings: tuple[Heading, ...] = ()


@attrs.frozen
class Chunk:
    """A stretch of a document: ``text`` is its text from ``span[0]`` to before ``span[1]``.

    heading: the titles that it stands under, the outermost first.
    tags: of its document.
    id: a hash of all the rest, so two chunks with one id are one.
    """

    document: str
    text: str
    span: tuple[int, int]
    heading: tuple[str, ...] = ()
    tags: frozenset[str] = attrs.field(default=frozenset(), converter=_tags)
    id: str = attrs.field(init=False)

    @id.default
    def _id(self) -> str:
        rest = [self.document, self.text, self.span, self.heading, sorted(self.tags)]
        return hashlib.sha256(json.dumps(rest).encode()).hexdigest()[:32]

    @property
    def headed(self) -> str:
        """Its text under its headings: what an encoder is given."""
        return "\n".join([" > ".join(self.heading), self.text]).strip()


@attrs.frozen
class Hit:
    """A chunk that was found; of one search's hits the higher score is the better.

    With the score 0 it fills up the end, and is left out where other rankings are put beside.
    """

    chunk: Chunk
    score: float


class Index(ABC):
    """Chunks that are found by what they say.

    Several threads may search at once, while none changes it.
    """

    @abstractmethod
    def add(self, chunks: Iterable[Chunk]) -> None:
        """Add all of ``chunks``, or none where it raises; those that are there stay as they are."""

    @abstractmethod
    def delete(self, ids: Iterable[str]) -> None:
        """Take chunks out; an id that is not there is passed over."""

    @abstractmethod
    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        """At most ``k`` chunks, the best first; none where nothing fits.

        filter: the asker's tags. A chunk with tags is found only by who has one of them; chunks
            without are found by everyone. None: the asker may see all.

        Raises:
            OptionError: ``k`` is less than 1, or ``filter`` is a text.
        """

    @staticmethod
    def check_filter(filter: Collection[str] | None) -> None:
        """What a ``search`` begins with: in a text each letter, and each part, would be a tag.

        Raises:
            OptionError: ``filter`` is a text.
        """
        if isinstance(filter, str):
            raise OptionError(f"filter must be a collection of tags: give {[filter]}")

    @abstractmethod
    def get(self, ids: Iterable[str]) -> list[Chunk]:
        """The chunks of these ids, in their order, whoever asks; one not there is passed over."""

    @abstractmethod
    def chunks(self) -> Iterator[Chunk]:
        """All of them, by document, then by place in it."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write all of it into a new ``folder``. What was deleted is not in its files."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """What was saved there. Changes to it are not in the folder until it is saved anew.

        Raises:
            DataError: the folder does not hold such an index, or it is damaged.
        """

    def check(self) -> None:
        """Look through all of it for damage; may take as long as building it.

        Raises:
            DataError: something is damaged.
        """
        for _ in self.chunks():
            pass

    @property
    def fingerprint(self) -> str:
        """The sha256 of what is in it: the same for the same chunks, however they came there."""
        return fingerprint_of(chunk.id for chunk in self.chunks())


class Encoder(ABC):
    """Turns texts into vectors of length 1, whose product says how alike they are."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes where the vectors would."""

    @abstractmethod
    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """[N, D]."""

    @abstractmethod
    def encode_chunks(self, texts: Sequence[str]) -> Vectors:
        """[N, D]; the texts are headings and what stands under them."""


def fingerprint_of(ids: Iterable[str]) -> str:
    """What ``Index.fingerprint`` is for these ids of chunks."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
