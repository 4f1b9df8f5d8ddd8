"""The JSON of /v1/completions' replies. Knows no transport."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from customize.interfaces.runtime import Said
from customize.serving.asked import Asked
from customize.serving.choices import Choice
from customize.serving.forms import Form, Json, bounded
from customize.serving.speech import Piece


class CompletionForm(Form):
    """Texts, as they go on from their prompts."""

    prefix, kind, chunk_kind = "cmpl", "text_completion", "text_completion"

    def __init__(self, asked: Asked, choices: Sequence[Choice]) -> None:
        super().__init__(asked, choices)
        self._offsets = [0] * len(choices)  # characters of the tokens told in chunks

    def choice(self, number: int) -> Json:
        heard = self.heard[number]
        return {
            "index": number,
            "text": heard.text,
            "logprobs": self._logprobs(number, heard.said),
            "finish_reason": heard.finish,
        }

    def changes(self, number: int, piece: Piece) -> Iterator[Json]:
        if piece.text or piece.finish or (piece.said and self.asked.top_logprobs is not None):
            yield {
                "index": number,
                "text": piece.text,
                "logprobs": self._logprobs(number, piece.said),
                "finish_reason": piece.finish,
            }

    def _logprobs(self, number: int, said: Sequence[Said]) -> Json | None:
        """In the interface's old form, each token with where its text begins."""
        if self.asked.top_logprobs is None:
            return None
        texts = [self.token_text(one.token) for one in said]
        *offsets, self._offsets[number] = accumulate(map(len, texts), initial=self._offsets[number])
        return {
            "tokens": texts,
            "token_logprobs": [bounded(one.logprob) for one in said],
            "top_logprobs": [
                {self.token_text(token): bounded(logprob) for token, logprob in one.top}
                for one in said
            ],
            "text_offset": offsets,
        }
