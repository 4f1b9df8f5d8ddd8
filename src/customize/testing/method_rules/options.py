"""Rules about what a method is before it runs."""

from __future__ import annotations

import pickle  # reads only what the same line wrote, to try that a method can be sent

from customize.testing.expecting import expect
from customize.testing.method_rules.subject import MethodSubject
from customize.testing.options import check_declared


def check_method_options_are_declared(subject: MethodSubject) -> None:
    """It is a frozen ``options`` class: every field is an option with help, and with bounds where
    it is a number; a value outside them is refused.
    """
    check_declared(subject.method)


def check_method_pickles(subject: MethodSubject) -> None:
    """It can be sent to another process: what comes out of pickle equals what went in."""
    found = pickle.loads(pickle.dumps(subject.method))
    expect(found == subject.method, f"comes back as {found!r}, not {subject.method!r}")
