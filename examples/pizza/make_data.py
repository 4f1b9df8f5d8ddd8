"""Writes train.jsonl, dev.jsonl and test.jsonl: ``python make_data.py [folder]``.

The same bytes every time, with nothing but the standard library. What the rows say is written by
hand in content/; this script gives every row a shop of its own and what is expected of its answer.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from conversations import read_conversations
from days import Day, days
from expectations import expectation
from shops import Shop

SPLITS = ("train", "dev", "test")


def rows_of(day: Day, shop: Shop) -> Iterator[dict[str, object]]:
    """The conversations as they would happen in this shop, under one system prompt."""
    extra = [text for one in day for text in one.prompt]
    without = [fact for one in day for fact in one.without]
    system = {"role": "system", "content": shop.system_prompt(extra, without)}
    for one in day:
        asked = {"role": "user", "content": shop.fill(one.customer)}
        answer = {"role": "assistant", "content": shop.fill(one.shop)}
        yield {
            "id": f"{one.trait}/{one.case}".replace(" ", "-"),
            "trait": one.trait,
            "messages": [system, asked, answer],
            "expect": expectation(one, shop.fill_pattern),
        }


def rows(split: str) -> list[dict[str, object]]:
    """The rows of one split; an id tells split, trait, case and number."""
    conversations = read_conversations(split)
    told = days(conversations) if split == "train" else ((one,) for one in conversations)
    made: list[dict[str, object]] = []
    counted: Counter[str] = Counter()
    for number, day in enumerate(told):
        for row in rows_of(day, Shop(split, number)):
            case = f"{split}/{row['id']}"
            counted[case] += 1
            made.append({**row, "id": f"{case}/{counted[case]}"})
    return made


def main(folder: Path) -> None:
    """Write the three files into ``folder`` and say how many rows each has."""
    for split in SPLITS:
        lines = [json.dumps(each, ensure_ascii=False) + "\n" for each in rows(split)]
        path = folder / f"{split}.jsonl"
        path.write_text("".join(lines), encoding="utf-8", newline="\n")
        print(f"{path}: {len(lines)} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
