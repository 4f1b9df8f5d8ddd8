"""Rendering: messages to tokens and weights through the tokenizer's own chat template."""

from customize.data.rendering.cache import RenderedRows
from customize.data.rendering.inspection import Inspection, inspect_rows
from customize.data.rendering.renderer import ChatRenderer

__all__ = ["Inspection", "RenderedRows", "ChatRenderer", "inspect_rows"]
