"""Runs: rewards from Python, recipes and the command line; what is kept, and what goes on."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from toy_rewards import ROWS, likeness, two_turns

import customize
from customize import EpisodesFailed, OptionError, OutOfMemoryError, Run, RunError, Unsupported
from customize.cli.group import cli
from customize.runs.folder import RunFolder
from customize.runs.replaying import replay
from customize.testing import ToyBackend
from customize.testing.toy import ToyEngine, ToySession
from customize.training import checkpoints
from customize.training.recipe_file import read_recipe, recipe_from_settings

SMALL: dict[str, Any] = {"batch_size": 3, "group_size": 4, "steps": 4, "max_tokens": 6, "lr": 0.05}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


def train(to: Path, **settings: Any) -> Run:
    given: dict[str, Any] = {"reward": likeness, "data": ROWS, "options": SMALL, **settings}
    return customize.train(
        model="toy", method="grpo", backend=ToyBackend(), to=to, **{"checkpoint_every": 1, **given}
    )


def test_a_reward_given_inline_is_in_the_recipe_by_its_hash(tmp_path: Path) -> None:
    train(tmp_path / "run")
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["options"]["reward"].startswith("likeness, sha256 ")
    assert recipe["options"]["per"] == "token"  # settled, so that a run tells what it did


def test_weights_and_several_parts_are_in_the_recipe_too(tmp_path: Path) -> None:
    def brief(completion: str) -> float:
        return -float(len(completion))

    run = train(tmp_path / "run", reward={likeness: 1.0, brief: 0.0})
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    names = {name.partition(",")[0]: weight for name, weight in recipe["options"]["reward"].items()}
    assert list(names.values()) == [1.0, 0.0]
    assert {"reward/likeness", "reward/brief"} <= run.metrics[0].keys()


def test_with_another_reward_a_run_does_not_go_on(tmp_path: Path) -> None:
    train(tmp_path / "run")
    (tmp_path / "run" / "finished.json").unlink()
    with pytest.raises(RunError, match=r"options\.reward: 'likeness, sha256"):
        train(tmp_path / "run", reward=lambda completion: 1.0)


def test_every_episode_is_kept_with_its_step(tmp_path: Path) -> None:
    train(tmp_path / "run")
    lines = (tmp_path / "run" / "episodes.jsonl").read_text().splitlines()
    episodes = [json.loads(line) for line in lines]
    assert [e["step"] for e in episodes] == [1 + i // 12 for i in range(48)]
    assert {"messages", "reward", "parts", "advantage", "version", "sequences"} <= set(episodes[0])


@pytest.mark.parametrize("last", [1, 2, 3])
def test_stopped_after_any_step_it_goes_on_bit_for_bit(last: int, tmp_path: Path) -> None:
    options = {**SMALL, "lag": 1}
    train(tmp_path / "unbroken", options=options)
    train(tmp_path / "broken", options=options)
    _as_if_killed_after(last, tmp_path / "broken")
    train(tmp_path / "broken", options=options)
    found, wanted = (
        (tmp_path / run / "adapter" / "adapter_model.safetensors").read_bytes()
        for run in ("broken", "unbroken")
    )
    assert found == wanted
    assert _lasting(tmp_path / "broken") == _lasting(tmp_path / "unbroken")


def _as_if_killed_after(last: int, folder: Path) -> None:
    """Only what was saved up to a step is left; what was logged after it is there still."""
    for checkpoint in (folder / "checkpoints").iterdir():
        if int(checkpoint.name[5:]) > last:
            shutil.rmtree(checkpoint)
    (folder / "finished.json").unlink()


def _lasting(folder: Path) -> list[Any]:
    """Episodes without their seconds."""
    found = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if k not in ("seconds", "calls")} for e in found]


def test_when_too_many_fail_what_was_done_is_saved(tmp_path: Path) -> None:
    seen = []

    def breaking(completion: str) -> float:
        seen.append(completion)
        if len(seen) > 24:
            raise OSError("sandbox gone")
        return float(len(completion) + len(seen))

    with pytest.raises(EpisodesFailed, match=r"the last good checkpoint is .*step-00000002"):
        customize.train(
            model="toy", method="grpo", backend=ToyBackend(), to=tmp_path / "run", data=ROWS,
            reward=breaking, options=SMALL, checkpoint_every=100,
        )  # fmt: skip
    found = checkpoints.latest(tmp_path / "run" / "checkpoints", print)
    assert found is not None
    assert found.step == 2


def test_when_too_many_held_out_rows_fail_the_step_they_measure_is_saved(tmp_path: Path) -> None:
    def breaking(completion: str, messages: Any) -> float:
        if messages[0]["content"] == "held out":
            raise OSError("sandbox gone")
        return float(len(completion))

    held_out = [{"messages": [{"role": "user", "content": "held out"}]}]
    settings: dict[str, Any] = {"reward": breaking, "validation": held_out, "evaluate_every": 2}
    with pytest.raises(EpisodesFailed, match=r"last good checkpoint is .*step-00000002") as told:
        train(tmp_path / "run", **{**settings, "checkpoint_every": 100})
    assert "4 of 4 held-out episodes failed" in str(told.value)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_recipe_names_its_reward_beside_the_data(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    (tmp_path / "sums.yaml").write_text(
        "model: acme/toy\ndata: rows.jsonl\nto: run\nmethod: grpo\n"
        "reward: toy_rewards:likeness\noptions: {steps: 2}\n"
    )
    recipe = read_recipe(tmp_path / "sums.yaml")
    assert recipe.options["reward"] == "toy_rewards:likeness"
    assert recipe.options["steps"] == 2
    told = recipe_from_settings(
        [
            "model=acme/toy",
            f"data={tmp_path / 'rows.jsonl'}",
            "to=run",
            "method=grpo",
            "environment=toy_rewards:two_turns",
        ]
    )
    assert told.options["environment"] == "toy_rewards:two_turns"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("reward: 3\n", r"sums.yaml:5: options.reward must be"),
        ("reward: toy_rewards:likness\n", "toy_rewards:likness' cannot be imported"),
        ("environment: gms8k\n", "gms8k"),
        ("reward: toy_rewards:likeness\noptions: {reward: x}\n", "reward is there twice"),
        ("rewrad: toy_rewards:likeness\n", "unknown key 'rewrad'"),
        ("method: sft\nreward: toy_rewards:likeness\n", "unknown key 'options.reward'"),
    ],
)
def test_a_recipe_that_is_wrong_is_refused_with_its_line(
    lines: str, told: str, tmp_path: Path
) -> None:
    method = "" if "method" in lines else "method: grpo\n"
    (tmp_path / "rows.jsonl").touch()
    (tmp_path / "sums.yaml").write_text(
        f"model: acme/toy\ndata: rows.jsonl\nto: run\n{method}{lines}"
    )
    with pytest.raises(OptionError, match=told):
        read_recipe(tmp_path / "sums.yaml")


def test_a_stage_has_a_reward_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("customize_sft")
    chat = [{"prompt": f"question {i}", "completion": "yes"} for i in range(4)]
    run = customize.train(
        model="toy", backend=ToyBackend(), to=tmp_path / "run",
        stages=[
            {"data": chat, "options": {"steps": 2}},
            {"method": "grpo", "data": ROWS, "reward": likeness, "options": SMALL},
        ],
    )  # fmt: skip
    assert len(run.metrics) == 4
    assert (tmp_path / "run" / "episodes.jsonl").is_file()


def asks(completion: str, answer: str) -> float:
    return float(completion == answer)


CHAT = [{"prompt": f"question {i}", "completion": "yes"} for i in range(4)]
FIRST: dict[str, Any] = {"data": CHAT, "options": {"steps": 2}}


def refused(to: Path, **settings: Any) -> str:
    """What a run is refused with before anything of it is there."""
    with pytest.raises((OptionError, Unsupported)) as told:
        customize.train(model="toy", backend=ToyBackend(), to=to, **settings)
    assert not list(to.glob("[!.]*"))
    return str(told.value)


def test_what_a_later_stage_cannot_play_is_refused_before_the_first_is_trained(
    tmp_path: Path,
) -> None:
    pytest.importorskip("customize_sft")

    def nowhere(place: str) -> str:
        """Look it up."""
        return place

    nowhere.obstacle = lambda: "there is no place here"  # type: ignore[attr-defined]
    last: dict[str, Any] = {"method": "grpo", "data": ROWS, "options": SMALL, "reward": likeness}
    for wrong, told in (
        ({"reward": asks}, "the reward asks asks for answer, which row 1 has not"),
        ({"tools": [nowhere]}, "the tool nowhere cannot be used: there is no place here"),
    ):
        assert told in refused(tmp_path / "run", stages=[FIRST, {**last, **wrong}])


def test_held_out_rows_are_held_against_the_reward_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    told = refused(
        tmp_path / "run", method="grpo", reward=asks, options=SMALL, evaluate_every=2,
        data=[{**row, "answer": "a"} for row in ROWS], validation=ROWS[:2],
    )  # fmt: skip
    assert told.startswith("the held-out rows: the reward asks asks for answer, which row 1 has")


def test_held_out_rows_that_are_not_played_need_nothing_that_the_reward_asks_for(
    tmp_path: Path,
) -> None:
    rows = [{**row, "answer": "a"} for row in ROWS]
    held_out = [{**row, "expect": "a"} for row in ROWS]
    run = train(tmp_path / "run", reward=asks, data=rows, validation=held_out, evaluate=False)
    assert run.metrics


def test_what_was_refused_is_mended_and_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"method": "grpo", "data": ROWS, "options": SMALL}
    refused(tmp_path / "run", reward=asks, **settings)
    assert train(tmp_path / "run", reward=likeness).metrics


def test_a_reward_is_held_against_the_same_rows_once(tmp_path: Path) -> None:
    asked = []

    def slow(completion: str, answer: str) -> float:
        asked.append(completion)
        return float(len(completion))

    rows = [{**row, "answer": "a" * 9} for row in ROWS]
    options = {**SMALL, "steps": 1}
    train(tmp_path / "run", reward=slow, data=rows, options=options, evaluate=False)
    assert len(asked) == 2 * len(rows) + 12  # own answers and none; then an episode each


class RunsOut(ToySession):
    """Memory runs out in the nth pass, which leaves nothing pending."""

    passes, nth = 0, 0

    def forward_backward(self, batch: Any, loss: Any) -> Any:
        RunsOut.passes += 1
        if RunsOut.passes == RunsOut.nth:
            self._pending = None
            raise OutOfMemoryError("memory does not hold 9 tokens: a smaller model")
        return super().forward_backward(batch, loss)


@pytest.mark.parametrize(
    ("nth", "told"),
    [
        (2, "step 1 was taken in part, and is not saved; no step was saved"),
        (7, "the last good checkpoint is .*step-00000003"),
        (8, "step 4 was taken in part, and is not saved; the last .* is .*step-00000002"),
    ],
)
def test_where_memory_runs_out_between_updates_no_half_of_a_step_is_saved(
    nth: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"options": {**SMALL, "updates": 2}, "checkpoint_every": 2}
    train(tmp_path / "unbroken", **settings)
    with monkeypatch.context() as patched:
        patched.setattr(ToyEngine, "new_session", lambda self, seed: RunsOut(self, seed))
        patched.setattr(RunsOut, "passes", 0)
        patched.setattr(RunsOut, "nth", nth)
        with pytest.raises(OutOfMemoryError, match=told):
            train(tmp_path / "broken", **settings)
    train(tmp_path / "broken", **settings)
    weights = [
        (tmp_path / run / "adapter" / "adapter_model.safetensors").read_bytes()
        for run in ("broken", "unbroken")
    ]
    assert weights[0] == weights[1]
    assert _lasting(tmp_path / "broken") == _lasting(tmp_path / "unbroken")


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.mark.parametrize(("every", "first"), [(1, 4), (2, 3), (100, 1)])
def test_a_step_is_replayed_from_the_run_folder(every: int, first: int, tmp_path: Path) -> None:
    def brief(completion: str) -> float:
        return -float(len(completion))

    run = customize.train(
        model="toy", method="grpo", backend=ToyBackend(), to=tmp_path / "run", data=ROWS,
        reward={likeness: 1.0, brief: 0.5}, checkpoint_every=every,
        options={**SMALL, "kl": 0.1, "schedule": "linear"},
    )  # fmt: skip
    found = replay(run, 4)
    assert (dict(found.differing), found.first) == ({}, first)
    assert "equal to the last bit" in str(found)


GRPO: dict[str, Any] = {
    "method": "grpo", "data": ROWS, "reward": likeness,
    "options": {**SMALL, "weight_decay": 4.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("stages", "inside"),
    [
        ([FIRST, {**GRPO, "adapter": {"rank": 4}}], "."),
        ([FIRST, GRPO, {**FIRST, "name": "again"}], "stages/2-grpo"),
        ([FIRST, {**GRPO, "adapter": {"rank": 4}}, {**FIRST, "name": "again"}], "stages/2-grpo"),
        ([GRPO, FIRST], "stages/1-grpo"),
    ],
)
def test_a_step_of_a_stage_is_replayed_from_where_the_stage_began(
    stages: Any, inside: str, tmp_path: Path
) -> None:
    """With decay it counts whether what came before is trained on, or lies below."""
    pytest.importorskip("customize_sft")
    customize.train(model="toy", backend=ToyBackend(), to=tmp_path / "run", stages=stages)
    run = customize.open(tmp_path / "run" / inside, backend=ToyBackend())
    found = replay(run, 4)
    assert (dict(found.differing), found.first) == ({}, 1)


def test_a_stage_after_one_that_is_gone_is_not_replayed(tmp_path: Path) -> None:
    pytest.importorskip("customize_sft")
    run = customize.train(model="toy", backend=ToyBackend(), to=tmp_path, stages=[FIRST, GRPO])
    shutil.rmtree(tmp_path / "stages")
    with pytest.raises(RunError, match=r"has no stage 1, after which .* began"):
        replay(run, 1)


def test_a_step_is_replayed_from_another_folder_than_the_run_was_begun_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    monkeypatch.chdir(tmp_path)
    for to, adapter in (("x", {}), ("y", "runs/x"), ("z", {"on": "runs/x"})):
        settings: dict[str, Any] = {"adapter": adapter, "checkpoint_every": 100}
        train(Path("runs", to), data="rows.jsonl", evaluate=False, **settings)
    monkeypatch.chdir(tmp_path / "elsewhere")
    for to in ("x", "y", "z"):
        assert replay(customize.open(f"../runs/{to}", backend=ToyBackend()), 4).is_equal


def test_a_replay_tells_what_differs(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    file = tmp_path / "run" / "episodes.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[-1]["reward"] += 1.0
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = replay(run, 4)
    assert not found.is_equal
    assert {"reward", "grad_norm"} <= found.differing.keys()
    with pytest.raises(RunError, match="has no step 5: there are 1 to 4"):
        replay(run, 5)


def test_episodes_are_looked_at_side_by_side(tmp_path: Path) -> None:
    train(tmp_path / "run")
    shown = command("look", str(tmp_path / "run"), "--groups", "2")
    assert shown.exit_code == 0
    assert "step 4: 12 episodes" in shown.output
    assert "advantage" in shown.output
    assert "1 more groups: --groups 3" in shown.output
    assert "step 2" in command("look", str(tmp_path / "run"), "--step", "2").output


def test_what_an_episode_holds_cannot_steer_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "run")
    [first, *_] = RunFolder(tmp_path / "run").episodes(1)
    steering = "a\x1b[2Jb"
    said = [{"role": role, "content": steering} for role in ("tool", "assistant")]
    members = [
        {**first, "messages": said, "parts": {steering: 1.0}},
        {**first, "messages": said, "reward": None, "error": steering},
    ]
    monkeypatch.setattr(RunFolder, "episodes", lambda self, step: members)
    monkeypatch.setenv("COLUMNS", "200")
    output = command("look", str(tmp_path / "run")).output
    assert "\x1b" not in output
    assert output.count("a\\x1b[2Jb") == 6


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        ("2", ["1.0", "0.1"]),
        ("4", ["1.0", "0.5", "0.1", "error"]),
        ("6", ["1.0", "0.5", "0.1", "error", "void"]),
    ],
)
def test_what_failed_is_looked_at_behind_the_worst(
    limit: str, shown: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three rewards, a failure, and one that is left out for a sibling's."""
    train(tmp_path / "run")
    [first, *_] = RunFolder(tmp_path / "run").episodes(1)
    told = [(None, "OSError: gone"), (0.1, None), (1.0, None), (None, None), (0.5, None)]
    members = [{**first, "group": 0, "reward": r, "error": error} for r, error in told]
    monkeypatch.setattr(RunFolder, "episodes", lambda self, step: members)
    monkeypatch.setenv("COLUMNS", "200")
    output = command("look", str(tmp_path / "run"), "--side-by-side", limit).output
    found = re.findall(
        r"reward ([0-9.]+)00,|left out: a sibling (failed)|(failed: OSError)", output
    )
    names = {"failed": "void", "failed: OSError": "error"}
    assert re.search(r"row \d+, 2 failed", output)
    assert [names.get(text, text) for one in found for text in one if text] == shown


def test_a_reward_that_counted_otherwise_is_shown_beside_what_was_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "run", options={**SMALL, "overlong": 1.0})
    monkeypatch.setenv("COLUMNS", "200")
    output = command("look", str(tmp_path / "run"), "--step", "1").output
    [first, *_] = RunFolder(tmp_path / "run").episodes(1)
    assert first["counted"] < first["reward"]
    assert f"reward {first['reward']:.3f}, counted as {first['counted']:.3f}," in output


def test_what_did_better_is_green_and_what_did_worse_red(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "run")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    shown = command("look", str(tmp_path / "run"), "--groups", "1").output
    told = re.findall(r"\x1b\[1;(31|32)m[^\x1b]*advantage ([+-])", shown)
    assert {(colour, sign) for colour, sign in told} == {("32", "+"), ("31", "-")}


def test_a_reward_is_inspected_on_the_rows_own_answers(tmp_path: Path) -> None:
    rows = [{"prompt": "2 + 2?", "answer": "4"}, {"prompt": "3 + 2?", "answer": "5"}]
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = command("inspect", str(file), "--reward", "toy_rewards:right")
    assert shown.exit_code == 0, shown.output
    assert "No row's own answer is worth less" in shown.output
    flat = command("inspect", str(file), "--reward", "toy_rewards:flat")
    assert "flat: whatever was tried is rewarded alike" in flat.output
    wrong = command("inspect", str(file), "--reward", "toy_rewards:wrong")
    assert "row 1's own answer is rewarded 0, and less than" in str(wrong.exception)
    assert "give --model" in command("inspect", str(file)).output


def test_a_judge_of_siblings_is_inspected_on_what_is_tried_as_a_group(tmp_path: Path) -> None:
    """By hand: of "12", "" and "345" the judge ranks the longest first."""
    file = tmp_path / "sums.jsonl"
    rows = [{"prompt": "6 times 2?", "answer": "12"}, {"prompt": "5 times 69?", "answer": "345"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = command("inspect", str(file), "--reward", "toy_rewards:longest")
    cells = [re.findall(r"[\d.]+", line) for line in shown.output.splitlines() if "│" in line]
    assert cells == [["1", "1", "0", "2"], ["2", "2", "0", "1"]]
    assert "1 of 2 rows' own answers are rewarded less than others (the first is row 1)" in (
        shown.output
    )
    leaving = command("inspect", str(file), "--reward", "toy_rewards:leaving")
    assert "the judge leaving raises SystemExit on row 1's answers" in str(leaving.exception)


def test_inspecting_a_reward_tells_where_nothing_was_compared(tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    row: dict[str, Any] = {"prompt": "2 plus 3?", "target": "5"}
    file.write_text(json.dumps(row) + "\n")
    shown = command("inspect", str(file), "--reward", "toy_rewards:on_target")
    assert "Nothing was compared" in shown.output
    assert "no row has a column answer" in shown.output
    assert "No row's own answer" not in shown.output

    file.write_text(json.dumps({**row, "answer": "4"}) + "\n")
    shown = command("inspect", str(file), "--reward", "toy_rewards:on_target")
    assert "own answers are rewarded as none is" in shown.output
    assert "No row's own answer" not in shown.output

    file.write_text(json.dumps({**row, "answer": "5"}) + "\n")
    shown = command("inspect", str(file), "--reward", "toy_rewards:on_target")
    assert "No row's own answer" in shown.output


def test_a_reward_that_leaves_is_told_and_ends_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text(json.dumps({"prompt": "2 plus 3?", "answer": "5"}) + "\n")
    shown = command("inspect", str(file), "--reward", "toy_rewards:leaves")
    assert "the reward leaves raises SystemExit on row 1's own answer: 3" in str(shown.exception)


def test_an_environment_evaluates_base_and_customized_on_the_same_episodes(tmp_path: Path) -> None:
    def letters(completion: str) -> float:
        return float("a" <= completion[:1] <= "m")

    options = {"batch_size": 4, "group_size": 16, "steps": 15, "max_tokens": 1, "lr": 0.6}
    run = train(tmp_path / "run", reward=letters, options=options)
    asked: Any = {"environment": customize.judged(letters), "max_tokens": 1}
    asked |= {"samples": 20, "temperature": 1.0}
    found = run.evaluate(
        ROWS, gates=["better(reward, than=base)", "better(reward/letters)"], **asked
    )
    assert [len(item.of(c)) for item in found.items for c in found.columns] == [20] * 12
    change = found.change("customized", "base", metric="reward")
    assert change.low > 0.5
    said = [[s.answer.text for i in found.items for s in i.of(c)] for c in found.columns]
    base, customized = ([letters(text) for text in each] for each in said)
    assert change.estimate == pytest.approx((sum(customized) - sum(base)) / 120)
    some = [max(base[at : at + 20]) for at in range(0, 120, 20)]
    assert found.rate("base", metric="pass@20").estimate == pytest.approx(sum(some) / 6)
    assert [gate.verdict for gate in found.gates] == ["pass", "pass"]
    assert found.metric_names[:2] == ("reward", "pass@1")
    again = run.evaluate(ROWS, **asked)
    assert again.changes == found.changes
    beside = run.evaluate(ROWS, against={"same": run}, **asked)
    assert beside.change("customized", "same", metric="reward").estimate == 0.0
    assert beside.columns == ("base", "same", "customized")


def test_episodes_of_an_evaluation_end_where_the_model_holds_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: what is yielded takes 9 of 64 tokens, so that there are 7 turns at most."""

    @customize.environment
    def talkative(row: Any, rng: Any) -> Any:
        turns = 0
        try:
            for _ in range(12):
                yield "Go on."
                turns += 1
        except customize.OutOfRoom:
            pass
        return float(turns)

    run = train(tmp_path / "run", options={**SMALL, "steps": 1})
    monkeypatch.setattr(Run, "context", 64)
    found = run.evaluate(ROWS[:2], environment=talkative, max_tokens=8)
    for column in ("base", "customized"):
        assert found.rate(column, metric="truncated").estimate == 1.0
        assert found.rate(column, metric="turns").estimate <= 7


def test_an_environments_evaluation_is_kept_and_shown(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    run.evaluate(
        ROWS, environment="toy_rewards:two_turns", max_tokens=6, samples=2, temperature=1.0
    )
    assert run.folder is not None
    kept = run.folder.evaluation
    items = [json.loads(line) for line in (kept / "items.jsonl").read_text().splitlines()]
    assert items[0]["question"] == "question 0?"
    text = items[0]["answers"]["customized"]["text"]
    assert text.startswith("assistant: ")
    assert "user: You said" in text
    results = json.loads((kept / "results.json").read_text())
    assert results["metrics"][:4] == ["reward", "pass@1", "reward/first", "reward/second"]
    assert results["metrics"][-1] == "pass@2"
    assert results["costs"] == {}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "on 6 rows" in page
    assert "reward/second" in page


def test_an_episode_that_fails_for_one_is_left_out_of_all(tmp_path: Path) -> None:
    run = train(tmp_path / "run", options={**SMALL, "steps": 12, "lr": 0.5})

    def picky(completion: str) -> float:
        if "a" in completion:
            raise ValueError("no a")
        return float(len(completion))

    asked: Any = {"max_tokens": 6, "samples": 8, "temperature": 1.0}
    found = run.evaluate(ROWS, environment=customize.judged(picky), **asked)
    assert found.faults
    assert "ValueError: no a" in found.faults[0].error
    kept = [item.of(column) for item in found.items for column in found.columns]
    assert not any("a" in sample.answer.text for each in kept for sample in each)
    assert all(len(i.of("base")) == len(i.of("customized")) for i in found.items)
    assert sum(len(i.of("base")) for i in found.items) < 48

    def gone(completion: str) -> float:
        raise OSError("sandbox gone")

    with pytest.raises(EpisodesFailed, match=r"no episode went well(?s:.)*OSError: sandbox gone"):
        run.evaluate(ROWS, environment=customize.judged(gone), **asked)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"prompts": "Be brief."}, "leave out prompts"),
        ({"scorers": ["leaks"], "prices": {"base": {"hour": 1}}}, "leave out scorers, prices"),
        ({"against": {"x": "https://host/v1#m"}}, "x: a run or a model plays, and no endpoint"),
    ],
)
def test_what_an_environment_says_itself_is_refused(
    given: dict[str, Any], told: str, tmp_path: Path
) -> None:
    run = train(tmp_path / "run", options={**SMALL, "steps": 1})
    with pytest.raises(OptionError, match=told):
        run.evaluate(ROWS, environment=two_turns, **given)


def test_an_endpoint_is_refused_before_any_column_has_played(tmp_path: Path) -> None:
    run = train(tmp_path / "run", options={**SMALL, "steps": 1})
    played = []

    @customize.environment
    def counting(row: Any, rng: Any) -> Any:
        played.append(row)
        yield row["messages"]
        return 0.0

    with pytest.raises(OptionError, match="a run or a model plays, and no endpoint"):
        run.evaluate(ROWS, environment=counting, against={"x": "https://host/v1#m"})
    assert not played


def test_the_report_shows_the_reward_what_is_watched_and_what_was_said(tmp_path: Path) -> None:
    def script(completion: str) -> float:
        return float(len(set(completion)))

    train(tmp_path / "run", reward=script)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Reward by step" in page
    assert "said most often" in page
    assert "rewarded most" in page
    assert "What to watch" in page
    for name in ("kl_to_base", "flat_right", "ess", "stop/length", "sampling_s"):
        assert f"<td>{name}</td>" in page
