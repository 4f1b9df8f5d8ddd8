"""The parity gate asks what llama.cpp and Ollama are told of stop tokens, too."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from customize import ChatRenderer, Exportable, ParityError, options
from customize.data.rendering.folder import ChatFolder
from customize.packaging.prompts import Question
from customize.packaging.reference import Case, reference_cases
from customize.testing.exporter_rules.subject import MESSAGES, ExporterSubject
from customize_gguf.exporter import GGUF

pytest.importorskip("customize_torch")
pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.slow


@options
class EndsAtAnother(GGUF):
    """Tells of one stop token more than the session has."""

    def write(self, source: Exportable, folder: Path) -> None:
        chat = ChatFolder.read(source.model.path)
        renderer = ChatRenderer(attrs.evolve(chat, eos=(*chat.eos, 0)))
        super().write(attrs.evolve(source, renderer=renderer), folder)


class OneQuestion(ExporterSubject):
    @functools.cached_property
    def cases(self) -> Sequence[Case]:
        return reference_cases(self.session, self.engine.base(), [Question("one", MESSAGES[0])])


def test_a_file_in_which_llama_cpp_ends_elsewhere_is_refused(tmp_path: Path) -> None:
    subject = OneQuestion("gguf", EndsAtAnother(dtype="f32"))
    told = r"by its model\.gguf answers end at the tokens \[0, (\d+)\], the session's at \[\1\]"
    with pytest.raises(ParityError, match=told):
        subject.write(subject.source, tmp_path / "out")
    parity = json.loads((tmp_path / "out" / "parity.json").read_text("utf-8"))
    assert parity["own"] == {"prompts": "equal", "stop_tokens": "not equal"}
