"""Signs of life, without which a service ends a session. Knows no operation."""

from __future__ import annotations

import threading
import weakref

from customize import BackendError
from customize_tinker.client.connection import Connection, Refused

_BEAT_S = 10.0
_OVER = (404, 410)  # a service that has no such call, or is done with the session


def keep_alive(owner: object, connection: Connection, session_id: str) -> None:
    """Until the owner is gone. connection: used by nobody else, since this is another thread."""
    stopped = threading.Event()
    weakref.finalize(owner, stopped.set)
    threading.Thread(
        target=_beat, args=(connection, session_id, stopped), name="tinker-heart", daemon=True
    ).start()


def _beat(connection: Connection, session_id: str, stopped: threading.Event) -> None:
    while not stopped.wait(_BEAT_S):
        try:
            connection.told("session_heartbeat", {"session_id": session_id})
        except Refused as refused:
            if refused.status in _OVER:
                break
        except BackendError:
            continue  # an operation will tell
    connection.close()
