"""A tool that runs programs of a model, in a sandbox or not at all."""

from __future__ import annotations

from customize._errors import BadCall
from customize.rollouts.sandbox import OutOfTime, Sandbox, obstacle

_MOST_CHARACTERS = 50_000
_SANDBOX = Sandbox()


def python(code: str) -> str:
    """Run a Python program and read what it prints.

    code: a whole program; it prints what is to be seen
    """
    if len(code) > _MOST_CHARACTERS:
        raise BadCall(f"a program has {_MOST_CHARACTERS} characters at most")
    try:
        ran = _SANDBOX.run(code)
    except OutOfTime:
        raise BadCall(f"the program ran longer than {_SANDBOX.seconds:g} s") from None
    if ran.cut:
        return f"{ran.output}\n[more than {_SANDBOX.output_bytes} bytes: the program was ended]"
    ended = f"[exit code {ran.code}]" if ran.code else ""
    return "\n".join(filter(None, (ran.output.rstrip("\n"), ended)))


python.obstacle = obstacle  # type: ignore[attr-defined]  # asked before the first token
