"""New plugins: a distribution that works as it is, copied from ours and renamed.

``template/common`` and one folder of ``template`` a kind are together a real distribution. Knows
nothing of what plugins do.
"""

from __future__ import annotations

from customize.scaffold.distribution import KINDS, new_plugin

__all__ = ["KINDS", "new_plugin"]
