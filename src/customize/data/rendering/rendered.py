"""Where rendered data sets are kept: the user's cache. Knows no format of them."""

from __future__ import annotations

from customize.data.rendering.cache import RenderedRows, Rows
from customize.interfaces.renderer import Renderer
from customize.models.cache import cache_root


def render_rows(rows: Rows, renderer: Renderer) -> RenderedRows:
    """Rows as tokens and weights, rendered once for each (data, renderer), ahead of their use."""
    return RenderedRows(rows, renderer, cache_root() / "rendered")
