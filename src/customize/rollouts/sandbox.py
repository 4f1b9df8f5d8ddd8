"""Where programs run that a model wrote: bubblewrap, or nowhere. Knows no tool.

A program sees an interpreter, the system's own programs and libraries in /usr, a few megabytes of
/tmp and nothing else: no other file, no network, no variable, no other process. What is refused is
not a list of bad programs, but all that is not given.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence, Set
from functools import cache
from pathlib import Path
from typing import IO, Any

import attrs

from customize._errors import Unsupported

_NOBODY = 65534
_BEGUN = "\x1e"  # said before the program begins: without it the sandbox itself has failed
_MEGABYTE = 2**20
_LIMITS = {
    "RLIMIT_AS": 1024 * _MEGABYTE,
    "RLIMIT_FSIZE": 16 * _MEGABYTE,
    "RLIMIT_NPROC": 64,
    "RLIMIT_CORE": 0,
}
# Becomes the interpreter of the program, which comes by standard input.
_BEGIN = f"""
import os, resource, sys
for name, most in {_LIMITS}.items():
    resource.setrlimit(getattr(resource, name), (most, most))
os.write(1, {_BEGUN.encode()!r})
os.execv(sys.executable, [sys.executable, "-s", "-B", "-"])
"""
_LOOK = """
import json, os, socket
try:
    open("/written", "w")
    written = True
except OSError:
    written = False
print(json.dumps({
    "user": os.getuid(), "variables": sorted(os.environ), "files": sorted(os.listdir("/")),
    "networks": [name for _, name in socket.if_nameindex()], "written": written,
}))
"""
_SEEN = frozenset({"bin", "dev", "etc", "lib", "lib64", "sbin", "tmp", "usr"})
_VARIABLES = {"PYTHONHASHSEED", "PWD", "LC_CTYPE"}  # the last two are set in there
_INSTALL = "install bubblewrap 0.8 or newer: apt-get install bubblewrap (or dnf, pacman, apk add)"


class SandboxFailed(OSError):
    """The sandbox did not begin: no fault of the program's."""


class OutOfTime(Exception):
    """The program ran longer than it may."""


@attrs.frozen
class Ran:
    """What a program printed, errors too. cut: it printed more, and was ended. code: its exit."""

    output: str
    cut: bool
    code: int


@attrs.frozen
class Sandbox:
    """Runs Python programs. output_bytes: of what is printed, at most."""

    seconds: float = 5.0
    output_bytes: int = 16_000

    def run(self, program: str) -> Ran:
        """Run it, from an empty /tmp.

        Raises:
            OutOfTime: it ran longer than ``seconds``; it is gone, and all that it began.
            SandboxFailed: there is no sandbox.
        """
        with tempfile.TemporaryFile() as source:
            source.write(program.encode("utf-8", "replace"))
            source.seek(0)
            process = subprocess.Popen(
                _command(),
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={},
                cwd="/",
                **_as_nobody(),
            )
            try:
                return self._heard(process)
            finally:
                process.kill()  # the first process in there, with which all others end
                process.wait()
                assert process.stdout is not None
                process.stdout.close()

    def _heard(self, process: subprocess.Popen[bytes]) -> Ran:
        assert process.stdout is not None
        deadline = time.monotonic() + self.seconds
        said, cut = _read(process.stdout, deadline, self.output_bytes)
        try:
            code = -1 if cut else process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise OutOfTime from None
        text = said.decode("utf-8", "replace")
        if not text.startswith(_BEGUN):
            raise SandboxFailed(text.strip() or f"it ended with {code}")
        return Ran(text.removeprefix(_BEGUN), cut, code)


@cache
def obstacle() -> str | None:
    """Why programs cannot be isolated here, or None: found out by a program that looks around."""
    if not sys.platform.startswith("linux"):
        return "programs are isolated by bubblewrap, which is for Linux alone"
    if shutil.which("bwrap") is None:
        return f"there is no bwrap to isolate programs with: {_INSTALL}"
    try:
        allowed = _SEEN | {Path(folder).parts[1] for folder in _interpreter()[1]}
    except Unsupported as error:
        return str(error)
    try:
        seen = json.loads(Sandbox(seconds=20.0).run(_LOOK).output)
    except (OSError, ValueError, OutOfTime) as error:
        return f"bwrap does not isolate here ({error or 'it hangs'}): {_INSTALL}"
    return leak(seen, allowed)


def leak(seen: Mapping[str, Any], allowed: Set[str] = _SEEN) -> str | None:
    """What a program sees or does that it must not. allowed: of what is in /."""
    wrong = [
        *(["it is not nobody"] if seen["user"] != _NOBODY else []),
        *(f"it sees the variable {name}" for name in {*seen["variables"]} - _VARIABLES),
        *(f"it sees /{name}" for name in {*seen["files"]} - allowed),
        *(f"it sees the network {name}" for name in {*seen["networks"]} - {"lo"}),
        *(["it writes outside of /tmp"] if seen["written"] else []),
    ]
    return f"bwrap does not isolate here: {', '.join(sorted(wrong))}" if wrong else None


def _command() -> list[str]:
    executable, folders = _interpreter()
    command = shutil.which("bwrap")
    if command is None:
        raise SandboxFailed(f"there is no bwrap: {_INSTALL}")
    bound = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib64"):
        bound += _of_the_system(Path("/", name))
    for folder in folders:
        bound += ["--ro-bind", folder, folder]
    return [
        command,
        *("--unshare-all", "--unshare-user", "--disable-userns"),
        *("--uid", str(_NOBODY), "--gid", str(_NOBODY), "--cap-drop", "ALL"),
        *("--die-with-parent", "--new-session"),
        *("--clearenv", "--setenv", "PYTHONHASHSEED", "0"),
        *bound,
        *("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"),
        *("--dev", "/dev", "--remount-ro", "/dev"),
        *("--size", str(16 * _MEGABYTE), "--tmpfs", "/tmp"),  # in there, not here
        *("--chdir", "/tmp", "--remount-ro", "/"),
        *(executable, "-I", "-S", "-B", "-c", _BEGIN),
    ]


def _of_the_system(folder: Path) -> list[str]:
    """A link into /usr, or a folder of its own where the system has not merged them."""
    if folder.is_symlink():
        return ["--symlink", os.readlink(folder), str(folder)]
    return ["--ro-bind", str(folder), str(folder)] if folder.is_dir() else []


def _interpreter() -> tuple[str, Sequence[str]]:
    """A Python, and the folders that it needs beside /usr.

    Raises:
        Unsupported: root has the only one for itself.
    """
    own = Path(sys.executable).resolve()
    beside = [] if own.is_relative_to("/usr") else [sys.base_prefix]
    for executable, folders in ((own, beside), (Path("/usr/bin/python3"), [])):
        if executable.exists() and _others_may_read(executable):
            return str(executable), folders
    raise Unsupported(f"{own} is for root alone: programs of a model are not run by root")


def _others_may_read(file: Path) -> bool:
    if os.geteuid() != 0:
        return True
    return all(place.stat().st_mode & 0o001 for place in (file, *file.parents))


def _as_nobody() -> dict[str, Any]:
    """Root gives up what it is before there is a namespace."""
    if os.geteuid() != 0:
        return {}
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}


def _read(stream: IO[bytes], deadline: float, most: int) -> tuple[bytes, bool]:
    """What comes until the end, and whether more would have come than ``most``.

    Raises:
        OutOfTime: the deadline came first.
    """
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while len(said) <= most:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise OutOfTime
            more = os.read(stream.fileno(), 2**16)
            if not more:
                return said, False
            said += more
    return said[:most], True
