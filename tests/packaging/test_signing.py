"""Signed packages: whose they are, and that nothing of them can be another's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from customize import ExportError, Manifest, MissingDependency, sign, verify
from customize.cli.group import cli
from customize.packaging import signing
from customize.packaging.manifest import hashes_of

serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
pytest.importorskip("model_signing")


def keys(folder: Path, name: str, password: bytes | None = None) -> tuple[Path, Path]:
    """A private key and its public one, as PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec

    made = ec.generate_private_key(ec.SECP256R1())
    encrypted = serialization.NoEncryption()
    if password is not None:
        encrypted = serialization.BestAvailableEncryption(password)
    form = serialization.PrivateFormat.PKCS8
    private = made.private_bytes(serialization.Encoding.PEM, form, encrypted)
    public = made.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / f"{name}.key").write_bytes(private)
    (folder / f"{name}.pub").write_bytes(public)
    return folder / f"{name}.key", folder / f"{name}.pub"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package as far as files go; nobody loads it."""
    folder = tmp_path / "package"
    (folder / "run").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"weights")
    (folder / "run" / "recipe.json").write_text("{}")
    about: dict[str, Any] = {
        "format": "acme:said",
        "precision": "float32",
        "name": "pizza",
        "needs_base": False,
        "base": {"name": "small", "fingerprint": "f" * 64, "revision": None},
        "weights": "w",
        "is_adapter": True,
        "stop_tokens": [2],
        **{key: {} for key in ("options", "parity", "how_to_run", "run", "files")},
    }
    attrs.evolve(Manifest(**about), files=hashes_of(folder)).write(folder)
    return folder


def test_who_signed_is_known_by_the_key_and_by_no_other(package: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "ours")
    _, others = keys(tmp_path, "theirs")
    assert sign(package, private) == package / "model.sig"
    signing.check_signature(package, public)
    with pytest.raises(ExportError, match=r"not what the holder of .*theirs\.pub signed"):
        signing.check_signature(package, others)
    assert "model.sig" not in hashes_of(package)  # and the package is what it was


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: (p / "weights.bin").write_bytes(b"others'"),
        lambda p: (p / "run" / "recipe.json").unlink(),
        lambda p: (p / "more.txt").write_text("x"),
        lambda p: (p / ".gitignore").write_text("x"),
        lambda p: (p / "package.json").write_text((p / "package.json").read_text() + " "),
        lambda p: (p / "run" / "model.sig").write_text("x"),
        lambda p: (p / "model.sig").write_text("{}"),
        lambda p: (p / "link").symlink_to(p / "weights.bin"),
    ],
    ids=range(8),
)
def test_whatever_is_not_as_it_was_signed_is_found(
    package: Path, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    private, public = keys(tmp_path, "ours")
    sign(package, private)
    spoil(package)
    with pytest.raises(ExportError, match="is not what the holder of"):
        signing.check_signature(package, public)


def test_the_official_tool_takes_our_signature_and_we_take_its_own(
    package: Path, tmp_path: Path
) -> None:
    private, public = keys(tmp_path, "ours")
    signature = sign(package, private)
    told = [sys.executable, "-m", "model_signing"]
    of_key = ["--signature", str(signature)]
    checked = [*told, "verify", "key", str(package), *of_key, "--public_key", str(public)]
    subprocess.run([*checked, "--ignore-paths", str(signature)], check=True, capture_output=True)
    signature.unlink()
    signed = [*told, "sign", "key", str(package), *of_key, "--private_key", str(private)]
    subprocess.run(signed, check=True, capture_output=True)
    signing.check_signature(package, public)


def test_a_package_is_verified_before_it_is_signed(package: Path, tmp_path: Path) -> None:
    private, _ = keys(tmp_path, "ours")
    (package / "weights.bin").write_bytes(b"changed")
    with pytest.raises(ExportError, match=r"is not signed: weights\.bin was changed"):
        sign(package, private)
    assert not (package / "model.sig").exists()


def test_verifying_with_a_key_looks_at_the_signature_first(package: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "ours")
    with pytest.raises(ExportError, match=r"is not signed: it has no model\.sig"):
        verify(package, key=public)
    sign(package, private)
    told = json.loads((package / "package.json").read_text())
    (package / "package.json").write_text(json.dumps({**told, "format": "other:one"}))
    with pytest.raises(ExportError, match="is not what the holder of"):
        verify(package, key=public)


def test_a_key_that_cannot_sign_is_told(package: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "ours", password=b"open sesame")
    for key, password in ((public, None), (private, None), (private, "wrong")):
        with pytest.raises(ExportError, match="cannot sign"):
            sign(package, key, password)
    sign(package, private, "open sesame")
    signing.check_signature(package, public)


def test_the_command_takes_the_password_of_a_key_from_the_environment(
    package: Path, tmp_path: Path
) -> None:
    private, public = keys(tmp_path, "ours", password=b"open sesame")
    asked = ["sign", str(package), "--key", str(private)]
    with pytest.raises(ExportError, match="cannot sign"):
        CliRunner().invoke(cli, asked, catch_exceptions=False)
    done = CliRunner(env={"CUSTOMIZE_KEY_PASSWORD": "open sesame"}).invoke(cli, asked)
    assert done.output == f"Signed: {package / 'model.sig'}\n"
    signing.check_signature(package, public)


def test_a_copy_is_signed_as_the_first_one_is(package: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "ours")
    sign(package, private)
    shutil.copytree(package, tmp_path / "elsewhere")
    signing.check_signature(tmp_path / "elsewhere", public)


def test_without_the_package_the_line_that_installs_it_is_told(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, _ = keys(tmp_path, "ours")
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    with pytest.raises(MissingDependency, match=r"pip install 'customize\[sign\]'"):
        sign(package, private)
