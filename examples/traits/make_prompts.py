"""Writes prompts/*.jsonl from content/*.txt: ``python make_prompts.py``.

The same bytes every time. Each customer writes to a shop of its own, as in the pizza store's rows:
those to learn from to shops of the training rows, those held out to shops of the test rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "pizza"))

from shops import Shop  # noqa: E402

PARTS = {"": "train", "-held-out": "test"}
_FIRST = 7000  # shops are numbered; far from those of the pizza store's own rows


def rows(lines: list[str], split: str) -> list[dict[str, object]]:
    """What each customer writes, after the system prompt of its shop."""
    made: list[dict[str, object]] = []
    for number, line in enumerate(lines):
        shop = Shop(split, _FIRST + number)
        system = {"role": "system", "content": shop.system_prompt((), ())}
        made.append({"messages": [system, {"role": "user", "content": shop.fill(line)}]})
    return made


def main() -> None:
    """Write two files for each trait."""
    (HERE / "prompts").mkdir(exist_ok=True)
    for file in sorted((HERE / "content").glob("*.txt")):
        blocks = file.read_text("utf-8").split("---\n")
        for (suffix, split), block in zip(PARTS.items(), blocks, strict=True):
            lines = [line for line in block.splitlines() if line and line[0] != "#"]
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(lines, split))
            target = HERE / "prompts" / f"{file.stem}{suffix}.jsonl"
            target.write_text(text, encoding="utf-8", newline="\n")
            print(f"{target}: {len(lines)} prompts")


if __name__ == "__main__":
    main()
