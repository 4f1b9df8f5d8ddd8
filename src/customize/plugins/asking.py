"""Asking one plugin what it offers, each hook and each spec apart. Knows no other plugin.

pluggy checks and calls, with a manager for each implementation: one manager for all would end a
call at the first that raises, and a registration at the first that is wrong.
"""

from __future__ import annotations

import difflib
import inspect
import types
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

import attrs
import pluggy

from customize import __version__
from customize._errors import PluginError
from customize.plugins import hooks
from customize.plugins.distributions import Installed
from customize.plugins.faults import Fault, told
from customize.plugins.specs import KINDS, Spec, plural
from customize.plugins.watching import Watched, watching

if TYPE_CHECKING:
    from customize.interfaces.observer import ObservedRun

SLOW_MS = 100.0
_OBSERVERS = "customize_observers"
_KIND_OF_HOOK = {f"customize_{plural(kind)}": kind for kind in KINDS}


@attrs.define
class Answer:
    """What a plugin offers and what went wrong as it was asked.

    observing: its implementations of ``customize_observers``, to be asked again before every run.
    """

    specs: list[Spec] = attrs.field(factory=list)
    faults: list[Fault] = attrs.field(factory=list)
    milliseconds: float = 0.0
    observing: list[Any] = attrs.field(factory=list)


def ask(plugin: Installed) -> Answer:
    """Import a plugin's light module and collect its specs; never raises for what it does."""
    answer = Answer()
    if plugin.unreadable is not None:
        message = f"its metadata cannot be read: {plugin.unreadable}"
        answer.faults.append(Fault("metadata", message, _reinstall(plugin)))
    with watching() as seen:
        for entry in plugin.entries:
            _ask_entry(plugin, entry, answer)
    answer.milliseconds = round(seen.milliseconds, 1)
    answer.faults += _manners(seen, _tell(plugin))
    return answer


def ask_for_run(plugin: Installed, observing: Sequence[Any], run: ObservedRun) -> Answer:
    """The observers that a plugin offers for a run; never raises for what it does."""
    answer = Answer()
    for function in observing:
        _collect(plugin, _OBSERVERS, function, answer, run)
    return answer


def asked(module: object, run: ObservedRun | None = None) -> tuple[list[Spec], list[str]]:
    """The specs that an imported module's hooks give, and what is wrong with them.

    With ``run`` those that it gives for that run, and no others.
    """
    plugin, answer = Installed("the plugin", "unknown"), Answer()
    ask_module(plugin, module, answer)
    if run is not None:
        answer = ask_for_run(plugin, answer.observing, run)
    return answer.specs, [fault.message for fault in answer.faults]


def ask_module(plugin: Installed, module: object, answer: Answer) -> None:
    """Add what the hooks of a plugin's imported module give.

    Raises:
        Exception: whatever the module raises when it is looked at; never what a hook raises.
    """
    for hook, function in _implementations(module):
        if not hasattr(hooks, hook):
            answer.faults.append(_unknown(plugin, hook))
        elif hook in _KIND_OF_HOOK:
            _collect(plugin, hook, function, answer)
            if hook == _OBSERVERS:
                answer.observing.append(function)


def call(hook: str, function: Any, **offered: object) -> object:
    """What one implementation gives; of what is offered it gets the arguments it takes.

    Raises:
        pluggy.PluginValidationError: it takes an argument that the hook does not have.
        Exception: whatever the implementation raises.
    """
    manager = _manager(hook)
    manager.register(types.SimpleNamespace(**{hook: function}))
    results = getattr(manager.hook, hook)(**offered)
    return results[0] if results else None


def _manager(hook: str) -> pluggy.PluginManager:
    """With that hook alone: reading all of them takes longer than asking does."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(type("hook", (), {hook: getattr(hooks, hook)}))
    return manager


def _ask_entry(plugin: Installed, entry: metadata.EntryPoint, answer: Answer) -> None:
    try:
        ask_module(plugin, entry.load(), answer)
    except (Exception, SystemExit) as error:
        message = f"{entry.value} cannot be imported: {told(error)}"
        answer.faults.append(Fault("import", message, _reinstall(plugin), error))


def _implementations(module: object) -> Iterator[tuple[str, Any]]:
    manager = pluggy.PluginManager(hooks.PROJECT)
    for name in dir(module):
        options = manager.parse_hookimpl_opts(module, name)
        if options is None:
            continue
        hook = options.get("specname") or name
        if hasattr(hooks, hook) or not options.get("optionalhook"):
            yield hook, getattr(module, name)


def _collect(
    plugin: Installed,
    hook: str,
    function: Any,
    answer: Answer,
    run: ObservedRun | None = None,
) -> None:
    offered = {"run": run} if hook == _OBSERVERS else {}
    # A generator hook fails when it is iterated, so the loop is inside.
    try:
        answer.faults += _deprecations(plugin, hook, function)
        for given in _iterable(call(hook, function, **offered)):
            _take(plugin, given, hook, answer)
    except (Exception, SystemExit) as error:
        answer.faults.append(_raised(plugin, hook, error))


def _iterable(given: object) -> Iterable[object]:
    if given is None:
        return ()
    if isinstance(given, Spec) or not isinstance(given, Iterable):
        raise PluginError(f"it gives {given!r}: yield specs, or return a list of them")
    return given


def _take(plugin: Installed, given: object, hook: str, answer: Answer) -> None:
    spec_type = KINDS[_KIND_OF_HOOK[hook]]
    if not isinstance(given, spec_type):
        message = f"{hook} gives {given!r}, which is no {spec_type.__name__}"
        answer.faults.append(Fault("spec", message, _tell(plugin)))
    elif any((s.kind, s.name) == (given.kind, given.name) for s in answer.specs):
        message = f"it offers the {given.kind} {given.name!r} twice"
        answer.faults.append(Fault("repeated", message, _tell(plugin)))
    else:
        answer.specs.append(given)


def _raised(plugin: Installed, hook: str, error: BaseException) -> Fault:
    if isinstance(error, pluggy.PluginValidationError):
        message = f"{hook} cannot be called: {str(error).splitlines()[-1]}"
        return Fault("hook", message, _newer(plugin), error)
    if isinstance(error, PluginError):
        return Fault("spec", f"{hook}: {error}", _tell(plugin), error)
    return Fault("hook", f"{hook} raises {told(error)}", _tell(plugin), error)


def _unknown(plugin: Installed, hook: str) -> Fault:
    known = [name for name in vars(hooks) if name.startswith("customize_")]
    near = difflib.get_close_matches(hook, known, n=1, cutoff=0.85)
    meant = f"; did it mean {near[0]}?" if near else ""
    message = f"it implements {hook}, which customize {__version__} does not have{meant}"
    return Fault("unknown-hook", message, _newer(plugin))


def _deprecations(plugin: Installed, hook: str, function: Any) -> Iterator[Fault]:
    options = pluggy.PluginManager(hooks.PROJECT).parse_hookspec_opts(hooks, hook)
    assert options is not None
    warnings = [options["warn_on_impl"]]
    for argument, warning in (options["warn_on_impl_args"] or {}).items():
        if argument in inspect.signature(function).parameters:
            warnings.append(warning)
    return (Fault("deprecated", str(w), _tell(plugin)) for w in warnings if w is not None)


def _manners(seen: Watched, tell: str) -> Iterator[Fault]:
    if seen.heavy:
        message = f"listing it imports {', '.join(seen.heavy)} ({seen.milliseconds:.0f} ms)"
        yield Fault("heavy", message, f"{tell}: import it where it is used")
    elif seen.milliseconds > SLOW_MS:
        message = f"listing it takes {seen.milliseconds:.0f} ms"
        yield Fault("slow", message, f"{tell}: work belongs behind a target")
    if seen.printed:
        line, *more = seen.printed.strip().splitlines() or [""]
        rest = f" and {len(more)} lines more" if more else ""
        yield Fault("prints", f"listing it prints {line[:60]!r}{rest}", tell)


def _tell(plugin: Installed) -> str:
    return f"tell its authors ({plugin.home_page})" if plugin.home_page else "tell its authors"


def _newer(plugin: Installed) -> str:
    return f"upgrade customize if {plugin.name} is newer, else {_tell(plugin)}"


def _reinstall(plugin: Installed) -> str:
    return (
        f"pip install --force-reinstall {plugin.name}, or leave it out with "
        f"CUSTOMIZE_PLUGINS=-{plugin.name}"
    )
