"""What is longer than a model holds is refused, where it is trained on and where it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

import customize
from customize import DataError
from customize.testing import write_tiny_model

pytest.importorskip("customize_sft")
pytest.importorskip("customize_torch")

CONTEXT = 512  # of the tiny model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model").path


def test_a_row_longer_than_the_model_holds_is_refused_by_number(
    model: Path, tmp_path: Path
) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": "x7 " * repeated},
                {"role": "assistant", "content": "yes"},
            ]
        }
        for repeated in (1, 600)
    ]
    with pytest.raises(DataError, match=rf"row 2 has \d+ tokens, and the model holds {CONTEXT}: "):
        customize.train(
            model=model, data=rows, to=tmp_path / "run", backend="cpu", options={"epochs": 1.0}
        )


def test_a_prompt_that_leaves_no_room_for_the_answer_is_refused(model: Path) -> None:
    run = customize.open(model, backend="cpu")
    for ask in (run.reply, run.reply_message):
        with pytest.raises(DataError, match=rf"the model holds {CONTEXT}: .*\(max_tokens\)"):
            ask("x7 " * 600, max_tokens=8)
        with pytest.raises(DataError, match=r"the answer up to 510,"):
            ask("x7", max_tokens=510)
    assert isinstance(run.reply("x7", max_tokens=8), str)
