"""Kill a run with -9 again and again, going on each time: ``python kill_resume.py FOLDER 100``.

Each child is killed a random moment after it began to write; the last one runs to the end.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

CHILD = Path(__file__).with_name("toy_run.py")


def main(folder: Path, kills: int) -> None:
    chance = random.Random(0)
    landed = 0
    for _ in range(kills):
        command = [sys.executable, str(CHILD), str(folder)]
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        _wait_for_lock(folder, child)
        time.sleep(chance.uniform(0.0, 0.4))
        landed += child.poll() is None
        child.kill()
        child.wait()
        if (folder / "finished.json").is_file():
            break
    subprocess.run([sys.executable, str(CHILD), str(folder)], check=True)
    print(f"{kills} kills asked for, {landed} landed while it was at work")


def _wait_for_lock(folder: Path, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and child.poll() is None:
        if (folder / "metrics.jsonl").is_file():
            return
        time.sleep(0.005)


main(Path(sys.argv[1]), int(sys.argv[2]))
