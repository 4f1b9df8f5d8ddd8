"""Files of a checkpoint by addresses that are signed, and end. Knows no engine.

Who has such an address needs no key: the official client gives it to whatever downloads.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from datetime import UTC, datetime
from urllib.parse import urlencode

from customize_tinker.asking import Answer, Ask, Endpoint, told
from customize_tinker.ids import Address
from customize_tinker.refusals import Refusal
from customize_tinker.store import ADAPTER

_VALID_S = 3600
_SECRET = secrets.token_bytes(32)  # of this process: a restart ends what was signed


async def urls(ask: Ask) -> Answer:
    """One address for each file of an external checkpoint."""
    id, name = ask.groups
    address = Address.parse(f"tinker://{id}/{name}")
    if address.kind != "external_weights":
        raise Refusal(400, f"{address} is not for download: take save_weights_external")
    until = int(time.time()) + _VALID_S
    folder = ask.tenant.checkpoint(address).folder / ADAPTER
    files = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    return told(
        {
            "urls": {file: f"{ask.origin}{_path(ask, address, file, until)}" for file in files},
            "expires": datetime.fromtimestamp(until, UTC).isoformat(),
        }
    )


def _path(ask: Ask, address: Address, file: str, until: int) -> str:
    tenant = ask.tenant.name
    signature = _signature(tenant, address, file, until)
    query = urlencode({"until": until, "signature": signature})
    return f"/api/v1/files/{tenant}/{address.model_id}/{address.name}/{file}?{query}"


async def download(ask: Ask) -> Answer:
    """The file, to whoever has the address."""
    tenant, id, name, file = ask.groups
    address = Address.parse(f"tinker://{id}/external_weights/{name}")
    until = ask.number("until", 0, at_most=1 << 40)
    given = ask.query.get("signature", [""])[-1]
    expected = _signature(tenant, address, file, until)
    if until < time.time() or not hmac.compare_digest(given.encode(), expected.encode()):
        raise Refusal(403, "this address is over, or not one of ours: ask for new ones")
    folder = ask.service.tenant(tenant).checkpoint(address).folder / ADAPTER
    return Answer(200, (folder / file).read_bytes(), "application/octet-stream")


def _signature(tenant: str, address: Address, file: str, until: int) -> str:
    signed = "\n".join([tenant, str(address), file, str(until)])
    return hmac.new(_SECRET, signed.encode(), hashlib.sha256).hexdigest()


_CHECKPOINT = "/training_runs/([^/]+)/checkpoints/([^/]+/[^/]+)"
DOWNLOADS = (
    Endpoint("GET", f"{_CHECKPOINT}/external_weights_urls", urls),
    Endpoint("GET", "/files/([^/]+)/([^/]+)/([^/]+)/(.+)", download, is_open=True),
)
