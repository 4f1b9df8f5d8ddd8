"""What columns cost, as a recipe or a caller says. Computes no cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from customize._errors import OptionError
from customize._options import option, options
from customize._structuring import Faults, structure


@options
class Price:
    """What a column costs, in any one currency; ``hour`` or both of the others."""

    hour: float | None = option(default=None, help="Of the machine, an hour.", at_least=0)
    input: float | None = option(default=None, help="A million tokens read.", at_least=0)
    output: float | None = option(default=None, help="A million tokens written.", at_least=0)
    fixed: float = option(
        default=0.0, help="Spent once, such as for training and setting up.", at_least=0
    )

    def __attrs_post_init__(self) -> None:
        by_token = (self.input is not None) + (self.output is not None)
        if (self.hour is None) == (by_token == 0) or by_token == 1:
            raise OptionError("a price is hour, or input and output for a million tokens each")


def prices_of(given: Mapping[str, Any]) -> dict[str, Price]:
    """Prices by column, strictly.

    Raises:
        OptionError: a key is unknown, or a price is none; all faults at once.
    """
    faults = Faults()
    made = structure_prices(given, faults)
    faults.raise_if_any("the prices")
    assert made is not None
    return made


def structure_prices(
    given: Mapping[str, Any], faults: Faults, prefix: str = ""
) -> dict[str, Price] | None:
    """The same, or None when a fault was added."""
    made: dict[str, Price] = {}
    for column, values in given.items():
        place = f"{prefix}{column}"
        if not isinstance(values, Mapping):
            faults.add(place, f"{place}: a price has keys such as hour (got {values!r})")
        elif price := structure(Price, values, faults, f"{place}."):
            made[column] = price
    return made if len(made) == len(given) else None
