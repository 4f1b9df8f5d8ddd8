"""Rules about listing a plugin: what happens in every process that asks what is installed."""

from __future__ import annotations

import json
from typing import Any

from customize.testing.expecting import expect
from customize.testing.plugin_rules.subject import PluginSubject
from customize.testing.processes import in_process_of_its_own
from customize.testing.rules import RuleBroken

_HEAVY = ("torch", "transformers", "numpy")
_MS = 2.0
_TRIES = 12
# Everything of the core that listing needs is there before the clock starts.
_ASK = """
import importlib, json, sys, time
from customize.plugins.asking import asked
import customize
customize.hookimpl, customize.MethodSpec, customize.BackendSpec, customize.ModelSpec
began = time.process_time()
specs, faults = asked(importlib.import_module({module!r}))
took = time.process_time() - began
heavy = [name for name in {heavy!r} if name in sys.modules]
print("\\n" + json.dumps(dict(ms=took * 1000, heavy=heavy)))
"""


def check_listing_imports_nothing_heavy(subject: PluginSubject) -> None:
    """Asking what it offers imports neither torch nor transformers nor numpy."""
    heavy = _listed(subject)["heavy"]
    expect(not heavy, f"importing {subject.module} imports {', '.join(heavy)}")


def check_listing_is_quick(subject: PluginSubject) -> None:
    """Asking what it offers takes less than 2 ms of processor time beyond the core's own."""
    took = float("inf")
    for _ in range(_TRIES):  # what else the machine does makes some of them slow
        took = min(took, _listed(subject)["ms"])
        if took < _MS:
            return
    raise RuleBroken(f"takes {took:.1f} ms at best of {_TRIES}")


def check_listing_is_silent(subject: PluginSubject) -> None:
    """Asking what it offers prints nothing."""
    said = _listed(subject)["said"]
    expect(not said, f"prints {said[:200]!r}")


def _listed(subject: PluginSubject) -> dict[str, Any]:
    """What a fresh process found: ms, heavy, said."""
    code = _ASK.format(module=subject.module, heavy=_HEAVY)
    done = in_process_of_its_own(code)
    if done.returncode:
        raise RuleBroken(f"cannot be imported:\n{done.stderr[-2000:]}")
    said, _, last = done.stdout.rstrip().rpartition("\n")
    return {**json.loads(last), "said": (said + done.stderr).strip()}
