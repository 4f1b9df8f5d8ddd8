"""For tests, ours and third parties': a backend that runs any method in milliseconds."""

from __future__ import annotations

from customize.testing.renderer import ToyRenderer as ToyRenderer
from customize.testing.toy import ToyBackend as ToyBackend
