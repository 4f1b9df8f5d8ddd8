"""DPO on the toy backend: what is trained, what the reference is, what is refused."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import customize
from customize import AdamW, Batch, DataError, LoRA, NonFiniteError, OptionError, Session, Step
from customize.testing import ToyBackend
from customize.training.around import SessionAround
from customize_dpo.losses import NAMED
from customize_dpo.method import DPO
from customize_dpo.pairs import Pairs

SYSTEM = {"role": "system", "content": "A pizza store."}
TOOLS = [{"type": "function", "function": {"name": "order"}}]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


def pair(number: int, **columns: object) -> dict[str, Any]:
    chosen, rejected = "yes" * (1 + number % 3), "no" * (1 + number % 2)
    return {"prompt": f"question {number}", "chosen": chosen, "rejected": rejected, **columns}


def pairs(n: int, **columns: object) -> customize.Dataset:
    return customize.read([pair(i, **columns) for i in range(n)])


def open_session(seed: int = 0) -> Session:
    return ToyBackend().load(None).open(LoRA(), seed)


def train(session: Session, data: customize.Dataset, **chosen: Any) -> list[Step]:
    return list(DPO(**{"lr": 0.05, "batch_size": 4, "epochs": 4, **chosen}).train(session, data))


def said_of(session: customize.Snapshot, data: customize.Dataset) -> np.ndarray[Any, Any]:
    """Log-probabilities of each pair's answers [P, 2], by a loop."""
    out = []
    for row in (data[i] for i in range(len(data))):
        for side in ("chosen", "rejected"):
            asked = [{**m, "train": False} for m in row["messages"]]
            rendered = session.renderer.render([*asked, *row[side]], row.get("tools"))
            batch = Batch.from_sequences([(rendered.tokens, {"weights": rendered.weights})])
            out.append(float(session.forward(batch).result().sum(dtype=np.float64)))
    return np.asarray(out).reshape(-1, 2)


@pytest.mark.parametrize("loss", NAMED)
def test_every_loss_widens_the_margin(loss: str) -> None:
    session, data = open_session(), pairs(8)
    before = said_of(session, data)
    steps = train(session, data, loss=loss, epochs=6)
    grown = (said_of(session, data) - before) @ [1.0, -1.0]
    assert (grown > 0).all()
    assert steps[-1].metrics["loss"] < steps[0].metrics["loss"]
    assert len(steps) == DPO(epochs=6, batch_size=4).num_steps(data) == 12


def test_the_first_loss_is_log_two_and_nothing_has_moved() -> None:
    (step,) = train(open_session(), pairs(4), steps=1)
    assert step.metrics["loss"] == pytest.approx(np.log(2), rel=1e-7)
    for name in ("margin", "kl_to_reference", "chosen_change", "reward_chosen"):
        assert step.metrics[name] == pytest.approx(0, abs=1e-9)


def test_one_step_is_adamw_on_the_equation() -> None:
    """Differentiated by hand: at the start every margin is 0, so each pair pulls by beta / 2."""
    session, other, data = open_session(), open_session(), pairs(4)
    train(session, data, steps=1, lr=0.1, warmup=0.0, schedule="constant", beta=0.3)
    batch = Pairs(data, other.renderer, 99).batch(range(4))
    pull = np.repeat(np.tile([1.0, -1.0], 4), batch.lengths) * batch.weights * 0.3 / 2 / 4
    other.forward_backward(batch.with_columns(weights=pull), customize.CrossEntropy())
    other.optim_step(AdamW(lr=0.1)).result()
    np.testing.assert_allclose(said_of(session, data), said_of(other, data), rtol=1e-5)


def test_only_the_answers_are_trained_and_system_tools_and_earlier_answers_are_read() -> None:
    turns = [SYSTEM, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    asked = [*turns, {"role": "user", "content": "c"}]
    row = {"prompt": asked, "chosen": "yes", "rejected": "no", "tools": TOOLS}
    session = open_session()
    batch = Pairs(customize.read([row]), session.renderer, 999).batch([0])
    plain = session.renderer.prompt(asked, TOOLS)
    for side, answer in enumerate(("yes", "no")):
        tokens = batch.tokens[batch.offsets[side] : batch.offsets[side + 1]]
        scored = batch.scored[batch.offsets[side] : batch.offsets[side + 1]]
        np.testing.assert_array_equal(tokens[: len(plain)], plain)
        assert bytes(tokens[scored].tolist()) == answer.encode() + b"\0"
    assert batch.groups.tolist() == [0, 0]


def test_the_reference_is_the_model_as_it_began_and_not_the_base() -> None:
    session, data = open_session(), pairs(4)
    train(session, data, loss="orpo", steps=5)  # any training that moves it away from the base
    began = said_of(session, data)
    (step,) = train(session, data, steps=1)
    assert step.metrics["margin"] == pytest.approx(0, abs=1e-9)
    assert step.state["reference_logprobs"].sum(dtype=np.float64) == pytest.approx(began.sum())
    kept = said_of(session.named_snapshot("reference"), data)
    np.testing.assert_array_equal(kept, began)
    assert not np.allclose(began, said_of(session.base(), data))


def test_the_reference_may_be_the_base() -> None:
    """By hand: rewards are beta times how much likelier than in the base the answers are."""
    session, data = open_session(), pairs(4)
    train(session, data, loss="orpo", steps=5)
    base, began = said_of(session.base(), data), said_of(session, data)
    method = DPO(lr=0.05, batch_size=4, steps=1, reference="base")
    (step,) = method.train(session, data)
    margin = 0.1 * ((began - base) @ [1.0, -1.0])
    assert abs(margin.mean()) > 1e-3
    assert step.metrics["margin"] == pytest.approx(margin.mean(), rel=1e-4)
    assert step.metrics["chosen_change"] == pytest.approx(0, abs=1e-9)
    assert step.metrics["kl_to_reference"] > 1e-4
    told = method.validate(session, data)
    moved = 0.1 * ((said_of(session, data) - base) @ [1.0, -1.0])
    assert told["validation_margin"] == pytest.approx(moved.mean(), rel=1e-4)
    assert "validation_chosen_change" not in told  # of these it knows no start
    assert method.needed() == {"forward_backward", "base"}
    assert DPO().needed() == {"forward_backward", "snapshot"}


def test_the_reference_is_computed_once_and_from_no_other_moment(tmp_path: Path) -> None:
    session, data = open_session(), pairs(6)
    steps = train(session, data)
    first = steps[0].state["reference_logprobs"]
    assert all(step.state["reference_logprobs"] is first for step in steps)


def test_simpo_and_orpo_compute_no_reference_and_watch_the_chosen_answers_all_the_same() -> None:
    for loss in ("simpo", "orpo"):
        session, data = open_session(), pairs(8)
        num_tokens = [len(row["chosen"][0]["content"]) + 1 for row in (data[i] for i in range(8))]
        began = said_of(session, data)[:, 0] / num_tokens
        first, *_, last = train(session, data, loss=loss)
        assert first.state.keys() == {"chosen_began", "chosen_change", "warned"}
        assert "kl_to_reference" not in first.metrics
        np.testing.assert_allclose(first.state["chosen_began"], began, rtol=1e-6)
        assert first.metrics["chosen_change"] == pytest.approx(0, abs=1e-9)
        assert abs(last.metrics["chosen_change"]) > 0.01


@pytest.mark.parametrize(
    "chosen", [{}, {"loss": "orpo"}, {"loss": "robust", "sft": 0.5}, {"reference": "base"}]
)
def test_resumed_at_any_step_it_is_bit_equal(tmp_path: Path, chosen: dict[str, Any]) -> None:
    data, method = pairs(7), DPO(lr=0.05, epochs=2, batch_size=3, **chosen)
    whole = open_session(seed=4)
    steps = list(method.train(whole, data))
    for k in range(1, len(steps)):
        first = open_session(seed=4)
        training = method.train(first, data)
        last = [next(training) for _ in range(k)][-1]
        folder = tmp_path / str(k)
        folder.mkdir()
        first.save(folder)
        second = open_session()
        second.load(folder)
        rest = list(method.train(second, data, resume=last))
        assert [s.metrics for s in rest] == [s.metrics for s in steps[k:]]
        assert method.validate(second, data) == method.validate(whole, data)


def test_a_pair_of_weight_zero_changes_nothing_and_one_of_two_counts_twice() -> None:
    rows = [pair(0, weight=2.0), pair(1), pair(2, weight=0)]
    doubled = [pair(0), pair(0), pair(1)]
    losses = [
        train(open_session(), customize.read(r), steps=2, batch_size=3, loss="ipo", warmup=0.0)
        for r in (rows, doubled)
    ]
    for one, other in zip(*losses, strict=True):
        assert one.metrics["loss"] == pytest.approx(other.metrics["loss"], rel=1e-5)


def test_all_weights_zero_is_refused() -> None:
    with pytest.raises(DataError, match="every pair of the batch has weight 0"):
        train(open_session(), pairs(4, weight=0))


def test_the_sft_term_keeps_the_chosen_answers_likely() -> None:
    ends = []
    for sft in (0.0, 1.0):
        session, data = open_session(), pairs(8)
        train(session, data, sft=sft, epochs=10)
        ends.append(said_of(session, data)[:, 0].mean())
    assert ends[1] > ends[0]


def sinking(n: int) -> customize.Dataset:
    """Chosen answers that share all but one token with the rejected, and nothing to hold them."""
    return customize.read(
        [{"prompt": f"q{i}", "chosen": "aaaaaaab", "rejected": "aaaaaaaa"} for i in range(n)]
    )


def lowering(policy: Any, reference: Any) -> Any:
    """A loss that makes both sides less likely, the rejected more so."""
    return (policy[:, 0] + 2 * policy[:, 1]) / 10


def test_falling_chosen_answers_are_warned_about_once() -> None:
    pytest.importorskip("torch")
    with pytest.warns(UserWarning, match="less likely than at the start") as told:
        steps = train(open_session(), sinking(4), loss=lowering, epochs=40, warmup=0.0)
    assert len([w for w in told if w.category is UserWarning]) == 1
    assert steps[-1].state["warned"]


def test_falling_chosen_answers_are_warned_about_without_a_reference_too() -> None:
    with pytest.warns(UserWarning, match="less likely than at the start") as told:
        train(open_session(), sinking(4), loss="simpo", beta=2.0, epochs=60, warmup=0.0)
    assert len([w for w in told if w.category is UserWarning]) == 1


def test_rising_chosen_answers_are_not_warned_about() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="the chosen answers")
        train(open_session(), pairs(8), sft=1.0, epochs=10)


def test_validation_tells_held_out_pairs_and_moves_nothing() -> None:
    session, data = open_session(), pairs(8)
    began = said_of(session, data)
    train(session, data)
    now = said_of(session, data)
    told = DPO().validate(session, data)
    margin = 0.1 * ((now - began) @ [1.0, -1.0])
    assert next(iter(told)) == "validation_loss"
    assert told["validation_loss"] == pytest.approx(np.log1p(np.exp(-margin)).mean(), rel=1e-5)
    assert told["validation_margin"] == pytest.approx(margin.mean(), rel=1e-4)
    np.testing.assert_array_equal(said_of(session, data), now)


def test_the_reference_of_held_out_pairs_is_computed_once_a_training() -> None:
    session, data, held_out = open_session(), pairs(8), pairs(3)
    method = DPO(lr=0.05, batch_size=4, epochs=2)
    asked: list[int] = []

    class Counting(Pairs):
        def logprobs(self, snapshot: customize.Snapshot) -> Any:
            asked.append(len(self))
            return super().logprobs(snapshot)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("customize_dpo.method.Pairs", Counting)
        told = [method.validate(session, held_out) for _ in method.train(session, data)]
        assert asked == [8, 3]
        assert len({each["validation_margin"] for each in told}) == len(told) == 4
        began = said_of(session, held_out)  # of a second training, which has another reference
        for _ in method.train(session, data):
            now = method.validate(session, held_out)
    assert asked == [8, 3, 8, 3]
    margin = 0.1 * ((said_of(session, held_out) - began) @ [1.0, -1.0])
    assert now["validation_margin"] == pytest.approx(margin.mean(), rel=1e-4)


def test_a_snapshot_without_its_reference_is_not_validated() -> None:
    session, data = open_session(), pairs(4)
    train(session, data)
    with pytest.raises(customize.Unsupported, match="a reference is needed"):
        DPO().validate(session.snapshot(), data)
    assert "validation_loss" in DPO(loss="simpo").validate(session.snapshot(), data)


def test_pairs_that_are_too_long_or_equal_are_listed_by_line(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    rows = [
        pair(0),
        {**pair(1), "rejected": "no" * 40},
        {**pair(2), "chosen": "\x01", "rejected": "?"},
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(DataError) as told:
        train(open_session(), customize.read(file), max_length=40)
    assert "2 of 3 pairs cannot be used" in str(told.value)
    assert "line 2: rejected has 94 tokens, more than max_length 40" in str(told.value)
    assert "line 3: chosen and rejected are the same tokens" in str(told.value)


class Holding(SessionAround):
    """A session whose model holds few tokens."""

    def context(self) -> int:
        return 40


def test_pairs_longer_than_the_model_holds_are_listed_by_line() -> None:
    data = customize.read([pair(0), {**pair(1), "rejected": "no" * 40}])
    told = "line 2: rejected has 94 tokens, and the model holds 40"
    with pytest.raises(DataError, match=told):
        train(Holding(open_session()), data)
    with pytest.raises(DataError, match=told):
        DPO(loss="orpo").validate(Holding(open_session()), data)


def test_a_loss_that_is_not_finite_names_the_pair_and_moves_nothing() -> None:
    pytest.importorskip("torch")
    session, data = open_session(), pairs(4)
    before = said_of(session, data)

    def broken(policy: Any, reference: Any) -> Any:
        return (policy[:, 0] - policy[:, 0]) / (policy[:, 0] - policy[:, 0])

    with pytest.raises(NonFiniteError, match=r"line \d: the loss of this pair is nan"):
        train(session, data, loss=broken)
    np.testing.assert_array_equal(said_of(session, data), before)


class Empty:
    kind, fingerprint = "preference", "0"

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        raise IndexError(index)


def test_no_rows_are_refused_before_the_first_step() -> None:
    with pytest.raises(DataError, match="no rows"):
        train(open_session(), Empty())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"loss": "sigmoyd"}, "must be one of sigmoid, ipo"),
        ({"beta": 0.0}, "beta must be > 0"),
        ({"label_smoothing": 0.1}, "read by loss='robust' alone"),
        ({"gamma": 0.5}, "read by loss='simpo' alone"),
        ({"loss": "robust", "label_smoothing": 0.5}, "< 0.5"),
        ({"reference": "sft"}, "reference must be one of start, base"),
        ({"loss": "simpo", "reference": "base"}, "knows no reference: leave reference out"),
    ],
)
def test_an_option_that_cannot_be_honoured_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        DPO(**wrong)


def test_a_function_that_is_not_there_is_named_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Pairs, "logprobs", lambda self, snapshot: asked.append(1))
    with pytest.raises(OptionError, match="'customize:nothing' cannot be imported"):
        train(open_session(), pairs(4), loss="customize:nothing")
    assert not asked


def scaled(policy: Any, reference: Any, beta: float) -> Any:
    return beta * (policy[:, 1] - policy[:, 0])


def test_beta_reaches_a_loss_of_ones_own_and_the_rewards_beside_it() -> None:
    pytest.importorskip("torch")
    data = pairs(4)
    ends = []
    for beta in (0.2, 0.4):
        first, *_ = train(open_session(), data, loss=scaled, beta=beta)
        ends.append(first.metrics["loss"])
    assert ends[1] == pytest.approx(2 * ends[0], rel=1e-5)
    with pytest.raises(OptionError, match="the loss lowering takes none"):
        train(open_session(), data, loss=lowering, beta=0.2)


def runs(to: Path, loss: Any, rows: Sequence[Mapping[str, Any]]) -> customize.Run:
    return customize.train(
        model="toy",
        data=rows,
        to=to,
        method="dpo",
        backend=ToyBackend(),
        options={"loss": loss, "lr": 0.05, "batch_size": 2},
    )


def test_a_run_keeps_which_function_its_loss_was(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    rows = [pair(i) for i in range(4)]
    run = runs(tmp_path / "run", lowering, rows)
    assert run.folder is not None
    assert run.folder.recipe().options["loss"].startswith("lowering, sha256 ")
    assert runs(tmp_path / "run", lowering, rows).metrics == run.metrics
    with pytest.raises(customize.RunError, match=r"options\.loss: "):
        runs(tmp_path / "run", lambda policy, reference: policy[:, 1], rows)


def test_the_report_shows_what_is_watched_of_pairs(tmp_path: Path) -> None:
    runs(tmp_path / "run", "sigmoid", [pair(i) for i in range(4)])
    page = (tmp_path / "run" / "report.html").read_text()
    for name in ("margin", "accuracy", "logprob_chosen", "kl_to_reference", "grad_norm"):
        assert f"<td>{name}</td>" in page


def test_a_step_of_pairs_of_weight_zero_alone_is_refused_before_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Pairs, "logprobs", lambda self, snapshot: asked.append(1))
    rows = customize.read([pair(i, weight=float(i == 0)) for i in range(6)])
    with pytest.raises(
        DataError, match=r"step \d: every pair .* weight 0: take pairs of weight 0 o"
    ):
        train(open_session(), rows, batch_size=2)
    assert not asked


def test_pairs_of_weight_zero_are_not_watched_either() -> None:
    rows, kept = [pair(0), pair(1), pair(2, weight=0)], [pair(0), pair(1)]
    found = []
    for given, size in ((rows, 3), (kept, 2)):
        session = open_session()
        steps = train(session, customize.read(given), steps=3, batch_size=size, warmup=0.0)
        found.append((steps[-1].metrics, DPO().validate(session, customize.read(given))))
    for mine, theirs in zip(*found, strict=True):
        for name in set(theirs) - {"epoch", "tokens", "trained_tokens"}:
            assert mine[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-7), name
