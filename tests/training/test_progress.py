"""What a person sees while training, on a terminal and elsewhere."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest

from customize.training.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def follow(stream: io.StringIO, wait: Callable[[float], None], steps: int = 4) -> str:
    """Steps of three seconds and 600 tokens each; the third is measured on held-out rows."""
    progress = Progress(steps, 0, stream)
    for number in range(1, steps + 1):
        held = {"validation_loss": 2.5} if number == 3 else {}
        progress.step(number, {"loss": 10.0 / number, "tokens": 600.0, **held})
        wait(3.0)
    return stream.getvalue()


def test_a_terminal_has_one_line_that_is_written_over(wait: Callable[[float], None]) -> None:
    shown = follow(Terminal(), wait)
    assert shown.count("\n") == 1
    lines = shown.split("\r\x1b[2K")[1:]
    assert [line.split("  ")[0] for line in lines] == [f"step {n}/4" for n in (1, 2, 3, 4)]
    assert all(len(line.rstrip("\n")) < 80 for line in lines)
    # From the second step on: the first holds preparations, and starts the clock.
    assert "tokens/s" not in lines[0]
    assert "loss 5.000  200 tokens/s" in lines[1]
    assert "MB at most" in lines[1]
    assert lines[1].endswith("6 s left")
    assert lines[3].endswith("took 9 s\n")


def test_a_rewarded_step_shows_what_is_watched(wait: Callable[[float], None]) -> None:
    progress = Progress(100, 0, stream := Terminal())
    for number in (1, 2):
        metrics = {"loss": 0.1, "reward": 0.5, "length": 34.2, "truncated": 0.25, "entropy": 1.234}
        progress.step(number, {**metrics, "tokens": 600.0})
        wait(3.0)
    line = stream.getvalue().split("\r\x1b[2K")[-1]
    assert line == "step 2/100  reward 0.500  length 34  cut 25%  entropy 1.23  294 s left"


def test_elsewhere_lines_are_plain_and_few(wait: Callable[[float], None]) -> None:
    lines = follow(io.StringIO(), wait, steps=9).splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"step {n}/9" for n in (1, 3, 7, 9)]
    assert "held out 2.500" in lines[1]
    assert "\x1b" not in "".join(lines)


def test_a_run_that_goes_on_counts_its_own_steps_alone(wait: Callable[[float], None]) -> None:
    stream = io.StringIO()
    progress = Progress(100, 90, stream)
    for number in (91, 92, 100):
        progress.step(number, {"tokens": 100.0})
        wait(10.0)
    assert "step 92/100  10 tokens/s" in stream.getvalue()
    assert "80 s left" in stream.getvalue()


class Closed(io.StringIO):
    """A terminal whose window was closed."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_closed_terminal_ends_nothing(wait: Callable[[float], None]) -> None:
    follow(Closed(), wait)
    Progress(0, 0, Closed()).say("saved")
