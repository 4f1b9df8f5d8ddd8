"""Rules about what a backend declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from customize._errors import Unsupported
from customize._losses import CrossEntropy
from customize.interfaces.sampling import Prompt, Sampling
from customize.interfaces.session import AdamW, Adapter, Full, LoRA, Session
from customize.testing.backend_rules.subject import TOLERANCES, BackendSubject
from customize.testing.expecting import expect, expect_raises
from customize.testing.processes import in_process_of_its_own
from customize.testing.rules import NotApplicable, RuleBroken

_ADAPTERS: Mapping[str, Adapter] = {"lora": LoRA(rank=4), "full": Full()}
_ABSENT = 3
_LARGEST = 64  # tokens
_PROBE = """
import importlib, sys
try:
    module = importlib.import_module({module!r})
except ModuleNotFoundError:
    sys.exit({absent})
made = getattr(module, {name!r})()
reason = made.probe()
assert reason is None or (reason.strip() and "\\n" not in reason), repr(reason)
print([name for name in ("torch", "transformers", "jax") if name in sys.modules])
"""


def check_undeclared_raises_unsupported(subject: BackendSubject) -> None:
    """What is not declared raises Unsupported, whose message names it."""
    for name, adapter in _ADAPTERS.items():
        if name not in subject.capabilities:
            _expect_refused(name, partial(subject.engine.open, adapter))
    if not subject.capabilities.intersection(_ADAPTERS):
        return
    session = subject.open()
    for name, acts in _acts(subject, session).items():
        if name not in subject.capabilities:
            for act in acts:
                _expect_refused(name, act)


def _acts(subject: BackendSubject, session: Session) -> Mapping[str, list[Callable[[], object]]]:
    """What each capability lets one do."""
    batch, folder = subject.batch(), subject.folder()
    prompt = Prompt(batch.take([0]).tokens)
    base = subject.engine.base()
    return {
        "forward_backward": [
            lambda: session.forward_backward(batch, CrossEntropy()).result(),
            lambda: session.optim_step(AdamW()).result(),
        ],
        "sample": [
            lambda: session.sample([prompt], Sampling(max_tokens=1)).result(),
            lambda: base.sample([prompt], Sampling(max_tokens=1)).result(),
        ],
        "distributions": [
            lambda: session.distributions(prompt.tokens, 1),
            lambda: base.distributions(prompt.tokens, 1),
        ],
        "snapshot": [session.snapshot, lambda: session.named_snapshot("any")],
        "base": [session.base],
        "save": [
            lambda: session.save(folder),
            lambda: session.load(folder),
            lambda: session.save_weights(folder),
        ],
        "serve": [lambda: subject.engine.runtime({})],
        # Without LoRA there is none to stack, which was asked for above.
        "stack": [lambda: subject.engine.open(LoRA(rank=4, on=str(folder)))]
        if "lora" in subject.capabilities
        else [],
    }


def _expect_refused(name: str, act: Callable[[], object]) -> None:
    expect_raises(Unsupported, act, f"{name} is not declared; using it", name)


def check_capabilities_agree(subject: BackendSubject) -> None:
    """Backend, engine and session declare the same."""
    declared = subject.capabilities
    expect(bool(declared), "nothing is declared")
    engine = subject.engine.capabilities
    expect(engine == declared, f"the engine: {sorted(engine ^ declared)} differ")
    session = subject.open().capabilities
    expect(session == declared, f"the session: {sorted(session ^ declared)} differ")


def check_dtype_is_declared(subject: BackendSubject) -> None:
    """The engine's ``dtype`` says what it computes in, and so how exact its numbers must be:
    float64, float32, float16 or bfloat16.
    """
    known = ", ".join(TOLERANCES)
    expect(subject.engine.dtype in TOLERANCES, f"{subject.engine.dtype!r} is none of {known}")


def check_probe_is_light(subject: BackendSubject) -> None:
    """``probe`` says in one line why it cannot run here, or None, and imports neither torch nor
    transformers nor jax.
    """
    cls = type(subject.backend)
    if "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
        raise NotApplicable("its class cannot be imported by name")
    code = _PROBE.format(module=cls.__module__, name=cls.__qualname__, absent=_ABSENT)
    done = in_process_of_its_own(code)
    if done.returncode == _ABSENT:
        raise NotApplicable(f"its module {cls.__module__} is not on the path")
    if done.returncode:
        raise RuleBroken(f"probe fails:\n{done.stderr[-2000:]}")
    found = done.stdout.strip().splitlines()[-1]
    expect(found == "[]", f"probe imports {found}")


def check_what_is_smaller_can_be_set(subject: BackendSubject) -> None:
    """Each change that `smaller` names can be made, and is not named once more when it was."""
    for one in subject.backend.smaller(_LARGEST):
        again = one.of(subject.backend).smaller(_LARGEST)
        expect(one not in again, f"after {one.option}={one.value} it names the same again")


def check_session_has_a_renderer(subject: BackendSubject) -> None:
    """Engine, session and snapshots have the model's renderer, which makes prompts they take."""
    renderer = subject.engine.renderer
    message = {"role": "user", "content": "Do you deliver?"}
    tokens = renderer.prompt([message])
    expect(len(tokens) > 0, "the prompt of a message is empty")
    for one in (subject.open(), subject.engine.base()):
        expect(np.array_equal(one.renderer.prompt([message]), tokens), "renders it in another way")
    expect(bool(renderer.stop_tokens), "no token ends a turn")
