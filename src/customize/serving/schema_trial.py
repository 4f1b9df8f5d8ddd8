"""Whether a schema can be made ready in little time and memory. Knows no request.

A few bytes of schema can take hours and all memory, in code that nothing in its own process can
stop. So each is tried in a process first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache

from customize._errors import DataError
from customize.packaging.fitting import STRICT
from customize.serving.schema_worker import BYTES, CPU_S

_WAIT_S = 30.0  # where others keep the machine busy


def check_schema(schema: str) -> None:
    """What else is wrong with it is told where it is made ready for an answer.

    Raises:
        DataError: it takes too much.
    """
    if not _is_little(schema):
        raise DataError(
            f"this schema takes more than {CPU_S} s or {BYTES >> 20} MiB to be made ready: smaller "
            "numbers in multipleOf, and fewer patterns beside one another, take less"
        )


@lru_cache(maxsize=256)
def _is_little(schema: str) -> bool:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "customize.serving.schema_worker"],
            input=json.dumps([schema, STRICT]),
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            timeout=_WAIT_S,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
