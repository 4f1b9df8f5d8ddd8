"""Rules about the folder a model comes in."""

from __future__ import annotations

from pathlib import Path

from customize.models.fingerprints import fingerprint
from customize.testing.expecting import expect
from customize.testing.model_rules.subject import ModelSubject


def check_folder_is_a_model(subject: ModelSubject) -> None:
    """``fetch`` gives a folder with config.json, tokenizer.json, a chat template and safetensors;
    none of it is code or pickle.
    """
    from customize.data.rendering import ChatRenderer

    folder = subject.fetch()
    expect(folder.is_dir(), f"{folder} is no folder")
    expect(len(fingerprint(folder)) == 64, "no fingerprint")
    expect(bool(ChatRenderer.from_folder(folder).stop_tokens), "no token ends a turn")


def check_model_fingerprint_is_stable(subject: ModelSubject) -> None:
    """The model is the same, tensor by tensor, when it is fetched where nothing is cached."""
    first, again = fingerprint(subject.fetch()), fingerprint(subject.fetch_anew())
    expect(first == again, f"{first} the first time, {again} where nothing was cached")


def check_second_fetch_writes_nothing(subject: ModelSubject) -> None:
    """Fetched again, it is the same folder, and no file in it was written anew."""
    folder = subject.fetch()
    before = _written(folder)
    again = subject.fetch()
    expect(again == folder, f"{again} the second time, not {folder}")
    changed = [name for name, when in _written(folder).items() if before.get(name) != when]
    expect(not changed, f"written anew: {', '.join(changed)}")


def _written(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in sorted(folder.iterdir())}
