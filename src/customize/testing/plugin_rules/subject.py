"""A plugin under test: the light module of its entry point. Knows no rule."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import ClassVar

from customize.interfaces.observer import ObservedRun
from customize.plugins.asking import asked
from customize.plugins.distributions import GROUP
from customize.plugins.specs import Spec
from customize.testing.subject import Subject

_RECIPE = {"model": "toy", "data": "rows.jsonl", "method": "sft", "options": {}, "backend": "toy"}
_LINEAGE = {"model": "toy", "data": "0" * 64, "backend": "toy", "versions": {}, "processor": "any"}


class PluginSubject(Subject):
    """The module that an entry point names."""

    kind: ClassVar[str] = "plugin"

    def __init__(self, module: str) -> None:
        super().__init__(module)
        self.module = module

    @functools.cached_property
    def _answers(self) -> tuple[list[Spec], list[str]]:
        return asked(import_module(self.module))

    @property
    def specs(self) -> Sequence[Spec]:
        """All that its hooks yield."""
        return self._answers[0]

    @property
    def faults(self) -> Sequence[str]:
        """What went wrong when its hooks were asked."""
        return self._answers[1]

    @functools.cached_property
    def faults_before_a_run(self) -> Sequence[str]:
        """What went wrong when it was asked who observes a run."""
        run = ObservedRun(self.folder(), _RECIPE, _LINEAGE)
        return asked(import_module(self.module), run)[1]

    @functools.cached_property
    def distributions(self) -> Sequence[str]:
        """Installed distributions with an entry point to this module."""
        found = metadata.entry_points(group=GROUP, value=self.module)
        return sorted({entry.dist.name for entry in found if entry.dist is not None})
