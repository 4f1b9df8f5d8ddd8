"""The whole flow on the toy backend: what is trained, gone on with, measured and said."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import customize
from customize import (
    Correction,
    DataError,
    GateFailed,
    GateInconclusive,
    ModelError,
    OptionError,
    Run,
    RunError,
    Unsupported,
)
from customize.evaluation.columns import SnapshotColumn
from customize.packaging.manifest import Manifest
from customize.runs.folder import folder_fingerprint
from customize.testing import ToyBackend
from customize.training.loop import Loop
from customize.traits.correcting import _defaults

if TYPE_CHECKING:
    from tests.traits.conftest import Make

SHORT: dict[str, Any] = {"max_words": 9}  # whatever it says is no longer
CHECKS = [
    {"messages": [{"role": "user", "content": f"check {n}"}], "expect": SHORT} for n in range(40)
]
QUICK: dict[str, Any] = {
    "num_samples": 4,
    "max_tokens": 16,
    "general": False,
    "options": {"lr": 1.0, "epochs": 10, "beta": 0.5},
}


def correct(run: Run, trait: Any, to: Path, **given: Any) -> Correction:
    return customize.correct(run, trait, to=to, **{"checks": CHECKS, **QUICK, **given})


def metrics(correction: Correction) -> list[dict[str, float]]:
    return correction.run.metrics


def weights(folder: Path) -> bytes:
    return (folder / "run" / "adapter" / "adapter_model.safetensors").read_bytes()


def test_a_trait_is_taken_out_and_the_folder_says_so(run: Run, trait: Make, tmp_path: Path) -> None:
    other = trait(name="rambles", expect=SHORT, prompts=tuple(f"tell {n}" for n in range(60)))
    found = correct(run, trait(), tmp_path / "c", others=[other])
    assert (found.before.estimate, found.after.estimate) == (1.0, 0.0)
    assert found.verdict == "corrected"
    assert run.reply("measure 1") == "yes"
    assert "yes" not in found.run.reply("measure 1")
    kept = json.loads((tmp_path / "c" / "verdict.json").read_text())
    assert (kept["verdict"], kept["harm"]) == ("corrected", found.harm)
    assert kept["others"].keys() == {
        *("rambles", "checks", "form", "answering", "held-out text", "length")
    }
    assert kept["others"]["checks"]["verdict"] == "pass"
    report = (tmp_path / "c" / "run" / "eval" / "report.html").read_text()
    assert "goal(says-yes, at_most=0.2)" in report
    assert f"<li>{found.headline}.</li>" in report
    assert "says-yes: corrected" in str(found)


def test_the_runs_adapter_is_continued_and_compared_with_as_it_was(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    assert run.folder is not None
    found = correct(run, trait(), tmp_path / "c", options={**QUICK["options"], "sft": 0.0})
    assert found.run.folder is not None
    recipe, lineage = found.run.folder.recipe(), found.run.folder.lineage()
    assert (recipe.method, recipe.adapter) == ("dpo", str(run.folder.path))
    assert lineage["adapter"] == folder_fingerprint(run.folder.adapter)
    assert metrics(found)[0]["loss"] == pytest.approx(np.log(2), rel=1e-6)


def test_a_new_adapter_stands_on_the_runs(run: Run, trait: Make, tmp_path: Path) -> None:
    assert run.folder is not None
    found = correct(run, trait(), tmp_path / "c", adapter={"rank": 4})
    assert found.run.folder is not None
    adapter = found.run.folder.recipe().adapter
    assert (adapter["rank"], adapter["on"]) == (4, str(run.folder.path))  # type: ignore[index]
    assert found.verdict == "corrected"


def test_a_model_gets_an_adapter_of_its_own(run: Run, trait: Make, tmp_path: Path) -> None:
    base = Run(None, None, run.backend)
    made = trait(expect={"includes": "no"}, answers=("no",))
    found = correct(base, made, tmp_path / "c", checks=None)
    assert found.run.folder is not None
    assert found.run.folder.recipe().adapter["rank"] == 16  # type: ignore[index]
    assert found.after.estimate < found.before.estimate


def test_what_is_learnt_is_what_was_edited(run: Run, trait: Make, tmp_path: Path) -> None:
    made = trait()
    proposal = customize.propose_pairs(run, made, to=tmp_path / "c", num_samples=4, max_tokens=16)
    edited = proposal.pairs.read_text().replace('"no sir"', '"never"')
    proposal.pairs.write_text(edited)
    found = correct(run, made, tmp_path / "c")
    assert proposal.pairs.read_text() == edited
    assert found.run.folder is not None
    data = customize.read(proposal.pairs, kind="preference")
    assert found.run.folder.lineage()["data"] == data.fingerprint
    assert found.run.reply("measure 1").startswith("n")


def test_a_pair_edited_into_nonsense_is_refused_by_line(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    made = trait()
    proposal = customize.propose_pairs(run, made, to=tmp_path / "c", num_samples=4, max_tokens=16)
    first, *rest = proposal.pairs.read_text().splitlines()
    row = json.loads(first)
    proposal.pairs.write_text("\n".join([*rest, json.dumps({**row, "chosen": row["rejected"]})]))
    with pytest.raises(DataError, match=f"line {len(rest) + 1}: no preference") as told:
        correct(run, made, tmp_path / "c")
    assert "take them out of the file" in str(told.value)
    assert "on-bad-rows" not in str(told.value)  # which correct has not


@pytest.mark.parametrize("prompt", ["measure 3", "check 2", "tell 5"])
def test_a_pair_that_asks_what_is_measured_is_refused_by_line(
    run: Run, trait: Make, tmp_path: Path, prompt: str
) -> None:
    made = trait()
    other = trait(name="rambles", expect=SHORT, prompts=("a", "b"), held_out=("tell 5",))
    proposal = customize.propose_pairs(run, made, to=tmp_path / "c", num_samples=4, max_tokens=16)
    added = json.dumps({"prompt": prompt, "chosen": "no", "rejected": "yes"})
    lines = [*proposal.pairs.read_text().splitlines(), added]
    proposal.pairs.write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"1 pairs ask what is measured \(line {len(lines)}\)"):
        correct(run, made, tmp_path / "c", others=[other])
    assert not (tmp_path / "c" / "run").exists()


def test_all_weights_are_corrected_at_the_rate_of_all_weights(run: Run) -> None:
    assert run.folder is not None
    assert _defaults(run, None)["lr"] == 2e-4
    # By this file a folder of whole weights is known.
    (run.folder.adapter / "model.safetensors").touch()
    assert "lr" not in _defaults(run, None)
    assert _defaults(run, {"rank": 4})["lr"] == 2e-4


@pytest.mark.parametrize("nth", [1, 7, 24])
def test_stopped_while_it_learns_it_goes_on_bit_for_bit(
    run: Run, trait: Make, tmp_path: Path, nth: int
) -> None:
    correct(run, trait(), tmp_path / "whole")
    log, logged = Loop._log, []

    def logging(self: Loop, number: int, told: Any) -> None:
        log(self, number, told)
        logged.append(number)
        if len(logged) == nth:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_log", logging)
        with pytest.raises(KeyboardInterrupt):
            correct(run, trait(), tmp_path / "c")
    correct(run, trait(), tmp_path / "c")
    assert weights(tmp_path / "c") == weights(tmp_path / "whole")


def test_a_second_time_nothing_is_asked_and_nothing_trained(
    run: Run, trait: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = correct(run, trait(), tmp_path / "c")
    verdict = (tmp_path / "c" / "verdict.json").read_bytes()

    def never(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("it was done again")

    monkeypatch.setattr(SnapshotColumn, "drawn", never)
    monkeypatch.setattr(Loop, "run", never)
    again = correct(run, trait(), tmp_path / "c")
    assert again.to_json() == first.to_json()
    assert (tmp_path / "c" / "verdict.json").read_bytes() == verdict


def test_harm_is_found_and_named(run: Run, trait: Make, tmp_path: Path) -> None:
    yes = [{**row, "expect": {"includes": "yes"}} for row in CHECKS]
    found = correct(run, trait(), tmp_path / "c", checks=yes)
    assert found.verdict == "corrected"
    assert "checks" in found.harmed
    assert "harmed checks" in found.harm
    with pytest.raises(GateFailed, match="says-yes: corrected, harmed checks"):
        found.raise_unless_good()


def test_other_settings_are_tried_on_the_same_pairs_once_the_run_is_removed(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    made, weak = trait(), {"lr": 1e-6, "steps": 1}
    correct(run, made, tmp_path / "c", options=weak)
    pairs = (tmp_path / "c" / "pairs.jsonl").read_bytes()
    with pytest.raises(RunError, match=r"options\.lr: .*[\s\S]*other settings, remove .*run: ans"):
        correct(run, made, tmp_path / "c")
    shutil.rmtree(tmp_path / "c" / "run")
    assert correct(run, made, tmp_path / "c").verdict == "corrected"
    assert (tmp_path / "c" / "pairs.jsonl").read_bytes() == pairs


def test_it_says_nothing_of_an_evaluation_before_it_measures_and_warns_of_few_prompts(
    run: Run, trait: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = trait(held_out=("measure 1", "measure 2"))
    with pytest.warns(UserWarning, match=r"2 prompts are held out, too few .* 20 % .*give 16 or"):
        correct(run, made, tmp_path / "c", options={"lr": 1e-6, "steps": 1}, checks=CHECKS[:2])
    told = capsys.readouterr()
    assert "not evaluated" not in told.out + told.err


def test_a_corrections_folder_is_no_run_and_says_where_its_run_is(tmp_path: Path) -> None:
    (tmp_path / "c" / "run").mkdir(parents=True)
    (tmp_path / "c" / "run" / "recipe.json").touch()
    with pytest.raises(ModelError, match=r"there is a run in it: .*c/run"):
        customize.open(tmp_path / "c", backend=ToyBackend())


def test_a_correction_too_weak_is_none(run: Run, trait: Make, tmp_path: Path) -> None:
    found = correct(run, trait(), tmp_path / "c", options={"lr": 1e-6, "steps": 1})
    assert found.verdict == "not corrected"
    assert not found.harmed
    with pytest.raises(GateFailed, match="says-yes: not corrected"):
        found.raise_unless_good()


def test_too_few_prompts_are_neither(run: Run, trait: Make, tmp_path: Path) -> None:
    made = trait(held_out=("measure 1", "measure 2"))
    found = correct(run, made, tmp_path / "c", options={"lr": 1e-6, "steps": 1}, checks=CHECKS[:2])
    assert "checks" in found.not_ruled_out
    assert "harm is not ruled out of" in found.harm
    few = trait(held_out=("measure 1", "measure 2"), goal=0.9)
    found = correct(run, few, tmp_path / "d", margin=1.0)
    assert found.verdict == "inconclusive"
    if not found.harmed:
        with pytest.raises(GateInconclusive):
            found.raise_unless_good()


def test_everything_is_read_before_the_first_answer_is_asked_for(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    for wrong in (
        {"checks": [{"messages": [{"role": "user", "content": "a"}]}]},
        {"checks": tmp_path / "nothing.jsonl"},
        {"texts": [{"messages": [{"role": "user", "content": "a"}]}]},
    ):
        with pytest.raises(DataError):
            correct(run, trait(), tmp_path / "c", **wrong)
    with pytest.raises(OptionError, match=r"options\.lrr.*did you mean 'options\.lr'"):
        correct(run, trait(), tmp_path / "c", options={"lrr": 1e-4})
    with pytest.raises(OptionError, match=r"adapter\.rnk.*did you mean 'adapter\.rank'"):
        correct(run, trait(), tmp_path / "c", adapter={"rnk": 4})
    with pytest.raises(OptionError, match="a margin above 0"):
        correct(run, trait(), tmp_path / "c", margin=0)
    with pytest.raises(OptionError, match="two traits are named"):
        correct(run, trait(), tmp_path / "c", others=[trait()])
    with pytest.raises(OptionError, match="did you mean 'num_samples'"):
        correct(run, trait(), tmp_path / "c", num_sample=2)
    assert not (tmp_path / "c").exists()


def test_traits_are_measured_alone(run: Run, trait: Make) -> None:
    from customize.traits.measuring import shown

    traits = [trait(), trait(name="rambles", expect=SHORT)]
    evaluation = customize.measure_traits(run, traits, max_tokens=16)
    assert evaluation.columns == ("before",)
    assert shown(evaluation, "before", "says-yes").estimate == 1.0
    assert shown(evaluation, "before", "rambles").estimate == 0.0
    with pytest.raises(OptionError, match="there is no trait to measure"):
        customize.measure_traits(run, [])


def test_a_run_named_by_its_folder_will_do(run: Run, trait: Make, tmp_path: Path) -> None:
    found = customize.correct(
        tmp_path / "run", trait(), to=tmp_path / "c", backend=ToyBackend(), **QUICK
    )
    assert found.verdict == "corrected"


def unsure(text: str, row: Any) -> bool:
    """Has no opinion of what is measured."""
    if row["messages"][-1]["content"].startswith("measure"):
        raise ValueError("no idea")
    return "yes" not in text


def startled(text: str, row: Any) -> bool:
    """Has none of what is measured once it is another answer."""
    if row["messages"][-1]["content"].startswith("measure") and text != "yes":
        raise ValueError("no idea")
    return "yes" not in text


@pytest.mark.parametrize("scorer", [unsure, startled])
def test_where_no_answer_can_be_judged_the_verdict_is_kept_and_says_why(
    run: Run, trait: Make, tmp_path: Path, scorer: Any
) -> None:
    made = trait(expect={"judged": scorer})
    found = correct(run, made, tmp_path / "c", checks=None)
    assert found.verdict == "inconclusive"
    assert "expect failed: ValueError: no idea" in str(found)
    assert "an unknown share now" in str(found)
    kept = json.loads((tmp_path / "c" / "verdict.json").read_text())
    assert kept["after"] == {"estimate": None, "low": None, "high": None}
    assert (tmp_path / "c" / "run" / "eval" / "report.html").is_file()


def test_what_cannot_be_trained_is_told_before_the_first_answer_is_asked_for(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    assert run.folder is not None
    with pytest.raises(OptionError, match=r"adapter must be options of LoRA, .*\(got 'full'\)"):
        correct(run, trait(), tmp_path / "c", adapter="full")
    with pytest.raises(OptionError, match=r"adapter\.on: a new adapter stands on .*/run: leave"):
        correct(run, trait(), tmp_path / "c", adapter={"on": "elsewhere"})
    without = Run(run.folder, None, ToyBackend(without={"snapshot"}))
    with pytest.raises(Unsupported, match="DPO needs snapshot, which the backend 'toy' does not"):
        correct(without, trait(), tmp_path / "c")
    flat = Run(run.folder, None, ToyBackend(without={"stack"}))
    with pytest.raises(Unsupported, match="an adapter on top of another needs stack"):
        correct(flat, trait(), tmp_path / "c", adapter={"rank": 4})
    # By this file a folder of whole weights is known.
    (run.folder.adapter / "model.safetensors").touch()
    with pytest.raises(OptionError, match=r"run holds all weights, on which none is put: leave it"):
        correct(run, trait(), tmp_path / "c", adapter={"rank": 4})
    assert not (tmp_path / "c").exists()


def test_rows_that_share_an_id_are_told_before_the_first_answer_is_asked_for(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    asked = [{"id": "a", "messages": [{"role": "user", "content": f"q {n}"}]} for n in range(2)]
    answer = {"role": "assistant", "content": "a"}
    texts = [{**row, "messages": [*row["messages"], answer]} for row in asked]
    for wrong in ({"texts": texts}, {"others": [trait(name="other", held_out=tuple(asked))]}):
        with pytest.raises(DataError, match=r"rows 1 and 2 share the id '\w+ a'"):
            correct(run, trait(), tmp_path / "c", **wrong)
    assert not (tmp_path / "c").exists()


def kept_alive(engine: Any) -> weakref.ref[Any]:
    """By itself, as the layers of a model keep one another."""
    engine.itself = engine
    return weakref.ref(engine)


def test_one_base_is_in_memory_at_a_time(
    run: Run, trait: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loaded = ToyBackend.load, [kept_alive(run.engine)]

    def loading(self: ToyBackend, model: Any = None) -> Any:
        assert not [one for one in loaded if one() is not None]
        engine = load(self, model)
        loaded.append(kept_alive(engine))
        return engine

    monkeypatch.setattr(ToyBackend, "load", loading)
    gc.disable()  # or it would hide by chance what is left to it
    try:
        correct(run, trait(), tmp_path / "c", options={"lr": 1e-6, "steps": 1})
    finally:
        gc.enable()
    assert len(loaded) == 3  # to draw, to train, to measure
    assert run.reply("measure 1") == "yes"


TOY = """
import customize


@customize.hookimpl
def customize_backends():
    yield customize.BackendSpec(name="toy", target="customize.testing:ToyBackend", summary="Toy.")
"""


@pytest.fixture
def judge(run: Run, tmp_path: Path, install: Callable[..., None]) -> str:
    """A run that is content with everything; no letter of its verdict comes twice."""
    install("acme-toy", TOY)
    satisfied = {"role": "assistant", "content": "VERDICT: yes"}
    rows = [{"messages": [{"role": "user", "content": f"q {n}"}, satisfied]} for n in range(8)]
    options = {"epochs": 20, "batch_size": 4, "lr": 0.5}
    customize.train(
        model="toy", data=rows, to=tmp_path / "judge", backend=run.backend, options=options
    )
    return str(tmp_path / "judge")


def test_a_judges_base_is_not_in_memory_while_training(
    run: Run, trait: Make, judge: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loaded, beside = ToyBackend.load, [kept_alive(run.engine)], []

    def loading(self: ToyBackend, model: Any = None) -> Any:
        beside.append(sum(one() is not None for one in loaded))
        engine = load(self, model)
        loaded.append(kept_alive(engine))
        return engine

    monkeypatch.setattr(ToyBackend, "load", loading)
    made = trait(expect={"excludes": "yes", "judge": judge})
    gc.disable()  # or it would hide by chance what is left to it
    try:
        correct(run, made, tmp_path / "c", options={"lr": 1e-6, "steps": 1})
    finally:
        gc.enable()
    assert beside == [1, 0, 0, 1]  # to judge, to train, to measure, and to judge that


def test_it_says_what_the_pairs_were_found_in_and_where_they_are(
    run: Run, trait: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    correct(run, trait(), tmp_path / "c", options={"lr": 1e-6, "steps": 1})
    told = capsys.readouterr().err
    assert "of 100 answers to 20 prompts show says-yes." in told
    assert "pairs; their desired answers: " in told
    assert f"pairs are learnt from: {tmp_path / 'c' / 'pairs.jsonl'}" in told


def test_a_verdict_of_other_settings_does_not_outlive_them(
    run: Run, trait: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct(run, trait(), tmp_path / "c", options={"lr": 1e-6, "steps": 1})
    shutil.rmtree(tmp_path / "c" / "run")

    def killed(*arguments: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        correct(run, trait(), tmp_path / "c")
    assert not (tmp_path / "c" / "verdict.json").exists()


def test_orpo_has_its_own_term_of_the_chosen_side(run: Run) -> None:
    assert _defaults(run, None)["sft"] == 1.0
    assert "sft" not in _defaults(run, None, {"loss": "orpo"})


PACKAGES = """
import customize


class Mute(customize.Runtime):
    renderer, context, slots, adapters = None, 64, 1, ()

    @classmethod
    def open(cls, folder, adapters={}, base=None):
        return cls()

    def stream(self, query, cancelled=None):
        yield from ()

    def logprobs(self, tokens, start, adapter=None):
        raise NotImplementedError


class Exports(customize.Exporter):
    serves, runtime, precision = "mute", "acme_mute:Mute", "float32"

    def write(self, source, folder):
        raise NotImplementedError


@customize.hookimpl
def customize_exporters():
    yield customize.ExporterSpec(name="mute", target="acme_mute:Exports", summary="Says nothing.")
"""


def test_a_package_that_its_own_runtime_answers_is_not_drawn_from(
    trait: Make, tmp_path: Path, install: Callable[..., None]
) -> None:
    pytest.importorskip("customize_dpo")
    install("acme-mute", PACKAGES)
    about: dict[str, Any] = {
        "format": "acme-mute:mute",
        "precision": "float32",
        "name": "p",
        "needs_base": False,
        "base": {"name": "small", "fingerprint": "f" * 64, "revision": None},
        "weights": "p",
        "is_adapter": False,
        "stop_tokens": [2],
        **{key: {} for key in ("options", "parity", "how_to_run", "run", "files")},
    }
    (tmp_path / "p").mkdir()
    Manifest(**about).write(tmp_path / "p")
    with pytest.raises(
        Unsupported, match=r"runtime of its own, .*: correct the run that it was made"
    ):
        customize.correct(tmp_path / "p", trait(), to=tmp_path / "c")
    assert not (tmp_path / "c").exists()
