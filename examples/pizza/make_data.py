"""Writes train.jsonl, dev.jsonl and test.jsonl: ``python make_data.py [folder]``.

The same bytes every time, with nothing but the standard library. What the rows say is written by
hand in content/; this script gives every row a shop of its own and what is expected of its answer.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from conversations import read_conversations
from expectations import expectation
from shops import Shop
from visits import Visit, visits

SPLITS = ("train", "dev", "test")


def row(visit: Visit, shop: Shop, name: str) -> dict[str, object]:
    """One row of the data set: the visit as it would happen in this shop.

    ``trait`` and ``expect`` are those of the last answer.
    """
    extra = [text for one in visit for text in one.prompt]
    without = [fact for one in visit for fact in one.without]
    messages = [{"role": "system", "content": shop.system_prompt(extra, without)}]
    for one in visit:
        messages.append({"role": "user", "content": shop.fill(one.customer)})
        messages.append({"role": "assistant", "content": shop.fill(one.shop)})
    return {
        "id": name,
        "trait": visit[-1].trait,
        "messages": messages,
        "expect": expectation(visit[-1], shop.fill_pattern),
    }


def rows(split: str) -> list[dict[str, object]]:
    """The rows of one split; an id tells split, trait, case and number."""
    conversations = read_conversations(split)
    asked = visits(conversations) if split == "train" else ((one,) for one in conversations)
    made: list[dict[str, object]] = []
    counted: Counter[str] = Counter()
    for number, visit in enumerate(asked):
        prefix = f"{split}/{visit[-1].trait}/{visit[-1].case}".replace(" ", "-")
        counted[prefix] += 1
        made.append(row(visit, Shop(split, number), f"{prefix}/{counted[prefix]}"))
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
