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


REWARDED = {
    "reward": 0.412, "reward/correct": 0.4, "reward/brief": 0.0, "flat_right": 0.125,
    "flat_wrong": 0.25, "groups_taught": 5.0, "length": 34.2, "length_max": 64.0,
    "truncated": 0.03, "entropy": 1.23, "distinct": 0.8, "turns": 2.1, "kl_to_base": 0.0123,
    "mismatch": 1.2e-6, "grad_norm": 0.31, "ratio": 1.0, "clip_low": 0.0, "clip_high": 0.01,
    "ess": 0.99, "stop/done": 0.97, "stop/length": 0.03, "stop/turns": 0.0,
    "faults/bad_call/search": 0.1, "errors/TimeoutError in search": 0.02, "calls/search": 1.2,
    "calls/search_s": 0.012, "sampling_s": 3.1, "environment_s": 0.2, "training_s": 1.9,
}  # fmt: skip
HELD_OUT = {"validation_loss": -0.5, "validation_reward": 0.5, "pass@1": 0.4, "pass@4": 0.62}


def test_all_that_is_watched_of_a_rewarded_step_is_said_in_lines_that_stay() -> None:
    Progress(100, 0, stream := io.StringIO()).step(1, {**REWARDED, **HELD_OUT})
    first, *lines = stream.getvalue().splitlines()
    assert first.startswith("step 1/100  reward 0.412  held out 0.500  flat 38%  length 34")
    assert lines == [
        "  reward   0.412  correct 0.400  brief 0.000",
        "  flat     12% all right  25% all wrong  5 groups learnt from",
        "  answers  34 tokens  64 at most  3% cut  2.1 turns  80% distinct",
        "  policy   entropy 1.23  KL to base 0.012  mismatch 1e-06",
        "  update   gradient 0.31  ratio 1.000  clipped 0% low  1% high  ESS 99%",
        "  stopped  done 97%  length 3%",
        "  tools    search 1.2 calls of 12 ms",
        "  faults   bad_call/search 10%",
        "  errors   TimeoutError in search 2%",
        "  seconds  sampling 3.1  environment 0.2  training 1.9",
        "  held out reward 0.500  pass@1 40%  pass@4 62%",
    ]


def test_nothing_that_is_told_of_a_step_is_wider_than_a_terminal() -> None:
    many = {f"reward/a_part_with_a_name_{n}": 0.5 for n in range(9)}
    Progress(100, 0, stream := io.StringIO()).step(1, {**REWARDED, **many, **HELD_OUT})
    lines = stream.getvalue().splitlines()
    assert all(len(line) < 80 for line in lines)
    assert all(any(f"name_{n} 0.500" in line for line in lines) for n in range(9))


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_what_is_watched_is_said_once_a_minute_and_at_the_end(
    stream: io.StringIO, wait: Callable[[float], None]
) -> None:
    progress = Progress(30, 0, stream)
    said = []
    for number in range(1, 31):
        before = stream.getvalue().count("ESS")
        progress.step(number, REWARDED)
        if stream.getvalue().count("ESS") > before:
            said.append(number)
        wait(10.0)
    assert said == [1, 7, 13, 19, 25, 30]


def test_pairs_show_how_far_apart_their_sides_are(wait: Callable[[float], None]) -> None:
    progress = Progress(100, 0, stream := Terminal())
    progress.step(1, {"loss": 0.612, "margin": 0.213, "accuracy": 0.75})
    assert "loss 0.612  margin 0.21  right 75%" in stream.getvalue()


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
