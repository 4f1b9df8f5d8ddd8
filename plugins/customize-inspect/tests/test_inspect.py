"""A run as a model of Inspect, on tasks made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import customize
from customize.testing import ToyBackend

inspect_ai = pytest.importorskip("inspect_ai")
pytest.importorskip("customize_sft")

from inspect_ai.dataset import Sample  # noqa: E402
from inspect_ai.model import (  # noqa: E402
    ChatMessageAssistant,
    ChatMessageTool,
    ChatMessageUser,
    GenerateConfig,
    Model,
    get_model,
)
from inspect_ai.scorer import includes  # noqa: E402
from inspect_ai.solver import generate, use_tools  # noqa: E402
from inspect_ai.tool import ToolCall, ToolInfo, tool  # noqa: E402

from customize_inspect.provider import RunAPI, _message  # noqa: E402  # after what it needs

SAID = "yes"
CALL = '<tool_call>{"name": "look", "arguments": {"at": "x"}}</tool_call>'


def taught(answer: str, folder: Path) -> customize.Run:
    row = {
        "messages": [
            {"role": "user", "content": "question"},
            {"role": "assistant", "content": answer},
        ]
    }
    options = {"steps": 150, "batch_size": 1, "lr": 0.3}
    return customize.train(
        model="toy", data=[row], to=folder, backend=ToyBackend(), options=options
    )


def model(run: customize.Run, **more: Any) -> Model:
    config = GenerateConfig(max_tokens=64)
    return get_model("customize/runs/x", config=config, memoize=False, run=run, **more)


def evaluated(run: customize.Run, folder: Path, *solvers: Any, **more: Any) -> Any:
    task = inspect_ai.Task(
        dataset=[Sample(input="question", target=SAID)],
        solver=[*solvers, generate()],
        scorer=includes(),
    )
    [log] = inspect_ai.eval(task, model=model(run, **more), log_dir=str(folder), display="none")
    assert log.status == "success", log.error
    return log


def test_a_task_is_answered_by_the_run_and_by_its_base(tmp_path: Path) -> None:
    run = taught(SAID, tmp_path / "run")
    log = evaluated(run, tmp_path / "logs")
    assert log.results.scores[0].metrics["accuracy"].value == 1
    [sample] = log.samples
    assert sample.output.completion == SAID
    assert sample.output.stop_reason == "stop"
    tokens = run.customized.renderer.prompt([{"role": "user", "content": "question"}])
    assert sample.output.usage.input_tokens == len(tokens)
    base = evaluated(run, tmp_path / "logs", base=True)
    assert base.results.scores[0].metrics["accuracy"].value == 0


def look() -> Any:
    async def execute(at: str) -> str:
        """Look at a thing.

        Args:
            at: the thing.
        """
        return f"seen {at}"

    return execute


@pytest.mark.anyio
async def test_a_call_of_a_tool_is_read_back(tmp_path: Path) -> None:
    run = taught("x", tmp_path / "run")
    api = RunAPI("runs/x", run=run)
    renderer = run.customized.renderer
    tokens = renderer.prompt([{"role": "user", "content": CALL}])[1:-2]
    completion = customize.Completion(tokens, tokens * 0.0, tokens * 0.0, "stop")
    choice = api._choice(renderer, completion)
    assert choice.stop_reason == "tool_calls"
    assert choice.message.tool_calls
    assert (choice.message.tool_calls[0].function, choice.message.tool_calls[0].arguments) == (
        "look",
        {"at": "x"},
    )


def test_tools_are_told_to_the_model(tmp_path: Path) -> None:
    run = taught(SAID, tmp_path / "run")
    log = evaluated(run, tmp_path / "logs", use_tools([tool(look)()]))
    [sample] = log.samples
    [described] = [event.tools for event in sample.events if event.event == "model"]
    parameters = described[0].parameters.model_dump(exclude_none=True)
    function = {"name": "look", "description": "Look at a thing.", "parameters": parameters}
    shown = [{"type": "function", "function": function}]
    asked = run.customized.renderer.prompt([{"role": "user", "content": "question"}], shown)
    assert sample.output.usage.input_tokens == len(asked)


def test_messages_of_tools_go_in_whole() -> None:
    call = ToolCall("1", "look", {"at": "x"}, type="function")
    assert _message(ChatMessageUser(content="hi")) == {"role": "user", "content": "hi"}
    called = _message(ChatMessageAssistant(content="", tool_calls=[call]))
    assert called["tool_calls"][0]["function"] == {"name": "look", "arguments": {"at": "x"}}
    answered = _message(ChatMessageTool(content="seen", tool_call_id="1", function="look"))
    assert (answered["role"], answered["tool_call_id"], answered["name"]) == ("tool", "1", "look")


@pytest.mark.anyio
async def test_a_choice_of_tools_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    api = RunAPI("runs/x", run=taught(SAID, tmp_path / "run"))
    told = ToolInfo(name="look", description="x")
    with pytest.raises(customize.Unsupported, match="chooses its tools itself"):
        await api.generate([ChatMessageUser(content="q")], [told], "any", GenerateConfig())


def test_inspect_finds_it_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = taught(SAID, tmp_path / "run")
    monkeypatch.setattr(customize, "open", lambda source: run)
    assert isinstance(get_model("customize/runs/pizza", memoize=False).api, RunAPI)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
