"""The sandbox chat templates run in: transformers' environment re-created, with a budget.

Equal in output to transformers' ``apply_chat_template``. Knows nothing of tokens or weights.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from customize._errors import RenderingError
from customize.data.rendering.budget import Budget
from customize.data.rendering.marks import GENERATION_CLOSE, GENERATION_OPEN

MAX_TEMPLATE_CHARS = 1_000_000

_GROWING_FILTERS = ("center", "format", "indent", "join", "replace", "wordwrap")


class _Hooks(jinja2.ext.Extension):
    """``{% generation %}…{% endgeneration %}``, and the calls by which a run is charged.

    The calls are reached through the extension, a name that no template can write or replace.
    """

    tags = {"generation"}  # noqa: RUF012 (as jinja declares it)

    def parse(self, parser: jinja2.parser.Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_wrap")
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _wrap(self, caller: Callable[[], str]) -> str:
        environment = self.environment
        assert isinstance(environment, Sandbox)
        text = caller()
        return f"{GENERATION_OPEN}{text}{GENERATION_CLOSE}" if environment.shows_marks else text

    def tick(self) -> str:
        """One turn of a loop."""
        environment = self.environment
        assert isinstance(environment, Sandbox)
        return environment.budget.tick()

    def concat(self, *parts: Any) -> str:
        """``a ~ b``."""
        environment = self.environment
        assert isinstance(environment, Sandbox)
        for part in parts:
            environment.budget.charge_value(part)
        return "".join(map(str, parts))


class _TemplateDict:
    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args, **kwargs)


class _TemplateNamespace(Namespace):
    """Refuses underscore names: they lead to the interpreter's internals."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, args = args[0], args[1:]
        values = dict(*args, **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        Namespace.__setitem__(self, name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace cannot hold the name {name!r}")


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for one template; not for use by two threads at once."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        self.budget = Budget()
        self.shows_marks = False
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Hooks, jinja2.ext.loopcontrols],
            finalize=self._finalize,
        )
        self.filters["tojson"] = self._tojson
        for name in _GROWING_FILTERS:
            self.filters[name] = self._charged(name, self.filters[name])
        del self.globals["lipsum"]
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self.globals["dict"] = _TemplateDict()
        self.globals["namespace"] = _TemplateNamespace

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        hooks = self.extensions[_Hooks.identifier]
        loops: list[Any] = [*tree.find_all(nodes.For), *tree.find_all(nodes.Macro)]
        for loop in [*loops, *tree.find_all(nodes.CallBlock)]:
            loop.body.insert(0, nodes.Output([hooks.call_method("tick")]))
        return _Concats(hooks).visit(tree)  # type: ignore[no-any-return]

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        self.budget.charge_binary(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        # The sandbox wraps str.format.
        method = getattr(__obj, "__wrapped__", __obj)
        subject = getattr(method, "__self__", None)
        if isinstance(subject, str):
            given = (*args, *kwargs.values())
            __self.budget.charge_call(getattr(method, "__name__", ""), subject, given)
        return super().call(__context, __obj, *args, **kwargs)

    def _finalize(self, value: Any) -> Any:
        self.budget.charge_value(value)
        return value

    def _tojson(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        self.budget.charge_value(value)
        if isinstance(indent, int) and indent > 64:
            raise RenderingError(f"the chat template asks for JSON indented by {indent}")
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    def _charged(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        # join, replace and the like may be marked as wanting the context first: keep the marks.
        leading = 1 if hasattr(function, "jinja_pass_arg") else 0

        def charged(*args: Any, **kwargs: Any) -> Any:
            rest = (*args[leading + 1 :], *kwargs.values())
            self.budget.charge_call(name, args[leading], rest)
            return function(*args, **kwargs)

        charged.__dict__.update(function.__dict__)
        return charged


class _Concats(jinja2.visitor.NodeTransformer):
    """``a ~ b`` becomes a call, so that it can be charged."""

    def __init__(self, hooks: jinja2.ext.Extension) -> None:
        self._hooks = hooks

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        parts = [self.visit(part) for part in node.nodes]
        return self._hooks.call_method("concat", parts, lineno=node.lineno)


def _raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


class ChatTemplate:
    """A compiled template; ``render`` may be called from several threads."""

    def __init__(self, source: str) -> None:
        """Raises RenderingError when ``source`` is not a template."""
        if len(source) > MAX_TEMPLATE_CHARS:
            raise RenderingError(
                f"the chat template has {len(source)} characters; at most {MAX_TEMPLATE_CHARS} "
                "are accepted"
            )
        self.source = source
        self._sandbox = Sandbox()
        self._lock = threading.Lock()
        try:
            self._template = self._sandbox.from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise RenderingError(f"the chat template cannot be compiled: {error}") from error

    def render(self, variables: Mapping[str, Any], marks: bool = False) -> str:
        """The text; with ``marks``, generation tags are shown by mark characters.

        Raises:
            RenderingError: the template refuses the messages, fails, or exceeds its budget.
        """
        with self._lock:
            self._sandbox.budget = Budget()
            self._sandbox.shows_marks = marks
            try:
                return self._template.render(**variables)
            except RenderingError:
                raise
            # A template is a stranger's code: whatever it raises is its fault, named as such.
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise RenderingError(
                    f"the chat template refuses these messages: {reason}"
                ) from error
