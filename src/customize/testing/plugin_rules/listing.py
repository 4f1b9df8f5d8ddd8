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
# What the core itself needs to ask so many hooks is not the plugin's: it is asked once before the
# clock starts, and what asking hooks that give nothing takes is taken off.
_ASK = """
import importlib, json, sys, time, types
from customize.plugins.asking import asked
import customize
[getattr(customize, name) for name in customize.__all__ if name.endswith("Spec")]

def timed(module):
    began = time.process_time()
    asked(importlib.import_module(module) if isinstance(module, str) else module)
    return time.process_time() - began

def silent(*names):
    return types.SimpleNamespace(**dict((n, customize.hookimpl(lambda: [])) for n in names))

timed(silent("customize_methods"))
took = timed({module!r})
heavy = [name for name in {heavy!r} if name in sys.modules]
hooks = [name for name in vars(sys.modules[{module!r}]) if name.startswith("customize_")]
took -= min(timed(silent(*hooks)) for _ in range(3))
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
