"""Documents to chunks: whole sentences under one heading, as many as fit. Knows no index."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence

import attrs

from customize._errors import ModelError
from customize._options import option, options
from customize.interfaces.index import Chunk, Document
from customize.retrieval.grams import RUNS
from customize.retrieval.sentences import Span, sentences

Count = Callable[[Sequence[str]], Sequence[int]]  # the tokens of each text

# A word of English is a token, one of thirty letters is five: one for six letters begun.
_TOKEN = re.compile(rf"[{RUNS}]|[^\W{RUNS}]{{1,6}}|[^\w\s]")


@options
class Chunking:
    """How documents are cut.

    Without ``tokenizer`` tokens are estimated: one for every six letters begun of a word, for a
    character of Korean and of a script without spaces, and for a punctuation mark.
    """

    most_tokens: int = option(
        default=400,
        help="Tokens a chunk may have; a section of more is cut into parts of at least half.",
        at_least=16,
    )
    overlap: float = option(
        default=0.15,
        help="Of most_tokens: how much of a chunk's end begins the next one of its section.",
        at_least=0,
        at_most=0.5,
    )
    tokenizer: str | None = option(
        default=None, help="A model whose tokens are counted; else they are estimated from words."
    )


@attrs.frozen
class _Sentence:
    span: Span
    num_tokens: int


@attrs.frozen
class _Section:
    """What stands under one heading; ``is_bare``: the heading alone."""

    path: tuple[str, ...]
    sentences: list[_Sentence]
    is_bare: bool

    @property
    def num_tokens(self) -> int:
        return sum(one.num_tokens for one in self.sentences)


def counter(chunking: Chunking) -> tuple[Count, str]:
    """What counts tokens, and a fingerprint of it.

    Raises:
        ModelError: there is no such model, or it has no tokenizer.json.
    """
    if chunking.tokenizer is None:
        return estimated, "words"
    from tokenizers import Tokenizer

    from customize.models import resolve

    file = resolve(chunking.tokenizer).path / "tokenizer.json"
    if not file.is_file():
        raise ModelError(f"{chunking.tokenizer} has no tokenizer.json: leave the tokenizer out")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        encoded = tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [len(one.ids) for one in encoded]

    return count, hashlib.sha256(file.read_bytes()).hexdigest()


def estimated(texts: Sequence[str]) -> list[int]:
    """The tokens of each text, from its words."""
    return [len(_TOKEN.findall(text)) for text in texts]


def chunks_of(document: Document, chunking: Chunking, count: Count) -> Iterator[Chunk]:
    """The document's chunks, in order, which hold all of it but spaces.

    A short section is joined with the next under the same heading.
    """
    for section in _joined(_sections(document, chunking, count), chunking.most_tokens):
        for start, stop in _parts(section.sentences, chunking):
            whole = document.text[start:stop]
            text = whole.strip()
            start += len(whole) - len(whole.lstrip())
            yield Chunk(document.id, text, (start, start + len(text)), section.path, document.tags)


def _sections(document: Document, chunking: Chunking, count: Count) -> Iterator[_Section]:
    starts = [0, *(heading.start for heading in document.headings), len(document.text)]
    above: list[tuple[int, str]] = []
    for number, (start, stop) in enumerate(itertools.pairwise(starts)):
        if number:
            heading = document.headings[number - 1]
            above = [one for one in above if one[0] < heading.level]
            above.append((heading.level, heading.title))
        text = document.text[start:stop].strip()
        if text:
            found = list(_sentences(document.text, start, stop, chunking, count))
            path = tuple(title for _, title in above)
            yield _Section(path, found, bool(number) and "\n" not in text)


def _sentences(
    text: str, start: int, stop: int, chunking: Chunking, count: Count
) -> Iterator[_Sentence]:
    spans = list(sentences(text, start, stop))
    for span, num_tokens in zip(spans, count([text[a:b] for a, b in spans]), strict=True):
        yield from _halved(text, _Sentence(span, num_tokens), chunking.most_tokens // 2, count)


def _halved(text: str, sentence: _Sentence, most: int, count: Count) -> Iterator[_Sentence]:
    """The sentence, or parts of it of at most ``most`` tokens, cut between words if it can be."""
    start, stop = sentence.span
    if sentence.num_tokens <= most or stop - start < 2:
        yield sentence
        return
    middle = (start + stop) // 2
    space = text.find(" ", middle, (middle + stop) // 2) + 1 or middle
    spans = [(start, space), (space, stop)]
    for span, num_tokens in zip(spans, count([text[a:b] for a, b in spans]), strict=True):
        yield from _halved(text, _Sentence(span, num_tokens), most, count)


def _joined(sections: Iterator[_Section], most: int) -> Iterator[_Section]:
    """A heading with what it heads; short sections under one heading, as many as fit."""
    waiting: _Section | None = None
    for section in sections:
        if waiting is None:
            waiting = section
        elif (path := _path_of_both(waiting, section, most)) is not None:
            waiting = _Section(path, [*waiting.sentences, *section.sentences], False)
        else:
            yield waiting
            waiting = section
    if waiting is not None:
        yield waiting


def _path_of_both(first: _Section, second: _Section, most: int) -> tuple[str, ...] | None:
    """The headings over both, or None where they are not to be joined."""
    pairs = zip(first.path, second.path, strict=False)
    common = tuple(
        title for title, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
    )
    if first.is_bare and common == first.path:
        return second.path
    fits = first.num_tokens < most // 2 and first.num_tokens + second.num_tokens <= most
    return common if common and fits else None


def _parts(sentences: Sequence[_Sentence], chunking: Chunking) -> Iterator[Span]:
    """Parts of about one size, each beginning with the last sentences of the one before."""
    overlap = int(chunking.overlap * chunking.most_tokens)
    left = sum(one.num_tokens for one in sentences)
    end = 0  # of what was taken so far
    while end < len(sentences):
        begin, again = _repeated(sentences, end, overlap)
        room = chunking.most_tokens - again
        own = left / max(1, math.ceil(left / room))
        taken = 0
        while end < len(sentences) and _fits(sentences[end].num_tokens, taken, own, room):
            taken += sentences[end].num_tokens
            end += 1
        left -= taken
        yield sentences[begin].span[0], sentences[end - 1].span[1]


def _fits(num_tokens: int, taken: int, own: float, room: int) -> bool:
    """Whether a sentence belongs to the part: its first does, and others up to its own size."""
    return not taken or (taken + num_tokens / 2 <= own and taken + num_tokens <= room)


def _repeated(sentences: Sequence[_Sentence], end: int, most: int) -> tuple[int, int]:
    """The first of the last sentences before ``end`` that have ``most`` tokens, and their sum."""
    begin, again = end, 0
    while begin and again + sentences[begin - 1].num_tokens <= most:
        begin -= 1
        again += sentences[begin].num_tokens
    return begin, again
