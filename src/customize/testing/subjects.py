"""From what ``conformance`` is given to subjects. Knows kinds and names, and no rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs

from customize._errors import OptionError
from customize.plugins import load
from customize.plugins.asking import asked
from customize.plugins.encoders import NamedEncoder, encoder_of
from customize.plugins.environments import environment_of
from customize.plugins.specs import EnvironmentSpec, Spec
from customize.testing.rules import KINDS
from customize.testing.subject import Subject

_AS_THEY_ARE = (
    "dataset",
    "reader",
    "scorer",
    "environment",
    "index",
    "encoder",
)  # of all others an instance is made


@attrs.frozen
class Candidate:
    """A subject to be made when its first rule is held."""

    kind: str
    label: str
    make: Callable[[], Subject]


class Unmade(Subject):
    """What cannot be made without options: it is held to rules by a call of its own."""

    def __init__(self, spec: Spec, error: OptionError) -> None:
        super().__init__(spec.name)
        self.kind = spec.kind  # type: ignore[misc]  # of no kind that is known beforehand
        self._told = f"needs options: conformance({spec.kind}=…), since {error}"

    def obstacle(self) -> str | None:
        return self._told


def candidates(kind: str, given: Any, on: Any = None) -> Sequence[Candidate]:
    """Who is to be held to rules: the subject, and all that it offers where it is a plugin.

    ``given`` and ``on`` are what ``conformance`` takes for the kind.

    Raises:
        OptionError: there is no such kind, or it is tried on nothing.
    """
    if kind not in KINDS:
        raise OptionError(f"no kind {kind!r}: there are rules for {', '.join(KINDS)}")
    if on is not None and kind in ("model", "dataset", "observer", "index", "encoder"):
        raise OptionError(f"a {kind} is tried on nothing: leave out on={on!r}")
    if kind == "plugin" and not isinstance(on, Mapping | None):
        raise OptionError(f"for a plugin on is {{name it offers: what}} (got {on!r})")
    label = given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)
    own = Candidate(kind, label, lambda: _MAKERS[kind](label, given, on))
    return [own, *_offered(given, on or {})] if kind == "plugin" else [own]


def _offered(module: str, on: Mapping[str, Any]) -> list[Candidate]:
    try:
        specs, _ = asked(import_module(module))
    except Exception:  # the plugin's own rules tell what is wrong with it
        return []
    if unknown := on.keys() - {spec.name for spec in specs}:
        raise OptionError(f"on has {min(unknown)!r}, which {module} does not offer")
    return [Candidate(spec.kind, spec.name, _maker(spec, on.get(spec.name))) for spec in specs]


def _maker(spec: Spec, on: Any) -> Callable[[], Subject]:
    def make() -> Subject:
        target = _imported(spec.target)
        try:
            if isinstance(spec, EnvironmentSpec):
                target = environment_of(spec, _imported)
            if spec.kind == "encoder":
                target = NamedEncoder(spec.name).made_of(target)
            given = target if spec.kind in _AS_THEY_ARE else target()
        except OptionError as error:
            return Unmade(spec, error)
        return _MAKERS[spec.kind](spec.name, given, on)

    return make


def _imported(target: str) -> Any:  # whatever is there
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _backend(label: str, given: Any, on: Any) -> Subject:
    from customize.models import resolve
    from customize.testing.backend_rules.subject import BackendSubject

    return BackendSubject(label, _made("backend", given), None if on is None else resolve(on))


def _method(label: str, given: Any, on: Any) -> Subject:
    from customize.testing.method_rules.subject import MethodSubject

    return MethodSubject(label, _made("method", given), on)


def _exporter(label: str, given: Any, on: Any) -> Subject:
    from customize.testing.exporter_rules.subject import ExporterSubject

    backend = None if on is None else _made("backend", on)
    return ExporterSubject(label, _made("exporter", given), backend)


def _model(label: str, given: Any, on: Any) -> Subject:
    from customize.testing.model_rules.subject import ModelSubject

    return ModelSubject(label, _made("model", given))


def _dataset(label: str, given: Any, on: Any) -> Subject:
    from customize.testing.dataset_rules.subject import DatasetSubject

    made = load("dataset", given) if isinstance(given, str) else given
    return DatasetSubject(label, made if callable(made) else lambda: made)


def _reader(label: str, given: Any, on: Any) -> Subject:
    from customize.testing.reader_rules.subject import ReaderSubject

    read = load("reader", given) if isinstance(given, str) else given
    return ReaderSubject(label, read, None if on is None else Path(on))


def _observer(label: str, given: Any, on: Any) -> Subject:
    from customize.testing.observer_rules.subject import ObserverSubject

    return ObserverSubject(label, _made("observer", given))


def _scorer(label: str, given: Any, on: Any) -> Subject:
    from customize.testing.scorer_rules.subject import ScorerSubject

    return ScorerSubject(label, load("scorer", given) if isinstance(given, str) else given, on)


def _environment(label: str, given: Any, on: Any) -> Subject:
    from customize.rollouts.judged import find_environment
    from customize.testing.environment_rules.subject import EnvironmentSubject

    return EnvironmentSubject(label, find_environment(given), on)


def _index(label: str, given: Any, on: Any) -> Subject:
    from customize.testing.index_rules.subject import IndexSubject

    return IndexSubject(label, load("index", given) if isinstance(given, str) else given)


def _encoder(label: str, given: Any, on: Any) -> Subject:
    from customize.testing.encoder_rules.subject import EncoderSubject

    return EncoderSubject(label, encoder_of(given))


def _plugin(label: str, given: Any, on: Any) -> Subject:
    from customize.testing.plugin_rules.subject import PluginSubject

    return PluginSubject(given)


def _made(kind: str, given: Any) -> Any:  # an instance as it is, or what a name stands for
    return load(kind, given)() if isinstance(given, str) else given


# By kind, from a label, what is given, and what it is tried on.
_MAKERS: dict[str, Callable[[str, Any, Any], Subject]] = {
    "backend": _backend,
    "method": _method,
    "exporter": _exporter,
    "model": _model,
    "dataset": _dataset,
    "reader": _reader,
    "observer": _observer,
    "scorer": _scorer,
    "environment": _environment,
    "index": _index,
    "encoder": _encoder,
    "plugin": _plugin,
}
