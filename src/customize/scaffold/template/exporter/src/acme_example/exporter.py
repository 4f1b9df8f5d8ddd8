"""The exporter: a folder that others load, and the proof that it answers as the session does."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from customize import (
    Exportable,
    Exporter,
    ExportError,
    ParityError,
    check_parity,
    logprobs_of,
    option,
    options,
    reference_answers,
)

_BESIDE = ("tokenizer", "special_tokens", "chat_template")


@options
class Example(Exporter):
    """The adapter, its base's tokenizer and template, a card, and the comparison's figures."""

    serves: ClassVar[str] = "transformers"

    tolerance: float = option(
        default=1e-3, help="Mean difference of log-probabilities that passes, in nats.", above=0
    )

    def export(self, source: Exportable, to: Path) -> Mapping[str, float]:
        if to.exists():
            raise ExportError(f"{to} exists: give a new folder, nothing is overwritten")
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent) as work:
            folder = Path(work) / "folder"
            source.session.save_weights(folder)
            for file in source.model.path.iterdir():
                if file.name.startswith(_BESIDE):
                    shutil.copy(file, folder)
            figures = self._compare(source, folder)
            (folder / "README.md").write_text(source.card, "utf-8")
            (folder / "parity.json").write_text(json.dumps(figures), "utf-8")
            folder.rename(to)
        return figures

    def _compare(self, source: Exportable, folder: Path) -> dict[str, float]:
        """The folder is opened anew: what others get is the folder, and not the session."""
        opened = source.engine.open(folder)
        said = reference_answers(source.session, source.prompts)
        found = reference_answers(opened, source.prompts)
        if [answer.tokens for answer in found] != [answer.tokens for answer in said]:
            raise ParityError("the folder's greedy answers are not the session's")
        target = [
            {"logprobs": a.logprobs, "greedy": a.tokens, "margin": [0.0] * len(a.tokens)}
            for a in found
        ]
        base = logprobs_of(source.engine.base(), said)
        return check_parity(said, target, base, self.tolerance)
