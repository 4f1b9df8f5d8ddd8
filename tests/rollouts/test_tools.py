"""Tools: schemas from hints and docstrings, and whose fault a failed call is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import pytest
from playing import ROW, Speaker, asks, play

import customize
from customize import BadCall, ChatRenderer, Driver, OptionError, Sampling, calculator, judged
from customize.rollouts.tools import Tool
from customize.testing import ToyRenderer, write_tiny_model


def search(query: str, limit: int = 3, kind: Literal["all", "new"] = "all") -> str:
    """Search the handbook
    of the shop.

    query: what to look for
    limit (optional): how many
    """
    return f"{query} {limit} {kind}"


def strict(numbers: list[float], note: str | None = None) -> Any:
    """Add numbers."""
    if not numbers:
        raise BadCall("numbers is empty")
    return {"sum": sum(numbers), "note": note}


def test_the_schema_is_what_hints_and_docstring_say() -> None:
    assert Tool.of(search).schema == {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Search the handbook of the shop.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "what to look for"},
                    "limit": {"type": "integer", "description": "how many"},
                    "kind": {"enum": ["all", "new"]},
                },
                "required": ["query"],
            },
        },
    }
    numbers = Tool.of(strict).schema["function"]["parameters"]["properties"]["numbers"]
    assert numbers == {"type": "array", "items": {"type": "number"}}


def test_an_argument_that_may_be_none_takes_null() -> None:
    def find(limit: int | None = None, kind: Literal["all"] | None = None) -> str:
        """Find."""
        return f"{limit} {kind}"

    tool = Tool.of(find)
    properties = tool.schema["function"]["parameters"]["properties"]
    assert properties["limit"] == {"type": "integer", "nullable": True}
    assert tool.call({"limit": None, "kind": None}) == "None None"
    assert tool.call({"limit": 3}) == "3 None"
    with pytest.raises(BadCall, match=r"limit of find must be integer or null \(got '3'\)"):
        tool.call({"limit": "3"})
    with pytest.raises(BadCall, match="query of search must be string"):
        Tool.of(search).call({"query": None})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "search needs query"),
        ({"query": 3}, "query of search must be string (got 3)"),
        ({"query": "x", "limit": "3"}, "limit of search must be integer (got '3')"),
        ({"query": "x", "limit": True}, "limit of search must be integer (got True)"),
        ({"query": "x", "kind": "old"}, "kind of search must be one of all, new (got 'old')"),
        ({"querry": "x"}, "search has no argument 'querry': there are query, limit, kind"),
        ("x", "the arguments of search must be an object"),
        (None, "the arguments of search must be an object"),
    ],
)
def test_a_wrong_call_is_refused_and_never_mended(arguments: Any, told: str) -> None:
    with pytest.raises(BadCall) as raised:
        Tool.of(search).call(arguments)
    assert str(raised.value) == told


def _untold(x: int) -> str:
    return ""


def _untyped(x) -> str:  # type: ignore[no-untyped-def]
    """Do it."""
    return ""


def _odd(x: Fraction) -> str:
    """Do it."""
    return ""


def _many(*x: int) -> str:
    """Do it."""
    return ""


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_untold, "has no docstring"),
        (_untyped, r"_untyped\(x\) has no type"),
        (_odd, r"_odd\(x\) is of a type that tools do not take"),
        (_many, "takes named arguments only"),
    ],
)
def test_a_function_that_says_too_little_is_no_tool(function: Any, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Tool.of(function)


def call(name: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


# Which of the two is meant?
TWICE = '<tool_call>{"name": "strict", "arguments": {"numbers": [1], "numbers": [42]}}</tool_call>'


def right(completion: str, answer: str) -> float:
    return float(completion == answer)


def talk(*said: str, tools: Sequence[Any] = (strict,), **settings: Any) -> customize.Episode:
    replies = iter(said)
    [episode] = play(judged(right, tools), lambda text: next(replies), max_tokens=200, **settings)
    return episode


async def forecast(place: str) -> str:
    """Tell the weather."""
    return place


class Forecasts:
    """Tell the weather."""

    async def __call__(self, place: str) -> str:
        return place


@pytest.mark.parametrize("function", [forecast, Forecasts()])
def test_an_async_function_is_no_tool(function: Any) -> None:
    with pytest.raises(OptionError, match="is async: write it as def"):
        judged(lambda completion: 1.0, [function])


def test_two_tools_of_one_name_are_refused() -> None:
    def other(query: str) -> str:
        """Search elsewhere."""
        return query

    other.__name__ = "search"
    with pytest.raises(OptionError, match="two tools have one name, search: give one another name"):
        judged(right, [search, strict, other])


def test_a_call_is_answered_and_the_last_reply_judged() -> None:
    episode = talk(call("strict", numbers=[40, 2]), "42")
    assert episode.messages[2] == {"role": "tool", "content": '{"sum": 42, "note": null}'}
    assert (episode.reward, episode.turns, episode.faults) == (1.0, 2, {})
    assert episode.calls["strict"][0] == 1


@pytest.mark.parametrize(
    ("said", "told", "fault"),
    [
        (call("strict", numbers="40"), "error: numbers of strict must be array", "bad_call/strict"),
        (call("strict", numbers=[]), "error: numbers is empty", "bad_call/strict"),
        (call("add", x=1), "error: there is no tool 'add': there are strict", "unknown_tool"),
        ("<tool_call>{'name': 'strict'}</tool_call>", "error: unreadable call", "unreadable_call"),
        (TWICE, "error: unreadable call", "unreadable_call"),
    ],
)
def test_what_the_model_does_wrong_is_said_to_it_and_counted(
    said: str, told: str, fault: str
) -> None:
    episode = talk(said, "42")
    assert episode.messages[2]["content"].startswith(told)
    assert (episode.reward, episode.faults, episode.failed) == (1.0, {fault: 1}, False)


def test_what_a_tool_does_wrong_fails_the_episode_and_is_not_said_to_the_model() -> None:
    def broken(x: int) -> str:
        """Do it."""
        raise OSError("/secret/path is gone")

    episode = talk(call("broken", x=1), call("broken", x=1), tools=[broken])
    assert episode.error == "OSError in broken: /secret/path is gone"
    assert "in broken\n" in str(episode.traceback)
    assert not [m for m in episode.messages if "secret" in m["content"]]


def test_calls_without_end_are_judged_where_the_room_ends() -> None:
    episode = talk(*[call("strict", numbers=[1])] * 3, max_turns=3)
    assert (episode.stop, episode.reward, episode.calls["strict"][0]) == ("turns", 0.0, 3)


def test_tools_are_offered_in_the_prompt() -> None:
    [episode] = play(judged(right, [search]), "42")
    shown = bytes(t for t in episode.sequences[0].tokens.tolist() if t > 4).decode()
    assert json.dumps(Tool.of(search).schema) in shown


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("2 ^ 3 ^ 2", "512"),
        ("-2 ** 2", "-4"),
        ("2 ** -1", "0.5"),
        ("7 % 3", "1"),
        ("-7 % 3", "2"),
        ("1 / 3", "0.333333333333"),
        ("0.1 + 0.2", "0.3"),
        ("--5", "5"),
        ("99999999999 * 99999999999", "9999999999800000000001"),
        ("-1 / 8", "-0.125"),
    ],
)
def test_the_calculator_is_exact(expression: str, value: str) -> None:
    assert calculator(expression) == value


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "a number is missing at the end"),
        ("1 +", "a number is missing at the end"),
        ("1 + * 2", "a number is missing before"),
        ("(1", "a bracket is not closed"),
        ("1 2", "'2' is one too many"),
        ("1 / 0", "division by zero"),
        ("0 ^ -1", "division by zero"),
        ("5 % (1-1)", "division by zero"),
        ("2 ^ 65", "an exponent is a whole number of 64 at most"),
        ("2 ^ 0.5", "an exponent is a whole number"),
        ("9 ^ 64", "a number has 60 digits at most"),
        ("1" * 61, "a number has 60 digits at most"),
        ("(" * 30 + "1" + ")" * 30, "brackets go 20 deep at most"),
        ("2^" * 30 + "1", "powers go 20 deep at most"),
        ("1+" * 150 + "1", "200 characters at most"),
        ("__import__('os')", "is no number"),
        ("٣ + 1", "is no number"),
    ],
)
def test_what_the_calculator_cannot_do_is_the_models_to_mend(expression: str, told: str) -> None:
    with pytest.raises(BadCall, match=told.replace("(", r"\(")):
        calculator(expression)


def test_the_calculator_is_a_tool() -> None:
    schema = Tool.of(calculator).schema["function"]
    assert schema["name"] == "calculator"
    assert schema["parameters"]["properties"]["expression"]["description"]


def test_a_real_template_writes_tools_calls_and_results(tmp_path: Path) -> None:
    """Qwen2.5's, under the control tokens of the tiny model."""
    folder = write_tiny_model(tmp_path / "model").path
    source = (Path(__file__).parents[1] / "rendering" / "templates" / "qwen2_5.jinja").read_text()
    source = source.replace("<|im_start|>", "<|begin|>").replace("<|im_end|>", "<|end|>")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": source}))
    renderer = ChatRenderer.from_folder(folder)
    replies = iter([call("strict", numbers=[40, 2]), call("add", x=1), "42"])
    speaker = Speaker(lambda text: next(replies), renderer)
    driver = Driver(judged(right, [strict]), Sampling(max_tokens=200))
    [episode] = driver.play(speaker, asks())
    shown = renderer.text_of(episode.sequences[0].tokens)
    assert json.dumps(Tool.of(strict).schema) in shown
    assert "<|begin|>user\n<tool_response>\n" in shown
    assert '{"sum": 42, "note": null}' in shown
    assert "error: there is no tool 'add': there are strict" in shown
    assert (episode.reward, episode.turns, episode.faults) == (1.0, 3, {"unknown_tool": 1})
    trained = renderer.text_of(episode.sequences[0].tokens[episode.sequences[0].sampled])
    assert trained == f"{call('strict', numbers=[40, 2])}<|end|>{call('add', x=1)}<|end|>42<|end|>"


DESCRIBED = {"name": "strict", "description": "Sums up.", "parameters": {"type": "object"}}
BESIDE: dict[str, Any] = {
    **ROW,
    "documents": [{"title": "Sums", "text": "Two sums are 42."}],
    "tools": [{"type": "function", "function": DESCRIBED}],
}


def test_a_rows_documents_and_tools_are_shown_as_they_are_to_sft() -> None:
    shown = ToyRenderer().prompt(BESIDE["messages"], BESIDE["tools"], BESIDE["documents"]).tolist()
    said = iter([call("strict", numbers=[40, 2]), call("search", query="x"), "42"])
    [episode] = play(
        judged(right, [strict, search]), lambda text: next(said), row=BESIDE, max_tokens=200
    )
    assert episode.sequences[0].tokens[: len(shown)].tolist() == shown
    assert episode.messages[2]["content"] == '{"sum": 42, "note": null}'
    assert episode.messages[4]["content"] == "error: there is no tool 'search': there are strict"


def test_a_rows_tool_that_no_function_answers_is_refused_before_the_first_token() -> None:
    check = judged(right, [search]).check
    assert check is not None
    with pytest.raises(OptionError, match="row 2 offers strict, which no function of tools="):
        check([ROW, BESIDE])


@pytest.mark.parametrize("written", [call("strict", numbers=[40, 2]), "<tool_call>{broken"])
def test_where_no_function_answers_a_call_of_a_rows_tool_is_the_answer(written: str) -> None:
    """So a reward may judge calls of tools that are not here; a judge of siblings too."""
    judged_of: list[str] = []

    def called(completion: str) -> float:
        judged_of.append(completion)
        return float(completion == written)

    def beside(completions: Any, rows: Any) -> list[float]:
        judged_of.extend(completions)
        return [1.0] * len(completions)

    environment = judged({called: 1.0, customize.group(beside): 1.0})
    assert environment.check is not None
    environment.check([BESIDE])
    shown = ToyRenderer().prompt(BESIDE["messages"], BESIDE["tools"], BESIDE["documents"]).tolist()
    [episode] = play(environment, written, row=BESIDE, max_tokens=200)
    assert episode.sequences[0].tokens[: len(shown)].tolist() == shown
    assert judged_of == [written] * 2
    assert (episode.reward, episode.turns, episode.stop) == (2.0, 1, "done")
    assert (episode.faults, episode.calls) == ({}, {})


def test_documents_of_a_turn_are_objects() -> None:
    with pytest.raises(TypeError, match="the documents of a Turn are objects"):
        customize.Turn("Go.", documents=["Two sums are 42."])  # type: ignore[list-item]  # the point


def test_a_broken_call_is_said_to_a_model_whose_template_marks_none(tmp_path: Path) -> None:
    """Llama 3.2's, under the control tokens of the tiny model."""
    folder = write_tiny_model(tmp_path / "model").path
    source = (Path(__file__).parents[1] / "rendering" / "templates" / "llama3_2.jinja").read_text()
    source = source.replace("<|start_header_id|>", "<|begin|>").replace("<|eot_id|>", "<|end|>")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": source}))
    replies = iter(['{"name": "strict", "parameters": {', "42"])
    speaker = Speaker(lambda text: next(replies), ChatRenderer.from_folder(folder))
    driver = Driver(judged(right, [strict]), Sampling(max_tokens=200))
    [episode] = driver.play(speaker, asks())
    assert episode.messages[2]["content"].startswith("error: unreadable call")
    assert (episode.reward, episode.faults) == (1.0, {"unreadable_call": 1})
