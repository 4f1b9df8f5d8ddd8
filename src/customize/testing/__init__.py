"""For tests, ours and third parties': a backend that runs any method, and the conformance kit."""

from __future__ import annotations

from customize.testing.expansion import conformance as conformance
from customize.testing.expansion import outcomes as outcomes
from customize.testing.holding import Outcome as Outcome
from customize.testing.observing import watched_run as watched_run
from customize.testing.renderer import ToyRenderer as ToyRenderer
from customize.testing.tiny_model import write_tiny_model as write_tiny_model
from customize.testing.toy import ToyBackend as ToyBackend
