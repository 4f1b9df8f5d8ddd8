"""An environment into which the distributions of ``installed/`` are really installed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

DISTRIBUTIONS = Path(__file__).parent / "installed"
Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Run the environment's Python: ``python("-m", "customize", CUSTOMIZE_PLUGINS="")``."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, symlinks=True)
    executable = root / "bin" / "python"
    _share_packages(executable)
    install = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([executable, *install, *_wheels(root / "wheels")], check=True)

    def run(
        *arguments: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("CUSTOMIZE_PLUGINS", "PYTHONPATH")}
        return subprocess.run(
            [executable, *arguments],
            capture_output=True,
            text=True,
            cwd=cwd or root,
            env={**kept, "COLUMNS": "80", **variables},
        )

    return run


def _share_packages(executable: Path) -> None:
    """What this Python can import, the other can too; its own packages come first."""
    ask = "import json, sys; print(json.dumps(sys.path))"
    told = [
        subprocess.run([which, "-P", "-c", ask], capture_output=True, text=True, check=True).stdout
        for which in (sys.executable, executable)
    ]
    ours, others = (json.loads(text) for text in told)
    lines = [path for path in ours if path not in others and Path(path).is_dir()]
    (Path(others[-1]) / "shared.pth").write_text("\n".join(lines), "utf-8")


def _wheels(folder: Path) -> list[Path]:
    build = pytest.importorskip("hatchling.build")
    folder.mkdir()
    for project in sorted(DISTRIBUTIONS.iterdir()):
        with contextlib.chdir(project):
            build.build_wheel(str(folder))
    return sorted(folder.iterdir())
