"""Specs: what a plugin says it provides, without loading it. Knows nothing of finding plugins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar, get_args

import attrs

from customize._errors import PluginError
from customize.interfaces.dataset import Kind

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_SUFFIX = re.compile(r"\.[a-z0-9]+")
CORE_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"})
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def _check_name(instance: object, attribute: object, value: str) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise PluginError(f"a name is lower case letters, digits and dashes (got {value!r})")


def _check_target(instance: object, attribute: object, value: str) -> None:
    if not isinstance(value, str) or not _TARGET.fullmatch(value):
        raise PluginError(f"a target reads 'package.module:Name' (got {value!r})")


def _check_summary(instance: object, attribute: object, value: str) -> None:
    if not isinstance(value, str) or not value.strip() or "\n" in value:
        raise PluginError(f"a summary is one line of text (got {value!r})")


def _check_suffixes(instance: object, attribute: object, values: frozenset[str]) -> None:
    for suffix in values:
        if not isinstance(suffix, str) or not _SUFFIX.fullmatch(suffix):
            raise PluginError(
                f"a suffix is a dot and lower case letters, as .xlsx (got {suffix!r})"
            )
    if taken := values & CORE_SUFFIXES:
        raise PluginError(f"{min(taken)} files are read by customize itself: take another suffix")
    if not values:
        raise PluginError("a reader needs at least one suffix, as suffixes={'.xlsx'}")


def _frozenset(values: Iterable[str]) -> frozenset[str]:
    if isinstance(values, str):
        raise PluginError(f"a set of texts is needed, as {{{values!r}}} (got {values!r})")
    return frozenset(values)


def _check_kind_of_rows(instance: object, attribute: object, value: str) -> None:
    if value not in get_args(Kind):
        raise PluginError(f"data is one of {', '.join(get_args(Kind))} (got {value!r})")


def _check_truth(instance: object, attribute: attrs.Attribute[bool], value: bool) -> None:
    if not isinstance(value, bool):
        raise PluginError(f"{attribute.name} is True or False (got {value!r})")


def _check_priority(instance: object, attribute: object, value: int) -> None:
    if not isinstance(value, int):
        raise PluginError(f"priority is a whole number (got {value!r})")


@attrs.frozen(kw_only=True)
class Spec:
    """A thing that can be loaded by name; ``target`` is its import string."""

    kind: ClassVar[str]
    name: str = attrs.field(validator=_check_name)
    target: str = attrs.field(validator=_check_target)
    summary: str = attrs.field(validator=_check_summary)

    @property
    def targets(self) -> tuple[str, ...]:
        """Every import string of it."""
        return (self.target,)


@attrs.frozen(kw_only=True)
class MethodSpec(Spec):
    """data: the kind of rows it learns from. needs: the primitives it calls."""

    kind: ClassVar[str] = "method"
    data: str = attrs.field(validator=_check_kind_of_rows)
    needs: frozenset[str] = attrs.field(converter=_frozenset)


@attrs.frozen(kw_only=True)
class BackendSpec(Spec):
    """priority: the highest that can run here is what ``backend="auto"`` takes.

    elsewhere: it begins or reaches other processes or machines, as of a cluster or a service; then
    nothing tries it unless it is named.
    """

    kind: ClassVar[str] = "backend"
    priority: int = attrs.field(default=0, validator=_check_priority)
    elsewhere: bool = attrs.field(default=False, validator=_check_truth)


@attrs.frozen(kw_only=True)
class ExporterSpec(Spec):
    """An export format."""

    kind: ClassVar[str] = "exporter"


@attrs.frozen(kw_only=True)
class ModelSpec(Spec):
    """A model by name. hub: what the same weights are called on the hub, for model cards."""

    kind: ClassVar[str] = "model"
    hub: str | None = None


@attrs.frozen(kw_only=True)
class DatasetSpec(Spec):
    """A data set by name; ``target()`` gives its rows: a file's path, dicts, or a Dataset."""

    kind: ClassVar[str] = "dataset"


@attrs.frozen(kw_only=True)
class ReaderSpec(Spec):
    """A file format; ``target(path)`` gives the rows of a file that ends in one of ``suffixes``."""

    kind: ClassVar[str] = "reader"
    suffixes: frozenset[str] = attrs.field(converter=_frozenset, validator=_check_suffixes)


@attrs.frozen(kw_only=True)
class ObserverSpec(Spec):
    """One who is told of the runs that name it; ``always``: of every run, named or not."""

    kind: ClassVar[str] = "observer"
    always: bool = False


@attrs.frozen(kw_only=True)
class ScorerSpec(Spec):
    """A scorer by name: ``target`` is a `Scorer`, or a function from (text, row) to a score."""

    kind: ClassVar[str] = "scorer"


@attrs.frozen(kw_only=True)
class EnvironmentSpec(Spec):
    """An environment by name: ``target`` is an `Environment`, or a generator of (row, rng).

    data: ``data()`` gives the rows that it is played on, as a data set's target does; it is given
    those of the environment's options that it takes. options: an ``options`` class whose fields
    are the generator's parameters after rng. isolate: it plays in a process of its own.
    """

    kind: ClassVar[str] = "environment"
    data: str | None = attrs.field(default=None, validator=attrs.validators.optional(_check_target))
    options: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(_check_target)
    )
    isolate: bool = attrs.field(default=False, validator=_check_truth)

    @property
    def targets(self) -> tuple[str, ...]:
        """Its own, and those of its rows and options."""
        return tuple(filter(None, (self.target, self.data, self.options)))


@attrs.frozen(kw_only=True)
class IndexSpec(Spec):
    """An `Index` by name; ``target()`` is an empty one."""

    kind: ClassVar[str] = "index"


@attrs.frozen(kw_only=True)
class EncoderSpec(Spec):
    """An `Encoder` by name; ``target`` is its class, made by `options`.

    An index says by this name whose vectors it has, so that who opens it need not.
    """

    kind: ClassVar[str] = "encoder"


KINDS: dict[str, type[Spec]] = {
    spec.kind: spec
    for spec in (
        MethodSpec,
        BackendSpec,
        ExporterSpec,
        ModelSpec,
        DatasetSpec,
        ReaderSpec,
        ObserverSpec,
        ScorerSpec,
        EnvironmentSpec,
        IndexSpec,
        EncoderSpec,
    )
}


def plural(kind: str) -> str:
    """The name of many of a kind: ``indexes``, ``methods``."""
    return f"{kind}es" if kind.endswith("x") else f"{kind}s"
