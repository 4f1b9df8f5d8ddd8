"""What every test gets: no hub, and no plugin of the machine's own choosing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("CUSTOMIZE_PLUGINS", None)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``install("acme-kto", source)``: a plugin of one module, as an installer leaves it."""
    from customize.plugins import registry

    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules = []

    def put(distribution: str, source: str) -> None:
        module = distribution.replace("-", "_")
        (site / f"{module}.py").write_text(source)
        modules.append(module)
        info = site / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
        )
        (info / "entry_points.txt").write_text(f"[customize]\nplugin = {module}\n")
        registry._find.cache_clear()

    yield put
    for module in modules:
        sys.modules.pop(module, None)
    registry._find.cache_clear()
