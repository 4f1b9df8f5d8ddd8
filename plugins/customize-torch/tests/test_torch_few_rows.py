"""Layers multiplied together, with their weights laid out, say the same, in bf16 to the bit, and
in float32 also with their updates added into the weights.
"""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from torch import nn

from customize import AdamW, Batch, CrossEntropy, Engine, LoRA, ModelFolder, Prompt, Sampling
from customize_torch import few_rows
from customize_torch.backend import CPU
from customize_torch.few_rows import Joint, Packing, multiplying
from customize_torch.lora import Switchboard, Update, linear_layers
from customize_torch.policy import Policy
from customize_torch.session import TorchSession

needs_bf16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="this processor does not multiply bfloat16",
)


@pytest.fixture
def layers() -> nn.ModuleDict:
    """Three that read one input, and a head."""
    torch.manual_seed(0)
    sizes = {"q": 48, "k": 16, "v": 16}
    made = nn.ModuleDict({name: nn.Linear(48, size) for name, size in sizes.items()})
    made["head"] = nn.Linear(48, 100, bias=False)
    return made.to(torch.bfloat16)


def assert_same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """To the bit, or up to the order of float32's sums."""
    bound = 0.0 if found.dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found, wanted, rtol=bound, atol=bound)


def joined(layers: nn.ModuleDict) -> tuple[Joint, Packing]:
    joint = Joint(*(layers[name] for name in "qkv"))
    return joint, Packing({joint: "qkv"}, layers["head"])


def update(outputs: int, dtype: torch.dtype, rank: int = 4) -> Update:
    generator = torch.Generator().manual_seed(outputs)
    a, b = (torch.randn(shape, generator=generator) for shape in ((rank, 48), (outputs, rank)))
    return Update(a, b, (a.to(dtype), b.to(dtype)), 0.5)


@pytest.mark.parametrize("adapted", ["", "q", "kv", "qkv"])
@pytest.mark.parametrize("rows", [1, 7, 200])
@pytest.mark.parametrize(
    "dtype", [pytest.param(torch.bfloat16, marks=needs_bf16), torch.float32], ids=str
)
def test_a_joint_gives_what_its_layers_give(
    layers: nn.ModuleDict, adapted: str, rows: int, dtype: torch.dtype
) -> None:
    joint, packed = joined(layers.to(dtype))
    updates = {name: update(layers[name].out_features, dtype) for name in adapted}
    products = packed.products(updates)
    assert products is not None
    x = torch.randn(1, rows, 48).to(dtype)
    with torch.no_grad(), Switchboard(linear_layers(layers, layers["head"]), {}).using(updates):
        wanted = joint(x)
        with multiplying(products):
            found = joint(x)
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)
    assert_same(products.head(x[0]), x[0] @ layers["head"].weight.T)


@needs_bf16
def test_weights_stay_as_they_are_where_memory_is_short(
    layers: nn.ModuleDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_rows, "free_bytes", lambda: 1000)
    assert joined(layers)[1].products({}) is None


def test_numbers_of_another_form_are_left_to_torch(layers: nn.ModuleDict) -> None:
    assert joined(layers.double())[1].products({}) is None


@pytest.fixture
def rounding(model: ModelFolder) -> Engine:
    return CPU(dtype="bfloat16").load(model)


def learnt(engine: Engine, batch: Batch, targets: str | tuple[str, ...]) -> TorchSession:
    session = engine.open(LoRA(rank=4, targets=targets), seed=1)
    assert isinstance(session, TorchSession)
    session.forward_backward(batch, CrossEntropy())
    session.optim_step(AdamW(lr=1e-2)).result()
    return session


@needs_bf16
@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "down_proj")], ids=str)
def test_what_a_session_samples_does_not_depend_on_the_layout(
    rounding: Engine, batch: Batch, targets: str | tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = learnt(rounding, batch, targets)
    prompts = [Prompt(np.arange(1, n, dtype=np.int32), n=2, seed=n) for n in (5, 40)]
    found = session.sample(prompts, Sampling(max_tokens=24, stop_tokens=())).result()
    assert session.policy.ready().products is not None
    monkeypatch.setattr(Packing, "products", lambda self, updates, many: None)
    wanted = session.sample(prompts, Sampling(max_tokens=24, stop_tokens=())).result()
    for some, others in zip(found, wanted, strict=True):
        for one, other in zip(some, others, strict=True):
            assert one.tokens.tolist() == other.tokens.tolist()
            assert one.logprobs.tolist() == other.logprobs.tolist()


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "down_proj")], ids=str)
def test_many_rows_and_steps_are_drawn_by_weights_with_the_adapter_in_them(
    engine: Engine, batch: Batch, targets: str | tuple[str, ...]
) -> None:
    session = learnt(engine, batch, targets)
    assert beside_the_base(session.policy.ready())
    assert not beside_the_base(session.policy.ready(many=True))
    prompts = [Prompt(np.arange(1, n, dtype=np.int32), n=4, seed=n) for n in (5, 40)]
    drawn = session.sample(prompts, Sampling(max_tokens=32, stop_tokens=())).result()
    rows = [
        (np.concatenate([prompt.tokens, one.tokens]), one.logprobs)
        for prompt, some in zip(prompts, drawn, strict=True)
        for one in some
    ]
    batched = Batch.from_sequences([(t, {"weights": np.ones(len(t))}) for t, _ in rows])
    said = np.split(session.forward(batched).result(), batched.offsets[1:-1])
    for of_row, (_, told) in zip(said, rows, strict=True):
        assert of_row[-32:] == pytest.approx(told, abs=1e-5)


def test_a_copy_with_the_adapter_in_it_takes_the_place_of_the_bases(
    engine: Engine, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = learnt(engine, batch, "all-linear").policy
    policy.ready()
    assert policy.base.packing._bases
    policy.ready(many=True)
    assert not policy.base.packing._bases
    monkeypatch.setattr(few_rows, "free_bytes", lambda: 1000)
    assert policy.ready(many=True).products is policy.ready().products is None


@needs_bf16
def test_in_16_bits_no_adapter_is_added_into_weights(rounding: Engine, batch: Batch) -> None:
    assert beside_the_base(learnt(rounding, batch, "all-linear").policy.ready(many=True))


def beside_the_base(policy: Policy) -> bool:
    """Whether a layer's update is computed beside it."""
    assert policy.products is not None
    return any(product.update for product in policy.products.joints.values())


def test_everything_trained_has_no_frozen_weight_to_lay_out(engine: Engine) -> None:
    policy = learnt(engine, _few(), "all-linear").policy
    assert attrs.evolve(policy, scale=None).ready().products is None


def _few() -> Batch:
    tokens = np.arange(1, 9, dtype=np.int32)
    return Batch.from_sequences([(tokens, {"weights": tokens > 2})])


@needs_bf16
def test_what_is_drawn_has_the_probability_that_training_gives_it(
    rounding: Engine, batch: Batch
) -> None:
    """Sampler and trainer compute alike: in bfloat16 too no ratio begins away from one."""
    session = learnt(rounding, batch, "all-linear")
    prompt = Prompt(np.arange(1, 30, dtype=np.int32), n=3, seed=5)
    [drawn] = session.sample([prompt], Sampling(max_tokens=20, stop_tokens=())).result()
    rows = []
    for one in drawn:
        tokens = np.concatenate([prompt.tokens, one.tokens])
        rows.append((tokens, {"weights": np.arange(len(tokens)) >= len(prompt.tokens)}))
    said = session.forward(Batch.from_sequences(rows)).result()
    told = np.concatenate([one.logprobs for one in drawn])
    trained = np.concatenate([np.asarray(weights["weights"]) for _, weights in rows])
    assert np.abs(said[trained] - told).max() < 2e-3


def test_rows_of_the_last_layer_are_those_of_the_whole(engine: Engine, batch: Batch) -> None:
    """What is made at the wanted places alone is what the whole row has there."""
    session = learnt(engine, batch, "all-linear")
    found = session.forward(batch).result()
    first = batch.take(np.array([0]))
    wanted = session.distributions(first.tokens, 1)[np.arange(4), first.tokens[1:]]
    scored = np.flatnonzero(first.scored)
    assert len(scored) > 1
    assert found[scored] == pytest.approx(wanted[scored - 1], abs=1e-5)
