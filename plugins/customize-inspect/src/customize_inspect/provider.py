"""A run behind Inspect's interface of models. Knows messages and tokens, and no task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import anyio
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolCall, ToolChoice, ToolInfo

import customize

_DEFAULT_TOKENS = 256


class RunAPI(ModelAPI):
    """``customize/runs/pizza``: a run's folder, an export, or a model, as `customize.open` takes.

    With the model argument ``base=True`` it is what the run started from.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  # Inspect's own default
        *,
        base: bool = False,
        run: customize.Run | None = None,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        self._run = customize.open(model_name) if run is None else run
        self._base = base
        self._one = anyio.Lock()

    def max_connections(self) -> int:
        """One: there is one model in this process."""
        return 1

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """One answer, in a thread of its own; several where ``num_choices`` says so."""
        if tool_choice not in ("auto", "none"):
            raise customize.Unsupported(f"a run chooses its tools itself (got {tool_choice!r})")
        told = [] if tool_choice == "none" else [_tool(tool) for tool in tools]
        messages = [_message(message) for message in input]
        async with self._one:
            return await anyio.to_thread.run_sync(partial(self._answer, messages, told, config))

    def _answer(
        self, messages: Sequence[customize.Message], tools: list[Any], config: GenerateConfig
    ) -> ModelOutput:
        snapshot = self._run.base if self._base else self._run.customized
        prompt = customize.Prompt(
            snapshot.renderer.prompt(messages, tools or None),
            n=config.num_choices or 1,
            seed=config.seed or 0,
        )
        [completions] = snapshot.sample([prompt], _sampling(config)).result()
        written = sum(len(one.tokens) for one in completions)
        return ModelOutput(
            model=self.model_name,
            choices=[self._choice(snapshot.renderer, one) for one in completions],
            usage=ModelUsage(
                input_tokens=len(prompt.tokens),
                output_tokens=written,
                total_tokens=len(prompt.tokens) + written,
            ),
        )

    def _choice(
        self, renderer: customize.Renderer, completion: customize.Completion
    ) -> ChatCompletionChoice:
        said = renderer.parse(completion.tokens)
        calls = [_call(each, n) for n, each in enumerate(said.get("tool_calls") or ())]
        stopped = "stop" if completion.stop_reason == "stop" else "max_tokens"
        return ChatCompletionChoice(
            message=ChatMessageAssistant(
                content=str(said.get("content") or ""),
                tool_calls=calls or None,
                model=self.model_name,
                source="generate",
            ),
            stop_reason="tool_calls" if calls else stopped,
        )


def _sampling(config: GenerateConfig) -> customize.Sampling:
    """Greedy unless a temperature is given."""
    return customize.Sampling(
        max_tokens=config.max_tokens or _DEFAULT_TOKENS,
        temperature=config.temperature or 0.0,
        top_k=config.top_k or 0,
        top_p=1.0 if config.top_p is None else config.top_p,
        stop=tuple(config.stop_seqs or ()) or None,
    )


def _tool(tool: ToolInfo) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters.model_dump(exclude_none=True),
    }
    return {"type": "function", "function": function}


def _message(message: ChatMessage) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role, "content": message.text}
    if isinstance(message, ChatMessageAssistant) and message.tool_calls:
        made["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if isinstance(message, ChatMessageTool):
        made |= {"tool_call_id": message.tool_call_id, "name": message.function}
    return made


def _call(given: Mapping[str, Any], number: int) -> ToolCall:
    function = given["function"]
    arguments = function.get("arguments")
    if isinstance(arguments, Mapping):
        return ToolCall(f"call_{number}", function["name"], dict(arguments), type="function")
    return ToolCall(
        f"call_{number}",
        function["name"],
        {},
        parse_error=f"arguments are an object (got {arguments!r})",
        type="function",
    )
