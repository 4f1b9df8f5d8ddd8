"""Every block of every page runs, in order, in a folder of its own.

``python`` blocks of a page share their names; ``sh`` blocks stop at the first command that fails;
a block after ``<!-- file: NAME -->`` is written to that file; ``text`` is not run.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest

pytest.importorskip("customize_torch")
pytest.importorskip("customize_smollm2")

ROOT = Path(__file__).parents[2]
HAND_WRITTEN = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("docs/tutorials/*.md"),
    *ROOT.glob("docs/how-to/*.md"),
    *ROOT.glob("docs/explanation/*.md"),
]
BLOCK = re.compile(
    r"(?:^<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>\S*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@attrs.frozen
class Block:
    """One fenced block: where it begins, what it is, and the file it is to be written to."""

    line: int
    language: str
    code: str
    file: str | None


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(text.count("\n", 0, m.start("code")) + 1, m["language"], m["code"], m["file"])
        for m in BLOCK.finditer(text)
    ]


def run(block: Block, page: Path, names: dict[str, Any]) -> None:
    if block.file is not None:
        Path(block.file).write_text(block.code, "utf-8")
    elif block.language == "python":
        # Blank lines before it, so that a traceback has the page's own line.
        exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)
    elif block.language == "sh":
        command = ["bash", "-euo", "pipefail", "-c", block.code]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{page.name}:{block.line}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_block_says_whether_it_runs(page: Path) -> None:
    unsaid = [
        block.line
        for block in blocks_of(page)
        if block.language not in ("python", "sh", "text") and block.file is None
    ]
    assert not unsaid, "write python, sh, text, or <!-- file: NAME --> before it"


RUNNING = [p for p in HAND_WRITTEN if any(b.language in ("python", "sh") for b in blocks_of(p))]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNING, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_block_of_a_page_runs(page: Path, place: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(page):
        run(block, page, names)
