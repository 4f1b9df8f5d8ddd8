"""Encoders that plugins offer, by a name with options. Encode nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from customize._errors import OptionError, PluginError
from customize._options import Option, options_of, options_to_dict
from customize._structuring import Faults, coerce, structure
from customize.interfaces.index import Encoder
from customize.plugins.references import split
from customize.plugins.registry import load, name_of


@attrs.frozen
class NamedEncoder:
    """The full name under which an encoder is offered, and its options."""

    name: str
    options: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(cls, encoder: Encoder) -> NamedEncoder | None:
        """What the encoder is made again of; None where nobody offers it."""
        its = type(encoder)
        name = name_of("encoder", f"{its.__module__}:{its.__qualname__}")
        options = dict(options_to_dict(encoder)) if attrs.has(its) else {}
        return None if name is None else cls(name, options)

    def made(self) -> Encoder:
        """
        Raises:
            UnknownName, PluginError, MissingDependency: as for any plugin.
            OptionError: an option is missing, unknown or not what it may be.
        """
        return self.made_of(_class(self.name))

    def made_of(self, cls: type[Encoder]) -> Encoder:
        """One of the class that the name stands for; raises OptionError as ``made``."""
        encoder = structure(cls, self.options, faults := Faults())
        faults.raise_if_any(f"the encoder {self.name}")
        assert encoder is not None
        return encoder


def encoder_of(given: Encoder | str) -> Encoder:
    """An encoder as it is, or the one behind a text as ``sentence-transformers:model=FOLDER``.

    Raises:
        UnknownName, PluginError, MissingDependency, OptionError: as ``NamedEncoder.made``.
    """
    if not isinstance(given, str):
        return given
    name, texts = split(given)
    known = {one.name: one for one in options_of(_class(name))}
    return NamedEncoder(
        name, {key: _read(known.get(key), text) for key, text in texts.items()}
    ).made()


def _class(name: str) -> type[Encoder]:
    cls = load("encoder", name)
    is_one = isinstance(cls, type) and issubclass(cls, Encoder) and attrs.has(cls)
    if not is_one:
        raise PluginError(
            f"the encoder {name!r} is {cls!r}, and must be a class of customize.Encoder made by "
            "customize.options"
        )
    found: type[Encoder] = cls
    return found


def _read(option: Option | None, text: str) -> Any:
    """The text as a value that the option may have; what is none is refused when it is made."""
    if option is None:
        return text
    try:
        return coerce(text, option.type)
    except OptionError:
        import yaml

        return yaml.safe_load(text)
