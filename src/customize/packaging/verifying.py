"""Whether a package is still what was written, and still answers so, on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

from customize._errors import ExportError
from customize._live_line import LiveLine
from customize.packaging.manifest import Manifest, damage
from customize.packaging.opening import base_of, runtime_of
from customize.packaging.parity import Parity, compare
from customize.packaging.probe import ask
from customize.packaging.reference import read_cases
from customize.packaging.signing import check_signature
from customize.packaging.writing import CASES


def verify(
    package: str | Path, base: str | Path | None = None, key: str | Path | None = None
) -> Parity:
    """Hash every file, load the package in a fresh process, and ask again what it keeps.

    Returns the outcome, which may be a failure.

    Args:
        key: the public key of who must have signed it; without one no signature is looked at.

    Raises:
        ExportError: it is no package, a file is not as it was, it was not signed by the key, or it
            cannot be loaded.
        UnknownName: no plugin is installed for its format, or its base is nowhere.
    """
    folder = Path(package)
    if key is not None:
        check_signature(folder, key)
    manifest = Manifest.read(folder)
    with LiveLine() as line, tempfile.TemporaryDirectory() as work:
        line.show(f"hashing {len(manifest.files)} files")
        if fault := damage(folder, manifest):
            raise ExportError(f"{folder} is not what was written: {fault}")
        found = runtime_of(manifest)
        runtime = f"{found.__module__}:{found.__qualname__}"
        cases = read_cases(folder / CASES)
        line.show(f"loading it in a fresh process, and asking {len(cases)} prompts again")
        answers = ask(runtime, folder, base_of(manifest, base), folder / CASES, Path(work))
    return compare(cases, answers, manifest.precision, manifest.stop_tokens)
