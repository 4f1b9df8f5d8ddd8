"""report.html: one page with everything, from a run on the toy backend."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from saying import asked, compared

import customize
from customize import Evaluation, Run
from customize.evaluation import Item
from customize.evaluation.expectations import said
from customize.evaluation.remarks import headline
from customize.testing import ToyBackend

pytest.importorskip("customize_sft")

ASKED = "<script>alert(1)</script> & more?"
ROWS = [
    {
        "messages": [
            {"role": "user", "content": ASKED},
            {"role": "assistant", "content": "yes"},
        ],
        "expect": {"includes": "yes"},
    }
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    return customize.train(
        model="toy",
        data=ROWS,
        validation=ROWS,
        evaluate=False,
        to=tmp_path / "run",
        backend=ToyBackend(),
        evaluate_every=5,
        options={"steps": 10, "lr": 0.5},
    )


def page_of(run: Run) -> str:
    assert run.folder is not None
    return (run.folder.path / "report.html").read_text("utf-8")


class Tags(HTMLParser):
    """Every tag with its attributes, and whether each is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: Any) -> None:
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_before_an_evaluation_it_says_which_command_makes_one(run: Run) -> None:
    page = page_of(run)
    assert "Not evaluated yet" in page
    assert "customize evaluate" in page


def test_the_page_holds_everything_and_needs_nothing_else(run: Run) -> None:
    run.evaluate(ROWS, prompts="Say yes.", max_tokens=4)
    page, tags = page_of(run), Tags(page_of(run))
    assert not tags.open
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags.seen}
    assert not any(k in ("src", "href") or k.startswith("on") for _, a in tags.seen for k in a)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more?" in page
    assert "General ability" not in page
    for told in ("100 [21, 100]", "options.lr", "0.5", "adapter.rank", "Lineage", "numpy"):
        assert told in page
    assert run.folder is not None
    assert run.folder.lineage()["data"] in page


def test_the_curves_are_the_logged_losses(run: Run) -> None:
    lines = [a["points"] for tag, a in Tags(page_of(run)).seen if tag == "polyline"]
    training, held = (re.findall(r"([\d.]+),([\d.]+)", str(line)) for line in lines)
    losses = [m["loss"] for m in run.metrics]
    assert [len(training), len(held)] == [10, 2]
    assert [x for x, _ in held] == [training[4][0], training[9][0]]
    # Heights of a drawing fall as its values rise: on one straight line with them.
    heights = [float(y) for _, y in training]
    slope = (heights[9] - heights[0]) / (losses[9] - losses[0])
    for height, loss in zip(heights, losses, strict=True):
        assert height == pytest.approx(heights[0] + slope * (loss - losses[0]), abs=0.11)
    assert slope < 0


def test_the_curve_of_risk_is_that_of_the_scores(run: Run) -> None:
    rows = [{**ROWS[0], "id": str(n)} for n in range(3)]
    got = run.evaluate(rows, scorers=["calibration"], max_tokens=4)
    page = page_of(run)
    assert "Coverage and risk (calibration)" in page
    lines = [a["points"] for tag, a in Tags(page).seen if tag == "polyline"]
    base, customized = (
        [float(y) for _, y in re.findall(r"([\d.]+),([\d.]+)", str(line))] for line in lines[:2]
    )
    assert got.rate("base").estimate == 0
    assert got.rate("customized").estimate == 1
    assert len(set(base)) == len(set(customized)) == 1
    assert base[0] < customized[0]  # all wrong is at the top, none at the bottom


def items(base: int, customized: int, n: int = 40) -> Evaluation:
    """The first ``base`` and the first ``customized`` of n items are right."""
    return Evaluation(
        columns=("base", "customized"),
        items=tuple(
            Item(
                id=str(i),
                question="q",
                hash="",
                slices={},
                cluster=None,
                answers={"base": said(""), "customized": said("")},
                scores={
                    "base": {"right": float(i < base)},
                    "customized": {"right": float(i < customized)},
                },
            )
            for i in range(n)
        ),
        new="customized",
        rival="base",
        told={},
        metric_names=("right",),
    )


@pytest.mark.parametrize(
    ("base", "customized", "said"),
    [(5, 35, "is better than"), (35, 5, "is worse than"), (20, 22, "cannot be told apart from")],
)
def test_the_headline_claims_no_more_than_the_interval(
    base: int, customized: int, said: str
) -> None:
    assert headline(items(base, customized)).startswith(f"Customized {said} the base on 40 rows:")


@pytest.mark.parametrize("name", ["Pizza-V2", "pizza", "retrieved"])
def test_a_headline_writes_names_as_they_are_and_its_own_words_as_a_sentence_begins(
    name: str,
) -> None:
    rows = [asked(n, **{name: "yes"}) for n in range(3)]
    shown = {"retrieved": "Retrieved"}.get(name, name)
    assert headline(compared(rows, f"base {name}")).startswith(f"{shown} cannot be told apart")
