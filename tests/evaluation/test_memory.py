"""What is held, as the system tells."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from customize import _memory
from customize._memory import forget_peak, peak_bytes, resident_bytes


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_resident_memory_is_what_the_system_says_and_grows_with_what_is_held() -> None:
    before = resident_bytes()
    assert before is not None
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    assert before == pytest.approx(int(found[1]) * 1024, rel=0.05)
    held = np.ones(8_000_000)  # 64 MB
    assert (resident_bytes() or 0) - before > 0.8 * held.nbytes
    assert (peak_bytes() or 0) >= before


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_the_peak_is_of_this_process_alone_and_can_be_forgotten() -> None:
    held = np.ones(32_000_000)  # 256 MB
    ask = "from customize._memory import peak_bytes; print(peak_bytes())"
    child = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert int(child.stdout) < held.nbytes
    del held
    before = peak_bytes()
    assert forget_peak()
    after = peak_bytes()
    assert before is not None
    assert after is not None
    assert before - after > 200_000_000


def test_where_no_peak_is_told_the_usage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = peak_bytes()
    monkeypatch.setattr(_memory, "text_of", lambda file: "")
    assert before is not None
    assert (peak_bytes() or 0) >= 0.9 * before
