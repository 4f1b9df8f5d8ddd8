"""What a new plugin is called, in each place that has a name. Knows no files."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec

import attrs

from customize._errors import OptionError
from customize.plugins import listing

_NAME = re.compile(r"(?=.{1,40}$)[a-z][a-z0-9]*(-[a-z0-9]+)*")


@attrs.frozen
class Names:
    """``acme-kto`` offers ``kto``, the class ``Kto`` of the package ``acme_kto``."""

    distribution: str

    @property
    def package(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def offered(self) -> str:
        """What users write: the name without its maker."""
        return self.distribution.partition("-")[2] or self.distribution

    @property
    def class_name(self) -> str:
        return "".join(part.capitalize() for part in self.offered.split("-"))

    def __attrs_post_init__(self) -> None:
        if not _NAME.fullmatch(self.distribution):
            raise OptionError(_unlike_a_name(self.distribution))
        if not self.class_name.isidentifier() or keyword.iskeyword(self.class_name):
            raise OptionError(
                f"{self.offered!r} cannot name a class: begin it with a letter, as acme-my-"
                f"{self.offered}"
            )

    def check_free(self, kind: str) -> None:
        """Raises OptionError when something installed has one of the names already."""
        for row in listing():
            if row.distribution == self.distribution:
                raise OptionError(
                    f"{row.distribution} {row.version} is installed: take another name"
                )
        for row in listing():
            if f"{kind}:{self.offered}" in row.provides:
                raise OptionError(
                    f"{row.distribution} provides the {kind} {self.offered!r} already: take "
                    f"another name, as {self.distribution}-2"
                )
        if find_spec(self.package) is not None:
            raise OptionError(
                f"a module {self.package!r} is installed: put your own name first, as "
                f"acme-{self.distribution}"
            )


def _unlike_a_name(given: str) -> str:
    likely = re.sub(r"[^a-z0-9]+", "-", given.lower()).strip("-")
    fix = f": write {likely}" if _NAME.fullmatch(likely) else ""
    return (
        "a plugin's name is lower case words joined by dashes, 40 characters at most, as acme-kto "
        f"(got {given!r}){fix}"
    )
