"""Tokenizers: GGUF vocabularies to tokenizer.json. Knows nothing of weights.

Only byte-level BPE. How text is cut before BPE is named by ``tokenizer.ggml.pre``; a wrong guess
would encode quietly and wrongly, so a name that is not listed here is refused. The cuts are
those of llama-vocab.cpp in https://github.com/ggml-org/llama.cpp and of the models' own
tokenizer.json.
"""

from __future__ import annotations

import attrs

from customize import ModelError
from customize_gguf._metadata import Metadata

Json = dict[str, object]

_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5
_ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def _byte_level(use_regex: bool) -> Json:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _split(digits: str) -> Json:
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
        + digits
        + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


@attrs.frozen
class Pretokenizer:
    """How one ``pre`` cuts text, and what goes with it."""

    steps: tuple[Json, ...]
    normalizer: Json | None = None
    ignores_merges: bool = False
    adds_bos: bool = False


PRETOKENIZERS = {
    "smollm": Pretokenizer(
        ({"type": "Digits", "individual_digits": True}, _byte_level(use_regex=True))
    ),
    "gpt-2": Pretokenizer((_byte_level(use_regex=True),)),
    "llama-bpe": Pretokenizer(
        (_split(r"\p{N}{1,3}"), _byte_level(use_regex=False)), ignores_merges=True, adds_bos=True
    ),
    "qwen2": Pretokenizer(
        (_split(r"\p{N}"), _byte_level(use_regex=False)), normalizer={"type": "NFC"}
    ),
}


@attrs.frozen
class Vocabulary:
    """The tokens, their types and the ids with a role."""

    tokens: list[str]
    types: list[int]
    merges: list[list[str]]
    pretokenizer: Pretokenizer
    adds_bos: bool
    roles: dict[str, int]
    ends: list[int]
    chat_template: str | None

    @classmethod
    def read(cls, metadata: Metadata) -> Vocabulary:
        """Raises ModelError for a vocabulary or a ``pre`` that is not known, and for damage."""
        pretokenizer = _pretokenizer(metadata)
        tokens = metadata.texts("tokenizer.ggml.tokens")
        types = metadata.integers("tokenizer.ggml.token_type")
        if len(types) != len(tokens) or len(set(tokens)) != len(tokens):
            raise ModelError("the GGUF vocabulary has repeated tokens or not one type a token")
        roles = {
            role: token
            for role, key in _ROLES.items()
            if (token := metadata.token(f"tokenizer.ggml.{key}_token_id", len(tokens))) is not None
        }
        if "eos" not in roles:
            raise ModelError("the GGUF file names no eos token; answers would never end")
        turn_end = metadata.token("tokenizer.ggml.eot_token_id", len(tokens))
        ends = [roles["eos"]] + ([turn_end] if turn_end not in (None, roles["eos"]) else [])
        return cls(
            tokens=tokens,
            types=types,
            merges=_merges(metadata.texts("tokenizer.ggml.merges"), set(tokens)),
            pretokenizer=pretokenizer,
            adds_bos=metadata.flag("tokenizer.ggml.add_bos_token", pretokenizer.adds_bos),
            roles=roles,
            ends=[end for end in ends if end is not None],
            chat_template=(
                metadata.text("tokenizer.chat_template")
                if metadata.has("tokenizer.chat_template")
                else None
            ),
        )

    def tokenizer(self) -> Json:
        """The contents of tokenizer.json."""
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": self._added_tokens(),
            "normalizer": self.pretokenizer.normalizer,
            "pre_tokenizer": self._pre_tokenizer(),
            "post_processor": self._post_processor(),
            "decoder": _byte_level(use_regex=True),
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

    def _pre_tokenizer(self) -> Json:
        steps = self.pretokenizer.steps
        return steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": list(steps)}

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
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": self.pretokenizer.ignores_merges,
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


def _pretokenizer(metadata: Metadata) -> Pretokenizer:
    kind = metadata.text("tokenizer.ggml.model")
    if kind != "gpt2":
        raise ModelError(
            f"GGUF vocabularies of the kind {kind!r} are not supported "
            "(supported: gpt2, which is byte-level BPE)"
        )
    pre = metadata.text("tokenizer.ggml.pre")
    if pre not in PRETOKENIZERS:
        raise ModelError(
            f"GGUF tokenizers with pre {pre!r} are not supported "
            f"(supported: {', '.join(PRETOKENIZERS)})"
        )
    return PRETOKENIZERS[pre]


def _merges(lines: list[str], tokens: set[str]) -> list[list[str]]:
    merges = [line.split(" ") for line in lines]
    for merge in merges:
        if len(merge) != 2 or not tokens.issuperset((*merge, "".join(merge))):
            raise ModelError(f"the GGUF vocabulary has a merge of unknown tokens: {merge}")
    return merges
