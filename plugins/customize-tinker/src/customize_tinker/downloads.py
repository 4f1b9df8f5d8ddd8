"""Files of a checkpoint by addresses that are signed, and end. Knows no engine.

Who has such an address needs no key: the official client gives it to whatever downloads.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import secrets
import tarfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from customize_tinker.asking import Answer, Ask, Endpoint, told
from customize_tinker.ids import Address
from customize_tinker.refusals import Refusal
from customize_tinker.store import ADAPTER

_VALID_S = 3600
_ARCHIVE = "checkpoint.tar"  # no file of a checkpoint is called so
_SECRET = secrets.token_bytes(32)  # of this process: a restart ends what was signed


async def urls(ask: Ask) -> Answer:
    """One address for each file of an external checkpoint."""
    address = _asked(ask)
    if address.kind != "external_weights":
        raise Refusal(400, f"{address} is not for download: take save_weights_external")
    folder = ask.tenant.checkpoint(address).folder / ADAPTER
    files = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    signed, expires = _addresses(ask, address, files)
    return told({"urls": signed, "expires": expires})


async def archive(ask: Ask) -> Answer:
    """One address for all files of a checkpoint: clients up to 0.34 take them so."""
    address = _asked(ask)
    ask.tenant.checkpoint(address)
    signed, expires = _addresses(ask, address, [_ARCHIVE])
    return told({"url": signed[_ARCHIVE], "expires": expires})


def _asked(ask: Ask) -> Address:
    id, name = ask.groups
    return Address.parse(f"tinker://{id}/{name}")


def _addresses(ask: Ask, address: Address, files: Sequence[str]) -> tuple[Mapping[str, str], str]:
    """By file, and when they end."""
    until = int(time.time()) + _VALID_S
    signed = {file: f"{ask.origin}{_path(ask, address, file, until)}" for file in files}
    return signed, datetime.fromtimestamp(until, UTC).isoformat()


def _path(ask: Ask, address: Address, file: str, until: int) -> str:
    tenant = ask.tenant.name
    signature = _signature(tenant, address, file, until)
    query = urlencode({"until": until, "signature": signature})
    place = f"{address.model_id}/{address.kind}/{address.name}"
    return f"/api/v1/files/{tenant}/{place}/{file}?{query}"


async def download(ask: Ask) -> Answer:
    """The file, to whoever has the address."""
    tenant, id, name, file = ask.groups
    address = Address.parse(f"tinker://{id}/{name}")
    until = ask.number("until", 0, at_most=1 << 40)
    given = ask.query.get("signature", [""])[-1]
    expected = _signature(tenant, address, file, until)
    if until < time.time() or not hmac.compare_digest(given.encode(), expected.encode()):
        raise Refusal(403, "this address is over, or not one of ours: ask for new ones")
    folder = ask.service.tenant(tenant).checkpoint(address).folder / ADAPTER
    content = _packed(folder) if file == _ARCHIVE else (folder / file).read_bytes()
    return Answer(200, content, "application/octet-stream")


def _packed(folder: Path) -> bytes:
    """A tar file; clients look for the mark that it is complete."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            packed.add(file, file.relative_to(folder).as_posix())
        packed.addfile(tarfile.TarInfo("checkpoint_complete"))
    return out.getvalue()


def _signature(tenant: str, address: Address, file: str, until: int) -> str:
    signed = "\n".join([tenant, str(address), file, str(until)])
    return hmac.new(_SECRET, signed.encode(), hashlib.sha256).hexdigest()


_CHECKPOINT = "/training_runs/([^/]+)/checkpoints/([^/]+/[^/]+)"
DOWNLOADS = (
    Endpoint("GET", f"{_CHECKPOINT}/external_weights_urls", urls),
    Endpoint("GET", f"{_CHECKPOINT}/archive", archive),
    Endpoint("GET", "/files/([^/]+)/([^/]+)/([^/]+/[^/]+)/(.+)", download, is_open=True),
)
