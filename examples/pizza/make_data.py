"""Writes train.jsonl, dev.jsonl and test.jsonl: ``python make_data.py [folder]``.

The same bytes every time, with nothing but the standard library. What the rows say is written by
hand in content/; this script gives every conversation a shop of its own and its expectation.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from conversations import Conversation, read_conversations
from expectations import expectation
from shops import Shop

SPLITS = ("train", "dev", "test")


def row(conversation: Conversation, shop: Shop, name: str) -> dict[str, object]:
    """One row of the data set: the conversation as it would happen in this shop."""
    system = shop.system_prompt(conversation.prompt, conversation.without)
    return {
        "id": name,
        "trait": conversation.trait,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": shop.fill(conversation.customer)},
            {"role": "assistant", "content": shop.fill(conversation.shop)},
        ],
        "expect": expectation(conversation, shop.fill_pattern),
    }


def rows(split: str) -> list[dict[str, object]]:
    """The rows of one split; an id tells split, trait, case and number."""
    made: list[dict[str, object]] = []
    counted: Counter[str] = Counter()
    for number, conversation in enumerate(read_conversations(split)):
        prefix = f"{split}/{conversation.trait}/{conversation.case}".replace(" ", "-")
        counted[prefix] += 1
        made.append(row(conversation, Shop(split, number), f"{prefix}/{counted[prefix]}"))
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
