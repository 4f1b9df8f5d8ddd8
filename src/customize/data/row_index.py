"""Where the good rows of a file lie: eight bytes a row. Knows nothing of what rows hold."""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Sequence

import attrs

from customize.data.faults import ReadReport
from customize.data.lines import Line


@attrs.frozen(eq=False)
class RowIndex:
    """Byte offsets of the good rows, and the line of each, kept only where lines are skipped."""

    offsets: Sequence[int]
    jump_rows: Sequence[int]
    jump_lines: Sequence[int]

    def line(self, row: int) -> int:
        """The line number of a row, counted from 1."""
        jump = bisect.bisect_right(self.jump_rows, row) - 1
        if jump < 0:
            return row + 1
        return self.jump_lines[jump] + row - self.jump_rows[jump]


class GrowingIndex:
    """A `RowIndex` while the file is passed over; ``rows`` sees every row added so far."""

    def __init__(self) -> None:
        self._offsets, self._jump_rows, self._jump_lines = array("q"), array("q"), array("q")
        self.rows = RowIndex(self._offsets, self._jump_rows, self._jump_lines)

    def add(self, line: Line) -> None:
        row = len(self._offsets)
        if line.number != self.rows.line(row):
            self._jump_rows.append(row)
            self._jump_lines.append(line.number)
        self._offsets.append(line.offset)


@attrs.frozen(eq=False)
class Found:
    """What one pass over a file found. ``format`` is a name; ``sha256`` is of the whole file."""

    format: str
    kind: str
    sha256: str
    report: ReadReport
    index: RowIndex
