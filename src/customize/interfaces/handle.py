"""Work that a backend was asked for, and what comes of it."""

from __future__ import annotations

from typing import Generic, NoReturn, Protocol, TypeVar

import attrs

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Handle(Protocol[T_co]):
    """Work that was asked for: done already in process, a future on a service."""

    def result(self) -> T_co:
        """Wait for the value, or raise what went wrong."""

    def done(self) -> bool:
        """Whether ``result`` returns at once."""


@attrs.frozen
class Done(Generic[T]):
    """A handle whose work is finished."""

    value: T

    def result(self) -> T:
        return self.value

    def done(self) -> bool:
        return True


@attrs.frozen
class Failed:
    """A handle whose work failed."""

    error: Exception

    def result(self) -> NoReturn:
        raise self.error

    def done(self) -> bool:
        return True


@attrs.frozen
class After(Generic[T]):
    """A value that is at hand, once other work went well."""

    work: Handle[object]
    value: T

    def result(self) -> T:
        self.work.result()
        return self.value

    def done(self) -> bool:
        return self.work.done()
