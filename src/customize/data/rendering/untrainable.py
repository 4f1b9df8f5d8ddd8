"""Tokens that no model may be trained to say: padding, the unknown token, ids it has no row for.

Asked once for each rendered row, never in a training step. Knows nothing of templates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np

from customize._batch import Floats, Ints
from customize._errors import RenderingError


@attrs.frozen
class Untrainable:
    """Ids of one model. vocabulary_size: rows of its embeddings, None where nothing tells."""

    pad: int | None
    unknown: frozenset[int]
    vocabulary_size: int | None

    def check(
        self,
        tokens: Ints,
        weights: Floats,
        ends: Sequence[int],
        text_of: Callable[[int], str],
        source_of: Callable[[int], str],
    ) -> None:
        """Refuse the first token that cannot be trained, or not even be read.

        ends: tokens that end a turn; many a model pads with one of them, and must learn it.
        text_of: how an id is written. source_of: the text a place's token was made of.

        Raises:
            RenderingError: there is one; the message says how to mend it.
        """
        if self.vocabulary_size is not None:
            for at in np.flatnonzero(tokens >= self.vocabulary_size)[:1]:
                raise RenderingError(self._outside(int(tokens[at]), text_of(int(tokens[at]))))
        trained = (weights > 0) & ~np.isin(tokens, ends)
        for at in np.flatnonzero(trained & np.isin(tokens, list(self.unknown)))[:1]:
            raise RenderingError(_unknown(text_of(int(tokens[at])), source_of(int(at))))
        if self.pad is not None:
            for at in np.flatnonzero(trained & (tokens == self.pad))[:1]:
                raise RenderingError(_pad(text_of(self.pad), int(at)))

    def _outside(self, token: int, text: str) -> str:
        return (
            f"the token {text!r} has the id {token}, and the model has only the ids below "
            f"{self.vocabulary_size}: use the tokenizer the model was made with, or give the model "
            "a row for each token (resize_token_embeddings) and save it"
        )


def _unknown(text: str, source: str) -> str:
    return (
        f"the unknown token {text!r} would be trained: the tokenizer has no token for {source!r}, "
        "so the model would learn to say nothing in its place: take it out of the answer, or use "
        "a model whose tokenizer knows it"
    )


def _pad(text: str, at: int) -> str:
    return (
        f"the pad token {text!r} would be trained (token {at}), and programs that serve models "
        "take it for filling: take it out of the answer or the chat template, or set another "
        "pad_token in tokenizer_config.json"
    )
