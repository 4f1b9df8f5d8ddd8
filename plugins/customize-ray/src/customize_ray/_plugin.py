"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize

_NEVER = -1000  # by ``auto``: a cluster is asked for by name


@customize.hookimpl
def customize_backends() -> Iterator[customize.BackendSpec]:
    yield customize.BackendSpec(
        name="ray",
        target="customize_ray.backend:Ray",
        summary="torch in the processes of a Ray cluster, begun again where some are lost.",
        priority=_NEVER,
        elsewhere=True,
    )
