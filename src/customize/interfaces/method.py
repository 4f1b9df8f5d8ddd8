"""Methods: what is learnt. A method knows sessions and rows, and no device, dtype or folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs

from customize.interfaces.dataset import Dataset, Row
from customize.interfaces.environment import Environment
from customize.interfaces.renderer import Renderer
from customize.interfaces.session import Session, Snapshot

SECONDS = "_s"  # ends the names of what is logged in seconds, and of nothing else


@attrs.frozen
class Step:
    """One optimizer step that has been taken.

    number: 1 for the first.
    metrics: finite numbers to log, which a second run of the same seed has to the last bit.
    state: JSON values and numpy arrays that a resumed ``train`` needs beyond the session's own
        state; empty when everything is a function of (seed, step, row).
    records: rows of JSON values to keep, by the name of their file in the run folder; each of the
        names is in the method's ``records``.
    seconds: how long things took, by name: logged as ``NAME_s``, and another in every run.
    """

    number: int
    metrics: Mapping[str, float]
    state: Mapping[str, Any] = attrs.field(factory=dict)
    records: Mapping[str, Sequence[Mapping[str, Any]]] = attrs.field(factory=dict)
    seconds: Mapping[str, float] = attrs.field(factory=dict)

    @property
    def logged(self) -> dict[str, float]:
        """Metrics, and seconds under the names that end in ``_s``."""
        return {**self.metrics, **{name + SECONDS: value for name, value in self.seconds.items()}}


class Method(ABC):
    """An algorithm as a loop over a session's primitives; its fields are its options.

    Write it as an ``options`` class. Everything random is a function of (session.seed, step, row),
    so that a killed run goes on bit for bit.
    """

    data: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    records: ClassVar[tuple[str, ...]] = ()

    def needed(self) -> frozenset[str]:
        """What this instance needs of a backend: ``needs``, and what its options add."""
        return self.needs

    @abstractmethod
    def num_steps(self, data: Dataset) -> int:
        """How many steps ``train`` will take."""

    @abstractmethod
    def train(self, session: Session, data: Dataset, resume: Step | None = None) -> Iterator[Step]:
        """Yield after every optimizer step, with nothing outstanding but that step's operations.

        ``resume`` is the last step that was saved: go on with the next.

        Raises:
            DataError: nothing can be learnt from these rows; before the first step.
        """

    def check_rows(self, data: Dataset) -> None:
        """What ``train`` asks first.

        Raises:
            DataError: there are no rows, or they are of another kind.
        """
        from customize._errors import DataError

        name = type(self).__name__
        if data.kind != self.data:
            raise DataError(f"{name} learns from {self.data} rows (got {data.kind} rows)")
        if len(data) == 0:
            raise DataError("there are no rows to learn from")

    def check_ahead(  # noqa: B027  # most have nothing to refuse
        self, rows: Dataset, renderer: Renderer, context: int | None
    ) -> None:
        """Refuse what would be refused later, as rows that are too long once they are tokens.

        A new run asks this of the rows of all its stages, and of the held-out rows it measures on
        meanwhile, before the first step of the first. ``context``: tokens that the model holds,
        where that is known.

        Raises:
            DataError: rows cannot be used.
            OptionError: what an option names is not there.
            Unsupported: what it needs cannot be used here.
        """

    def played(self) -> Environment | None:
        """What it plays its rows in, to evaluate the run by: None where it plays none, or where its
        options ``environment``, or ``reward``, ``tools`` and ``seconds``, say it.

        Raises:
            OptionError, UnknownName: what an option names cannot be used.
        """
        return None

    def retake(
        self,
        session: Session,
        number: int,
        total: int,
        records: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> Step:
        """Take step ``number`` of ``total`` again from what it recorded, in a session as it was
        before that step, with the same metrics.

        Raises:
            Unsupported: this method records nothing.
        """
        from customize._errors import Unsupported

        raise Unsupported(f"{type(self).__name__} keeps no records to take a step from")

    def validate(self, snapshot: Snapshot, rows: Dataset) -> Mapping[str, float]:
        """Metrics on held-out rows; the first is the one ``keep_best`` and ``patience`` minimise.

        While a run measures, ``snapshot`` is its session, with the snapshots ``train`` has named.

        Raises:
            Unsupported: this method has no such measure.
        """
        from customize._errors import Unsupported

        raise Unsupported(
            f"{type(self).__name__} has no validate: leave out evaluate_every, keep_best, patience"
        )

    def examples(self, held_out: Dataset) -> Dataset | Sequence[Row]:
        """The rows on which a finished run is evaluated: those held out, unless ``train`` learns
        of rows that it makes of what it is given.
        """
        return held_out

    def keep_beside(  # noqa: B027  # most keep nothing
        self, session: Session, data: Dataset, folder: Path
    ) -> None:
        """Write into ``folder`` what the weights are used with, such as an index.

        Called when ``train`` is done. Nothing is kept unless a method has this.
        """
