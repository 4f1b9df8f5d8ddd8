"""Plugins: what is installed beside us, found by distribution, loaded when used.

Knows the kinds of things plugins provide, and nothing of what they do.
"""

from __future__ import annotations

from customize.plugins.registry import Offer as Offer
from customize.plugins.registry import PluginRow as PluginRow
from customize.plugins.registry import find as find
from customize.plugins.registry import kinds_of as kinds_of
from customize.plugins.registry import left_out as left_out
from customize.plugins.registry import listing as listing
from customize.plugins.registry import load as load
from customize.plugins.registry import load_offer as load_offer
from customize.plugins.registry import name_of as name_of
from customize.plugins.registry import names as names
from customize.plugins.registry import observers_for as observers_for
from customize.plugins.registry import specs as specs
