"""What the control groups of this process allow, where Linux has such: memory and processors.

A group is allowed no more than each one around it, so the least counts. Both versions are read:
https://docs.kernel.org/admin-guide/cgroup-v2.html and …/cgroup-v1/memory.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

_GROUPS = "sys/fs/cgroup"


def room_bytes(root: Path = Path("/")) -> float | None:
    """Bytes that this process may still take by its groups; None without a limit.

    What a group has read of files is counted as used, and is given up when memory is wanted.
    """
    free = [
        *_left(_folders("", root), "memory.max", "memory.current", "inactive_file"),
        *_left(
            _folders("memory", root),
            *("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ]
    return min(free, default=None)


def processors(root: Path = Path("/")) -> float | None:
    """Processors that the groups allow, in parts of one too; None without a limit."""
    allowed = [text_of(folder / "cpu.max").split() for folder in _folders("", root)]
    allowed += [
        [text_of(folder / f"cpu.cfs_{what}_us") for what in ("quota", "period")]
        for folder in _folders("cpu", root)
    ]
    shares = [
        int(told[0]) / int(told[1])
        for told in allowed
        if len(told) == 2 and all(number.isdigit() for number in told)
    ]
    return min(shares, default=None)


def _left(folders: Iterator[Path], limit: str, used: str, given_up: str) -> Iterator[float]:
    """Of each group that has a limit, by the names that a version has for it."""
    for folder in folders:
        allowed, held = text_of(folder / limit), text_of(folder / used)
        if allowed.isdigit() and held.isdigit():
            cached = float(_numbers(text_of(folder / "memory.stat")).get(given_up, "0"))
            yield float(allowed) - float(held) + cached


def _numbers(text: str) -> Mapping[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


def _folders(controller: str, root: Path) -> Iterator[Path]:
    """Of the group that this process is in and of those around it, the outermost last; of the
    second version where no controller is named.

    A container sees its own group as the outermost, and may be told a path from further out: what
    of that is not there says nothing.
    """
    path = _path(controller, root)
    base = root / _GROUPS / controller
    inner = base / path.lstrip("/")
    while inner != base:
        yield inner
        inner = inner.parent
    yield base


def _path(controller: str, root: Path) -> str:
    """Of the group, as ``number:controllers:path`` tells it; the outermost where it does not."""
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def text_of(file: Path) -> str:
    """What the system says there; nothing where it does not."""
    try:
        return file.read_text("utf-8").strip()
    except OSError:
        return ""
