"""Programs of a model: what they see, what they cannot do, and the refusal where none is apart."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playing import ROW, play

import customize
from customize import BadCall, Unsupported, judged
from customize.rollouts import sandbox
from customize.rollouts.sandbox import OutOfTime, Sandbox, obstacle

OBSTACLE = obstacle()
isolated = pytest.mark.skipif(OBSTACLE is not None, reason=str(OBSTACLE))


def right(completion: str, answer: str) -> float:
    return float(completion == answer)


@isolated
def test_a_program_prints_and_its_errors_are_read() -> None:
    assert customize.python("print(6 * 7)") == "42"
    told = customize.python("print('first')\n1 / 0")
    assert told.startswith("first\nTraceback")
    assert told.endswith("ZeroDivisionError: division by zero\n[exit code 1]")
    assert customize.python("print({'a', 'b', 'c'})") == customize.python("print({'a', 'b', 'c'})")


@isolated
def test_nothing_of_the_machine_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    monkeypatch.setenv("API_KEY", "hidden")
    told = customize.python(
        "import os\n"
        f"print(os.path.exists({str(tmp_path)!r}), os.path.exists('/proc'), os.getuid())\n"
        "print(os.environ.get('API_KEY'), os.listdir('/tmp'), os.listdir('/etc'))\n"
        "for place in ('/here', '/usr/here', '/dev/shm/here'):\n"
        "    try: open(place, 'w')\n"
        "    except OSError as error: print(error.errno)\n"
    )
    assert told.splitlines() == [
        "False False 65534",
        "None [] ['ld.so.cache']",
        *["30"] * 3,  # a file system that is only read
    ]
    customize.python("open('/tmp/left', 'w').write('x')")
    assert customize.python("import os; print(os.listdir('/tmp'))") == "[]"


@isolated
def test_there_is_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        told = customize.python(
            f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
        )
    assert "ConnectionRefusedError" in told


@isolated
@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("x = bytearray(2**31)", "MemoryError"),
        ("open('/tmp/x', 'wb').write(bytes(2**25))", "Error"),
        ("import os\nwhile True: os.fork()", "BlockingIOError"),
        (
            "import ctypes; print(ctypes.CDLL(None).unshare(0x10000000))",
            "-1",
        ),  # a namespace of its own
        ("import os; os.setuid(0)", "Error"),
        ("import os; os.kill(os.getpid(), 9)", "[exit code 137]"),
    ],
)
def test_what_a_program_may_take_is_limited(program: str, told: str) -> None:
    assert told in customize.python(program)


@isolated
@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "import os, time\nos.close(1); os.close(2)\ntime.sleep(600)",
        "import os, time\nif os.fork(): time.sleep(600)\nos.setsid(); time.sleep(600)",
    ],
)
def test_one_that_does_not_end_is_ended(program: str) -> None:
    began = time.monotonic()
    with pytest.raises(OutOfTime):
        Sandbox(seconds=0.5).run(program)
    assert time.monotonic() - began < 60


@isolated
def test_one_that_prints_without_end_is_cut() -> None:
    ran = Sandbox(output_bytes=1000).run("while True: print('x' * 100)")
    assert (ran.cut, len(ran.output)) == (True, 999)


@isolated
def test_it_is_a_tool_and_a_program_that_takes_too_long_is_the_models_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("customize.rollouts.programs._SANDBOX", Sandbox(seconds=0.5))
    programs = ["print(6 * 7)", "while True: pass", "x" * 50_001]
    calls = [
        f"<tool_call>{json.dumps({'name': 'python', 'arguments': {'code': code}})}</tool_call>"
        for code in programs
    ]
    said = iter([*calls, "42"])
    environment = judged(right, [customize.python])
    [episode] = play(environment, lambda text: next(said), max_tokens=60_000, max_length=10**6)
    told = [m["content"] for m in episode.messages if m["role"] == "tool"]
    assert told == [
        "42",
        "error: the program ran longer than 0.5 s",
        "error: a program has 50000 characters at most",
    ]
    assert (episode.reward, episode.faults) == (1.0, {"bad_call/python": 2})


@pytest.fixture
def unknown() -> Iterator[None]:
    """What was found out is forgotten, before and after."""
    obstacle.cache_clear()
    yield
    obstacle.cache_clear()


@pytest.mark.usefixtures("unknown")
def test_without_bwrap_the_tool_is_refused_before_anything_is_sampled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    environment = judged(right, [customize.python])
    assert environment.check is not None
    with pytest.raises(
        Unsupported, match=r"the tool python cannot be used: there is no bwrap"
    ) as e:
        environment.check([ROW])
    assert "apt-get install bubblewrap" in str(e.value)
    with pytest.raises(OSError, match="there is no bwrap"):
        customize.python("print(1)")


@pytest.mark.usefixtures("unknown")
def test_where_root_keeps_the_only_interpreter_the_tool_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/bwrap")
    monkeypatch.setattr(sandbox, "_others_may_read", lambda file: False)
    assert "is for root alone" in str(obstacle())


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            "echo 'bwrap: No permissions to create new namespace' >&2; exit 1",
            "bwrap: No permissions to",
        ),
        ("exit 0", "it ended with 0"),
    ],
)
def test_where_bwrap_cannot_isolate_the_tool_is_refused(
    script: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as folder:  # of others too: root runs it as nobody
        fake = Path(folder, "bwrap")
        fake.write_text(f"#!/bin/sh\n{script}\n")
        for place in (fake.parent, fake):
            place.chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda name: str(fake))
        assert f"bwrap does not isolate here ({told}" in str(obstacle())


SOUND: dict[str, Any] = {
    "user": 65534,
    "variables": ["PWD"],
    "files": ["tmp", "usr"],
    "networks": ["lo"],
    "written": False,
}


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({}, None),
        ({"user": 0}, "it is not nobody"),
        ({"variables": ["HOME"]}, "it sees the variable HOME"),
        ({"files": ["home"]}, "it sees /home"),
        ({"networks": ["lo", "eth0"]}, "it sees the network eth0"),
        ({"written": True}, "it writes outside of /tmp"),
    ],
)
def test_what_a_program_must_not_see_is_an_obstacle(seen: dict[str, Any], told: str | None) -> None:
    found = sandbox.leak({**SOUND, **seen})
    assert found == (told and f"bwrap does not isolate here: {told}")


def test_a_program_that_is_too_long_is_not_run() -> None:
    with pytest.raises(BadCall, match="50000 characters"):
        customize.python("x" * 50_001)
