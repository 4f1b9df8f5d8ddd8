"""A small honest exporter, and exporters that break one rule each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from customize import (
    Exportable,
    Exporter,
    ExportError,
    LoRA,
    check_parity,
    logprobs_of,
    option,
    options,
    reference_answers,
)
from customize.testing.serving import serve


@options
class Honest(Exporter):
    """An adapter folder, compared in this process."""

    serves: ClassVar[str] = "transformers"

    def export(self, source: Exportable, to: Path) -> Mapping[str, float]:
        if to.exists():
            raise ExportError(f"{to} exists")
        try:
            self.write(source, to)
            return self.compare(source, to)
        except Exception:
            shutil.rmtree(to, ignore_errors=True)
            raise

    def write(self, source: Exportable, to: Path) -> None:
        source.session.save_weights(to)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(source.model.path / name, to)
        (to / "README.md").write_text(source.card, "utf-8")

    def compare(self, source: Exportable, to: Path) -> dict[str, float]:
        served = serve(self.serves, to, source.model.path)
        answers = reference_answers(source.session, source.prompts)
        scored = []
        for answer in answers:
            every = served.logprobs([*answer.prompt, *answer.tokens])
            after_TV = every[len(answer.prompt) - 1 : -1]
            said = after_TV[np.arange(len(answer.tokens)), list(answer.tokens)]
            scored.append(
                {
                    "logprobs": said,
                    "greedy": after_TV.argmax(-1),
                    "margin": after_TV.max(-1) - said,
                }
            )
        base = logprobs_of(source.engine.base(), answers)
        return check_parity(answers, scored, base, 1e-3)


@options
class Unhelpful(Honest):
    level: int = option(default=1, help="", at_least=0)


@options
class Overwrites(Honest):
    def export(self, source: Exportable, to: Path) -> Mapping[str, float]:
        shutil.rmtree(to, ignore_errors=True)
        return super().export(source, to)


@options
class Litters(Honest):
    def export(self, source: Exportable, to: Path) -> Mapping[str, float]:
        figures = super().export(source, to)
        (to.parent / "work.tmp").write_text("left")
        return figures


@options
class NeverRefuses(Honest):
    def compare(self, source: Exportable, to: Path) -> dict[str, float]:
        try:
            return super().compare(source, to)
        except ExportError:
            return {}


@options
class ServesNothing(Honest):
    """Its adapter is of a sort that PEFT does not know."""

    def export(self, source: Exportable, to: Path) -> Mapping[str, float]:
        figures = super().export(source, to)
        config = to / "adapter_config.json"
        config.write_text(config.read_text().replace("LORA", "NO_SUCH_METHOD"))
        return figures


@options
class ExportsTheBase(Honest):
    """Compares first, and writes another adapter then; its figures are of what it wrote."""

    def export(self, source: Exportable, to: Path) -> Mapping[str, float]:
        figures = dict(super().export(source, to))
        answers = reference_answers(source.session, source.prompts)
        base = logprobs_of(source.engine.base(), answers)
        away = [
            np.abs(np.subtract(a.logprobs, b)).mean() for a, b in zip(answers, base, strict=True)
        ]
        source.engine.open(LoRA(rank=4)).save_weights(to)
        return {**figures, "mean_logprob_difference": float(np.mean(away))}


@options
class DropsTheTemplate(Honest):
    def write(self, source: Exportable, to: Path) -> None:
        super().write(source, to)
        file = to / "tokenizer_config.json"
        settings: dict[str, Any] = json.loads(file.read_text())
        del settings["chat_template"]
        file.write_text(json.dumps(settings))


@options
class InventsFigures(Honest):
    def compare(self, source: Exportable, to: Path) -> dict[str, float]:
        return {**super().compare(source, to), "mean_difference_to_base": 12.5}


LIARS: dict[str, Callable[[], Exporter]] = {
    "check_exporter_options_are_declared": Unhelpful,
    "check_export_refuses_to_overwrite": Overwrites,
    "check_export_leaves_nothing_else": Litters,
    "check_wrong_export_is_refused": NeverRefuses,
    "check_what_it_serves_loads_it": ServesNothing,
    "check_export_answers_as_the_session": ExportsTheBase,
    "check_tokenizer_and_template_are_in_it": DropsTheTemplate,
    "check_parity_figures_are_true": InventsFigures,
}
