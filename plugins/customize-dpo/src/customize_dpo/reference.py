"""The reference: near which model the policy stays, and what that says. Knows no loss."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from customize import Session, Snapshot, Unsupported
from customize_dpo.pairs import Floats, Numbers, Pairs

_NAME = "reference"


class Reference:
    """``base``, or the model as it is when training begins, ``start``: a named snapshot of it."""

    def __init__(self, which: str) -> None:
        self._which = which
        self._is_base = which == "base"
        self._held_out: WeakKeyDictionary[Session, dict[str, Floats]] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[object, ...]:
        """Without what was computed, which belongs to sessions of this process."""
        return Reference, (self._which,)

    @property
    def needs(self) -> str:
        """The capability of a backend that it takes."""
        return "base" if self._is_base else "snapshot"

    def begin(self, session: Session, pairs: Pairs) -> dict[str, Any]:
        """What it says of the answers, and, where that is the same, what the start does."""
        if self._is_base:
            return {"reference_logprobs": pairs.logprobs(session.base())}
        said = pairs.logprobs(session.snapshot(_NAME))
        return {"reference_logprobs": said, "chosen_began": pairs.means_of_chosen(said)}

    def forget(self, session: Session) -> None:
        """Another training begins, whose start is another."""
        self._held_out.pop(session, None)

    def of_held_out(self, snapshot: Snapshot, pairs: Pairs) -> tuple[Floats, Numbers | None]:
        """The same of held-out pairs, computed once for each session and training.

        Raises:
            Unsupported: it is no session, which alone knows its reference.
        """
        if not isinstance(snapshot, Session):
            raise Unsupported("a reference is needed: validate the session that was trained")
        kept = self._held_out.setdefault(snapshot, {})
        if pairs.fingerprint not in kept:
            said_by = snapshot.base() if self._is_base else snapshot.named_snapshot(_NAME)
            kept[pairs.fingerprint] = pairs.logprobs(said_by)
        said = kept[pairs.fingerprint]
        return said, None if self._is_base else pairs.means_of_chosen(said)
