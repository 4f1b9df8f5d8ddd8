"""Functions as options: named by an import string, or given and known by their source."""

from __future__ import annotations

import hashlib
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from customize._errors import OptionError

_IMPORT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_PLAIN = (str, int, float, bool, type(None))


def load_function(option: str | Callable[..., Any]) -> Callable[..., Any]:
    """The function that an option gives or names as ``package.module:name``.

    Raises:
        OptionError: nothing is there under that name, or it cannot be called.
    """
    if callable(option):
        return option
    if not isinstance(option, str) or not _IMPORT.fullmatch(option):
        raise OptionError(f"a function is named as 'package.module:name' (got {option!r})")
    module, _, name = option.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        told = f"{error}{_fix(module, name, error)}"
        raise OptionError(f"the function {option!r} cannot be imported: {told}") from error
    if not callable(found):
        raise OptionError(f"{option!r} is a {type(found).__name__}, and a function is needed")
    return found  # type: ignore[no-any-return]  # what a module holds has no type here


def _fix(module: str, name: str, error: ImportError | AttributeError) -> str:
    """What to do where a file is meant by its path, or lies where nothing is imported from."""
    plain = module.removesuffix(".py")
    file, told = Path(*plain.split(".")).with_suffix(".py"), ""
    if plain != module:
        told += f"; a module is named without its ending: write {plain}:{name}"
    missing = isinstance(error, ModuleNotFoundError) and error.name == plain.split(".")[0]
    if missing and file.is_file():
        told += (
            f"; {file} is in the working directory, from which nothing is imported: put "
            "PYTHONPATH=. before the command"
        )
    return told


def holds_functions(value: object) -> bool:
    """Whether an option's value is a function, or has some in it."""
    if isinstance(value, Mapping):
        return any(holds_functions(key) or holds_functions(v) for key, v in value.items())
    if isinstance(value, (list, tuple)):
        return any(map(holds_functions, value))
    return callable(value)


def described(value: Any) -> Any:  # of the same shape
    """An option's value with each function in it told by name and hash."""
    if not holds_functions(value):
        return value
    if isinstance(value, Mapping):
        return {described(key): described(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(item) for item in value]
    return describe_function(value)


def describe_function(function: Callable[..., Any]) -> str:
    """Its name and a sha256 of its source, and of the plain values, functions and classes it was
    made with or carries as attributes; of an environment also what it was ``made_of``.

    So a recipe can tell whether a run goes on with the same function.

    Raises:
        OptionError: its source cannot be read.
    """
    plain = inspect.unwrap(function)
    name = getattr(plain, "__qualname__", type(plain).__name__)
    try:
        source = textwrap.dedent(inspect.getsource(plain))
        held = dict(inspect.getclosurevars(plain).nonlocals)
    except (OSError, TypeError) as error:
        raise OptionError(
            f"the source of {name} cannot be read ({error}): write the function in a file, "
            "or name it as 'package.module:name'"
        ) from error
    held |= getattr(function, "__dict__", {})  # what it carries, as of what it is wrapped in
    values = [(k, _told(v)) for k, v in sorted(held.items()) if _is_known(v)]
    values += [("made of", described(each)) for each in getattr(function, "made_of", ())]
    defaults = [v for v in getattr(plain, "__defaults__", None) or () if isinstance(v, _PLAIN)]
    told = repr((source, values, defaults))
    return f"{name}, sha256 {hashlib.sha256(told.encode()).hexdigest()}"


def _is_known(value: object) -> bool:
    return isinstance(value, _PLAIN) or inspect.isfunction(value) or inspect.isclass(value)


def _told(value: Any) -> Any:  # a plain value as it is
    """A function or class that another was made with, by its source."""
    if isinstance(value, _PLAIN):
        return value
    try:
        return textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError):  # of the standard library, or typed into a shell
        return f"{value.__module__}:{value.__qualname__}"
