"""Rates and rows of steps: as named, and the same for the same numbers."""

from __future__ import annotations

import pytest

from customize import schedule_factor, shuffled_row


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 0.8535534, 0.5, 0.1464466]),
        ("wsd", [0.5, 1, 1, 1, 1]),
    ],
)
def test_schedules_rise_and_fall_as_named(schedule: str, expected: list[float]) -> None:
    got = [schedule_factor(schedule, step, 5, 0.2) for step in range(1, 6)]
    assert got == pytest.approx(expected)


def test_wsd_falls_over_the_last_fifth() -> None:
    rates = [schedule_factor("wsd", step, 100, 0.0) for step in range(1, 101)]
    assert rates[:81] == pytest.approx([1.0] * 81)
    assert rates[-1] == pytest.approx(0.05)


def test_every_epoch_has_every_row_once_in_an_order_of_its_own() -> None:
    epochs = [[shuffled_row(3, place, 7) for place in range(e * 7, e * 7 + 7)] for e in range(3)]
    assert all(sorted(rows) == list(range(7)) for rows in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_order_is_a_function_of_the_seed() -> None:
    first, again, other = ([shuffled_row(s, p, 50) for p in range(50)] for s in (1, 1, 2))
    assert first == again != other
