"""The Modelfile of Ollama, whose chat templates are Go's. Knows no weights.

A chat template of Jinja cannot be translated in general. What each role's message is written
between can be found by asking, as long as messages are written one after another; that is proven
on conversations before it is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import attrs

from customize import RenderingError

Messages = Sequence[Mapping[str, str]]
Prompt = Callable[[Messages], str]

_SYSTEM, _QUESTION, _ANSWER, _AGAIN = "Shortly!", "Where?", "There.", "When?"
_STOP = "PARAMETER stop "


@attrs.frozen
class Frame:
    """What a template writes around messages.

    turns: by role what comes before and after. opening: what a prompt ends with. system: the
    message of the system where a conversation has none.
    """

    turns: Mapping[str, tuple[str, str]]
    opening: str
    system: str

    @classmethod
    def find(cls, prompt: Prompt) -> Frame | None:
        """By asking for prompts; None where the template does more than frame messages."""
        try:
            frame = cls._guess(prompt)
            asked = [*_conversations()]
            right = all(frame.prompt(messages) == prompt(messages) for messages in asked)
        except (RenderingError, ValueError):
            return None
        return frame if right else None

    @classmethod
    def _guess(cls, prompt: Prompt) -> Frame:
        before, to_user, opening = _around(prompt, ("system", _SYSTEM), ("user", _QUESTION))
        lead, to_answer, between, _ = _around(
            prompt, ("user", _QUESTION), ("assistant", _ANSWER), ("user", _AGAIN)
        )
        _, between_users, _ = _around(prompt, ("user", _QUESTION), ("user", _AGAIN))
        header = before.replace("system", "user")
        if not all(text.endswith(header) for text in (lead, to_user, between, between_users)):
            header = _common_end(lead, to_user, between, between_users)
        user = header, between_users.removesuffix(header)
        answer = to_answer.removeprefix(user[1]), between.removesuffix(header)
        system = before, to_user.removesuffix(header)
        default = lead.removesuffix(header).removeprefix(system[0]).removesuffix(system[1])
        turns = {"system": system, "user": user, "assistant": answer}
        return cls(turns, opening.removeprefix(user[1]), default)

    def prompt(self, messages: Messages) -> str:
        """What it makes of messages."""
        if self.system and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": self.system}, *messages]
        framed = [self.turns[m["role"]] for m in messages]
        parts = (a + m["content"] + b for (a, b), m in zip(framed, messages, strict=True))
        return "".join(parts) + self.opening

    def in_go(self) -> str:
        """As a template of Go."""
        said = "{{ range .Messages }}"
        for number, (role, (before, after)) in enumerate(self.turns.items()):
            said += f'{{{{ {"else " if number else ""}if eq .Role "{role}" }}}}'
            said += _literal(before) + "{{ .Content }}" + _literal(after)
        return said + "{{ end }}{{ end }}" + _literal(self.opening)


def modelfile(adapter: str | None, stops: Sequence[str], frame: Frame | None) -> str:
    """The whole file.

    adapter: the name of the adapter's file, where it is one of its own.
    frame: None leaves the template out, and says so.
    """
    lines = ["FROM ./model.gguf"]
    if adapter:
        lines.append(f"ADAPTER ./{adapter}")
    if frame is None:
        lines += [
            "# The model's chat template does more than Ollama's can say. Ollama then guesses one:",
            "# its answers may differ from those of the trained model.",
        ]
    else:
        lines.append(f'TEMPLATE """{frame.in_go()}"""')
        if frame.system:
            lines.append(f'SYSTEM """{frame.system}"""')
    lines += [f"{_STOP}{json.dumps(stop, ensure_ascii=False)}" for stop in stops]
    return "\n".join(lines) + "\n"


def stops_of(text: str) -> list[str]:
    """The texts at which a Modelfile ends answers."""
    lines = text.split("\n")
    return [json.loads(line.removeprefix(_STOP)) for line in lines if line.startswith(_STOP)]


def _around(prompt: Prompt, *turns: tuple[str, str]) -> list[str]:
    """The text before, between and after the contents.

    Raises:
        ValueError: a content is not in it as it is.
    """
    rest = prompt([{"role": role, "content": content} for role, content in turns])
    parts = []
    for _, content in turns:
        part, rest = rest.split(content, 1)
        parts.append(part)
    return [*parts, rest]


def _conversations() -> Sequence[Messages]:
    user, answer = {"role": "user", "content": "a 1"}, {"role": "assistant", "content": "b\nc"}
    system = {"role": "system", "content": "d, {{ e }}"}
    several = [user, answer, {"role": "user", "content": " f "}, answer, user]
    return [user], [system, user], several, [system, *several]


def _common_end(*texts: str) -> str:
    shortest = min(texts, key=len)
    for at in range(len(shortest) + 1):
        if all(text.endswith(shortest[at:]) for text in texts):
            return shortest[at:]
    return ""


def _literal(text: str) -> str:
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""
