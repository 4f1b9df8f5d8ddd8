"""What rows are made of, as options. Makes none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from customize import Chunking, Grounding, OptionError, option, options


@options
class RowPlan(Grounding):
    """How rows show passages and answers, and which share of the questions is of which kind.

    What the shares leave is answerable.
    """

    questions: str | None = option(
        default=None,
        help="A file of your own questions: question, answer, and document (its id) where known. "
        "Without it sentences with a number, a date or a name are asked for.",
    )
    chunk_tokens: int = option(
        default=200,
        help="Tokens a passage may have; a heading begins a new one.",
        at_least=16,
    )
    index: str = option(
        default="sqlite",
        help="The kind of the index that rows are made with and that answers; plugins add kinds, "
        "as tantivy and lancedb.",
    )
    encoder: str | None = option(
        default=None,
        help="What makes vectors beside the index's words, as sentence-transformers:model=FOLDER.",
    )
    adapt_queries: bool = option(
        default=False,
        help="Train a map of the queries' vectors on the questions, which is kept with the index "
        "only where they are shown to find more by it; needs encoder and questions.",
    )
    per_context: int = option(
        default=4,
        help="Questions about the same passages: rows that follow one another with one number as "
        "their together.",
        at_least=1,
    )
    max_rows: int = option(
        default=0, help="Rows at most, a question each; 0 takes every question.", at_least=0
    )
    near_miss: float = option(
        default=0.15,
        help="Share of questions whose answer is missing from passages that are about the matter.",
        at_least=0.0,
        below=1.0,
    )
    off_topic: float = option(
        default=0.05, help="Share about something else.", at_least=0.0, below=1.0
    )
    empty: float = option(
        default=0.05, help="Share asked without any passage.", at_least=0.0, below=1.0
    )
    partial: float = option(
        default=0.02,
        help="Share that asks two things, of which the passages tell one.",
        at_least=0.0,
        below=1.0,
    )
    counterfactual: float = option(
        default=0.2,
        help="Share of the answerable whose number is another, in the passage as in the answer: "
        "what the model may remember is then wrong.",
        at_least=0.0,
        at_most=1.0,
    )
    disputed: float = option(
        default=0.1,
        help="Share of the answerable, and of the near misses that are made, whose passage has "
        "another number that it calls outdated or wrong: beside the right one, or in its place.",
        at_least=0.0,
        at_most=1.0,
    )
    orders: float = option(
        default=0.0,
        help="Share of the sets of passages in which one gives an order to its reader, which no "
        "answer follows.",
        at_least=0.0,
        at_most=1.0,
    )
    quote_words: int = option(default=12, help="Words a quote may have.", at_least=1)

    def grounding(self) -> Grounding:
        """How passages are shown, alone."""
        return Grounding(**values_of(Grounding, self))

    def __attrs_post_init__(self) -> None:
        Grounding.__attrs_post_init__(self)
        if self.questions is not None and not Path(self.questions).is_file():
            raise OptionError(f"questions must name a file, and there is no {self.questions}")
        if self.adapt_queries and (self.encoder is None or self.questions is None):
            raise OptionError(
                "adapt_queries learns from people's questions how to map an encoder's vectors: "
                "give questions and encoder, or leave it out"
            )
        if self.near_miss + self.off_topic + self.empty + self.partial >= 1:
            raise OptionError("near_miss, off_topic, empty and partial leave no share: lower one")

    @property
    def chunking(self) -> Chunking:
        """How the documents are cut into passages."""
        return Chunking(most_tokens=self.chunk_tokens)


def values_of(cls: type, plan: RowPlan) -> dict[str, Any]:
    """The plan's values of another class's options."""
    return {field.name: getattr(plan, field.name) for field in attrs.fields(cls)}
