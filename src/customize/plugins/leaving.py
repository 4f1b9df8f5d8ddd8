"""How a hook, or an argument of one, goes: with a warning for one minor release first."""

from __future__ import annotations


class Leaving(DeprecationWarning):
    """Told to whoever implements a hook, or takes an argument, that is about to go.

    Written where the hook is: ``@hookspec(warn_on_impl=Leaving("customize_old", gone="0.3",
    instead="implement customize_new"))``, or ``warn_on_impl_args={"old": Leaving(...)}``.

    Args:
        what: the hook, or the hook and its argument.
        gone: the minor release that is without it; at least one after the one that warns.
        instead: what to do.
    """

    def __init__(self, what: str, gone: str, instead: str) -> None:
        super().__init__(f"{what} is gone in customize {gone}: {instead}")
        self.gone = gone
