"""``python -m customize_cuda.check``: what a GPU computes, and how well it is used.

Four parts, each by itself with ``--only``: ``rules`` (the conformance kit), ``numbers`` (against
the processor in float32), ``training`` (SFT, DPO and GRPO of a real model) and ``speed``. Needs
Python, torch and the distributions of customize; no network. Parts that are not asked for stay as
they were in the file, where the machine is the same.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from customize import Backend, CustomizeError, resolve
from customize_torch.checking import machine, numbers, rules, speed, training
from customize_torch.checking.page import table
from customize_torch.checking.shapes import bases
from customize_torch.gpu import GPU

Finding = Mapping[str, Any]  # JSON
PARTS: Mapping[str, Callable[[type[GPU], argparse.Namespace], Finding]] = {
    "rules": rules.check,
    "numbers": numbers.check,
    "training": training.check,
    "speed": speed.check,
}


def main(backend: type[GPU], arguments: Sequence[str] | None = None) -> None:
    """Exit codes: 1 something was not as it must be, 2 it cannot be looked at here."""
    asked = _parser(backend).parse_args(arguments)
    if (reason := _reason_against(backend, asked)) is not None:
        print(reason, file=sys.stderr)
        sys.exit(2)
    found = _begun(asked.to, {"schema": "customize-gpu/1", "machine": machine.told(backend)})
    for name in asked.only:
        begun = time.perf_counter()
        print(f"{name} …", file=sys.stderr, flush=True)
        found[name] = {**PARTS[name](backend, asked)}
        found[name]["seconds"] = round(time.perf_counter() - begun, 1)
        asked.to.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(table(found))
    print(f"written: {asked.to}")
    sys.exit(any(part.get("failed") for part in found.values() if isinstance(part, dict)))


def _reason_against(backend: type[GPU], asked: argparse.Namespace) -> str | None:
    """Why the parts that are asked for cannot run, told before the first of them."""
    if (reason := backend().probe()) is not None:
        return f"the backend {backend.name} cannot run here: {reason}"
    if "rules" in asked.only and find_spec("peft") is None:
        return "rules loads adapters with peft: pip install peft, or leave it out with --only"
    if "training" in asked.only:
        try:
            resolve(asked.model)
        except CustomizeError as error:
            return f"{error}\nor train another with --model, or leave training out with --only"
    return None


def _begun(file: Path, start: dict[str, Any]) -> dict[str, Any]:
    """What was found before on the same machine, for the parts that are not asked for now."""
    if not file.exists():
        return start
    before: dict[str, Any] = json.loads(file.read_text("utf-8"))
    same = all(before.get(key) == value for key, value in start.items())
    return before if same else start


def _parser(backend: type[Backend]) -> argparse.ArgumentParser:
    possible = [name for name, size in speed.SHAPES.items() if size.base in bases()]
    parser = argparse.ArgumentParser(prog=f"python -m customize_{backend.name}.check")
    parser.add_argument("--model", default="smollm2", help="the real model that is trained")
    parser.add_argument("--to", type=Path, default=Path("gpu.json"), help="what is written")
    parser.add_argument(
        "--only", nargs="+", choices=[*PARTS], default=[*PARTS], help="parts; all by default"
    )
    parser.add_argument(
        "--shapes", nargs="+", choices=[*speed.SHAPES], default=possible, help="of speed"
    )
    return parser
