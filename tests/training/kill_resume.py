"""Kill runs with -9 at random moments of their work: ``python kill_resume.py FOLDER 100``.

With ``stages`` as a third argument they are runs of two stages.

A kill counts only when it ended a child that held the run's lock. A run that gets to its end is
compared, bit by bit, with one that nobody disturbed, and the next begins in another folder.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

CHILD = Path(__file__).with_name("toy_run.py")
COMPARED = ("adapter_model.safetensors", "metrics.jsonl")


def main(folder: Path, kills: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    span = _undisturbed(folder / "whole")
    chance = random.Random(0)
    landed = runs = 0
    while landed < kills:
        run = folder / f"killed-{runs}"
        landed += _killed(run, chance.uniform(0.0, span))
        if (run / "finished.json").is_file() or landed == kills:
            _run(run).wait()
            _compare(run, folder / "whole")
            runs += 1
    print(f"{landed} kills landed at work, over {runs} runs, all equal to the undisturbed one")


def _undisturbed(run: Path) -> float:
    """Seconds from the lock to the end."""
    child = _run(run)
    _wait_for_lock(run, child)
    begun = time.monotonic()
    if child.wait() != 0:
        raise SystemExit("the undisturbed run failed")
    return time.monotonic() - begun


def _killed(run: Path, after: float) -> bool:
    child = _run(run)
    _wait_for_lock(run, child)
    time.sleep(after)
    child.kill()
    code = child.wait()
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"{run.name} could not go on: exit code {code}")
    return code != 0 and not (run / "finished.json").is_file()


def _compare(run: Path, whole: Path) -> None:
    compared = [path for name in COMPARED for path in whole.rglob(name)]
    for file in compared:
        name = file.relative_to(whole)
        if (run / name).read_bytes() != file.read_bytes():
            raise SystemExit(f"{run.name}: {name} differs from the undisturbed run's")


def _run(run: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(run), *sys.argv[3:]], stderr=subprocess.DEVNULL
    )


def _wait_for_lock(run: Path, child: subprocess.Popen[bytes]) -> None:
    lock = run / ".lock"
    while child.poll() is None:
        if lock.is_file() and lock.read_text().startswith(f"{child.pid} "):
            return
        time.sleep(0.001)


main(Path(sys.argv[1]), int(sys.argv[2]))
