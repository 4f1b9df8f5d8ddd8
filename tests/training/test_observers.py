"""Observers are told of a run, are named and dropped when they fail, and change nothing of it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import Observer, OptionError
from customize.plugins import listing, registry
from customize.testing import ToyBackend, watched_run
from customize.testing.observing import ROWS, Counting
from customize.training import observers as module
from customize.training.recipe_file import read_recipe

pytest.importorskip("customize_sft")  # a recipe's default method

# In how many of a watched run's three pieces of work each call comes.
CALLS = {"on_start": 3, "on_step": 2, "on_checkpoint": 2, "on_evaluation": 1, "on_finish": 3}


class Diary(Observer):
    """Notes what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def note(self, call: str) -> list[Any]:
        return [fact for name, fact in self.told if name == call]

    def on_start(self, run: customize.ObservedRun) -> None:
        self.told.append(("on_start", run))

    def on_step(self, step: customize.Step) -> None:
        self.told.append(("on_step", step))

    def on_checkpoint(self, checkpoint: customize.Checkpoint) -> None:
        assert (checkpoint.folder / "MANIFEST.json").is_file()
        self.told.append(("on_checkpoint", checkpoint))

    def on_evaluation(self, evaluation: customize.Evaluation) -> None:
        self.told.append(("on_evaluation", evaluation))

    def on_finish(self, outcome: customize.Outcome) -> None:
        self.told.append(("on_finish", outcome))


def train(
    to: Path, *observers: str | Observer, method: customize.Method | None = None
) -> customize.Run:
    return customize.train(
        model="toy",
        data=ROWS,
        to=to,
        method=method or Counting(),
        backend=ToyBackend(),
        observers=observers,
        checkpoint_every=2,
    )


def test_everything_is_told_in_order(tmp_path: Path) -> None:
    diary = Diary()
    watched_run(tmp_path, [diary])
    begun = ["on_start", "on_step", "on_step", "on_checkpoint", "on_step", "on_step"]
    stopped = [*begun, "on_checkpoint", "on_step", "on_finish"]
    resumed = ["on_start", "on_step", "on_step", "on_checkpoint", "on_finish"]
    evaluated = ["on_start", "on_evaluation", "on_finish"]
    assert [name for name, _ in diary.told] == [*stopped, *resumed, *evaluated]
    assert [run.step for run in diary.note("on_start")] == [0, 4, 6]
    assert [step.number for step in diary.note("on_step")] == [1, 2, 3, 4, 5, 5, 6]
    assert [checkpoint.step for checkpoint in diary.note("on_checkpoint")] == [2, 4, 6]
    ended = [(outcome.state, outcome.step) for outcome in diary.note("on_finish")]
    assert ended == [("stopped", 5), ("finished", 6), ("finished", 6)]


def test_what_is_told_is_what_the_folder_holds(tmp_path: Path) -> None:
    diary = Diary()
    run = watched_run(tmp_path, [diary])
    assert run.folder is not None
    [start, *_] = diary.note("on_start")
    assert customize.Recipe(**start.recipe) == run.folder.recipe()
    assert (start.folder, start.lineage) == (run.folder.path, run.folder.lineage())
    told = {step.number: {"step": step.number, **step.metrics} for step in diary.note("on_step")}
    assert list(told.values()) == run.metrics
    assert told[3]["validation_loss"] == 0.5


def test_a_run_that_fails_is_told_with_its_error(tmp_path: Path) -> None:
    diary = Diary()

    @customize.options
    class Failing(Counting):
        def train(self, *given: Any) -> Any:
            yield customize.Step(1, {"loss": 1.0})
            raise ValueError("no such luck")

    with pytest.raises(ValueError, match="no such luck"):
        train(tmp_path, diary, method=Failing())
    assert diary.note("on_finish") == [customize.Outcome("failed", 1, "ValueError: no such luck")]


def raising(call: str, error: BaseException) -> Observer:
    def fail(self: Observer, fact: object) -> None:
        raise error

    made: Observer = type("Raising", (Observer,), {call: fail})()
    return made


class Odd(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("error", [ValueError("broken"), Odd("broken"), StopIteration("broken")])
def test_one_that_raises_is_named_and_dropped_and_the_others_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], call: str, error: BaseException
) -> None:
    diary, alone = Diary(), Diary()
    run = watched_run(tmp_path / "run", [raising(call, error), diary])
    said = f"the observer Raising failed in {call}: {type(error).__name__}: broken"
    assert capsys.readouterr().err.count(said) == CALLS[call]
    other = watched_run(tmp_path / "other", [alone])
    assert [name for name, _ in diary.told] == [name for name, _ in alone.told]
    assert run.metrics == other.metrics


def test_ctrl_c_in_an_observer_is_the_runs(tmp_path: Path) -> None:
    diary = Diary()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, raising("on_step", KeyboardInterrupt()), diary)
    assert diary.note("on_finish")[0].state == "stopped"


def test_what_is_told_cannot_change_the_run(tmp_path: Path) -> None:
    class Meddling(Observer):
        def on_start(self, run: customize.ObservedRun) -> None:
            run.recipe["options"]["lr"] = 7

        def on_step(self, step: customize.Step) -> None:
            step.metrics["loss"] = 0.0  # type: ignore[index]

    run = watched_run(tmp_path, [Meddling()])
    assert [step["loss"] for step in run.metrics] == [1 / n for n in range(1, 7)]


def test_a_burden_is_told_once_with_its_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Observer):
        def on_step(self, step: customize.Step) -> None:
            time.sleep(0.02 if step.number < 5 else 0)

    monkeypatch.setattr(module, "_SLOW_S", 0.03)
    watched_run(tmp_path, [Slow()])
    assert capsys.readouterr().err.count("the observer test_a_burden") == 1


def test_a_quick_one_is_no_burden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watched_run(tmp_path, [Diary()])
    assert "waits for its observers" not in capsys.readouterr().err


def test_what_is_kept_is_made_once(tmp_path: Path) -> None:
    made = iter("ab")

    class Keeping(Observer):
        kept: tuple[str, ...] = ()

        def on_start(self, run: customize.ObservedRun) -> None:
            self.kept += (run.keep("mine", lambda: next(made)),)

    keeping = Keeping()
    watched_run(tmp_path, [keeping])
    assert keeping.kept == ("a", "a", "a")


PLUGIN = """
import attrs
import customize


@customize.hookimpl
def customize_observers({takes}):
    {first}
    yield customize.ObserverSpec(
        name="diary", target="acme_diary:Diary", summary="Notes steps.", always={always}
    )


@attrs.define
class Diary(customize.Observer):
    colour: str = customize.option(default="blue", help="Of the ink.", choices=("blue", "red"))

    def on_step(self, step):
        assert step.number < {broken_at}
        print("diary", step.number, self.colour)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A plugin that offers the observer ``diary``."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(
        always: object = False, broken_at: int = 100, takes: str = "", first: str = "pass"
    ) -> None:
        monkeypatch.delitem(sys.modules, "acme_diary", raising=False)
        text = PLUGIN.format(always=always, broken_at=broken_at, takes=takes, first=first)
        (tmp_path / "acme_diary.py").write_text(text)
        facts = tmp_path / "acme_diary-1.2.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-diary\nVersion: 1.2\n")
        (facts / "entry_points.txt").write_text("[customize]\nacme = acme_diary\n")
        registry._find.cache_clear()

    yield put
    registry._find.cache_clear()


Install = Callable[..., None]


def diary(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("diary")]


def test_a_plugins_observer_is_told_only_where_it_is_named(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install()
    watched_run(tmp_path / "unasked", [])
    assert not diary(capsys)
    watched_run(tmp_path / "named", ["diary"])
    assert diary(capsys) == [f"diary {n} blue" for n in (1, 2, 3, 4, 5, 5, 6)]
    watched_run(tmp_path / "red", {"diary": {"colour": "red"}})
    assert len(diary(capsys)) == 7


def test_one_for_every_run_is_told_of_every_run(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(always=True)
    watched_run(tmp_path / "unasked", [])
    assert len(diary(capsys)) == 7


def test_a_plugins_observer_that_raises_is_named_with_its_plugin(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(broken_at=4)
    assert len(watched_run(tmp_path / "run", ["diary"]).metrics) == 6
    said = capsys.readouterr()
    assert "the observer acme-diary:diary failed in on_step: AssertionError" in said.err
    assert said.out.count("diary") == 3


def test_one_for_every_run_that_cannot_be_loaded_is_named_and_left_out(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(always=True)
    module = tmp_path / "acme_diary.py"
    module.write_text(module.read_text().replace("class Diary", "class Other"))
    assert len(watched_run(tmp_path / "run", []).metrics) == 6
    said = capsys.readouterr().err
    told = "the observer acme-diary:diary cannot be made: PluginError: the observer 'acme-diary"
    assert told in said


def test_a_plugin_is_asked_before_every_run_and_may_choose_which_to_watch(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(always="run is not None and run.folder.name == 'prod'", takes="run")
    row = next(row for row in listing() if row.distribution == "acme-diary")
    assert row.provides == ("observer:diary",)
    for name in ("dev", "prod"):
        watched_run(tmp_path / name, [])
        assert len(diary(capsys)) == (7 if name == "prod" else 0)


def test_a_plugin_may_offer_for_one_run_what_no_recipe_can_name(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(always=True, takes="run", first="if run is None: return")
    with pytest.raises(OptionError, match="no plugin provides the observer 'diary'"):
        watched_run(tmp_path / "named", ["diary"])
    watched_run(tmp_path / "run", [])
    assert len(diary(capsys)) == 7


def test_a_plugin_is_asked_with_what_is_known_before_the_run(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = "if run: print('diary', run.folder.name, sorted(run.lineage)[0], run.step)"
    install(takes="run", first=told)
    watched_run(tmp_path / "mine", [])
    assert diary(capsys) == ["diary mine backend 0"] * 3  # begun, gone on with, evaluated


def test_a_plugin_that_raises_when_asked_is_named_and_the_run_goes_on(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(always=True, takes="run", first="1 / (run is None)")
    assert len(watched_run(tmp_path / "run", [alone := Diary()]).metrics) == 6
    said = capsys.readouterr().err
    told = "the plugin acme-diary 1.2: customize_observers raises ZeroDivisionError"
    assert said.count(told) == CALLS["on_start"]
    assert len(alone.note("on_start")) == CALLS["on_start"]


def test_what_a_plugin_does_to_the_run_it_is_asked_about_is_seen_by_nobody(
    install: Install, tmp_path: Path
) -> None:
    install(takes="run", first="run and run.recipe.clear()")
    watched_run(tmp_path / "run", [alone := Diary()])
    assert all(run.recipe["model"] == "toy" for run in alone.note("on_start"))


def test_a_run_is_evaluated_where_its_observer_is_not_installed(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install()
    watched_run(tmp_path / "run", ["diary"])
    (tmp_path / "acme_diary-1.2.dist-info" / "entry_points.txt").write_text("")
    registry._find.cache_clear()
    run = customize.open(tmp_path / "run", backend=ToyBackend())
    assert run.evaluate(ROWS).columns == ("base", "customized")
    assert "the observer diary cannot be made: UnknownName" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("observers", "fault"),
    [
        (["dairy"], "did you mean 'diary'"),
        (
            {"diary": {"color": "red"}},
            "'observers.diary.color': did you mean 'observers.diary.colour'",
        ),
        ({"diary": {"colour": "green"}}, "observers.diary.colour must be one of blue, red"),
        ({"diary": None}, "observers.diary must be its options"),
        ("diary", "observers must be keys and values or a list (got 'diary')"),
        ([Diary], "observers must be keys and values or a list"),
    ],
)
def test_what_names_nobody_is_refused_before_the_run(
    install: Install, tmp_path: Path, observers: Any, fault: str
) -> None:
    install()
    with pytest.raises(OptionError, match=re.escape(fault)):
        watched_run(tmp_path / "run", observers)
    assert not (tmp_path / "run").exists()


def test_other_observers_are_no_other_run(install: Install, tmp_path: Path) -> None:
    install()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run")
    before = customize.open(tmp_path / "run", backend=ToyBackend()).folder
    assert before is not None
    first = before.recipe()
    train(tmp_path / "run", "diary")
    assert before.recipe().observers == {"diary": {"colour": "blue"}}
    assert before.recipe().hash == first.hash


def test_a_recipe_in_a_file_names_observers(install: Install, tmp_path: Path) -> None:
    install()
    file = tmp_path / "pizza.yaml"
    (tmp_path / "rows.jsonl").touch()
    file.write_text("model: acme/toy\ndata: rows.jsonl\nto: run\nobservers: [diary]\n")
    assert read_recipe(file).observers == {"diary": {"colour": "blue"}}
    file.write_text("model: acme/toy\ndata: rows.jsonl\nto: run\n")
    recipe = read_recipe(file, ["observers.diary.colour=red"])
    assert recipe.observers == {"diary": {"colour": "red"}}
