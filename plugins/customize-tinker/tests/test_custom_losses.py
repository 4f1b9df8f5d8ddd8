"""Losses that clients trace: computed as torch computes them, of allowed operations alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wire_client import HELLO, Asking, OperationFailed, datum, serving

torch = pytest.importorskip("torch")

from torch.fx import Node, symbolic_trace  # noqa: E402
from torch.fx.node import _get_qualified_name  # noqa: E402

from customize_tinker import graphs  # noqa: E402
from customize_tinker.graphs import read_graph  # noqa: E402
from customize_tinker.requests import Datum  # noqa: E402
from customize_tinker.tensors import Tensor  # noqa: E402

SHORT, LONG = [7, 7, 8, 9], HELLO
RANKS = {"logprobs": 1, "advantages": 1}
Loss = Callable[..., Any]


def clipped(logprobs: Any, advantages: Any, old: Any, strength: Any) -> Any:
    """Everything that the official client writes: functions, methods, operators, attributes."""
    ratio = torch.exp(logprobs - old)
    clipped = ratio.clamp(min=0.8, max=1.2)
    gain = torch.minimum(ratio * advantages, clipped * advantages)[1:]
    kl = torch.nn.functional.softplus(old - logprobs).mean()
    loss = -gain.sum() / logprobs.shape[0] + strength * kl**2
    finite = torch.where(ratio > float("-inf"), ratio, torch.zeros_like(ratio))
    metrics = {"custom/ratio:mean": finite.max(), "custom/length:sum": finite.to(torch.float32)[0]}
    return loss, metrics


INPUTS = {"logprobs": 1, "advantages": 1, "old": 1, "strength": 0}


def encoded(function: Loss) -> list[dict[str, Any]]:
    """Nodes as the newest official client sends them."""
    return [
        {
            "op": node.op,
            "name": node.name,
            "target": target(node),
            "args": [value(arg) for arg in node.args],
            "kwargs": {key: value(arg) for key, arg in node.kwargs.items()},
        }
        for node in symbolic_trace(function).graph.nodes
    ]


def target(node: Node) -> str:
    if callable(node.target):
        return str(_get_qualified_name(node.target)).replace("_operator.", "operator.")
    return str(node.target)


def value(arg: Any) -> Any:
    if isinstance(arg, Node):
        return {"ref": arg.name}
    if isinstance(arg, float) and not np.isfinite(arg):
        return {"float": str(arg)}
    if isinstance(arg, tuple):
        return {"tuple": [value(one) for one in arg]}
    if isinstance(arg, dict):
        return {"dict": {key: value(one) for key, one in arg.items()}}
    if isinstance(arg, slice):
        return {"slice": [value(one) for one in (arg.start, arg.stop, arg.step)]}
    if isinstance(arg, torch.dtype):
        return {"dtype": str(arg).removeprefix("torch.")}
    return arg


def request_of(session: str, nodes: Any, ranks: Mapping[str, int] = RANKS) -> dict[str, Any]:
    return {
        "session_id": session,
        "custom_loss_seq_id": 0,
        "name": "mine",
        "inputs": [{"name": name, "rank": rank} for name, rank in ranks.items()],
        "graph": {"format": 1, "nodes": nodes},
        "type": "create_custom_loss",
    }


async def created(asking: Asking, asked: Mapping[str, Any]) -> str:
    said = await asking.told("create_custom_loss", **asked)
    return str((await asking.result(said["request_id"])).json["loss_id"])


def data() -> list[Datum]:
    drawn = np.random.default_rng(0)
    rows = []
    for tokens, strength in ((SHORT, 0.3), (LONG, 0.1)):
        n = len(tokens) - 1
        row = datum(tokens, advantages=drawn.normal(size=n), old=drawn.normal(size=n) - 3)
        scalar = Tensor(np.asarray([strength], np.float32), ())
        rows.append(Datum(row.tokens, {**row.inputs, "strength": scalar}))
    return rows


def test_a_traced_loss_is_what_torch_makes_of_it(tmp_path: Path) -> None:
    """Its value, its metrics, and the step along its gradient: against autograd in this process
    and the client's own way there, which is a likelihood weighted by that gradient."""
    tracing = request_of("", encoded(clipped), INPUTS)

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            session = await asking.session()
            model, beside = [await asking.model(session, number) for number in (0, 1)]
            id = await created(asking, {**tracing, "session_id": session})
            before = await asking.learn(model, [datum(SHORT), datum(LONG)], forward_only=True)
            loss, metrics, slopes = expected(before.logprobs)
            alone = await asking.learn(model, data(), "custom", forward_only=True, loss_id=id)
            output = await asking.learn(model, data(), "custom", loss_id=id)
            for found in (alone, output):
                assert found.metrics["loss:sum"] == pytest.approx(loss, rel=1e-6)
                assert {k: v for k, v in found.metrics.items() if k != "loss:sum"} == (
                    pytest.approx(metrics, rel=1e-6)
                )
            for told, own in zip(output.logprobs, before.logprobs, strict=True):
                np.testing.assert_array_equal(told, own)
            weighted = [
                datum(tokens, weights=-slope)
                for tokens, slope in zip((SHORT, LONG), slopes, strict=True)
            ]
            await asking.learn(beside, weighted)
            norms = [await asking.step(one, 0.5) for one in (model, beside)]
            assert norms[0] == pytest.approx(norms[1], rel=1e-6)
            assert norms[0] > 0
            after = [
                await asking.learn(one, [datum(LONG)], forward_only=True) for one in (model, beside)
            ]
            np.testing.assert_allclose(after[0].logprobs[0], after[1].logprobs[0], rtol=1e-5)

    asyncio.run(through_the_server())


def expected(logprobs: Any) -> tuple[float, dict[str, float], list[Any]]:
    total, sums, slopes = 0.0, {"custom/ratio:mean": 0.0, "custom/length:sum": 0.0}, []
    for row, values in zip(data(), logprobs, strict=True):
        leaf = torch.tensor(values, requires_grad=True)
        given = [
            torch.tensor(row.inputs[name].values.reshape(row.inputs[name].shape))
            for name in list(INPUTS)[1:]
        ]
        loss, metrics = clipped(leaf, *given)
        loss.backward()
        total += float(loss.detach())
        slopes.append(leaf.grad.numpy())
        for key, one in metrics.items():
            sums[key] += float(one.detach())
    sums["custom/ratio:mean"] /= 2
    return total, sums, slopes


def test_a_target_that_is_not_the_next_token_is_at_its_place(tmp_path: Path) -> None:
    """Such positions lie in sequences of their own, and the loss sees them in the data's order."""

    def third(logprobs: Any) -> Any:
        return logprobs[2] * 3.0, {}

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            session = await asking.session()
            model = await asking.model(session)
            asked = request_of(session, encoded(third), {"logprobs": 1})
            id = await created(asking, asked)
            targets = np.asarray([HELLO[1], 50, 60, *HELLO[4:]], np.int64)
            given = {"target_tokens": Tensor(targets, targets.shape)}
            odd = Datum(np.asarray(HELLO[:-1], np.int32), given)
            output = await asking.learn(model, [datum(SHORT), odd], "custom", loss_id=id)
            wanted = 3 * (output.logprobs[0][2] + output.logprobs[1][2])
            assert output.metrics["loss:sum"] == pytest.approx(wanted, rel=1e-6)

    asyncio.run(through_the_server())


def bad(op: str, target: str, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
    """A graph of one node between its input and its output."""
    given = {"op": "placeholder", "name": "logprobs", "target": "logprobs"}
    done = {"op": op, "name": "x", "target": target, "args": list(args), "kwargs": kwargs}
    told = {"tuple": [{"ref": "x"}, {"dict": {}}]}
    output = {"op": "output", "name": "output", "target": "output", "args": [told]}
    return [given, done, output]


REF = {"ref": "logprobs"}
ATTACKS = {
    "another module": bad("call_function", "os.system", "true"),
    "a builtin": bad("call_function", "builtins.eval", "1"),
    "a file": bad("call_function", "torch.load", "x"),
    "code of torch": bad("call_function", "torch.compile", REF),
    "a dunder": bad("call_method", "__reduce__", REF),
    "an attribute": bad("get_attr", "weight"),
    "a module": bad("call_module", "linear", REF),
    "in place": bad("call_method", "add_", REF, 1),
    "to the processor's side": bad("call_method", "tolist", REF),
    "another's memory": bad("call_function", "torch.exp", REF, out=REF),
    "a device": bad("call_method", "sum", REF, device={"device": "cuda"}),
    "allocation": bad("call_function", "torch.ones", 10**12),
    "a growing shape": bad("call_method", "repeat", REF, 10**9),
}
NO_GRAPHS = {
    "a name from nowhere": bad("call_function", "torch.exp", {"ref": "later"}),
    "a number beyond all": bad("call_function", "operator.add", REF, 10**30),
    "an unknown form": bad("call_function", "torch.exp", {"object": 1}),
    "no output": bad("call_function", "torch.exp", REF)[:-1],
    "no nodes": [],
    "text": "graph",
    "a depth": bad("call_function", "torch.cat", [[[[[[[[[[REF]]]]]]]]]]),
}


@pytest.mark.parametrize("name", [*ATTACKS, *NO_GRAPHS])
def test_a_graph_of_anything_else_is_refused_when_it_is_made(tmp_path: Path, name: str) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            nodes = {**ATTACKS, **NO_GRAPHS}[name]
            with pytest.raises(OperationFailed) as failed:
                await created(asking, request_of(await asking.session(), nodes, {"logprobs": 1}))
            assert failed.value.category == "user"
            assert ("may not do" in str(failed.value)) == (name in ATTACKS)

    asyncio.run(through_the_server())


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (bad("call_function", "operator.pow", 10, 10**9), "fails at x"),
        (bad("call_function", "operator.mul", [1], 10**9), "fails at x: mul of list"),
        (bad("call_function", "operator.mul", 1 << 40, 1 << 40), "more than 64 bits"),
        (bad("call_function", "getattr", REF, "data"), "'data' is not to be had"),
        (bad("call_function", "getattr", 1, "shape"), "called on int"),
        (bad("call_method", "to", REF, "meta"), "takes a dtype"),
        (bad("call_function", "operator.getitem", REF, 99), "fails at x"),
        (bad("call_function", "operator.getitem", REF, REF), "a place is a number or a slice"),
        (bad("call_function", "torch.exp", REF), "must return a scalar"),
        (bad("call_method", "log", {"ref": "logprobs"}), "must return a scalar"),
    ],
)
def test_an_operation_that_fails_is_the_users(tmp_path: Path, nodes: Any, message: str) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            session = await asking.session()
            model = await asking.model(session)
            id = await created(asking, request_of(session, nodes, {"logprobs": 1}))
            with pytest.raises(OperationFailed, match=message) as failed:
                await asking.learn(model, [datum(HELLO)], "custom", loss_id=id)
            assert failed.value.category == "user"
            assert await asking.step(model) == 0.0  # and the model is as it was

    asyncio.run(through_the_server())


def test_a_loss_that_grows_with_the_square_of_the_tokens_is_refused_before_it_does(
    tmp_path: Path,
) -> None:
    """torch computes shapes alone first, so that nothing is allocated."""

    def every_pair(logprobs: Any) -> Any:
        return (logprobs.unsqueeze(0) * logprobs.unsqueeze(1)).sum(), {}

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            session = await asking.session()
            model = await asking.model(session)
            id = await created(asking, request_of(session, encoded(every_pair), {"logprobs": 1}))
            await asking.learn(model, [datum(HELLO)], "custom", loss_id=id)
            with pytest.raises(OperationFailed, match="the square of its tokens"):
                await asking.learn(model, [datum(HELLO * 1000)], "custom", loss_id=id)

    asyncio.run(through_the_server())


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "lacks the input advantages"),
        ({"advantages": [[1.0] * 7]}, "takes rank 1"),
    ],
)
def test_inputs_are_those_the_loss_declared(
    tmp_path: Path, inputs: dict[str, Any], message: str
) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            session = await asking.session()
            model = await asking.model(session)

            def loss(logprobs: Any, advantages: Any) -> Any:
                return (logprobs * advantages).sum(), {}

            id = await created(asking, request_of(session, encoded(loss)))
            with pytest.raises(OperationFailed, match=message):
                await asking.learn(model, [datum(HELLO, **inputs)], "custom", loss_id=id)

    asyncio.run(through_the_server())


def test_a_loss_is_its_sessions_and_there_after_a_restart(tmp_path: Path) -> None:
    def loss(logprobs: Any) -> Any:
        return -logprobs.sum(), {}

    asked = request_of("", encoded(loss), {"logprobs": 1})

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            session, another = await asking.session(), await asking.session()
            model, other = await asking.model(session), await asking.model(another)
            id = await created(asking, {**asked, "session_id": session})
            first = await asking.learn(model, [datum(HELLO)], "custom", loss_id=id)
            for wrong in (id, f"{another}:loss:0", "mine", "../" + id):
                with pytest.raises(OperationFailed, match="there is no"):
                    await asking.learn(other, [datum(HELLO)], "custom", loss_id=wrong)
            with pytest.raises(OperationFailed, match="has one setting, loss_id"):
                await asking.learn(other, [datum(HELLO)], "custom")
            other_loss = request_of(session, encoded(lambda logprobs: (logprobs.sum(), {})))
            thief = Asking(app, "tml-another-tenant")
            said = await thief.post("create_custom_loss", {**asked, "session_id": session})
            assert said.status == 404
        async with serving(tmp_path) as app:
            asking.app = app
            assert await created(asking, {**other_loss, "inputs": asked["inputs"]}) == id
            again = await asking.learn(model, [datum(HELLO)], "custom", loss_id=id)
            assert again.metrics == first.metrics

    asyncio.run(through_the_server())


def test_every_operation_of_the_lists_is_one_of_torchs() -> None:
    for name in graphs._TORCH:
        assert callable(getattr(torch, name)), name
    for name in graphs._METHODS - {"where"}:
        assert callable(getattr(torch.Tensor, name)), name
    for name in (*graphs._FUNCTIONAL, *graphs._BUILT_IN.values()):
        assert callable(getattr(torch.nn.functional, name)), name


def test_a_graph_is_plain_data(tmp_path: Path) -> None:
    """What is kept is JSON, and reading it again makes the same graph."""
    from customize_tinker.body import Body

    asked = request_of("", encoded(clipped), INPUTS)
    kept = json.loads(json.dumps({key: asked[key] for key in ("name", "inputs", "graph")}))
    graph = read_graph(Body(kept))
    ones = [torch.ones(3), torch.ones(3), torch.ones(3), torch.tensor(0.5)]
    assert float(graph.run(ones)[0]) == float(clipped(*ones)[0])
