"""Machines and services beside this one, from a table that is yours to edit. Knows no recipe."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import attrs

from customize._errors import OptionError
from customize._options import option, options
from customize._structuring import Faults, structure
from customize.training.recipe_file import load_yaml

_EXAMPLE = "own-gpu: {memory_gb: 24, tflops: 40, hour: 0.3}"


@options
class Offer:
    """A machine by the hour, a service by the token, or by the hour alone this machine."""

    hour: float | None = option(default=None, help="Price of an hour.", at_least=0)
    memory_gb: float | None = option(default=None, help="Memory of its device.", above=0)
    tflops: float | None = option(
        default=None, help="What training reaches there, not what its maker states.", above=0
    )
    bandwidth_gb: float | None = option(
        default=None,
        help="GB a second that drawing answers reaches there; without it answers are timed as if "
        "they were training, which is too short.",
        above=0,
    )
    million: float | None = option(
        default=None, help="Price of a million tokens that are trained on.", at_least=0
    )

    def __attrs_post_init__(self) -> None:
        machine = (self.hour, self.memory_gb, self.tflops)
        if self.million is None and None in machine and not self.is_here:
            raise OptionError(
                "an offer is hour, memory_gb and tflops, or million, or for this machine hour alone"
            )
        if self.million is not None and {*machine, self.bandwidth_gb} != {None}:
            raise OptionError(
                "an offer by the million tokens has no hour, memory_gb, tflops or bandwidth_gb"
            )

    @property
    def is_here(self) -> bool:
        """Whether it is this machine, whose speed and memory are known otherwise."""
        others = {self.memory_gb, self.tflops, self.bandwidth_gb, self.million}
        return self.hour is not None and others == {None}

    def estimated(
        self, name: str, flops: float, tokens: float, num_bytes: float, read: float
    ) -> Estimate:
        """What a run would take there that holds so many bytes, and reads so many as it draws."""
        if self.million is not None:
            return Estimate(name, None, self.million * tokens / 1e6, None)
        assert self.tflops is not None
        assert self.memory_gb is not None
        seconds = flops / (self.tflops * 1e12)
        if self.bandwidth_gb is not None:
            seconds += read / (self.bandwidth_gb * 1e9)
        return self.taken(name, seconds, num_bytes <= self.memory_gb * 1e9)

    def taken(self, name: str, seconds: float, fits: bool) -> Estimate:
        """A run of so many seconds."""
        assert self.hour is not None
        return Estimate(name, seconds, self.hour * seconds / 3600, fits)


@attrs.frozen
class Estimate:
    """What a run would take there. fits: None where memory is the service's own matter."""

    name: str
    seconds: float | None
    money: float
    fits: bool | None


def read_offers(path: Path | None) -> dict[str, Offer]:
    """The table in a file, or the one that ships with the package.

    Raises:
        OptionError: with every fault, and the line it is on.
    """
    if path is None:
        with resources.as_file(resources.files(__package__).joinpath("offers.yaml")) as own:
            return read_offers(own)
    values, places = load_yaml(path, _EXAMPLE)
    faults, made = Faults(places), {}
    for name, given in values.items():
        made[name] = structure(Offer, given, faults, f"{name}.")
    faults.raise_if_any(str(path))
    return {name: offer for name, offer in made.items() if offer is not None}
