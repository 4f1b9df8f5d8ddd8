"""Writes a package: beside its name, proven, and renamed; or nothing. Knows no format.

What is given is a run's: its weights, what it says, and what is known of how it was made.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from customize._errors import ExportError, ParityError
from customize._files import replace_text, sync, sync_all, writing
from customize._live_line import LiveLine
from customize._options import options_to_dict
from customize.interfaces.exporter import Exportable, Exporter
from customize.models.fingerprints import tensor_hashes
from customize.models.weights import read_header, weight_files
from customize.packaging.manifest import CARD, Manifest, hashes_of
from customize.packaging.parity import Parity, compare
from customize.packaging.probe import Answers, ask
from customize.packaging.prompts import room_of
from customize.packaging.reference import Case, least_room, write_cases
from customize.packaging.runnable import runs
from customize.packaging.tokenizer import write_tokenizer
from customize.plugins import find, names
from customize.training.lock import LOCK, held

PARITY = "parity.json"
CASES = "parity"
RUN = "run"
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_QUANTIZED_BYTES = 1.125  # eight bits, and a float32 for each 32 of them
_SPARE_BYTES = 64 << 20  # for the reference, and what a runtime wants beside the weights


@attrs.frozen
class Proof:
    """What a package is held to.

    cases: what the session says. further: of a package that passed so far, and its folder, what
    else must hold: the parity with that told.
    despite: leave the package where it fails, and say so in it.
    rows: what is to be told of the run's own rows among the cases.
    """

    cases: Sequence[Case]
    further: Callable[[Parity, Path], Parity] | None = None
    despite: bool = False
    rows: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Lineage:
    """How the weights were made: facts for package.json, and files that say more.

    card: of the manifest, the card's text.
    """

    facts: Mapping[str, Any]
    files: Mapping[str, Path]
    card: Callable[[Manifest], str]


def check_exportable(source: Exportable, exporter: Exporter, to: Path) -> None:
    """Refuse, before anything is computed, what cannot be made.

    Raises:
        ExportError: the folder is there, the disk is full, the exporter cannot make it, or the
            package's context is too small for the questions that prove it.
    """
    _refuse_existing(to)
    exporter.check(source)
    _refuse_narrow(source, exporter)
    to.parent.mkdir(parents=True, exist_ok=True)
    needed, free = _needed_bytes(source, exporter), shutil.disk_usage(to.parent).free
    if needed > free:
        raise ExportError(
            f"{to.parent} has {free >> 20} MiB free, and the package needs about "
            f"{needed >> 20} MiB: free some space, or name a folder on another disk"
        )


def write_package(
    source: Exportable,
    exporter: Exporter,
    proof: Proof,
    lineage: Lineage,
    to: Path,
    beside: Callable[[Path], None] = lambda folder: None,
) -> Manifest:
    """Write the package ``to``; ``beside`` adds to its folder what the weights are used with.

    Raises:
        ExportError: it cannot be made; nothing is left.
        ParityError: it answers otherwise than the session; only ``parity.json`` is left.
        RunBusy: another process is writing it.
    """
    check_exportable(source, exporter, to)
    with folder_beside(to) as work, writing(str(to), ExportError), LiveLine() as line:
        line.show(f"writing {to.name} for {exporter.serves}")
        folder = work / "package"
        folder.mkdir()
        exporter.write(source, folder)
        write_tokenizer(source.model.path, folder, source.renderer.stop_tokens)
        beside(folder)
        kept = [case for case in proof.cases if case.question.is_kept]
        write_cases(kept, folder / CASES)
        for name, file in lineage.files.items():
            (folder / RUN).mkdir(exist_ok=True)
            shutil.copyfile(file, folder / RUN / name)
        manifest = _manifest(source, exporter, lineage)
        manifest.write(folder)
        line.show(f"loading it in a fresh process, and asking the same {len(proof.cases)} prompts")
        answers = _asked(source, exporter, proof, folder, work)
        parity = _proven(source, exporter, proof, folder, answers)
        if not parity.passed and not proof.despite:
            _leave_parity(parity, to)
        manifest = attrs.evolve(
            manifest, parity=parity.to_json(), holds_adapter=answers.holds_adapter
        )
        (folder / CARD).write_text(lineage.card(manifest), "utf-8")
        _refuse_code(folder)
        files = hashes_of(folder)
        sizes = {name: (folder / name).stat().st_size for name in files}
        manifest = attrs.evolve(manifest, files=files, sizes=sizes)
        manifest.write(folder)
        sync_all(folder)
        _refuse_existing(to)  # anew: an export takes minutes
        if to.exists():
            (to / PARITY).unlink()
            to.rmdir()
        folder.rename(to)
        sync(to.parent)
    return manifest


def _asked(
    source: Exportable, exporter: Exporter, proof: Proof, folder: Path, work: Path
) -> Answers:
    base = source.model.path if exporter.needs_base(source) else None
    write_cases(proof.cases, work / CASES)
    return ask(exporter.runtime, folder, base, work / CASES, work)


def _proven(
    source: Exportable, exporter: Exporter, proof: Proof, folder: Path, answers: Answers
) -> Parity:
    stop_tokens = tuple(source.renderer.stop_tokens)
    parity = compare(proof.cases, answers, exporter.precision, stop_tokens)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    measured = {**parity.measured, "package_bytes": float(size)}
    parity = attrs.evolve(parity, measured=measured, rows=proof.rows or None)
    if proof.further is None or not parity.passed:
        return parity
    return proof.further(parity, folder)


def _manifest(source: Exportable, exporter: Exporter, lineage: Lineage) -> Manifest:
    model = source.model
    return Manifest(
        format=format_of(exporter),
        precision=exporter.precision,
        name=source.name,
        needs_base=exporter.needs_base(source),
        base={
            "name": model.name,
            "fingerprint": model.fingerprint,
            "revision": model.revision,
        },
        weights=fingerprint_of(source.weights),
        is_adapter=source.is_adapter,
        stop_tokens=source.renderer.stop_tokens,
        options=options_to_dict(exporter),
        parity={},
        how_to_run={"customize": "customize chat {folder}", **exporter.how_to_run(source)},
        run=lineage.facts,
        files={},
    )


def fingerprint_of(weights: Path) -> str:
    """sha256 over the tensors of what was trained."""
    found: dict[str, str] = {}
    for file in sorted(weights.glob("*.safetensors")):
        found |= tensor_hashes(file)
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def format_of(exporter: Exporter) -> str:
    """The full name by which the exporter is installed; its class, where it is not."""
    cls = type(exporter)
    target = f"{cls.__module__}:{cls.__qualname__}"
    for name in names("exporter"):
        offer = find("exporter", name)
        if offer.spec.target == target:
            return offer.full_name
    return target


def _needed_bytes(source: Exportable, exporter: Exporter) -> int:
    trained = sum(file.stat().st_size for file in source.weights.glob("*.safetensors"))
    if exporter.needs_base(source):
        return trained + _SPARE_BYTES
    width = _BYTES.get(exporter.precision, _QUANTIZED_BYTES)
    numbers = sum(
        _count(tensor.shape)
        for file in weight_files(source.model.path)
        for tensor in read_header(file)
    )
    return int(numbers * width) + trained * source.is_adapter + _SPARE_BYTES


def _count(shape: Sequence[int]) -> int:
    out = 1
    for size in shape:
        out *= size
    return out


def _refuse_narrow(source: Exportable, exporter: Exporter) -> None:
    room, least = room_of(source, exporter), least_room(source)
    if room is not None and room < least:
        raise ExportError(
            f"a context of {room} tokens is too small for the questions that prove a package, of "
            f"which the longest takes {least} with its answer: give the package a context of at "
            f"least {least}, or use a model that holds as many"
        )


def _refuse_existing(to: Path) -> None:
    """But for what a failed export left."""
    if to.exists() and not (to.is_dir() and [path.name for path in to.iterdir()] == [PARITY]):
        raise ExportError(f"{to} exists: give a new folder, nothing is overwritten")


def _leave_parity(parity: Parity, to: Path) -> None:
    to.mkdir(exist_ok=True)
    replace_text(to / PARITY, json.dumps(parity.to_json(), ensure_ascii=False, indent=1))
    raise ParityError(f"the package answers otherwise than the run: {parity.fault} ({to / PARITY})")


def _refuse_code(folder: Path) -> None:
    """Nothing of a package is ever run: no program, no pickle whatever its name, no mark of one."""
    for file in (path for path in folder.rglob("*") if path.is_file()):
        if runs(file):
            raise ExportError(f"{file.name} can be run: an exporter writes data alone")
        file.chmod(0o644)


@contextmanager
def folder_beside(to: Path) -> Iterator[Path]:
    """A folder beside, which is gone afterwards; what a killed export left there goes first.

    Raises:
        RunBusy: another process is writing there.
    """
    work = to.with_name(f".{to.name}.writing")
    work.mkdir(parents=True, exist_ok=True)
    with held(work):
        for left in work.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            elif left.name != LOCK:
                left.unlink()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
