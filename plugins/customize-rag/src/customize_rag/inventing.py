"""Questions that a model makes of passages, kept only where they hold. Knows no particular model.

What was kept is a file of questions, as one's own are; what was not lies beside it with the reason.
Both are added to, passage by passage, so that a run that was stopped goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from customize import Chunk, Grounding, Index, Message
from customize_rag.evidence import holds

# What a model says to messages.
Ask = Callable[[Sequence[Message]], str]

_WANTED = (
    "Write one question that the passage answers, and its answer in the passage's own words. "
    "Name whom or what the question is about. Use two lines:\nQuestion: ...\nAnswer: ..."
)
_SAID = re.compile(r"Question:\s*(?P<question>.+?)\s*\n\s*Answer:\s*(?P<answer>[^\n]+)", re.DOTALL)
_MOST_WORDS = 12  # of an answer


@attrs.frozen
class Invented:
    """reason: why it is left out; None where it is kept."""

    question: str
    answer: str
    reason: str | None


def invented(chunk: Chunk, ask: Ask, index: Index, k: int) -> Invented:
    """A question about the chunk, and whether search and the model itself agree with it."""
    said = ask([{"role": "user", "content": f"{Grounding.passage(chunk)}\n\n{_WANTED}"}])
    found = _SAID.search(said)
    if found is None:
        return Invented("", "", "not in the form that was asked for")
    question, answer = " ".join(found["question"].split()), found["answer"].strip().rstrip(".")
    return Invented(question, answer, _fault(question, answer, chunk, ask, index, k))


def _fault(question: str, answer: str, chunk: Chunk, ask: Ask, index: Index, k: int) -> str | None:
    if len(answer.split()) > _MOST_WORDS or not holds(answer, chunk.text):
        return "the answer is not in the passage"
    if holds(answer, question):
        return "the question tells its answer"
    if chunk not in [hit.chunk for hit in index.search(question, k, None)]:
        return "the question does not find the passage"
    [_, asked] = Grounding().messages(question, [chunk])
    if not holds(answer, ask([asked])):
        return "asked again with the passage, the model answers otherwise"
    return None


def write_invented(
    index: Index, ask: Ask, to: Path, k: int = 4, most: int = 0
) -> Iterator[Invented]:
    """Ask about each passage that was not asked about, ``most`` of them; 0 is all."""
    beside = to.with_name(f"{to.stem}.left-out.jsonl")
    to.parent.mkdir(parents=True, exist_ok=True)
    done = {line.get("chunk") for file in (to, beside) for line in _lines(file)}
    left = [chunk for chunk in index.chunks() if chunk.id not in done]
    for chunk in left[: most or None]:
        one = invented(chunk, ask, index, k)
        line = {"question": one.question, "answer": one.answer, "document": chunk.document}
        kept = line if one.reason is None else {**line, "reason": one.reason}
        with (to if one.reason is None else beside).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**kept, "chunk": chunk.id}, ensure_ascii=False) + "\n")
        yield one


def _lines(file: Path) -> Iterator[Mapping[str, Any]]:
    """Whole lines; a kill may have cut the last one, which is then asked again."""
    if not file.is_file():
        return
    content = file.read_text("utf-8")
    whole = content[: content.rfind("\n") + 1]
    if whole != content:
        file.write_text(whole, "utf-8")
    yield from map(json.loads, whole.splitlines())
