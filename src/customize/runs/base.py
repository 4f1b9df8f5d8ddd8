"""A run's base: whether what lies there now is what it was trained on. Loads no weights."""

from __future__ import annotations

from customize._errors import ModelError
from customize.data.rendering.folder import ChatFolder
from customize.interfaces.model import ModelFolder
from customize.runs.folder import RunFolder


def check_base(folder: RunFolder, model: ModelFolder) -> None:
    """Whether it is what the run was trained on, its chat template and stop tokens too.

    Raises:
        ModelError: it is not.
    """
    trained_on = folder.lineage()["model"]
    if model.fingerprint != trained_on:
        raise ModelError(
            f"{model.path} is not the base that {folder.path} was trained on: its fingerprint is "
            f"{model.fingerprint[:12]}…, that one's {trained_on[:12]}…. Put the base back that "
            "was there"
        )
    chat = folder.lineage().get("chat")  # older runs do not say it
    if chat not in (None, ChatFolder.read(model.path).fingerprint):
        raise ModelError(
            f"{model.path} writes conversations otherwise than when {folder.path} was trained: its "
            "chat template, its special or its stop tokens were changed. Put the files back that "
            "were there (tokenizer_config.json, chat_template.jinja, generation_config.json)"
        )
