"""Rules about what others get when they load an export."""

from __future__ import annotations

import math

import numpy as np

from customize.packaging.parity import Answer, logprobs_of, reference_answers
from customize.testing.expecting import expect
from customize.testing.exporter_rules.subject import ExporterSubject

# Nats a token: what storing weights in 16 bits may cost, and what the session is from its base.
_ROUNDING, _LEARNT = 0.05, 0.2


def check_what_it_serves_loads_it(subject: ExporterSubject) -> None:
    """The runtime that ``serves`` names loads the folder, and gives probabilities."""
    logprobs_TV = subject.load().logprobs([5, 6, 7])
    total = np.exp(logprobs_TV).sum(axis=-1)
    expect(bool(np.allclose(total, 1.0)), f"probabilities sum to {total.tolist()}")


def check_export_answers_as_the_session(subject: ExporterSubject) -> None:
    """Loaded, it gives the session's answers the session's log-probabilities, and not the base's.

    Up to 0.05 nats a token, which is what weights in 16 bits cost.
    """
    answers = _answers(subject)
    away = _away(subject, answers)
    to_base = float(np.mean(np.abs(np.concatenate(_differences_to_base(subject, answers)))))
    expect(to_base > _LEARNT, f"the session is only {to_base:.2g} nats from its base")
    expect(away <= _ROUNDING, f"{away:.3g} nats a token from the session")


def check_tokenizer_and_template_are_in_it(subject: ExporterSubject) -> None:
    """Its own tokenizer and template make the same tokens of messages as the session's renderer."""
    renderer = subject.session.renderer
    for number, messages in enumerate(subject.source.prompts, start=1):
        wanted = renderer.prompt(messages).tolist()
        try:
            found = subject.served.prompt(messages)
        except ValueError as error:  # what runtimes raise where there is no template
            expect(False, f"prompt {number}: {error}")
        else:
            expect(found == wanted, f"prompt {number}: {found[:12]}… is not {wanted[:12]}…")


def check_parity_figures_are_true(subject: ExporterSubject) -> None:
    """The figures it gives are finite, and those of its own comparison are what one finds by
    loading it: ``mean_logprob_difference`` and ``mean_difference_to_base``, in nats a token.
    """
    figures = subject.figures
    wrong = {name: value for name, value in figures.items() if not math.isfinite(value)}
    expect(not wrong, f"not finite: {wrong}")
    answers = _answers(subject)
    to_base = _differences_to_base(subject, answers)
    found = {
        "mean_logprob_difference": _away(subject, answers),
        "mean_difference_to_base": float(np.mean([np.abs(row).mean() for row in to_base])),
    }
    for name, own in found.items():
        expect(name in figures, f"there is no {name}")
        near = abs(figures[name] - own) <= 1e-3 + 0.2 * own
        expect(near, f"{name} is {own:.3g}, and not {figures[name]:.3g}")


def _answers(subject: ExporterSubject) -> list[Answer]:
    return reference_answers(subject.session, subject.source.prompts)


def _away(subject: ExporterSubject, answers: list[Answer]) -> float:
    """Nats by which the export's log-probabilities differ from the session's, on average."""
    means = []
    for answer in answers:
        every_TV = subject.served.logprobs([*answer.prompt, *answer.tokens])
        after = np.arange(len(answer.prompt) - 1, len(every_TV) - 1)
        found = every_TV[after, list(answer.tokens)]
        means.append(np.abs(found - np.asarray(answer.logprobs)).mean())
    return float(np.mean(means))


def _differences_to_base(
    subject: ExporterSubject, answers: list[Answer]
) -> list[np.typing.NDArray[np.float64]]:
    base = logprobs_of(subject.engine.base(), answers)
    return [
        np.asarray(answer.logprobs) - np.asarray(plain)
        for answer, plain in zip(answers, base, strict=True)
    ]
