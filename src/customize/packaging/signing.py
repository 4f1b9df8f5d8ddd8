"""Signatures of packages in OpenSSF's model-signing format. Know no weights and no runtime.

The package model-signing makes and checks them; what it signs here is every file, package.json
too, so that no other tool needs ours to check a package.
"""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from customize._errors import ExportError, MissingDependency
from customize._files import replace_text
from customize.packaging.manifest import SIGNATURE, Manifest, damage


def sign(package: str | Path, key: str | Path, password: str | None = None) -> Path:
    """Sign every file of a package; returns where the signature is, in the package itself.

    Args:
        key: a private key on an elliptic curve (P-256, P-384, P-521), as PEM.
        password: where the key is encrypted.

    Raises:
        ExportError: it is no package, or not as it was written; or the key cannot be used.
        MissingDependency: model-signing is not installed.
    """
    folder = Path(package)
    if fault := damage(folder, Manifest.read(folder)):
        raise ExportError(f"{folder} is not what was written, and is not signed: {fault}")
    config = _module("signing").Config().set_hashing_config(_everything(folder))
    secret = None if password is None else password.encode()
    with tempfile.TemporaryDirectory() as work:
        made = Path(work, SIGNATURE)
        try:
            config.use_elliptic_key_signer(private_key=Path(key), password=secret)
            config.sign(folder, made)
        except (OSError, TypeError, ValueError) as error:  # what cryptography raises of a key
            raise ExportError(f"{key} cannot sign: {error}") from error
        replace_text(folder / SIGNATURE, made.read_text("utf-8"))
    return folder / SIGNATURE


def check_signature(package: str | Path, key: str | Path) -> None:
    """Whether a package is, file for file, what the holder of a key signed.

    Args:
        key: the public key, as PEM.

    Raises:
        ExportError: it is not, or it is not signed.
        MissingDependency: model-signing is not installed.
    """
    folder = Path(package)
    if not (folder / SIGNATURE).is_file():
        raise ExportError(f"{folder} is not signed: it has no {SIGNATURE}")
    config = _module("verifying").Config().set_hashing_config(_everything(folder))
    try:
        config.use_elliptic_key_verifier(public_key=Path(key))
        config.verify(folder, folder / SIGNATURE)
    # Damaged signatures fail in as many ways as there are libraries below.
    except Exception as error:
        told = f"{folder} is not what the holder of {key} signed: {error or type(error).__name__}"
        raise ExportError(told) from error


def _everything(folder: Path) -> Any:  # it has no types
    """How files are hashed: all but the signature itself; a link is an error."""
    config = _module("hashing").Config()
    return config.set_ignored_paths(paths=[folder / SIGNATURE], ignore_git_paths=False)


def _module(name: str) -> Any:
    try:
        return import_module(f"model_signing.{name}")
    except ImportError as error:
        raise MissingDependency("signatures need: pip install 'customize[sign]'") from error
