"""A small corpus whose answers are known by hand."""

from __future__ import annotations

from typing import Any

import customize

TEXTS = {
    "hall": "# Climbing Hall\n\n## Hours\n\nThe doors open at 7:40 am. We close at 9:15 pm.\n\n"
    "## Prices\n\nA day ticket costs $14.50. Last year a day ticket was $12.00.\n",
    "shop": "# Clock Shop\n\n## Hours\n\nThe doors open at 10:20 am. We close at 6:30 pm.\n\n"
    "## Prices\n\nA new strap costs $23.80. A deposit of $5.00 is due.\n",
    "camp": "# Camp Site\n\n## Hours\n\nThe gate opens at 8:05 am. It shuts at 11:45 pm.\n\n"
    "## Prices\n\nA tent pitch costs $31.20. Children from the age of 6 pay.\n",
    "school": "# Music School\n\n## Hours\n\nLessons begin at 2:10 pm. We close at 8:50 pm.\n\n"
    "## Prices\n\nA piano lesson costs $44.90. The owner is Agnes Corbin.\n",
}
QUESTIONS = [
    ("When does the Climbing Hall open?", "7:40 am", "hall"),
    ("When does the Climbing Hall close?", "9:15 pm", "hall"),
    ("What is a day ticket at the Climbing Hall?", "$14.50", "hall"),
    ("When does the Clock Shop open?", "10:20 am", "shop"),
    ("When does the Clock Shop close?", "6:30 pm", "shop"),
    ("What is a new strap at the Clock Shop?", "$23.80", "shop"),
    ("How high is the deposit at the Clock Shop?", "$5.00", "shop"),
    ("When does the gate of the Camp Site open?", "8:05 am", "camp"),
    ("What does a tent pitch cost at the Camp Site?", "$31.20", "camp"),
    ("From which age do children pay at the Camp Site?", "6", "camp"),
    ("When do lessons begin at the Music School?", "2:10 pm", "school"),
    ("Who owns the Music School?", "Agnes Corbin", "school"),
]
DOCUMENTS: list[dict[str, Any]] = [
    {"id": name, "title": text.partition("\n")[0][2:], "text": text} for name, text in TEXTS.items()
]
CHUNKING = customize.Chunking(most_tokens=24, overlap=0.0)  # a section, about
PAIRS = [{"question": q, "answer": a, "document": d} for q, a, d in QUESTIONS]


def index() -> customize.Index:
    """Of the documents, cut so that most facts stand in passages of their own."""
    return customize.index_of(customize.read(DOCUMENTS), CHUNKING)
