"""Losses that clients trace: plain data, rebuilt from a list of allowed operations.

Nothing of a graph is code: a node names an operation of the lists here, or the graph is refused.
Knows no request and no engine; imports torch when a loss is computed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from customize import DataError, Unsupported
from customize_tinker.arithmetic import ATTRIBUTES, OPERATORS
from customize_tinker.body import Body
from customize_tinker.refusals import unreadable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Operations whose cost is their entries', by name. A function of torch and a method of its tensors
# have the same names.
_TENSOR = _words(
    "abs add all any argmax argmin ceil clamp clamp_max clamp_min clip cos cummax cummin cumprod "
    "cumsum detach diff div eq erf exp expm1 flatten flip floor ge gt isfinite isinf isnan le "
    "lerp log log1p log_softmax logaddexp logcumsumexp logical_and logical_not logical_or "
    "logsumexp lt masked_fill max maximum mean median min minimum mul multiply nan_to_num ne neg "
    "negative norm pow prod reciprocal relu reshape round rsqrt sigmoid sign sin softmax sort "
    "sqrt square squeeze std sub subtract sum tanh true_divide trunc unbind unsqueeze var where "
    "xlogy"
)
_TORCH = _TENSOR | _words("cat full_like ones_like stack zeros_like")
_METHODS = _TENSOR | _words("bool dim double float int long numel size to view")
_FUNCTIONAL = _words(
    "binary_cross_entropy_with_logits elu huber_loss l1_loss leaky_relu log_softmax logsigmoid "
    "mse_loss relu sigmoid silu smooth_l1_loss softmax softplus softmin tanh"
)
_BUILT_IN = {"log_sigmoid": "logsigmoid", "softplus": "softplus"}  # torch._C._nn's names for two
_SETTINGS = _words(
    "alpha beta correction delta descending dim dims dtype eps input keepdim max min nan neginf "
    "negative_slope other p pos_weight posinf reduction rounding_mode target threshold unbiased "
    "value weight"
)
_DTYPES = ("float32", "float64", "int32", "int64", "bool")

_INPUT = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_METRIC = re.compile(r"custom/[a-z0-9_./-]{1,64}:(sum|mean)")
_MOST_NODES, _MOST_INPUTS, _DEEPEST = 1024, 16, 8
_MOST_ENTRIES = 1 << 24  # of all values of one datum together
_WHOLE = 1 << 53

Tensor = Any  # torch is no dependency
Value = Any  # a tensor, a number, or what an operation takes


@attrs.frozen
class Input:
    """rank: 0 for a number, 1 for one a position, 2 for several a position."""

    name: str
    rank: int


@attrs.frozen(eq=False)
class Node:
    """As torch.fx records it; args and kwargs as they came."""

    op: str
    name: str
    target: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


@attrs.frozen(eq=False)
class Graph:
    """A loss of one datum. inputs: log-probabilities first. metrics: nodes by their names."""

    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    loss: str
    metrics: Mapping[str, str]

    def check_size(self, tensors: Sequence[Tensor]) -> None:
        """Whether what is computed of such tensors, which are torch's ``meta`` and hold nothing,
        is not too much.

        Raises:
            DataError: it is, or they do not fit one another.
        """
        import torch

        made = [v for v in self._run(tensors).values() if isinstance(v, torch.Tensor)]
        if sum(tensor.numel() for tensor in made) > _MOST_ENTRIES:
            raise DataError(
                f"the loss {self.name!r} computes more than {_MOST_ENTRIES} numbers of a datum: "
                "let none grow with the square of its tokens"
            )

    def run(self, tensors: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, a scalar, and its metrics.

        Raises:
            DataError: an operation refuses what it is given, or the loss is no scalar.
        """
        values = self._run(tensors)
        loss = values[self.loss]
        if getattr(loss, "ndim", None) != 0:
            raise DataError(f"the loss {self.name!r} must return a scalar tensor as its loss")
        return loss, {key: values[name] for key, name in self.metrics.items()}

    def _run(self, tensors: Sequence[Tensor]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        given = iter(tensors)
        for node in self.nodes:
            if node.op == "placeholder":
                values[node.name] = next(given)
                continue
            args = [_decoded(arg, values) for arg in node.args]
            kwargs = {key: _decoded(arg, values) for key, arg in node.kwargs.items()}
            try:
                values[node.name] = _operation(node)(*args, **kwargs)
            except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
                raise DataError(f"the loss {self.name!r} fails at {node.name}: {error}") from None
        return values


def read_graph(body: Body) -> Graph:
    """Name, inputs and graph of a request.

    Raises:
        Refusal: it is none.
        Unsupported: it does what is not on the list.
    """
    name, inputs, graph = body.text("name"), body.raw("inputs"), body.inner("graph")
    if (version := graph.integer("format", 1)) != 1:
        raise Unsupported(f"graphs of the format {version} are not known here: take 1")
    nodes = _nodes(graph.raw("nodes"))
    graph.end()
    found = _inputs(inputs)
    names = [node.target for node in nodes if node.op == "placeholder"]
    if names != [one.name for one in found]:
        raise unreadable("the graph's placeholders must be its inputs, in their order")
    _check_nodes(nodes[:-1])
    loss, metrics = _returned(nodes)
    return Graph(name[:200], found, tuple(nodes[:-1]), loss, metrics)


def _inputs(value: Any) -> tuple[Input, ...]:  # any JSON
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_INPUTS:
        raise unreadable(f"inputs must be a list of 1 to {_MOST_INPUTS}")
    found = []
    for entry in value:
        body = _object(entry, "an input")
        one = Input(body.text("name"), body.integer("rank", at_most=2))
        body.end()
        if not _INPUT.fullmatch(one.name):
            raise unreadable(f"{one.name[:80]!r} is no name of an input")
        found.append(one)
    if found[0].name != "logprobs" or len({one.name for one in found}) < len(found):
        raise unreadable("inputs must have names of their own, logprobs the first")
    if found[0].rank != 1:
        raise Unsupported("logprobs must have rank 1: this server has one target a position")
    return tuple(found)


def _nodes(value: Any) -> list[Node]:  # any JSON
    if not isinstance(value, list) or not 2 <= len(value) <= _MOST_NODES:
        raise unreadable(f"a graph must have 2 to {_MOST_NODES} nodes")
    return [_node(_object(entry, "a node")) for entry in value]


def _node(body: Body) -> Node:
    args, kwargs = body.raw("args") or [], body.raw("kwargs") or {}
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise unreadable("a node's args must be a list, and its kwargs an object")
    node = Node(body.text("op"), body.text("name"), body.text("target"), args, kwargs)
    body.end()
    return node


def _object(value: Any, what: str) -> Body:  # any JSON
    if not isinstance(value, dict):
        raise unreadable(f"{what} of a custom loss must be an object")
    return Body(value)


def _check_nodes(nodes: Sequence[Node]) -> None:
    known: set[str] = set()
    for node in nodes:
        if node.name in known:
            raise unreadable(f"two nodes are called {node.name[:80]!r}")
        if node.op != "placeholder":
            _check_allowed(node)
        _check_value([*node.args, *node.kwargs.values()], known)
        known.add(node.name)


def _check_allowed(node: Node) -> None:
    of = {"call_function": _is_function, "call_method": _METHODS.__contains__}.get(node.op)
    wrong = sorted(node.kwargs.keys() - _SETTINGS)
    if of is None or not of(node.target) or wrong:
        what = f"{node.op} {node.target[:80]!r}" + (f" with {wrong[0][:80]!r}" if wrong else "")
        raise Unsupported(
            f"a custom loss may not do {what} on this server: keep to torch's arithmetic, or "
            "compute the loss on the client (forward_backward_custom with a function)"
        )


def _is_function(target: str) -> bool:
    module, _, name = target.rpartition(".")
    return (
        (module == "torch" and name in _TORCH)
        or (module == "torch.nn.functional" and name in _FUNCTIONAL)
        or (module == "torch._C._nn" and name in _BUILT_IN)
        or (module == "operator" and name in OPERATORS)
        or (module in ("", "builtins") and name == "getattr")
    )


def _operation(node: Node) -> Callable[..., Value]:
    """What an allowed node does."""
    import torch

    module, _, name = node.target.rpartition(".")
    if node.op == "call_method" and name == "to":
        return _to
    if node.op == "call_method":
        return lambda tensor, *args, **kwargs: getattr(_tensor(tensor), name)(*args, **kwargs)
    if name == "getattr":
        return _attribute
    if module == "operator":
        return OPERATORS[name]
    if module == "torch._C._nn":
        name = _BUILT_IN[name]
    found: Callable[..., Value] = getattr(torch if module == "torch" else torch.nn.functional, name)
    return found


def _tensor(value: Value) -> Tensor:
    import torch

    if not isinstance(value, torch.Tensor):
        raise TypeError(f"a method of a tensor is called on {type(value).__name__}")
    return value


def _to(tensor: Value, dtype: Value) -> Tensor:
    import torch

    if not isinstance(dtype, torch.dtype):
        raise TypeError("to takes a dtype here, and no device")
    return _tensor(tensor).to(dtype)


def _attribute(tensor: Value, name: str) -> Value:
    if name not in ATTRIBUTES:
        raise TypeError(f"the attribute {name[:80]!r} is not to be had: {', '.join(ATTRIBUTES)}")
    return getattr(_tensor(tensor), name)


def _returned(nodes: Sequence[Node]) -> tuple[str, dict[str, str]]:
    """Names of the nodes of the loss and of its metrics."""
    output, known = nodes[-1], {node.name for node in nodes[:-1]}
    told = output.args[0] if output.op == "output" and len(output.args) == 1 else None
    pair = told.get("tuple") if isinstance(told, dict) else told
    if not isinstance(pair, list) or len(pair) != 2:
        raise unreadable("the last node must be the output of (loss, metrics)")
    metrics = pair[1].get("dict") if isinstance(pair[1], dict) else None
    if not isinstance(metrics, dict):
        raise unreadable("the metrics of a custom loss must be a dict")
    if wrong := [key for key in metrics if not _METRIC.fullmatch(key)]:
        raise unreadable(f"a metric is called custom/name:sum or :mean (got {wrong[0][:80]!r})")
    return _referred(pair[0], known), {k: _referred(v, known) for k, v in metrics.items()}


def _referred(value: Any, known: set[str]) -> str:  # any JSON
    name = value.get("ref") if isinstance(value, dict) else None
    if not isinstance(name, str) or name not in known:
        raise unreadable("a custom loss returns what its nodes computed, and nothing else")
    return name


def _check_value(value: Any, known: set[str], depth: int = 0) -> None:  # any JSON
    """Raises Refusal: it is none of the forms that ``_decoded`` reads."""
    if depth > _DEEPEST:
        raise unreadable(f"arguments of a custom loss lie at most {_DEEPEST} deep")
    if isinstance(value, list):
        for entry in value:
            _check_value(entry, known, depth + 1)
    elif isinstance(value, dict):
        _check_form(value, known, depth)
    elif isinstance(value, int) and abs(value) > _WHOLE:
        raise unreadable(f"a whole number of a custom loss is at most {_WHOLE}")


def _check_form(value: Mapping[str, Any], known: set[str], depth: int) -> None:
    ((form, content),) = value.items() if len(value) == 1 else ((None, None),)
    if form == "ref" and isinstance(content, str) and content in known:
        return
    if (form == "tuple" and isinstance(content, list)) or (
        form == "slice" and isinstance(content, list) and len(content) == 3
    ):
        _check_value(content, known, depth + 1)
        return
    if form == "ellipsis" or (form == "float" and content in ("inf", "-inf", "nan")):
        return
    if form == "dtype" and content in _DTYPES:
        return
    raise unreadable(f"an argument of a custom loss is {repr(value)[:80]}: not known here")


def _decoded(value: Any, values: Mapping[str, Value]) -> Value:
    """An argument; ``_check_value`` allowed it."""
    if isinstance(value, list):
        return [_decoded(entry, values) for entry in value]
    if not isinstance(value, dict):
        return value
    ((form, content),) = value.items()
    if form == "ref":
        return values[content]
    if form == "tuple":
        return tuple(_decoded(entry, values) for entry in content)
    if form == "slice":
        return slice(*(_decoded(entry, values) for entry in content))
    if form == "ellipsis":
        return ...
    if form == "float":
        return float(content)
    import torch

    return getattr(torch, content)
