"""Rules about the folder a model comes in."""

from __future__ import annotations

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
