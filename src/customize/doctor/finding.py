"""What the doctor found: a line for a person, a value for a bug report. Finds nothing itself."""

from __future__ import annotations

from typing import Literal

import attrs

# ok: as it must be. absent: not here, and nobody needs it. warning: works, and could be better.
Status = Literal["ok", "absent", "warning", "fault"]


@attrs.frozen
class Finding:
    """fix: what to do, where something is to be done."""

    what: str
    status: Status
    told: str
    fix: str = ""
