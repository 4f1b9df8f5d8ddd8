"""Conversations between a sampler and an environment: episodes, rewards and tools.

Knows snapshots and renderers, and no method.
"""

from __future__ import annotations
