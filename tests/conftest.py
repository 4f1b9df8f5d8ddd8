"""What every test gets: no hub, and no plugin of the machine's own choosing."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("CUSTOMIZE_PLUGINS", None)
