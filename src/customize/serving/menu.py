"""What is served, by name. Knows neither requests nor where a model came from."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Mapping, Sequence

import attrs

from customize._errors import OptionError, Unsupported
from customize.data.rendering import ChatRenderer
from customize.interfaces.runtime import Runtime
from customize.retrieval.library import Library
from customize.serving.desk import Desk
from customize.serving.limits import Limits
from customize.serving.refusal import Refusal


@attrs.frozen(eq=False)
class Served:
    """One name: the desk of its runtime, and which of its adapters; None is none of them.

    library: the documents that its chats are answered from.
    """

    name: str
    desk: Desk
    adapter: str | None
    library: Library | None

    @property
    def renderer(self) -> ChatRenderer:
        renderer = self.desk.runtime.renderer
        assert isinstance(renderer, ChatRenderer)  # looked at when the menu was made
        return renderer

    @property
    def context(self) -> int:
        return self.desk.runtime.context


@attrs.frozen
class Offer:
    """A name under which a runtime's adapter is to be served, and the documents it answers from."""

    name: str
    runtime: Runtime
    adapter: str | None = None
    library: Library | None = None


class Menu:
    """Every served model; those of one runtime share its desk."""

    def __init__(self, offers: Sequence[Offer], limits: Limits) -> None:
        """Names differ.

        Raises:
            Unsupported: a runtime without a chat template.
            OptionError: more answers at once than any of the runtimes can give.
        """
        for offer in offers:
            if not isinstance(offer.runtime.renderer, ChatRenderer):
                raise Unsupported(f"{offer.name} has no chat template and tokenizer of its own")
        self.made = int(time.time())
        runtimes = {id(offer.runtime): offer.runtime for offer in offers}
        _check_slots(runtimes.values(), limits)
        self._desks = {key: Desk(runtime, limits) for key, runtime in runtimes.items()}
        self._served: Mapping[str, Served] = {
            o.name: Served(o.name, self._desks[id(o.runtime)], o.adapter, o.library) for o in offers
        }

    @property
    def names(self) -> list[str]:
        return list(self._served)

    @property
    def desks(self) -> list[Desk]:
        return list(self._desks.values())

    def find(self, name: str) -> Served:
        """Raises Refusal where nothing of that name is served."""
        if name not in self._served:
            near = difflib.get_close_matches(name[:80], self._served, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            reason = f"no model {name[:80]!r} is served here: {', '.join(self._served)}{meant}"
            raise Refusal(404, reason, param="model", code="model_not_found")
        return self._served[name]

    def close(self) -> None:
        """End every runtime."""
        for desk in self.desks:
            desk.close()


def _check_slots(runtimes: Iterable[Runtime], limits: Limits) -> None:
    most = max((runtime.slots for runtime in runtimes), default=0)
    if limits.slots is not None and limits.slots > most:
        raise OptionError(
            f"slots must be at most {most} (got {limits.slots}): what is served here gives no more "
            "answers at once; leave it out to have as many"
        )
