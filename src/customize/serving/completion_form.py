"""The JSON of /v1/completions' replies. Knows no transport."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from customize.interfaces.runtime import Said
from customize.serving.forms import Form, Json, bounded
from customize.serving.speech import Piece


class CompletionForm(Form):
    """Texts, as they go on from their prompts."""

    prefix, kind, chunk_kind = "cmpl", "text_completion", "text_completion"

    def choice(self, number: int) -> Json:
        heard = self.heard[number]
        return self._change(number, heard.text, heard.said, heard.finish)

    def changes(self, number: int, piece: Piece) -> Iterator[Json]:
        if piece.text or piece.finish or (piece.said and self.asked.top_logprobs is not None):
            yield self._change(number, piece.text, piece.said, piece.finish)

    def _change(self, number: int, text: str, said: Sequence[Said], finish: str | None) -> Json:
        logprobs = self._logprobs(number, said)
        return {"index": number, "text": text, "logprobs": logprobs, "finish_reason": finish}

    def _logprobs(self, number: int, said: Sequence[Said]) -> Json | None:
        if self.asked.top_logprobs is None:
            return None
        texts = [self.token_text(one.token) for one in said]
        before = self.heard[number].said[: len(self.heard[number].said) - len(said)]
        start = sum(len(self.token_text(one.token)) for one in before)
        return {
            "tokens": texts,
            "token_logprobs": [bounded(one.logprob) for one in said],
            "top_logprobs": [
                {self.token_text(token): bounded(logprob) for token, logprob in one.top}
                for one in said
            ],
            "text_offset": list(accumulate((len(t) for t in texts[:-1]), initial=start))[
                : len(texts)
            ],
        }
