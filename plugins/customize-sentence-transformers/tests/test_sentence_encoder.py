"""The encoder on a tiny random model: vectors against the definition, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import customize
from customize import ModelError
from customize.testing import conformance, outcomes
from customize_sentence_transformers.encoder import SentenceEncoder

pytest.importorskip("sentence_transformers")
torch: Any = pytest.importorskip("torch")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "query", "cat", "dog", "sits", "runs", "the", ":"]
TEXTS = ["the cat sits", "the dog runs", "cat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers, saved as sentence-transformers saves models."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel, BertTokenizerFast

    base = tmp_path_factory.mktemp("bert")
    (base / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    BertTokenizerFast(vocab=str(base / "vocab.txt")).save_pretrained(base)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(base)
    words = Transformer(str(base))
    to = tmp_path_factory.mktemp("model") / "tiny"
    modules = [words, Pooling(16, pooling_mode="mean")]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(to))
    return to


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SentenceEncoder:
    return SentenceEncoder(model=str(folder))


test_plugin = conformance(plugin="customize_sentence_transformers._plugin")


def test_it_keeps_the_rules_of_encoders(encoder: SentenceEncoder) -> None:
    found = outcomes("encoder", encoder)
    assert found
    assert [(one.rule, one.reason) for one in found if one.status != "passed"] == []


def by_definition(folder: Path, text: str) -> Any:
    """The mean of the last layer over the tokens, made as long as 1."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        mean = model(**tokens).last_hidden_state[0].mean(0).numpy()
    return mean / np.linalg.norm(mean)


def test_a_vector_is_that_of_the_model(encoder: SentenceEncoder, folder: Path) -> None:
    for made in (encoder.encode_chunks(TEXTS), encoder.encode_queries(TEXTS)):
        assert made.dtype == np.float32
        for vector, text in zip(made, TEXTS, strict=True):
            np.testing.assert_allclose(vector, by_definition(folder, text), atol=1e-6)


def test_texts_together_are_as_each_alone(folder: Path) -> None:
    together = SentenceEncoder(model=str(folder), batch_size=2).encode_chunks(TEXTS)
    for vector, text in zip(together, TEXTS, strict=True):
        np.testing.assert_allclose(vector, by_definition(folder, text), atol=1e-6)


def test_prompts_are_put_before_questions_and_passages(
    encoder: SentenceEncoder, folder: Path
) -> None:
    prompted = SentenceEncoder(model=str(folder), query_prompt="query: ", chunk_prompt="dog ")
    [asked], [told] = prompted.encode_queries(["cat"]), prompted.encode_chunks(["cat"])
    np.testing.assert_allclose(asked, by_definition(folder, "query: cat"), atol=1e-6)
    np.testing.assert_allclose(told, by_definition(folder, "dog cat"), atol=1e-6)


def test_no_text_is_no_vector(encoder: SentenceEncoder) -> None:
    assert encoder.encode_chunks([]).shape == (0, 16)


def test_the_fingerprint_is_of_what_decides_a_vector(folder: Path, tmp_path: Path) -> None:
    there = Path(shutil.copytree(folder, tmp_path / "model"))
    first = SentenceEncoder(model=str(there)).fingerprint
    (there / "README.md").write_text("Another card.")
    assert SentenceEncoder(model=str(there)).fingerprint == first
    assert SentenceEncoder(model=str(folder), batch_size=1).fingerprint == first
    assert SentenceEncoder(model=str(folder), query_prompt="query: ").fingerprint != first
    config = there / "1_Pooling" / "config.json"
    config.write_text(config.read_text() + " ")
    assert SentenceEncoder(model=str(there)).fingerprint != first


def test_an_index_with_its_vectors_is_built_and_opened(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    records = [{"id": text, "text": text} for text in TEXTS]
    customize.build_index(records, tmp_path / "index", encoder=encoder)
    again = SentenceEncoder(model=encoder.model)
    index = customize.open_index(tmp_path / "index", encoder=again)
    assert index.search("the dog runs", 1)[0].chunk.text == "the dog runs"
    assert len(index.search("zzz", 9)) == len(TEXTS)  # vectors find what no word does
    other = SentenceEncoder(model=encoder.model, chunk_prompt="dog ")
    with pytest.raises(customize.DataError, match="another encoder"):
        customize.open_index(tmp_path / "index", encoder=other)


def test_what_would_run_code_is_refused(folder: Path, tmp_path: Path) -> None:
    there = Path(shutil.copytree(folder, tmp_path / "model"))
    modules = json.loads((there / "modules.json").read_text())
    foreign = [{**modules[0], "type": "evil.Module"}, *modules[1:]]
    (there / "modules.json").write_text(json.dumps(foreign))
    with pytest.raises(ModelError, match="code of its own, evil"):
        SentenceEncoder(model=str(there)).encode_queries(["cat"])
    (there / "modules.json").write_text(json.dumps(modules))
    (there / "router_config.json").write_text(json.dumps({"types": {"a": "os.path"}}))
    with pytest.raises(ModelError, match="code of its own, os"):
        SentenceEncoder(model=str(there)).encode_queries(["cat"])
    (there / "router_config.json").unlink()
    (there / "model.safetensors").rename(there / "pytorch_model.bin")
    with pytest.raises(ModelError, match="may run what it holds"):
        SentenceEncoder(model=str(there)).encode_queries(["cat"])


def test_a_folder_that_is_no_such_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no folder of a sentence-transformers model"):
        SentenceEncoder(model=str(tmp_path)).encode_queries(["cat"])
