"""Answers of a snapshot to conversations, greedy and batched. Knows nothing of right and wrong."""

from __future__ import annotations

from collections.abc import Sequence

from customize.interfaces.backend import Prompt, Sampling, Snapshot
from customize.interfaces.renderer import Message

_AT_ONCE = 32


def answers(
    snapshot: Snapshot,
    conversations: Sequence[Sequence[Message]],
    instruction: str | None = None,
    max_tokens: int = 64,
) -> list[str]:
    """One answer a conversation; ``instruction`` is added to its system message."""
    prompts = [
        Prompt(snapshot.renderer.prompt(_instructed(messages, instruction)))
        for messages in conversations
    ]
    sampling = Sampling(max_tokens=max_tokens, temperature=0.0)
    said = []
    for start in range(0, len(prompts), _AT_ONCE):
        for [completion] in snapshot.sample(prompts[start : start + _AT_ONCE], sampling).result():
            said.append(snapshot.renderer.decode(completion.tokens).strip())
    return said


def _instructed(messages: Sequence[Message], instruction: str | None) -> list[Message]:
    if instruction is None:
        return list(messages)
    if messages and messages[0]["role"] == "system":
        first = {"role": "system", "content": f"{messages[0]['content']}\n\n{instruction}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": instruction}, *messages]
