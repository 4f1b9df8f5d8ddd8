"""``python toy_server.py FOLDER PORT``: the toy backend behind a real socket, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from customize import ModelFolder
from customize.testing import ToyBackend
from customize_tinker.server import Where, make_app, make_server


def main(folder: Path, port: int) -> None:
    where = Where(port=port)
    model = ModelFolder(folder / "model", "toy", "toy")
    make_server(make_app(ToyBackend(), model, folder / "kept", where), where).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
