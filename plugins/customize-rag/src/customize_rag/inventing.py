"""Questions that a model makes, words otherwise or answers, kept only where they hold.

What was kept is a file of questions, as one's own are. Knows no particular model.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from customize import Chunk, Grounding, Index
from customize_rag.asking import Ask
from customize_rag.evidence import holds
from customize_rag.pairs import Grounder, LeftOut
from customize_rag.question_file import ANSWERED, CHUNK, WORDING, Proposed, Task, is_told

_WANTED = (
    "Write one question that the passage answers, and its answer in the passage's own words. "
    "Name whom or what the question is about. Use two lines:\nQuestion: ...\nAnswer: ..."
)
_OTHERWISE = (
    "Ask the same in other words, as somebody would who has not read the passage. The answer must "
    "stay the same, and must not be told. Use one line:\nQuestion: ..."
)
_LOOKED_UP = (
    "Copy the words of one passage that answer the question, exactly as they stand there, then "
    "answer in as few of them as will do. Use two lines:\nQuote: ...\nAnswer: ...\n"
    "Where no passage answers, say None."
)
_ASKED = re.compile(r"Question:\s*(?P<question>[^\n]*\S)")
_INVENTED = re.compile(
    r"Question:\s*(?P<question>.+?)\s*\n\s*Answer:\s*(?P<answer>[^\n]+)", re.DOTALL
)
_QUOTED = re.compile(r"Quote:\s*(?P<quote>.+?)\s*\n\s*Answer:\s*(?P<answer>[^\n]+)", re.DOTALL)
_NO_FORM = "not in the form that was asked for"
_MOST_WORDS = 12  # of an answer


@attrs.frozen(eq=False)
class Questioner:
    """Who makes them: ``ask`` is the model, ``k`` how many passages a question finds."""

    ask: Ask
    index: Index
    k: int

    def inventing(self) -> Iterator[Task]:
        """A task for each passage: questions about it."""
        for chunk in self.index.chunks():
            yield Task({CHUNK: chunk.id}, functools.partial(self.invented, chunk))

    def rewording(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Task]:
        """A task for each question: other wordings of it. Those are not worded again."""
        grounder = Grounder(self.index, _MOST_WORDS)
        for row in rows:
            if WORDING not in row:
                make = functools.partial(self.reworded, row, grounder)
                yield Task({WORDING: _told(row, "question", "answer", "document")}, make)

    def answering(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Task]:
        """A task for each question: its answer. One that has an answer keeps it."""
        for row in rows:
            make = functools.partial(self.answered, row)
            yield Task({ANSWERED: _told(row, "question", "document")}, make)

    def invented(self, chunk: Chunk, before: Sequence[str] = ()) -> Proposed:
        """A question about the chunk, and whether search and the model itself agree with it.

        before: questions about it that were made before.
        """
        found = _INVENTED.search(self._said(f"{Grounding.passage(chunk)}\n\n{_WANTED}", before))
        if found is None:
            return Proposed("", "", chunk.document, _NO_FORM)
        question, answer = _line(found["question"]), found["answer"].strip().rstrip(".。")
        if len(answer.split()) > _MOST_WORDS or not holds(answer, chunk.text):
            return Proposed(question, answer, chunk.document, "the answer is not in the passage")
        fault = self._fault(question, answer, chunk, before)
        return Proposed(question, answer, chunk.document, fault)

    def reworded(
        self, row: Mapping[str, Any], grounder: Grounder, before: Sequence[str] = ()
    ) -> Proposed:
        """The row's question in other words than it has, and than there were before."""
        pair = grounder.ground(row)
        if isinstance(pair, LeftOut):
            return Proposed("", row["answer"], row.get("document"), pair.reason)
        shown = f"{Grounding.passage(pair.chunk)}\n\nQuestion: {pair.question}"
        said = self._said(f"{shown}\nAnswer: {pair.answer}\n\n{_OTHERWISE}", before)
        found = _ASKED.search(said)
        if found is None:
            return Proposed("", pair.answer, pair.chunk.document, _NO_FORM)
        question = _line(found["question"])
        fault = self._fault(question, pair.answer, pair.chunk, (pair.question, *before))
        return Proposed(question, pair.answer, pair.chunk.document, fault)

    def answered(self, row: Mapping[str, Any], before: Sequence[str] = ()) -> Proposed:
        """The row's question with the answer that the model quotes from what the question finds."""
        question, named = row["question"], row.get("document")
        if is_told(row, "answer"):
            return Proposed(question, row["answer"], named)
        chunks = [chunk for chunk in self._found(question) if named in (None, chunk.document)]
        if not chunks:
            return Proposed(question, "", named, "the question finds no passage")
        [_, asked] = Grounding().messages(question, chunks)
        found = _QUOTED.search(self._said(f"{asked['content']}\n\n{_LOOKED_UP}", before))
        if found is None:
            return Proposed(question, "", named, "the model finds no answer in the passages")
        quote, answer = found["quote"].strip("\"'“”"), found["answer"].strip().rstrip(".。")
        source = next((chunk for chunk in chunks if _line(quote) in _line(chunk.text)), None)
        if source is None:
            return Proposed(question, answer, named, "what is quoted is in no passage")
        fault = None if holds(answer, quote) else "the answer is not in what is quoted"
        return Proposed(question, answer, source.document, fault)

    def _fault(self, question: str, answer: str, chunk: Chunk, others: Sequence[str]) -> str | None:
        if _words(question) in map(_words, others):
            return "it is worded as another is"
        if holds(answer, question):
            return "the question tells its answer"
        if chunk not in self._found(question):
            return "the question does not find the passage"
        [_, asked] = Grounding().messages(question, [chunk])
        if not holds(answer, self.ask([asked])):
            return "asked again with the passage, the model answers otherwise"
        return None

    def _found(self, question: str) -> list[Chunk]:
        return [hit.chunk for hit in self.index.search(question, self.k, None)]

    def _said(self, wanted: str, before: Sequence[str]) -> str:
        """What the model says; where there are questions before, it is to ask another."""
        other = "; ".join(filter(None, before))
        more = f"\nIt is question {len(before) + 1}. Ask otherwise than: {other}" if before else ""
        return self.ask([{"role": "user", "content": f"{wanted}{more}"}])


def _told(row: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return {name: row[name] for name in names if row.get(name) is not None}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _line(text: str) -> str:
    return " ".join(text.split())
