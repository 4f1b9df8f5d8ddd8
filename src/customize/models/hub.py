"""Models of the Hugging Face hub. Knows nothing of what is in their files.

huggingface_hub itself honours HF_TOKEN, HF_HUB_OFFLINE, HF_ENDPOINT and its own cache.
"""

from __future__ import annotations

import re
from pathlib import Path

from customize._errors import MissingDependency, ModelError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]{0,95}/[A-Za-z0-9][\w.\-]{0,95}", re.ASCII)

# Everything a model is, and nothing that is code or pickle; its card says its licence.
_WANTED = [
    "README.md",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "*.jinja",
]


def is_hub_id(name: str) -> bool:
    """Whether ``name`` has the form ``owner/model``."""
    return _HUB_ID.fullmatch(name) is not None


def download(name: str, revision: str | None) -> Path:
    """The folder of a hub model at a revision (default: its main branch), downloaded once.

    Its name is the commit. Raises:
        MissingDependency: huggingface_hub is not installed.
        ModelError: the model is missing, gated, or cannot be reached.
    """
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise MissingDependency(
            f"models of the hub ({name}) need huggingface_hub: pip install huggingface_hub"
        ) from error
    where = name if revision is None else f"{name} at revision {revision}"
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_WANTED))
    except errors.GatedRepoError as error:
        raise ModelError(
            f"the hub's model {name} is gated: accept its terms at its page, then set HF_TOKEN to "
            "a token of that account"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"the hub's model {name} has no revision {revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"the hub has no model {name}, or it is private: check the spelling, and set HF_TOKEN "
            "if it is yours"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise ModelError(
            f"there is no folder {name} here, and as a model of the hub {where} has not been "
            "downloaded yet; the hub cannot be reached (or HF_HUB_OFFLINE is set): check the "
            "folder's name, or go online once"
        ) from error
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError) as error:
        raise ModelError(
            f"{where} could not be downloaded ({type(error).__name__}): try again, or give a "
            "local folder"
        ) from error
