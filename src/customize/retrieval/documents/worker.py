"""The other side of `apart`: ``python -P -m customize.retrieval.documents.worker`` reads files.

A line of JSON comes, a line of JSON goes. Its memory is bounded; it writes, moves and deletes no
file, opens no connection, and starts and ends no process, whatever code a file might reach.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import attrs

from customize._errors import CustomizeError
from customize.retrieval.documents.formats import checked, content_of, reader_apart

_MOST_MEMORY = 2**31  # bytes
# Beginnings of the names of Python's audit events.
_REFUSED = (
    *("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn"),
    *("os.startfile", "os.kill", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink"),
    *("os.link", "os.truncate", "os.chmod", "os.chown", "os.chflags", "os.utime", "os.setxattr"),
    *("os.removexattr", "shutil.", "sqlite3."),
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def main() -> None:
    """Serve until the input ends."""
    lines = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a reader prints must not stand among the answers
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _limit_memory()
    sys.addaudithook(_refuse)
    serve(lines, answers)


def serve(lines: IO[str], answers: IO[str]) -> None:
    """Say that one is there, then answer each line."""
    answers.write("{}\n")
    answers.flush()
    for line in lines:
        asked = json.loads(line)
        answers.write(json.dumps(_answer(asked["path"], asked["suffix"])) + "\n")
        answers.flush()


def _answer(path: str, suffix: str) -> dict[str, Any]:
    try:
        draft = reader_apart(suffix)(content_of(Path(path)))
        headings = [attrs.astuple(heading) for heading in draft.headings]
        return {"text": checked(draft.text), "headings": headings}
    except CustomizeError as error:
        return {"fault": type(error).__name__, "told": str(error)}
    except MemoryError:
        return {"fault": "DataError", "told": f"reading it takes more than {_MOST_MEMORY} bytes"}
    except OSError as error:
        return {"fault": "DataError", "told": error.strerror or str(error)}
    except Exception as error:  # parsers meet damage with many exceptions
        return {"fault": "DataError", "told": f"it is damaged: {type(error).__name__}: {error}"}


def _limit_memory() -> None:
    with suppress(ImportError):  # Windows has none
        import resource

        for limit, most in ((resource.RLIMIT_AS, _MOST_MEMORY), (resource.RLIMIT_FSIZE, 0)):
            with suppress(ValueError, OSError):  # a lower limit is set already
                resource.setrlimit(limit, (most, most))


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(_REFUSED):
        raise PermissionError(f"{event}: a reader of documents may not")
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
        raise PermissionError(f"it would write {arguments[0]}")


if __name__ == "__main__":
    main()
