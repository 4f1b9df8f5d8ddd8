"""The public signatures are those that published plugins were written against."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("write_signatures.py")
TEXT = SCRIPT.with_name("signatures.txt").read_text("utf-8")


def test_the_signatures_are_as_they_were() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_text_holds_what_a_plugin_can_break_on() -> None:
    for name, line in (
        ("a function's argument", "option(*, default: Any=attrs.NOTHING"),
        ("a constructor's argument and bounds", "    temperature: float = option(default=1.0, at"),
        (
            "what is inherited",
            "class MethodSpec(Spec)\n    kind: ClassVar[str] = 'method'\n    name",
        ),
        ("what is abstract", "    @abstractmethod optim_step(optimizer: AdamW) -> Handle[float]"),
        ("an alias", "Message = Mapping[str, Any]"),
        ("a hook", "customize_methods() -> Iterable[MethodSpec]"),
        ("the toy backend", "    __init__(without: Iterable[str]=()) -> None"),
    ):
        assert line in TEXT, name


def test_a_change_is_told_with_what_to_do() -> None:
    difference = runpy.run_path(str(SCRIPT))["difference"]
    assert difference(TEXT, TEXT) == ""
    told = difference(TEXT, TEXT.replace("optimizer: AdamW", "optimizer: AdamW, loud: bool"))
    assert "-    @abstractmethod optim_step(optimizer: AdamW) -> Handle[float]" in told
    assert "+    @abstractmethod optim_step(optimizer: AdamW, loud: bool)" in told
    assert "keep the old way for one minor release" in told
