"""Shared prefixes, rounded lengths and sliding windows change the work, and no number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import LlamaForCausalLM, MistralConfig, MistralForCausalLM

from customize import Batch, CrossEntropy, Engine, LoRA, ModelFolder, Prompt, Sampling
from customize_torch.backend import CPU
from customize_torch.cutting import pieces
from customize_torch.layout import lay, shared_prefix
from customize_torch.session import TorchSession

PREFIX = 24


@pytest.fixture
def pairs() -> Batch:
    """Three groups: two with a prefix of 24 tokens, one whose sequences differ at once."""
    rng = np.random.default_rng(0)
    rows: list[tuple[npt.ArrayLike, dict[str, npt.ArrayLike]]] = []
    groups = []
    for group, shared in enumerate((PREFIX, PREFIX, 0)):
        prefix = rng.integers(0, 250, shared)
        for length in (7, 19, 3):
            own = rng.integers(0, 250, length)
            own[0] = len(rows)  # no longer prefix by chance
            tokens = np.concatenate([prefix, own])
            weights = rng.uniform(0.2, 1, len(tokens)) * (rng.random(len(tokens)) < 0.6)
            rows.append((tokens, {"weights": weights}))
            groups.append(group)
    return Batch.from_sequences(rows, groups=groups)


def alone(batch: Batch) -> Batch:
    """The same sequences, each a group of its own: nothing is shared."""
    return Batch(batch.tokens, batch.offsets, batch.columns)


def gradients(
    engine: Engine, batch: Batch
) -> tuple[npt.NDArray[np.floating], dict[str, torch.Tensor]]:
    session = engine.open(LoRA(rank=4), seed=1)
    assert isinstance(session, TorchSession)
    for key, tensor in session.policy.tensors.items():
        tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(len(key))))
        tensor.mul_(0.1)
    output = session.forward_backward(batch, CrossEntropy()).result()
    return output.logprobs, session.gradients


def test_a_prefix_is_found_and_laid_once(pairs: Batch) -> None:
    assert [shared_prefix(pairs, np.arange(i, i + 3)) for i in (0, 3, 6)] == [PREFIX, PREFIX, 0]
    length = len(lay(pairs, torch.device("cpu"), torch.bfloat16).tokens_N)
    assert pairs.num_tokens - 4 * PREFIX <= length < pairs.num_tokens - 4 * PREFIX + 64


@pytest.mark.parametrize(("dtype", "multiple"), [(torch.bfloat16, 32), (torch.float32, 8)])
def test_tokens_and_scored_positions_are_rounded_up_behind_the_batchs_own(
    pairs: Batch, dtype: torch.dtype, multiple: int
) -> None:
    flat = lay(pairs, torch.device("cpu"), dtype)
    assert len(flat.tokens_N) % multiple == 0
    assert flat.num_scored == pairs.scored.sum()
    assert flat.num_scored % multiple > 0
    rounded = multiple * (flat.num_scored // multiple + 1)
    assert len(flat.targets_T) == len(flat.before_T) == rounded
    assert flat.targets_T[: flat.num_scored].tolist() == pairs.tokens[pairs.scored].tolist()


def test_each_sequence_keeps_a_token_of_its_own() -> None:
    tokens = np.arange(30)
    batch = Batch.from_sequences([(tokens, {"weights": tokens})] * 2, groups=[0, 0])
    assert shared_prefix(batch, np.array([0, 1])) == 29


def test_sharing_a_prefix_changes_no_logprob_and_no_gradient(engine: Engine, pairs: Batch) -> None:
    shared_logprobs, shared = gradients(engine, pairs)
    logprobs, plain = gradients(engine, alone(pairs))
    np.testing.assert_allclose(shared_logprobs, logprobs, atol=2e-5)
    assert shared.keys() == plain.keys()
    for key, gradient in plain.items():
        # Small entries are sums of large ones, which round by the large ones' size.
        scale = float(gradient.abs().max()) or 1.0
        torch.testing.assert_close(shared[key] / scale, gradient / scale, rtol=0, atol=2e-6)


def test_a_piece_holds_whole_groups_while_they_fit(pairs: Batch) -> None:
    for piece in pieces(pairs, 64, by_group=False):
        groups = pairs.groups[piece]
        assert all((pairs.groups == g).sum() == (groups == g).sum() for g in np.unique(groups))
    assert sorted(np.concatenate(list(pieces(pairs, 1, by_group=False)))) == list(range(9))
    assert all(len(piece) == 1 for piece in pieces(pairs, 1, by_group=False))
    assert all(len(piece) == 3 for piece in pieces(pairs, 1, by_group=True))


@pytest.fixture(scope="module")
def sliding(model: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A tiny Mistral that sees eight tokens back."""
    folder = tmp_path_factory.mktemp("sliding")
    torch.manual_seed(2)
    config = MistralConfig(
        vocab_size=260,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        sliding_window=8,
    )
    MistralForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((Path(model.path) / name).read_bytes())
    return ModelFolder(folder, "sliding", "sliding")


def test_a_sliding_window_is_honoured(sliding: ModelFolder, pairs: Batch) -> None:
    engine = CPU(dtype="float32").load(sliding)
    plain = MistralForCausalLM.from_pretrained(sliding.path, dtype=torch.float32).eval()
    with torch.no_grad():
        for chosen in range(pairs.num_sequences):
            batch = pairs.take([chosen])
            tokens = torch.from_numpy(batch.tokens.astype(np.int64))
            wanted = plain(tokens[None]).logits[0, :-1].log_softmax(-1)
            wanted = wanted.gather(1, tokens[1:, None])[:, 0].numpy() * batch.scored[1:]
            got = engine.base().forward(batch).result()[1:]
            np.testing.assert_allclose(got, wanted, atol=2e-5)
    shared = engine.base().forward(pairs).result()
    np.testing.assert_allclose(shared, engine.base().forward(alone(pairs)).result(), atol=2e-5)


def test_sampling_honours_a_sliding_window(sliding: ModelFolder, pairs: Batch) -> None:
    engine = CPU(dtype="float32").load(sliding)
    plain = MistralForCausalLM.from_pretrained(sliding.path, dtype=torch.float32).eval()
    prompt = pairs.take([1]).tokens
    [[got]] = (
        engine.base()
        .sample([Prompt(prompt)], Sampling(max_tokens=12, temperature=0.0, stop_tokens=()))
        .result()
    )
    tokens = torch.from_numpy(prompt.astype(np.int64))
    for said in got.tokens.tolist():
        with torch.no_grad():
            assert said == plain(tokens[None]).logits[0, -1].argmax()
        tokens = torch.cat([tokens, torch.tensor([said])])


def test_a_plain_model_still_equals_transformers_when_rows_share(
    engine: Engine, plain: LlamaForCausalLM, pairs: Batch
) -> None:
    got = engine.base().forward(pairs).result()
    for chosen in range(pairs.num_sequences):
        batch = pairs.take([chosen])
        tokens = torch.from_numpy(batch.tokens.astype(np.int64))
        with torch.no_grad():
            logits = plain(tokens[None]).logits[0, :-1].log_softmax(-1)
        wanted = logits.gather(1, tokens[1:, None])[:, 0].numpy() * batch.scored[1:]
        np.testing.assert_allclose(got[pairs.positions_of([chosen])][1:], wanted, atol=2e-5)
