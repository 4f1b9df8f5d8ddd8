"""The exporter: a folder, and the proof that it answers as the session does."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from customize import (
    Exportable,
    Exporter,
    ExportError,
    ParityError,
    logprobs_of,
    option,
    options,
    reference_answers,
)


@options
class Example(Exporter):
    """The adapter's folder, with its card and the figures of the comparison."""

    serves: ClassVar[str] = "customize"

    tolerance: float = option(
        default=1e-3, help="Largest difference of log-probabilities that passes, in nats.", above=0
    )

    def export(self, source: Exportable, to: Path) -> Mapping[str, float]:
        if to.exists():
            raise ExportError(f"{to} exists: give a new folder, nothing is overwritten")
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent) as work:
            folder = Path(work) / "folder"
            source.session.save_weights(folder)
            figures = {"largest_logprob_difference": self._difference(source, folder)}
            (folder / "README.md").write_text(source.card, "utf-8")
            (folder / "parity.json").write_text(json.dumps(figures), "utf-8")
            folder.rename(to)
        return figures

    def _difference(self, source: Exportable, folder: Path) -> float:
        """Between the session's answers and those of what others will open: the folder."""
        opened = source.engine.open(folder)
        answers = reference_answers(source.session, source.prompts)
        said = [answer.tokens for answer in answers]
        if [answer.tokens for answer in reference_answers(opened, source.prompts)] != said:
            raise ParityError("the folder's greedy answers are not the session's")
        expected = np.concatenate([answer.logprobs for answer in answers])
        largest = float(np.abs(np.concatenate(logprobs_of(opened, answers)) - expected).max())
        if not largest <= self.tolerance:
            raise ParityError(f"log-probabilities differ by {largest:.2g}, not {self.tolerance:g}")
        return largest
