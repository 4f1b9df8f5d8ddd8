"""Vocabularies: GGUF's and tokenizer.json's, each made of the other. Knows nothing of weights.

Only byte-level BPE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from customize import ModelError
from customize_gguf._metadata import Metadata
from customize_gguf._pretokenizers import (
    PRETOKENIZERS,
    Json,
    Pretokenizer,
    byte_level,
    name_of,
    named,
)
from customize_gguf._reader import Value

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
# Where GGUF has room for tokens that end an answer.
_ENDS = ("eos", "eot", "eom")
_PLAIN_MODEL = {
    "type": "BPE",
    "dropout": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "byte_fallback": False,
}


@attrs.frozen
class Vocabulary:
    """The tokens, their types and the ids with a role.

    ends: tokens that end an answer, the eos token first.
    """

    tokens: list[str]
    types: list[int]
    merges: list[list[str]]
    pre: str
    adds_bos: bool
    roles: dict[str, int]
    ends: list[int]
    chat_template: str | None

    @property
    def _pretokenizer(self) -> Pretokenizer:
        return PRETOKENIZERS[self.pre]

    @classmethod
    def of_gguf(cls, metadata: Metadata) -> Vocabulary:
        """Raises ModelError for a vocabulary or a ``pre`` that is not known, and for damage."""
        kind = metadata.text("tokenizer.ggml.model")
        if kind != "gpt2":
            raise ModelError(
                f"GGUF vocabularies of the kind {kind!r} are not supported "
                "(supported: gpt2, which is byte-level BPE)"
            )
        pre = metadata.text("tokenizer.ggml.pre")
        pretokenizer = named(pre)
        tokens = metadata.texts("tokenizer.ggml.tokens")
        types = metadata.integers("tokenizer.ggml.token_type")
        if len(types) != len(tokens) or len(set(tokens)) != len(tokens):
            raise ModelError("the GGUF vocabulary has repeated tokens or not one type a token")

        def token(role: str) -> int | None:
            return metadata.token(f"tokenizer.ggml.{role}_token_id", len(tokens))

        roles = {name: at for name, key in _ROLES.items() if (at := token(key)) is not None}
        if "eos" not in roles:
            raise ModelError("the GGUF file names no eos token; answers would never end")
        template = "tokenizer.chat_template"
        return cls(
            tokens=tokens,
            types=types,
            merges=_merges(metadata.texts("tokenizer.ggml.merges"), set(tokens)),
            pre=pre,
            adds_bos=metadata.flag("tokenizer.ggml.add_bos_token", pretokenizer.adds_bos),
            roles=roles,
            ends=list(dict.fromkeys(at for end in _ENDS if (at := token(end)) is not None)),
            chat_template=metadata.text(template) if metadata.has(template) else None,
        )

    @classmethod
    def of_tokenizer(
        cls,
        tokenizer: Mapping[str, Any],
        special: Mapping[str, str],
        ends: Sequence[int],
        size: int,
        chat_template: str,
    ) -> Vocabulary:
        """Of a tokenizer.json and what stands beside it.

        Args:
            special: token texts by name, as ``bos_token``.
            size: rows of the embedding; ids without a token are filled with unused ones.

        Raises:
            ModelError: it is not byte-level BPE, its cuts are not known, or it does what GGUF
                cannot say.
        """
        model = tokenizer["model"]
        for key, plain in _PLAIN_MODEL.items():
            if model.get(key, plain) not in (plain, plain or ""):
                raise ModelError(
                    f"tokenizers whose model has {key}={model[key]!r} are not supported as GGUF "
                    f"(supported: {plain!r}, which is byte-level BPE)"
                )
        if len(ends) > len(_ENDS):
            raise ModelError(f"GGUF has room for {len(_ENDS)} stop tokens; this model has {ends}")
        pre = name_of(tokenizer)
        added = {token["id"]: token for token in tokenizer.get("added_tokens", [])}
        ids = {number: token for token, number in model["vocab"].items()}
        ids |= {number: _exact(token) for number, token in added.items()}
        if max(ids) >= size:
            raise ModelError(f"token {max(ids)} has no row in the embedding of {size} rows")
        by_text = {token: number for number, token in ids.items()}
        roles = {
            role: by_text[special[f"{role}_token"]]
            for role in _ROLES
            if special.get(f"{role}_token") in by_text
        }
        return cls(
            tokens=[ids.get(number, f"[PAD{number}]") for number in range(size)],
            types=[_type(added.get(number), number in ids) for number in range(size)],
            merges=[m.split(" ") if isinstance(m, str) else list(m) for m in model["merges"]],
            pre=pre,
            adds_bos=_adds_bos(tokenizer.get("post_processor"), special.get("bos_token")),
            roles=roles | {"eos": ends[0]},
            ends=list(ends),
            chat_template=chat_template,
        )

    def metadata(self) -> dict[str, Value]:
        """What GGUF says of it."""
        said: dict[str, Value] = {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": self.pre,
            "tokenizer.ggml.tokens": list(self.tokens),
            "tokenizer.ggml.token_type": list(self.types),
            "tokenizer.ggml.merges": [" ".join(merge) for merge in self.merges],
            "tokenizer.ggml.add_bos_token": self.adds_bos,
            "tokenizer.ggml.add_space_prefix": False,
        }
        ids = {_ROLES[role]: number for role, number in self.roles.items()}
        ids |= dict(zip(_ENDS, self.ends, strict=False))
        said |= {f"tokenizer.ggml.{name}_token_id": number for name, number in ids.items()}
        if self.chat_template is not None:
            said["tokenizer.chat_template"] = self.chat_template
        return said

    def tokenizer(self) -> Json:
        """The contents of tokenizer.json."""
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": self._added_tokens(),
            "normalizer": self._pretokenizer.normalizer,
            "pre_tokenizer": self._pretokenizer.spec(),
            "post_processor": self._post_processor(),
            "decoder": byte_level(use_regex=True),
            "model": self._model(),
        }

    def settings(self, max_tokens: int) -> Json:
        """The contents of tokenizer_config.json.

        The class is the plain one: a model's own (GPT2Tokenizer, LlamaTokenizer) rebuilds the
        pre-tokenizer in transformers and loses, for one, the digit splitter.
        """
        settings: Json = {f"{role}_token": self.tokens[token] for role, token in self.roles.items()}
        settings |= {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "model_max_length": max_tokens,
        }
        if self.chat_template is not None:
            settings["chat_template"] = self.chat_template
        return settings

    def _post_processor(self) -> Json | None:
        if not self.adds_bos or "bos" not in self.roles:
            return None
        bos = self.tokens[self.roles["bos"]]
        return {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": bos, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": bos, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {
                bos: {"id": bos, "ids": [self.roles["bos"]], "tokens": [bos]},
            },
        }

    def _model(self) -> Json:
        # Tokens of type "unused" only pad the embedding to a round number of rows.
        vocabulary = {
            token: number
            for number, (token, kind) in enumerate(zip(self.tokens, self.types, strict=True))
            if kind != _UNUSED
        }
        return {
            **_PLAIN_MODEL,
            "unk_token": None,
            "fuse_unk": False,
            "ignore_merges": self._pretokenizer.ignores_merges,
            "vocab": vocabulary,
            "merges": self.merges,
        }

    def _added_tokens(self) -> list[Json]:
        return [
            {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": kind == _CONTROL,
            }
            for number, (token, kind) in enumerate(zip(self.tokens, self.types, strict=True))
            if kind in (_CONTROL, _USER_DEFINED)
        ]


def _merges(lines: list[str], tokens: set[str]) -> list[list[str]]:
    merges = [line.split(" ") for line in lines]
    for merge in merges:
        if len(merge) != 2 or not tokens.issuperset((*merge, "".join(merge))):
            raise ModelError(f"the GGUF vocabulary has a merge of unknown tokens: {merge}")
    return merges


def _exact(token: Mapping[str, Any]) -> str:
    """An added token's text, where it is found as it stands and nothing else."""
    for flag in ("single_word", "lstrip", "rstrip"):
        if token.get(flag):
            raise ModelError(
                f"the added token {token['content']!r} has {flag}, which GGUF cannot say: "
                "save the tokenizer without it"
            )
    return str(token["content"])


def _type(added: Mapping[str, Any] | None, is_known: bool) -> int:
    if added is not None:
        return _CONTROL if added.get("special") else _USER_DEFINED
    return _NORMAL if is_known else _UNUSED


def _adds_bos(processor: Mapping[str, Any] | None, bos: str | None) -> bool:
    """Whether the tokenizer itself begins every text with the bos token."""
    if processor is None:
        return False
    steps = processor.get("processors", [processor])
    templates = [step["single"] for step in steps if step["type"] == "TemplateProcessing"]
    first = [template[0].get("SpecialToken", {}).get("id") for template in templates]
    return bos is not None and bos in first
