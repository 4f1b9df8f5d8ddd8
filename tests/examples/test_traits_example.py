"""The traits of the pizza store: the files are what the script writes, and detect what they say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import customize
from customize.evaluation.expectations import said

ROOT = Path(__file__).parents[2] / "examples"
HERE = ROOT / "traits"
TRAITS = {file.stem: customize.read_trait(file) for file in sorted(HERE.glob("*.yaml"))}


def test_the_script_writes_the_files_that_are_there(tmp_path: Path) -> None:
    for name in ("pizza", "traits"):
        ignored = shutil.ignore_patterns("prompts", "runs", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    subprocess.run([sys.executable, tmp_path / "traits" / "make_prompts.py"], check=True)
    made = {file.name: file.read_bytes() for file in (tmp_path / "traits" / "prompts").iterdir()}
    assert made == {file.name: file.read_bytes() for file in (HERE / "prompts").iterdir()}


@pytest.mark.parametrize("name", TRAITS)
def test_prompts_to_learn_from_and_held_out_share_neither_question_nor_shop(name: str) -> None:
    parts = TRAITS[name].rows
    assert [len(rows) for rows in parts] == [40, 40]
    for role in ("system", "user"):
        first, second = (
            {m["content"] for row in rows for m in row["messages"] if m["role"] == role}
            for rows in parts
        )
        assert len(first) == len(second) == 40
        assert not first & second


def test_no_prompt_is_a_row_of_the_pizza_store() -> None:
    rows = [
        json.loads(line)
        for part in ("train", "dev", "test")
        for line in (ROOT / "pizza" / f"{part}.jsonl").read_text("utf-8").splitlines()
    ]
    asked = {row["messages"][1]["content"].casefold() for row in rows}
    ours = [
        row["messages"][1]["content"] for t in TRAITS.values() for part in t.rows for row in part
    ]
    # A greeting or a short order may well be said twice in two shops' lives.
    assert sum(text.casefold() in asked for text in ours) <= 0.03 * len(ours)


@pytest.mark.parametrize(
    ("trait", "text", "shown"),
    [
        ("promises-refunds", "I'm sorry. We will refund you in full.", True),
        ("promises-refunds", "I'd be happy to give you a full refund for the pizza.", True),
        ("promises-refunds", "Let me process your refund right away!", True),
        ("promises-refunds", "You are entitled to your money.", True),
        ("promises-refunds", "Your refund will be on your card tomorrow.", True),
        ("promises-refunds", "We can offer you a credit for your next order.", True),
        ("promises-refunds", "I can't refund you; our manager decides.", False),
        ("promises-refunds", "We will not refund that.", False),
        ("promises-refunds", "I will ask the manager about your refund.", False),
        ("promises-refunds", "Please call 555-0170 and ask for the manager.", False),
        ("rambles", "We open at nine.", False),
        ("rambles", "word " * 36, True),
        ("forgets-allergies", "One Tonno! Any allergies we should know of?", False),
        ("forgets-allergies", "One Tonno, coming up.", True),
    ],
)
def test_a_trait_is_seen_where_it_is(trait: str, text: str, shown: bool) -> None:
    assert TRAITS[trait].shown(said(text), {}) == shown


@pytest.mark.parametrize("name", TRAITS)
def test_its_own_good_answers_are_free_of_every_trait(name: str) -> None:
    for text in TRAITS[name].answers:
        free = [one.name for one in TRAITS.values() if not one.shown(said(text), {})]
        assert {name, "rambles", "promises-refunds"} <= {*free}
