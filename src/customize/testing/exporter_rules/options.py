"""Rules about what an exporter is before it runs."""

from __future__ import annotations

from customize.testing.exporter_rules.subject import ExporterSubject
from customize.testing.options import check_declared


def check_exporter_options_are_declared(subject: ExporterSubject) -> None:
    """It is a frozen ``options`` class: every option has a default, help, and bounds if a number.

    A value outside the bounds is refused, and its fields cannot be set.
    """
    check_declared(subject.exporter)
