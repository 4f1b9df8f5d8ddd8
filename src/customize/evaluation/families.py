"""Which family a model is of, by its name: judges prefer their own kind (arXiv 2404.13076)."""

from __future__ import annotations

import re

# Longer names first where one begins another.
_FAMILIES = (
    *("smollm", "tinyllama", "codellama", "llama", "qwen", "qwq", "gpt-oss", "gpt", "chatgpt"),
    *("claude", "gemini", "gemma", "mixtral", "mistral", "ministral", "magistral", "codestral"),
    *("phi", "deepseek", "olmo", "falcon", "granite", "nemotron", "command", "aya", "glm", "kimi"),
    *("minimax", "internlm", "exaone", "jamba", "grok", "yi", "baichuan", "bloom", "pythia"),
)
_SAME = {
    "chatgpt": "gpt",
    "gpt-oss": "gpt",
    "gemma": "gemini",
    "qwq": "qwen",
    "tinyllama": "llama",
    "codellama": "llama",
    **dict.fromkeys(("mixtral", "ministral", "magistral", "codestral"), "mistral"),
}
_NAMED = re.compile(rf"(?<![a-z])({'|'.join(_FAMILIES)})(?![a-z])", re.IGNORECASE)


def family_of(name: str) -> str | None:
    """The first family that the name has in it, under one name for all its members."""
    found = _NAMED.search(name)
    return None if found is None else _SAME.get(found[1].lower(), found[1].lower())
