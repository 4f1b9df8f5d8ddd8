"""The gate's judgement on made-up answers: each fault is found, named, and nothing else is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import pytest

from customize.packaging.parity import Parity, compare
from customize.packaging.probe import Answers, Found
from customize.packaging.prompts import Question
from customize.packaging.reference import Case, condensed

V, T = 400, 6
RNG = np.random.default_rng(0)


def log_softmax(logits: Any) -> Any:
    return (logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))).astype(np.float32)


def case_of(name: str, full_TV: Any, is_plain: bool = True) -> Case:
    """The session's greedy answer, from its distributions; the base is a nat away."""
    likeliest = np.argsort(-full_TV, axis=-1, kind="stable")[:, :256].astype(np.int32)
    answer = likeliest[:, 0]
    said = full_TV[np.arange(T), answer]
    question = Question(name, [{"role": "user", "content": name}], is_plain=is_plain)
    prompt = np.asarray([5, 6, 7], np.int32)
    kept = condensed(full_TV, likeliest)
    return Case(question, prompt, answer, likeliest, *kept, said, said - 1, stopped=False)


def found_of(case: Case, full_TV: Any, said: Any = None) -> Found:
    """A package with these distributions, which says its likeliest tokens, or others."""
    greedy = full_TV.argmax(-1).astype(np.int32)
    said = greedy if said is None else np.asarray(said, np.int32)
    places = np.arange(T)
    drawn = np.full(T, np.nan, np.float32)
    drawn[: len(said)] = full_TV[places[: len(said)], said]
    own = full_TV[places, case.answer]
    kept = condensed(full_TV, case.likeliest)
    return Found(case.prompt, case.prompt, said, *kept, greedy, full_TV.max(-1), own, drawn)


FULLS = [log_softmax(RNG.normal(0, 3, (T, V))) for _ in range(3)]
CASES = [case_of(f"case {i}", full) for i, full in enumerate(FULLS)]
EQUAL = [found_of(case, full) for case, full in zip(CASES, FULLS, strict=True)]


def judged(found: Sequence[Found], precision: str = "float32", stops: Any = (2,)) -> Parity:
    return compare(CASES, Answers(found, stops, {}), precision, (2,))


def second(found: Found) -> list[Found]:
    """Equal but for the second prompt."""
    return [EQUAL[0], found, EQUAL[2]]


def test_what_is_equal_passes_with_figures_of_nothing() -> None:
    parity = judged(EQUAL)
    assert parity.passed
    assert parity.figures["kl"] == 0
    assert parity.figures["top1"] == parity.figures["greedy_equal"] == 1
    assert parity.figures["share_of_customization"] == pytest.approx(1)
    assert parity.figures["mean_difference_to_base"] == pytest.approx(1)


def test_the_divergence_is_that_of_the_textbook() -> None:
    noisy = [log_softmax(full + RNG.normal(0, 0.3, full.shape)) for full in FULLS]
    parity = judged([found_of(c, f) for c, f in zip(CASES, noisy, strict=True)], "int8")
    pairs = zip(FULLS, noisy, strict=True)
    whole = [
        (np.exp(p.astype(float)) * (p.astype(float) - q.astype(float))).sum(-1) for p, q in pairs
    ]
    assert parity.figures["kl"] == pytest.approx(np.concatenate(whole).mean(), rel=0.02)


def test_rounding_in_float32_is_no_divergence() -> None:
    """The plain sum would say 1e-8 and more of it, and be negative as often."""
    rounded = [np.nextafter(full, np.float32(0)) for full in FULLS]
    parity = judged([found_of(c, f) for c, f in zip(CASES, rounded, strict=True)])
    assert 0 <= parity.figures["kl"] < 1e-12


def test_a_divergence_names_the_prompt_and_the_place() -> None:
    other = FULLS[1].copy()
    other[3] = log_softmax(other[3] + RNG.normal(0, 0.2, V))
    fault = judged(second(found_of(CASES[1], other))).fault
    assert fault is not None
    assert (fault.prompt, fault.token) == ("case 1", 4)
    assert "diverge" in fault.told


def test_nothing_that_is_no_number_passes() -> None:
    other = FULLS[1].copy()
    other[2] = np.nan
    said = EQUAL[1].said
    for precision in ("float32", "float16", "int4"):
        assert not judged(second(found_of(CASES[1], other, said)), precision).passed


@pytest.mark.parametrize(
    ("precision", "margin", "passes"),
    [("float32", 0.01, False), ("float16", 0.04, True), ("bfloat16", 0.06, False), ("q8", 3, True)],
)
def test_greedy_answers_may_differ_only_within_the_margin(
    precision: str, margin: float, passes: bool
) -> None:
    equal = EQUAL[1]
    said, drawn, best = equal.said.copy(), equal.drawn.copy(), equal.best.copy()
    said[2] += 1
    drawn[2] = best[2] = equal.answer[2] + margin
    parity = judged(second(attrs.evolve(equal, said=said, drawn=drawn, best=best)), precision)
    assert parity.passed == passes
    if parity.fault is not None:
        assert (parity.fault.prompt, parity.fault.token) == ("case 1", 3)


def test_saying_otherwise_than_one_computes_is_a_fault_at_any_precision() -> None:
    """A cache that is filled wrongly is seen only where tokens come one by one."""
    said = EQUAL[1].said.copy()
    said[4] = int(np.argmin(FULLS[1][4]))
    for precision in ("float32", "float16", "int4"):
        fault = judged(second(found_of(CASES[1], FULLS[1], said)), precision).fault
        assert fault is not None
        assert (fault.prompt, fault.token) == ("case 1", 5)
        assert "token by token it computes otherwise" in fault.told


@pytest.mark.parametrize(
    ("precision", "lead", "passes"),
    [
        ("float32", 0.01, False),
        ("float16", 0.06, False),
        ("int8", 0.5, True),
        ("int8", 0.7, False),
        ("q8_0", 0.06, False),
    ],
)
def test_own_probabilities_may_lead_by_what_rounding_does(
    precision: str, lead: float, passes: bool
) -> None:
    """Measured of onnxruntime's int8 on SmolLM2: token by token and at once are 2e-3 nats of
    divergence apart, 0.14 at most of a likeliest token, and float32 is 5e-12.
    """
    equal = EQUAL[1]
    said, drawn = equal.said.copy(), equal.drawn.copy()
    said[2] += 1
    drawn[2] = equal.best[2] - lead
    assert judged(second(attrs.evolve(equal, said=said, drawn=drawn)), precision).passed == passes


def test_an_answer_that_ends_early_is_a_fault() -> None:
    fault = judged(second(found_of(CASES[1], FULLS[1], EQUAL[1].said[:4]))).fault
    assert fault is not None
    assert fault.told == "it ends after 4 tokens, the session after 6"


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_an_answer_that_goes_on_after_its_end_is_a_fault(precision: str) -> None:
    longer = attrs.evolve(EQUAL[1], said=np.append(EQUAL[1].said, [7, 8]).astype(np.int32))
    fault = judged(second(longer), precision).fault
    assert fault is not None
    assert (fault.prompt, fault.token) == ("case 1", 6)
    assert fault.told == "it goes on after token 6, at which the session ends"


def test_nothing_follows_a_stop_token_where_a_quantized_answer_may_differ() -> None:
    full = FULLS[1].copy()
    full[2] = log_softmax(np.full(V, 0.0))  # no token leads
    cases = [CASES[0], case_of("case 1", full), CASES[2]]
    said = cases[1].answer.copy()
    said[2] = 2  # a stop token, after which it goes on
    found = [EQUAL[0], found_of(cases[1], full, said), EQUAL[2]]
    fault = compare(cases, Answers(found, (2,), {}), "q4_1", (2,)).fault
    assert fault is not None
    assert (fault.prompt, fault.token) == ("case 1", 3)
    assert fault.told == "it goes on after the stop token 2"


def test_other_tokens_of_a_prompt_are_named() -> None:
    other = attrs.evolve(EQUAL[1], prompt=np.asarray([5, 9, 7], np.int32))
    fault = judged(second(other)).fault
    assert fault is not None
    assert "from token 2 on [9, 7], and not [6, 7]" in fault.told


def test_the_runtimes_own_prompt_counts_where_nothing_looks_like_control_tokens() -> None:
    other = attrs.evolve(EQUAL[1], own=np.asarray([5], np.int32))
    fault = judged(second(other)).fault
    assert fault is not None
    assert "the runtime's own tokenizer" in fault.told
    shy = case_of("case 1", FULLS[1], is_plain=False)
    answers = Answers(second(other), (2,), {})
    assert compare([CASES[0], shy, CASES[2]], answers, "float32", (2,)).passed


def test_other_stop_tokens_are_a_fault() -> None:
    fault = judged(EQUAL, stops=(2, 3)).fault
    assert fault is not None
    assert "answers end at the tokens [2, 3], the session's at [2]" in fault.told


def test_other_stop_tokens_in_a_file_that_other_programs_read_are_a_fault() -> None:
    answers = Answers(EQUAL, (2,), {}, own_stops={"model.acme": (2,), "acme.json": (3, 7)})
    parity = compare(CASES, answers, "float32", (2,))
    assert parity.fault is not None
    told = "by its acme.json answers end at the tokens [3, 7], the session's at [2]"
    assert told in parity.fault.told
    assert parity.to_json()["own"] == {"prompts": "none of its own", "stop_tokens": "not equal"}


def test_a_runtime_that_has_no_means_of_its_own_is_not_said_to_agree() -> None:
    assert judged(EQUAL).own == {"prompts": "none of its own", "stop_tokens": "none of its own"}
    answers = Answers(EQUAL, (2,), {}, has_own_prompt=True, own_stops={"model.acme": (2,)})
    parity = compare(CASES, answers, "float32", (2,))
    assert parity.passed
    assert parity.own == {"prompts": "equal", "stop_tokens": "equal"}
    other = attrs.evolve(EQUAL[1], own=np.asarray([5], np.int32))
    answers = attrs.evolve(answers, found=second(other))
    assert compare(CASES, answers, "float32", (2,)).own["prompts"] == "not equal"


def test_a_merge_that_did_nothing_is_caught_where_probabilities_alone_would_pass() -> None:
    """The customization is smaller than what quantization may cost: the base itself would do."""
    cases = [attrs.evolve(case, base=case.said - np.float32(0.05)) for case in CASES]
    as_base = [attrs.evolve(f, answer=c.base) for f, c in zip(EQUAL, cases, strict=True)]
    parity = compare(cases, Answers(as_base, (2,), {}), "int8", (2,))
    assert parity.figures["kl"] == 0
    assert parity.fault is not None
    assert "answers as the base does: 0% of what was trained" in parity.fault.told
