"""Rules about a backend whose engines make a runtime that answers."""

from __future__ import annotations

from customize.interfaces.runtime import Query
from customize.interfaces.sampling import Prompt, Sampling
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_close
from customize.testing.rules import needs

_GREEDY = Sampling(max_tokens=8, temperature=0.0, stop_tokens=())


@needs("serve")
def check_served_answers_are_the_sessions(subject: BackendSubject) -> None:
    """At temperature 0 the runtime of an engine draws the tokens that ``Session.sample`` draws, and
    tells their ``logprobs``: with a customization's weights, and without any.
    """
    batch = subject.batch(lengths=(4, 9, 2), seed=21)
    prompts = [batch.take([s]).tokens for s in range(batch.num_sequences)]
    session, weights = subject.trained(), subject.folder() / "weights"
    session.save_weights(weights)
    asked = [Prompt(tokens) for tokens in prompts]
    own = {
        "mine": session.sample(asked, _GREEDY).result(),
        None: subject.engine.base().sample(asked, _GREEDY).result(),
    }
    runtime = subject.engine.runtime({"mine": weights})
    try:
        for adapter, answers in own.items():
            for tokens, [wanted] in zip(prompts, answers, strict=True):
                said = list(runtime.stream(Query(tokens, _GREEDY, adapter=adapter)))
                drawn, told = [one.token for one in said], wanted.tokens.tolist()
                expect(drawn == told, f"as {adapter} it says {drawn}, and the session {told}")
                within = subject.tolerance.logprobs
                expect_close([one.logprob for one in said], wanted.logprobs, within, "logprobs")
    finally:
        runtime.close()
