"""Files read in a process of its own, which is killed when it takes too long. Knows no format."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from customize._errors import DataError, MissingDependency
from customize.interfaces.index import Heading

_MOST_BYTES = 2**27  # of an answer
_START_S = 60.0


class Apart:
    """One process at a time, begun when it is needed. To be closed."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *raised: object) -> None:
        self._end()

    def read(self, path: Path, suffix: str) -> tuple[str, tuple[Heading, ...]]:
        """The text and headings of a file.

        Raises:
            DataError: it cannot be read, or not in time.
            MissingDependency: a package is not installed.
        """
        try:
            answer = self._ask({"path": str(path), "suffix": suffix})
        except TimeoutError:
            self._end()
            told = f"reading it takes more than {self._timeout_s:g} s"
            raise DataError(f"{told}: raise timeout_s, or save it as text") from None
        except (OSError, ValueError) as error:
            self._end()
            raise DataError(f"reading it ends the process that does ({error})") from None
        if answer.get("fault") == "MissingDependency":
            raise MissingDependency(answer["told"])
        if "fault" in answer:
            raise DataError(answer["told"])
        return answer["text"], tuple(Heading(*heading) for heading in answer["headings"])

    def _ask(self, asked: dict[str, str]) -> dict[str, Any]:
        if self._process is None:
            self._process = _begun()
            self._line(time.monotonic() + _START_S)  # it says that it is there
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line(time.monotonic() + self._timeout_s))
        return answer

    def _line(self, deadline: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        pieces, length = [b""], 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not pieces[-1].endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                pieces.append(os.read(self._process.stdout.fileno(), 2**20))
                length += len(pieces[-1])
                if not pieces[-1] or length > _MOST_BYTES:
                    raise OSError("it crashed" if not pieces[-1] else "it said too much")
        return b"".join(pieces)

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()
        self._process.wait()
        self._process = None


def _begun() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "customize.retrieval.documents.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
