"""Plugins: what is installed beside us, found by distribution, loaded when used.

Knows the kinds of things plugins provide, and nothing of what they do.
"""

from __future__ import annotations

from customize.plugins.registry import PluginRow as PluginRow
from customize.plugins.registry import full_name as full_name
from customize.plugins.registry import listing as listing
from customize.plugins.registry import load as load
from customize.plugins.registry import names as names
from customize.plugins.registry import specs as specs
