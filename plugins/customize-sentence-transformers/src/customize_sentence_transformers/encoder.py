"""The encoder: a model of sentence-transformers in a folder. Fetches nothing, and runs none of it.

Shape legend: N texts, D dimensions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from customize import Encoder, ModelError, option, options

Vectors = npt.NDArray[np.float32]
_OURS = "sentence_transformers."  # modules of others are their code
_PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})  # loading one runs it
# What decides a vector; a card or a picture does not.
_DECIDING = frozenset({".json", ".safetensors", ".txt", ".model"})


@options
class SentenceEncoder(Encoder):
    """Texts as vectors of length 1, by a model that sentence-transformers saved."""

    model: str = option(help="The model's folder.")
    query_prompt: str | None = option(
        default=None, help="Put before a question; the model's own prompt unless given."
    )
    chunk_prompt: str | None = option(
        default=None, help="Put before a passage; the model's own prompt unless given."
    )
    device: str = option(default="cpu", help="Where it is computed, as torch calls it.")
    batch_size: int = option(default=32, help="Texts at once.", at_least=1)

    @cached_property
    def fingerprint(self) -> str:
        folder = _checked(Path(self.model))
        digest = hashlib.sha256(json.dumps([self.query_prompt, self.chunk_prompt]).encode())
        for file in sorted(f for f in folder.rglob("*") if f.suffix in _DECIDING):
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            digest.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
        return digest.hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._encoded(self._loaded.encode_query, texts, self.query_prompt)

    def encode_chunks(self, texts: Sequence[str]) -> Vectors:
        return self._encoded(self._loaded.encode_document, texts, self.chunk_prompt)

    @cached_property
    def _loaded(self) -> Any:  # sentence-transformers is not read by the type checker
        from sentence_transformers import SentenceTransformer

        folder = _checked(Path(self.model))
        try:
            return SentenceTransformer(
                str(folder),
                device=self.device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{folder} cannot be loaded: {error}") from error

    def _encoded(self, encode: Any, texts: Sequence[str], prompt: str | None) -> Vectors:
        if not texts:
            return np.zeros((0, self._loaded.get_embedding_dimension()), np.float32)
        made_ND = encode(
            list(texts),
            prompt=prompt,
            batch_size=self.batch_size,
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=True,
        )
        return np.asarray(made_ND, np.float32)


def _checked(folder: Path) -> Path:
    """
    Raises:
        ModelError: it is no such model, or loading it would run what lies in it.
    """
    try:
        named = [str(one["type"]) for one in _json(folder / "modules.json")]
        for router in folder.rglob("router_config.json"):
            named += _json(router)["types"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{folder} is no folder of a sentence-transformers model ({error}): save one there "
            "with SentenceTransformer(NAME).save_pretrained(FOLDER)"
        ) from error
    if foreign := [name for name in named if not name.startswith(_OURS)]:
        raise ModelError(f"{folder} asks for code of its own, {foreign[0]}: use a model without")
    for file in sorted(folder.rglob("*")):
        if file.suffix in _PICKLED and not list(file.parent.glob("*.safetensors")):
            raise ModelError(
                f"{file} may run what it holds: save the model anew, which writes safetensors"
            )
    return folder


def _json(file: Path) -> Any:  # whatever is there
    return json.loads(file.read_text("utf-8"))
