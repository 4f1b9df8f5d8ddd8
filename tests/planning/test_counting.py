"""What a method asks of a session that computes nothing, beside what it asks of one that does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import customize
from customize import Batch
from customize.planning.counting import CountingSession, Work
from customize.planning.some_rows import SomeRows
from customize.testing import ToyBackend

CHATS = [
    {
        "messages": [
            {"role": "user", "content": f"question {n} {'again ' * (n % 7)}"},
            {"role": "assistant", "content": "yes " * (1 + n % 3)},
        ]
    }
    for n in range(20)
]
REPLY = [{"role": "assistant", "content": "yes"}]


def counted(method: Any, rows: Any) -> CountingSession:
    engine = ToyBackend().load(None)
    session = CountingSession(engine.renderer, 3, frozenset())
    for _ in method.train(session, rows):
        pass
    return session


@pytest.fixture
def sft(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    return pytest.importorskip("customize_sft.method").SFT


def test_every_step_of_sft_is_counted_as_it_is_trained(sft: Any, tmp_path: Path) -> None:
    options = {"epochs": 2.0, "batch_size": 4}
    run = customize.train(
        model="toy", data=CHATS, to=tmp_path / "run", backend=ToyBackend(), options=options, seed=3
    )
    assert run.folder is not None
    ledger = counted(sft(**options), customize.read(CHATS, kind="chat")).ledger
    logged = run.folder.metrics()
    assert [step.tokens for step in ledger.steps] == [step["tokens"] for step in logged]
    assert [step.scored for step in ledger.steps] == [step["trained_tokens"] for step in logged]


def test_a_shared_system_message_is_trained_on_in_every_row_and_computed_once_a_step(
    sft: Any, tmp_path: Path
) -> None:
    shop = {"role": "system", "content": "You answer for the shop at the corner."}
    chats = [{"messages": [shop, *row["messages"]]} for row in CHATS]
    options = {"epochs": 1.0, "batch_size": 4}
    run = customize.train(
        model="toy", data=chats, to=tmp_path / "run", backend=ToyBackend(), options=options, seed=3
    )
    assert run.folder is not None
    steps = counted(sft(**options), customize.read(chats, kind="chat")).ledger.steps
    assert [step.tokens for step in steps] == [one["tokens"] for one in run.folder.metrics()]
    said = len(str(shop["content"]).split())
    assert all(step.tokens - step.computed >= 3 * said for step in steps)


def test_replay_is_counted_as_prompts_read_and_tokens_drawn_at_most(sft: Any) -> None:
    ledger = counted(sft(epochs=1.0, replay=0.5), customize.read(CHATS, kind="chat")).ledger
    assert ledger.drawn == 20 * 96
    assert ledger.read > 20


def test_the_reference_of_dpo_is_a_forward_pass_before_the_first_step(sft: Any) -> None:
    dpo = pytest.importorskip("customize_dpo.method").DPO
    pairs = [{"prompt": row["messages"][:1], "chosen": "yes", "rejected": "no"} for row in CHATS]
    rows = customize.read(pairs, kind="preference")
    ledger = counted(dpo(epochs=1.0, batch_size=4), rows).ledger
    assert len(ledger.steps) == 5
    assert ledger.forward.tokens == sum(step.tokens for step in ledger.steps)
    free = counted(dpo(loss="orpo", epochs=1.0, batch_size=4), rows).ledger
    assert free.forward.scored < ledger.forward.scored


def test_what_a_group_shares_at_its_start_counts_once() -> None:
    shared = list(range(40))
    rows = [([*shared, 7, 8], {"weights": [0.0] * 40 + [1.0] * 2}) for _ in range(3)]
    rows.append(([5, 6, 7], {"weights": [0.0, 1.0, 1.0]}))
    rows[1][0][-1] = 9
    work = Work.of(Batch.from_sequences(rows, groups=[0, 0, 0, 1]))
    assert work.tokens == 3 * 42 + 3
    assert work.computed == 40 + 3 * 2 + 3 - 2  # they also share the 7
    assert work.scored == 8
    assert work.squares == 3 * 42**2 + 3**2
    assert work.largest == 44
    alone = Work.of(Batch.from_sequences(rows))
    assert (alone.tokens, alone.computed, alone.largest) == (129, 129, 42)


@pytest.mark.parametrize(("couples", "largest"), [("token", 42), ("sequence", 42), ("group", 79)])
def test_only_a_loss_over_groups_needs_a_whole_one_at_once(couples: Any, largest: int) -> None:
    rows = [([n, *range(41)], {"weights": [0.0] * 41 + [1.0]}) for n in (100, 101)]
    rows.append(([100, *range(40, 3, -1)], {"weights": [0.0] * 37 + [1.0]}))
    work = Work.of(Batch.from_sequences(rows, groups=[0, 1, 0]), couples)
    assert work.largest == largest  # of a group, whose two begin with the 100, 42 + 38 - 1


def test_some_rows_are_drawn_from_all_and_always_the_same() -> None:
    rows = customize.read(CHATS, kind="chat")
    some, again = SomeRows(rows, 5), SomeRows(rows, 5)
    drawn = [str(some[n]) for n in range(len(some))]
    assert len(set(drawn)) == 5
    assert set(drawn) <= {str(rows[n]) for n in range(20)}
    assert drawn == [str(again[n]) for n in range(5)]
    assert some.fingerprint != rows.fingerprint
    assert SomeRows(rows, 50).fingerprint == rows.fingerprint
    with pytest.raises(IndexError):
        some[5]


@pytest.mark.parametrize(("num", "most"), [(20, 5), (1010, 1000), (230, 120), (51, 50), (3, 9)])
def test_some_rows_are_as_many_as_asked_and_follow_one_another(num: int, most: int) -> None:
    chats = [{"messages": [{"role": "user", "content": f"{n}"}, *REPLY]} for n in range(num)]
    some = SomeRows(customize.read(chats, kind="chat"), most)
    drawn = [int(some[n]["messages"][0]["content"]) for n in range(len(some))]
    assert len(set(drawn)) == min(num, most)
    gaps = np.count_nonzero(np.diff(drawn) != 1)
    assert gaps <= most // 50 + 1
    assert drawn == sorted(drawn)


def test_what_rows_that_stay_together_share_is_seen_in_some_of_them(sft: Any) -> None:
    said = "You answer for the shop at the corner. " * 4
    chats = [
        {
            "messages": [
                {"role": "system", "content": f"{n // 5} {said}"},
                {"role": "user", "content": f"question {n}"},
                *REPLY,
            ]
        }
        for n in range(600)
    ]
    rows = customize.read(chats, kind="chat")
    whole, some = (
        counted(sft(epochs=1.0, batch_size=10, together=True), seen).ledger.steps
        for seen in (rows, SomeRows(rows, 100))
    )
    shared = [1 - sum(s.computed for s in w) / sum(s.tokens for s in w) for w in (whole, some)]
    assert shared[0] > 0.5
    assert shared[1] == pytest.approx(shared[0], rel=0.05)


def test_work_adds_up_and_scales() -> None:
    one = Work(tokens=3, computed=2, scored=2, squares=9, largest=3)
    assert one.plus(one.scaled(2)) == Work(tokens=9, computed=6, scored=6, squares=27, largest=3)
    assert np.isclose(one.scaled(0.5).tokens, 1.5)
