"""An encoder under test, and the texts it is given. Knows no rule."""

from __future__ import annotations

from typing import ClassVar

from customize.interfaces.index import Encoder
from customize.testing.subject import Subject

TEXTS = (
    "When do you open on Sundays?",
    "Shop > Menu\nThe margherita has basil.",
    "The cook of the margherita earns a salary, which nobody but the board knows.",
)


class EncoderSubject(Subject):
    """One encoder, with the options it was made with."""

    kind: ClassVar[str] = "encoder"

    def __init__(self, name: str, encoder: Encoder) -> None:
        super().__init__(name)
        self.encoder = encoder
