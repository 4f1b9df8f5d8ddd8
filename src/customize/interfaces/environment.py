"""Environments: what a model is put into, as generators. Knows no model, tokens or driver."""

from __future__ import annotations

import inspect
import random
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, TypeVar, overload

import attrs

from customize._errors import OptionError
from customize._options import options_of, options_to_dict
from customize.interfaces.dataset import Dataset, Row
from customize.interfaces.renderer import Document, Message, Tool

# What a person may yield, be sent and return is checked when it comes: there is no narrower type.
Play = Generator[Any, "Reply", Any] | AsyncGenerator[Any, "Reply"]
Function = Callable[..., Play]
F = TypeVar("F", bound=Function)


@attrs.frozen
class ToolCall:
    """A tool that a reply calls. arguments: any JSON value; a sound call has an object."""

    name: str
    arguments: Any  # as the model wrote them
    id: str


@attrs.frozen
class Reply:
    """What the model said to a turn.

    text: without control tokens; markup of tool calls is part of it.
    content: the same without calls and reasoning, where calls are read.
    calls: where the turn offered tools, and the environment is not ``single``.
    faults: calls that could not be read, by kind.
    stopped: ``stop`` by itself, or ``length`` at the limit of tokens.
    """

    text: str
    content: str = attrs.field(default=attrs.Factory(lambda self: self.text, takes_self=True))
    calls: tuple[ToolCall, ...] = ()
    faults: tuple[str, ...] = ()
    stopped: Literal["stop", "length"] = "stop"
    num_tokens: int = 0


@attrs.frozen
class Turn:
    """What the model sees next.

    messages: a text is the user's.
    tools: schemas offered in this conversation; those of its first turn hold for all of it.
    restart: begin a new conversation of the same episode: the one way to rewrite what was said.
    documents: shown beside this conversation, as the chat template writes them; like tools those of
        its first turn hold for all of it.
    """

    messages: str | Sequence[Message]
    tools: Sequence[Tool] = ()
    restart: bool = False
    documents: Sequence[Document] = ()

    def __attrs_post_init__(self) -> None:
        for tool in self.tools:
            if not isinstance(tool, Mapping):
                raise TypeError(
                    "the tools of a Turn are schemas, as {'type': 'function', 'function': {'name': "
                    f"…}}}} (got {type(tool).__name__}): the environment itself makes the calls; "
                    "functions go beside a reward, as tools="
                )
        for document in self.documents:
            if not isinstance(document, Mapping):
                raise TypeError(
                    "the documents of a Turn are objects, as {'title': …, 'text': …} "
                    f"(got {type(document).__name__})"
                )


@attrs.frozen
class Verdict:
    """A reward beside the parts it was made of; what the environment counted of the model's.

    faults: the model's, by kind. calls: of each tool, how many and how many seconds.
    """

    reward: float
    parts: Mapping[str, float]
    faults: Mapping[str, int] = attrs.field(factory=dict)
    calls: Mapping[str, tuple[int, float]] = attrs.field(factory=dict)


Rows = Dataset | Sequence[Row]
# From a group's completions and rows to what is added to the reward and the parts of each.
Siblings = Callable[[Sequence[str], Sequence[Row]], Sequence[Verdict]]


@attrs.frozen(slots=False)
class Environment:
    """A generator function that plays one episode, and how it is to be run.

    It is called with (row, rng) and what ``parameters`` hold. It yields what the model sees (text,
    messages or a `Turn`), is sent a `Reply`, and returns the reward: a number, or parts by name
    that are summed. An async one yields the reward last.

    seconds: for each turn. isolate: in a process of its own, which is killed when it hangs.
    siblings: judges the episodes of a group beside one another, after all have ended.
    check: raises OptionError, before the first token, for rows that it cannot play.
    single: one reply is all there is, so that no conversation need be proven to go on, and a call
        of a tool that is shown is text like any other.
    options: an ``options`` class whose fields are the function's parameters after rng; without it
        they are those that have defaults.
    data: gives the rows it comes with: a path, dicts or a Dataset.
    made_of: functions and values it was made with: a run goes on with the same alone.
    """

    function: Function
    name: str
    seconds: float = 30.0
    isolate: bool = False
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    siblings: Siblings | None = None
    check: Callable[[Rows], None] | None = None
    single: bool = False
    options: type | None = None
    data: Callable[..., Any] | None = None  # a person's
    made_of: tuple[Any, ...] = ()  # functions of any kind, and what weighs them

    def __attrs_post_init__(self) -> None:
        if self.options is not None and not self.parameters:
            object.__setattr__(self, "parameters", self._chosen({}))
        if not (inspect.isgeneratorfunction(self.function) or self.is_async):
            raise OptionError(
                f"the environment {self.name} must be a generator: yield what the model sees, and "
                "return the reward"
            )
        if self.seconds <= 0:
            raise OptionError(f"seconds must be > 0 (got {self.seconds})")
        if self.isolate and self.is_async:
            raise OptionError(f"the environment {self.name} is async: isolate is for plain ones")
        self._check_parameters()

    def __reduce__(self) -> tuple[object, ...]:
        """By the function's name, under which its module may have the environment itself."""
        rest = (self.name, self.seconds, self.isolate, dict(self.parameters))
        own = (self.function.__module__, self.function.__qualname__)
        beside = (self.siblings, self.check, self.single, self.options, self.data)
        return _again, (*own, *rest, *beside, self.made_of)

    @property
    def is_async(self) -> bool:
        return inspect.isasyncgenfunction(self.function)

    @property
    def __wrapped__(self) -> Function:
        return self.function

    def __call__(self, row: Row, rng: random.Random) -> Play:
        """The generator of one episode."""
        return self.function(row, rng, **self.parameters)

    def with_parameters(self, given: Mapping[str, str]) -> Environment:
        """The same with parameters of the function from text, as in ``gsm8k:level=3``.

        Raises:
            OptionError: it has no such parameter, the text is not of the default's type, or the
                value is out of the option's bounds.
        """
        known = self._defaults()
        values = {name: _value(self.name, known, name, text) for name, text in given.items()}
        values = {**self.parameters, **values}
        if self.options is not None:
            values = self._chosen(values)
        return attrs.evolve(self, parameters=values)

    def rows(self) -> Any:  # a path, rows or a Dataset: whatever the plugin gives
        """The rows it comes with.

        Raises:
            OptionError: it comes with none.
        """
        if self.data is None:
            raise OptionError(f"the environment {self.name} comes with no rows: give data")
        taken = inspect.signature(self.data).parameters
        return self.data(**{k: v for k, v in self.parameters.items() if k in taken})

    def _chosen(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All of the options, defaults too."""
        assert self.options is not None
        try:
            return dict(options_to_dict(self.options(**values)))
        except TypeError as error:
            raise OptionError(
                f"each option of the environment {self.name} needs a default: {error}"
            ) from error

    def _defaults(self) -> Mapping[str, Any]:
        """By the name of each parameter after row and rng."""
        if self.options is not None:
            return {option.name: option.default for option in options_of(self.options)}
        return {name: p.default for name, p in _parameters(self.function).items()}

    def _check_parameters(self) -> None:
        names = list(inspect.signature(self.function).parameters)
        if len(names) < 2:
            raise OptionError(
                f"the environment {self.name} takes (row, rng) and options with defaults "
                f"(it takes {', '.join(names) or 'nothing'})"
            )
        needed = [
            name
            for name, parameter in _parameters(self.function).items()
            if parameter.default is inspect.Parameter.empty and name not in self.parameters
        ]
        if needed:
            raise OptionError(
                f"the environment {self.name} takes (row, rng) and options with defaults: give "
                f"{', '.join(needed)} a default"
            )
        try:
            inspect.signature(self.function).bind(None, None, **self.parameters)
        except TypeError as error:
            raise OptionError(
                f"the environment {self.name} does not take its options: {error}"
            ) from error


@overload
def environment(function: F, /) -> Environment: ...
@overload
def environment(
    *, seconds: float = 30.0, isolate: bool = False
) -> Callable[[Function], Environment]: ...
def environment(
    function: Function | None = None, /, *, seconds: float = 30.0, isolate: bool = False
) -> Environment | Callable[[Function], Environment]:
    """Make an `Environment` of a generator function of (row, rng).

    ``seconds`` are for each turn; with ``isolate`` it plays in a process of its own. Further
    parameters with defaults are its options.
    """

    def made(function: Function) -> Environment:
        return Environment(function, function.__name__, seconds, isolate)

    return made if function is None else made(function)


def _parameters(function: Function) -> Mapping[str, inspect.Parameter]:
    """Those after row and rng."""
    found = list(inspect.signature(function).parameters.items())[2:]
    return {name: p for name, p in found if p.kind is not inspect.Parameter.VAR_KEYWORD}


def _again(module: str, qualified: str, *fields: Any) -> Environment:
    found = getattr(import_module(module), qualified)
    return Environment(inspect.unwrap(found), *fields)


_READ: Mapping[type, Callable[[str], Any]] = {int: int, float: float, str: str}


def _value(where: str, known: Mapping[str, Any], name: str, text: str) -> Any:
    if name not in known:
        there = ", ".join(known) or "none"
        raise OptionError(f"the environment {where} has no option {name!r}: there are {there}")
    kind = type(known[name])
    if kind is bool and text in ("true", "false"):
        return text == "true"
    try:
        return _READ[kind](text)
    except (KeyError, ValueError):
        raise OptionError(
            f"{where}:{name} must be like its default, {known[name]!r} (got {text!r})"
        ) from None
