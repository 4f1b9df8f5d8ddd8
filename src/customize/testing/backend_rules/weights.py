"""Rules about weights as the rest of the world loads them."""

from __future__ import annotations

import numpy as np

from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_close
from customize.testing.rules import needs
from customize.testing.serving import serve


@needs("forward_backward", "save", "peft")
def check_peft_loads_the_weights(subject: BackendSubject) -> None:
    """PEFT loads what ``save_weights`` wrote onto the base, or transformers where all weights are
    trained, and gives the session's log-probabilities.
    """
    row = subject.batch(lengths=(24,), seed=6)
    for adapter in subject.adapters:
        session = subject.trained(adapter)
        folder = subject.folder() / "weights"
        session.save_weights(folder)
        theirs_TV = serve("transformers", folder, subject.model.path).logprobs(row.tokens.tolist())
        wanted = np.zeros(row.num_tokens)
        wanted[1:] = theirs_TV[np.arange(row.num_tokens - 1), row.tokens[1:]]
        told = f"{type(adapter).__name__}: beside the log-probabilities of other libraries"
        found = session.forward(row).result()
        expect_close(found, wanted * row.scored, subject.tolerance.logprobs, told)
        base = subject.engine.base().forward(row).result()
        expect(bool((found != base).any()), "what was saved is the base")
