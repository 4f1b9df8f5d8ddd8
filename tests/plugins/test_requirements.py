"""Requirements are read from metadata as pip reads them: markers, extras and pre-releases too."""

from __future__ import annotations

import attrs
import pytest

from customize.plugins.distributions import Installed
from customize.plugins.requirements import unmet


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("attrs>=1", None),
        (f"attrs=={attrs.__version__}", None),
        ("no-such-package; python_version < '3'", None),
        ("no-such-package; extra == 'gpu'", None),
        ("no-such-package", "it needs no-such-package, which is not installed"),
        ("attrs>=9999", f"it needs attrs>=9999, and {attrs.__version__} is installed"),
        ("attrs<1", f"it needs attrs<1, and {attrs.__version__} is installed"),
        ("!?", "its requirement '!?' cannot be read"),
    ],
)
def test_what_is_unmet_is_told(line: str, message: str | None) -> None:
    faults = list(unmet(Installed("acme", "1.0", requires=(line,))))
    assert [fault.code for fault in faults] == ([] if message is None else ["requirement"])
    assert message is None or message in faults[0].message


def test_a_plugin_of_another_minor_release_is_to_be_upgraded_not_the_core() -> None:
    (fault,) = unmet(Installed("acme", "1.0", requires=("customize~=99.0.0",)))
    assert fault.fix == "pip install --upgrade acme"
