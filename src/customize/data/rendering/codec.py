"""Text to tokens and back, control tokens told apart from text that only looks like them.

Knows the tokenizer; nothing of messages or templates.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from customize._batch import Ints
from customize._errors import ModelError, RenderingError

Ranges = Sequence[tuple[int, int]]


class Codec:
    """One tokenizer.json, and the control tokens of its chat template.

    Control tokens are the tokenizer's special tokens and those added tokens the template writes;
    other added tokens (Gemma's newlines) are ordinary text.
    """

    def __init__(self, tokenizer_json: bytes, template_text: str) -> None:
        from tokenizers import Tokenizer

        self._json = tokenizer_json
        try:
            self._tokenizer = Tokenizer.from_buffer(tokenizer_json)
        # The tokenizers library raises plain Exception for every damaged file.
        except Exception as error:
            raise ModelError(f"tokenizer.json cannot be read: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        added = self._tokenizer.get_added_tokens_decoder()
        self.control: dict[str, int] = {
            token.content: number
            for number, token in added.items()
            if token.special or (token.content in template_text and not token.content.isspace())
        }
        self.special: frozenset[str] = frozenset(t.content for t in added.values() if t.special)
        longest_first = sorted(self.control, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    @property
    def vocabulary_size(self) -> int:
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def find_control(
        self, text: str, start: int = 0, end: int | None = None
    ) -> list[re.Match[str]]:
        """Control tokens as they stand in ``text[start:end]``."""
        return list(self._control.finditer(text, start, len(text) if end is None else end))

    def token_id(self, text: str) -> int | None:
        """The id of one token written ``text``."""
        number = self._tokenizer.token_to_id(text)
        return None if number is None else int(number)

    @functools.cached_property
    def unknown(self) -> int | None:
        """The id the tokenizer writes for text it has no token for."""
        model = json.loads(self._json)["model"]
        if model.get("unk_id") is not None:
            return int(model["unk_id"])
        return self.token_id(str(model.get("unk_token")))

    def token_text(self, token: int) -> str:
        """How one token is written in a text."""
        return str(self._tokenizer.decode([token], skip_special_tokens=False))

    def encode(self, text: str, data: Ranges) -> tuple[Ints, Any]:
        """Tokens of ``text`` and their character ranges [(start, end)].

        data: ranges, in order, that no one trusts: control tokens in or across them are text.
        """
        everywhere = [match.span() for match in self._control.finditer(text)]
        written = [
            m.span() for a, b in _gaps(data, len(text)) for m in self.find_control(text, a, b)
        ]
        if everywhere == written:
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            return np.asarray(encoding.ids, np.int32), encoding.offsets
        return self._encode_disguised(text, written)

    def encode_text(self, text: str) -> Ints:
        """Tokens of plain text; nothing in it becomes a control token."""
        return self.encode(text, [(0, len(text))])[0]

    def decode(self, tokens: Iterable[int], keep_control: bool) -> str:
        return str(
            self._tokenizer.decode(list(map(int, tokens)), skip_special_tokens=not keep_control)
        )

    def _encode_disguised(self, text: str, written: Ranges) -> tuple[Ints, Any]:
        """Encode with a tokenizer whose control tokens have names that data cannot hold."""
        tokenizer, names, ids = self._disguised
        parts: list[str] = []
        last = 0
        for start, end in written:
            parts += [text[last:start], names[text[start:end]]]
            last = end
        parts.append(text[last:])
        encoding = tokenizer.encode("".join(parts), add_special_tokens=False)
        tokens = np.asarray([ids.get(token, token) for token in encoding.ids], np.int32)
        control = list(self.control.values())
        if np.isin(tokens, control).sum() != len(written):
            raise RenderingError(
                "the tokenizer makes control tokens out of plain text: remove text such as "
                f"{sorted(self.control)[:3]} from the data"
            )
        return tokens, _original_offsets(encoding.offsets, [len(part) for part in parts], written)

    @functools.cached_property
    def _disguised(self) -> tuple[Any, dict[str, str], dict[int, int]]:
        from tokenizers import Tokenizer

        names = {text: f"\U0010fff8{i}\U0010fff9" for i, text in enumerate(self.control)}
        spec = json.loads(self._json)
        for token in spec["added_tokens"]:
            token["content"] = names.get(token["content"], token["content"])
        spec["post_processor"] = None
        spec["truncation"] = spec["padding"] = None
        vocabulary = spec["model"].get("vocab")
        if isinstance(vocabulary, dict):
            spec["model"]["vocab"] = {names.get(k, k): v for k, v in vocabulary.items()}
        elif isinstance(vocabulary, list):
            for entry in vocabulary:
                entry[0] = names.get(entry[0], entry[0])
        unknown = spec["model"].get("unk_token")
        if unknown in names:
            spec["model"]["unk_token"] = names[unknown]
        try:
            tokenizer = Tokenizer.from_str(json.dumps(spec))
        # The tokenizers library raises plain Exception for every fault.
        except Exception as error:
            raise RenderingError(
                "the data holds text that looks like control tokens, and this tokenizer cannot "
                f"encode it as plain text ({error}): remove {sorted(self.control)[:3]}"
            ) from error
        ids = {
            number: self.control[text]
            for text, name in names.items()
            if (number := tokenizer.token_to_id(name)) is not None
        }
        return tokenizer, names, ids


def _gaps(ranges: Ranges, length: int) -> list[tuple[int, int]]:
    """What lies between ordered ranges, from 0 to length."""
    edges = [0, *(edge for pair in ranges for edge in pair), length]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]


def _original_offsets(
    offsets: Sequence[tuple[int, int]], part_lengths: Sequence[int], written: Ranges
) -> list[tuple[int, int]]:
    """Character ranges in the disguised text, put back into the text itself."""
    starts = np.cumsum([0, *part_lengths])
    shifts = np.zeros(len(part_lengths), np.int64)
    for i, (start, end) in enumerate(written):
        # Part 2i+1 is the i-th name; what follows it is moved by all names so far.
        shifts[2 * i + 1] = start - starts[2 * i + 1]
        shifts[2 * i + 2] = end - starts[2 * i + 2]
    edges = np.asarray(offsets, np.int64).reshape(-1, 2)
    part = np.searchsorted(starts[1:], edges[:, 0], side="right").clip(0, len(shifts) - 1)
    return [(int(a), int(b)) for a, b in edges + shifts[part][:, None]]
