"""Rules about what an exporter is before it runs."""

from __future__ import annotations

from customize.testing.exporter_rules.subject import ExporterSubject
from customize.testing.options import check_declared


def check_exporter_options_are_declared(subject: ExporterSubject) -> None:
    """It is a frozen ``options`` class: every field is an option with help, and with bounds where
    it is a number; a value outside them is refused.
    """
    check_declared(subject.exporter)
