"""Rules about what others get when they load a package."""

from __future__ import annotations

import numpy as np

from customize.testing.expecting import expect
from customize.testing.exporter_rules.subject import MESSAGES, ExporterSubject

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
    away, to_base = [], []
    for case in subject.cases:
        every_TV = subject.served.logprobs([*case.given.tolist(), *case.answer.tolist()])
        after = np.arange(len(case.given) - 1, len(every_TV) - 1)
        away.append(np.abs(every_TV[after, case.answer] - case.said).mean())
        to_base.append(np.abs(case.said - case.base).mean())
    learnt = float(np.mean(to_base))
    expect(learnt > _LEARNT, f"the session is only {learnt:.2g} nats from its base")
    expect(float(np.mean(away)) <= _ROUNDING, f"{np.mean(away):.3g} nats a token from the session")


def check_tokenizer_and_template_are_in_it(subject: ExporterSubject) -> None:
    """Its own tokenizer and template make the same tokens of messages as the session's renderer."""
    renderer = subject.session.renderer
    for number, messages in enumerate(MESSAGES, start=1):
        wanted = renderer.prompt(messages).tolist()
        try:
            found = subject.served.prompt(messages)
        except ValueError as error:  # what runtimes raise where there is no template
            expect(False, f"prompt {number}: {error}")
        else:
            expect(found == wanted, f"prompt {number}: {found[:12]}… is not {wanted[:12]}…")
