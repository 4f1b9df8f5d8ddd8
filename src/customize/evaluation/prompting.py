"""A prompt for the base: an instruction, and examples before the question. Trains nothing."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from customize.interfaces.renderer import Message


@attrs.frozen
class Prompting:
    """instruction: added to the system message. examples: turns shown before the question."""

    instruction: str | None = None
    examples: tuple[tuple[Message, ...], ...] = ()

    def applied(self, messages: Sequence[Message]) -> list[Message]:
        """The messages with instruction and examples before them."""
        system = [m for m in messages[:1] if m["role"] == "system"]
        rest = messages[len(system) :]
        shown = [turn for example in self.examples for turn in example]
        return [*self._system(system), *shown, *rest]

    def _system(self, system: list[Message]) -> list[Message]:
        if self.instruction is None:
            return system
        said = [m["content"] for m in system]
        return [{"role": "system", "content": "\n\n".join([*said, self.instruction])}]

    @property
    def told(self) -> str:
        """In a line, for people."""
        parts = [f"{len(self.examples)} examples"] if self.examples else []
        return "; ".join([*parts, *([self.instruction] if self.instruction else [])]) or "none"
