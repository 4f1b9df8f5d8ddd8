"""How passages are shown to a model, and the one form in which it answers from them.

Knows chunks and messages; neither models nor how a question finds its chunks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from customize._errors import OptionError
from customize._options import option, options
from customize.interfaces.index import Chunk, Hit
from customize.interfaces.renderer import Message

_EVIDENCE = re.compile(r'\s*"(?P<quote>.*)" \[(?P<place>\d{1,3})\]\s*')
_SPACES = re.compile(r"\s+")


@attrs.frozen
class Citation:
    """What an answer rests on.

    document: its id. place: of the passage among those shown, from 1. quote: as the model wrote it.
    span: where the quote is in the document's text; None where the passage does not hold it.
    """

    document: str
    span: tuple[int, int] | None
    quote: str
    place: int


@attrs.frozen
class GroundedAnswer:
    """What was answered from passages.

    text: without the quotes. abstained: it says that the passages do not tell. hits: what was
    shown. raw: all that the model wrote.
    """

    text: str
    citations: tuple[Citation, ...]
    abstained: bool
    hits: tuple[Hit, ...]
    raw: str


@options
class Grounding:
    """A question and the passages found for it as messages, and what is said to it read back.

    An answer is lines of evidence, each a quote and the passage's place, then the answer itself:

        "The doors open at 7:40 am" [2]
        7:40 am

    or the sentence of abstention; after an answer to a part of what was asked, the same sentence
    goes on with what is missing. Documents are never named: a place maps to one outside the model,
    so that none can be invented.
    """

    k: int = option(default=4, help="Passages shown with a question.", at_least=1)
    instruction: str = option(
        default="Quote the passage that answers, then answer.",
        help="The system message.",
    )
    abstention: str = option(
        default="The documents do not say.",
        help="What is answered where the passages do not tell.",
    )

    def __attrs_post_init__(self) -> None:
        if not self._silence:
            raise OptionError(
                f"abstention must be a sentence (got {self.abstention!r}), since what begins with "
                "it counts as silence: write what is said where the passages do not tell"
            )

    @property
    def _silence(self) -> str:
        """What an answer begins with that abstains."""
        return _line(self.abstention).rstrip(". 。")

    def messages(self, question: str, chunks: Sequence[Chunk]) -> list[Message]:
        """What the model is asked."""
        shown = [f"[{place}] {self.passage(chunk)}" for place, chunk in enumerate(chunks, start=1)]
        asked = self.follow_up(question)["content"]
        return [
            {"role": "system", "content": self.instruction},
            {"role": "user", "content": "\n".join([*(shown or ["No passages."]), "", asked])},
        ]

    @staticmethod
    def passage(chunk: Chunk) -> str:
        """A chunk as one line under its headings, which are not said twice."""
        titles = set(chunk.heading)
        lines = [line for line in chunk.text.splitlines() if line.strip("#=- \t") not in titles]
        above = [" > ".join(chunk.heading)] if chunk.heading else []
        return _line(": ".join([*above, "\n".join(lines)]))

    def within(
        self, messages: Sequence[Message], place: int, chunks: Sequence[Chunk]
    ) -> list[Message]:
        """A conversation with passages before the question at ``place``, and the rest as it is.

        The instruction is added to a system message that is there.
        """
        instruction, asked = self.messages(str(messages[place].get("content") or ""), chunks)
        told = [message for message in messages[:1] if message["role"] == "system"]
        said = [*(message["content"] for message in told), instruction["content"]]
        system = {"role": "system", "content": "\n\n".join(said)}
        return [system, *messages[len(told) : place], asked, *messages[place + 1 :]]

    def follow_up(self, question: str) -> Message:
        """Another question about the same passages."""
        return {"role": "user", "content": f"Question: {question}"}

    def answer(
        self, text: str, evidence: Sequence[tuple[str, int]] = (), missing: str | None = None
    ) -> str:
        """An answer in this form. evidence: quotes, each with its passage's place.

        ``missing`` is what the passages do not tell of that which was asked.
        """
        lines = [f'"{_line(quote)}" [{place}]' for quote, place in evidence]
        rest = [] if missing is None else [f"{self._silence}: {missing}"]
        return "\n".join([*lines, _line(text), *rest])

    def read(self, raw: str, hits: Sequence[Hit]) -> GroundedAnswer:
        """What an answer says; a place beyond the passages is no citation."""
        cited, rest = [], []
        for line in raw.strip().splitlines():
            found = _EVIDENCE.fullmatch(line)
            if found is None:
                rest.append(line.strip())
            elif 1 <= int(found["place"]) <= len(hits):
                place = int(found["place"])
                cited.append(_cited(found["quote"], place, hits[place - 1].chunk))
        text = "\n".join(rest)
        abstained = not cited and _line(text).startswith(self._silence)
        return GroundedAnswer(text, tuple(cited), abstained, tuple(hits), raw)


def last_question(messages: Sequence[Message]) -> int | None:
    """The place of what the user said last."""
    return max((n for n, one in enumerate(messages) if one["role"] == "user"), default=None)


def find(quote: str, text: str) -> tuple[int, int] | None:
    """Where the quote is in the text, if line ends and other spacing do not count."""
    words = [re.escape(word) for word in quote.split()]
    found = re.search(r"\s+".join(words), text) if words else None
    return None if found is None else found.span()


def _line(text: str) -> str:
    return _SPACES.sub(" ", text).strip()


def _cited(quote: str, place: int, chunk: Chunk) -> Citation:
    inside = find(quote, chunk.text)
    start = chunk.span[0]
    span = None if inside is None else (start + inside[0], start + inside[1])
    return Citation(chunk.document, span, quote, place)
