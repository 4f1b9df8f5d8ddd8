"""The rows that are made of documents: each is true of its own passages, as they are shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from rag_corpus import OTHER_SCRIPTS, PAIRS, TEXTS, index

import customize
from customize import Answer, Chunk, Grounding, Index, OptionError
from customize_rag.changing import beside, changed, disputed, without
from customize_rag.evidence import holds
from customize_rag.extracting import extracted
from customize_rag.pairs import Grounder, LeftOut, Pair, grounded
from customize_rag.plan import RowPlan
from customize_rag.rows import Rows
from customize_rag.scorer import Grounded

NOTHING_ELSE: dict[str, Any] = {"near_miss": 0.0, "off_topic": 0.0, "empty": 0.0, "partial": 0.0}


def made(plan: RowPlan, pairs: list[dict[str, Any]] = PAIRS) -> list[dict[str, Any]]:
    documents = index()
    found, left_out = grounded(pairs, documents, plan.quote_words)
    assert not left_out
    return list(Rows(plan, found, documents))


def asked(row: dict[str, Any]) -> tuple[str, str, str]:
    """Kind, question and answer."""
    _, question, answer = (message["content"] for message in row["messages"])
    return row["kind"], question.rpartition("Question: ")[2], answer


def passages(row: dict[str, Any]) -> list[str]:
    return re.findall(r"^\[\d\] (.*)$", row["messages"][1]["content"], re.MULTILINE)


@pytest.mark.parametrize("per_context", [1, 4])
def test_what_is_answered_is_quoted_word_for_word_from_the_passage_that_is_cited(
    per_context: int,
) -> None:
    rows = made(RowPlan(per_context=per_context, counterfactual=0.5))
    answered = [(row, asked(row)[2]) for row in rows if row["kind"] == "answerable"]
    assert len(answered) >= 4
    for row, said in answered:
        quote, place, answer = re.fullmatch(r'"(.+)" \[(\d)\]\n(.+)', said).groups()  # type: ignore[union-attr]
        assert quote in passages(row)[int(place) - 1]
        assert answer in quote


def of_files(folder: Path, texts: Mapping[str, str], most_tokens: int = 24) -> Index:
    """Of Markdown, whose headings are known to the index."""
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text, "utf-8")
    data = customize.read(customize.document_rows(folder), kind="documents")
    return customize.index_of(data, customize.Chunking(most_tokens=most_tokens, overlap=0.0))


def tight(text: str) -> str:
    """Without empty lines."""
    return text.replace("\n\n", "\n")


def underlined(text: str) -> str:
    """The same, with a line below each heading of a section."""
    return re.sub(r"^## (.*)$", r"\1\n-----", tight(text), flags=re.MULTILINE)


@pytest.mark.parametrize("form", [tight, underlined])
@pytest.mark.parametrize("most_tokens", [24, 200])
def test_headings_without_an_empty_line_are_in_no_quote_and_no_question(
    tmp_path: Path, form: Callable[[str], str], most_tokens: int
) -> None:
    texts = {name: form(text) for name, text in TEXTS.items()}
    documents = of_files(tmp_path, texts, most_tokens)
    given = [{**pair, "document": f"{pair['document']}.md"} for pair in PAIRS]
    for pairs in (given, list(extracted(documents.chunks()))):
        found, left_out = grounded(pairs, documents, 12)
        assert (len(found), left_out) == (len(pairs), [])
        rows = list(Rows(RowPlan(per_context=2, k=2, **NOTHING_ELSE), found, documents))
        assert len(rows) == len(pairs)
        for row in rows:
            _, question, said = asked(row)
            quote, place = re.findall(r'"(.+)" \[(\d)\]', said)[0]
            assert quote in passages(row)[int(place) - 1]
            assert not re.search("#|--|Hours|Prices", f"{quote} {question}")


def test_what_a_heading_tells_is_not_denied_and_has_no_other_number(tmp_path: Path) -> None:
    text = (
        "# Hall of 1954\n\n## History\n\nThe hall was founded in 1954. We like guests and cake.\n\n"
        "## Prices from 14.50\nA day ticket costs 14.50. Children of our town come in for free.\n"
    )
    documents = of_files(tmp_path, {"hall": text})
    known = [("When was the hall founded?", "1954"), ("What is a day ticket?", "14.50")]
    every = [
        {"question": f"{way}{question}", "answer": answer, "document": "hall.md"}
        for way in ("Say, ", "Tell me: ", "Please: ", "")
        for question, answer in known
    ]
    found, _ = grounded(every, documents, 12)
    plan = RowPlan(per_context=1, k=1, near_miss=0.5, counterfactual=1.0, disputed=0.0)
    kinds = Counter[str]()
    for row in Rows(plan, found, documents):
        kind, question, said = asked(row)
        answer = next(answer for end, answer in known if question.endswith(end))
        assert kind != "answerable" or said.endswith(f"\n{answer}")
        assert said != plan.abstention or not any(holds(answer, one) for one in passages(row))
        kinds[kind] += 1
    assert kinds["answerable"] > 2


def test_an_answer_that_a_heading_tells_is_quoted_as_it_is_shown(tmp_path: Path) -> None:
    documents = of_files(
        tmp_path, {"hall": "# Hall\n\n## Open from 9:20 am\nRing us, and come in.\n"}
    )
    question = {"question": "When is the hall open?", "answer": "9:20 am", "document": "hall.md"}
    [pair], _ = grounded([question], documents, 12)
    plan = RowPlan(**NOTHING_ELSE, counterfactual=1.0, disputed=1.0)
    [row] = Rows(plan, [pair], documents)
    assert asked(row)[2] == '"Open from 9:20 am" [1]\n9:20 am'
    assert passages(row) == ["Hall > Open from 9:20 am: Ring us, and come in."]


@pytest.mark.parametrize("script", OTHER_SCRIPTS)
def test_answers_in_scripts_without_spaces_and_in_korean_are_learnt(
    tmp_path: Path, script: str
) -> None:
    texts, asked_of = OTHER_SCRIPTS[script]
    pairs = [{"question": q, "answer": a, "document": f"{d}.md"} for q, a, d in asked_of]
    documents = of_files(tmp_path, texts, most_tokens=40)
    found, left_out = grounded(pairs, documents, 12)
    assert (len(found), left_out) == (len(pairs), [])
    plan = RowPlan(per_context=2, k=2, **{**NOTHING_ELSE, "near_miss": 0.3}, disputed=0.0)
    answers = {pair["question"]: pair["answer"] for pair in pairs}
    kinds, grounded_is = Counter[str](), Grounded()
    for row in Rows(plan, [*found] * 4, documents):
        kind, question, said = asked(row)
        kinds[kind] += 1
        if kind == "near miss":
            assert not any(holds(answers[question], one) for one in passages(row))
            continue
        quote, place, answer = re.fullmatch(r'"(.+)" \[(\d)\]\n(.+)', said).groups()  # type: ignore[union-attr]
        assert quote in passages(row)[int(place) - 1]
        assert quote[-1] not in "。！."
        judged = {"passages": passages(row), "answer": answer}
        scores = grounded_is.score(answer_of(said), judged)
        assert scores is not None
        assert scores["right"]
    assert min(kinds["answerable"], kinds["near miss"]) > 2


def answer_of(said: str) -> Answer:
    message = {"role": "assistant", "content": said}
    return Answer(said, message, 0, 0, None, finished=True, latency_s=0.0, share_s=0.0)


def test_what_is_denied_is_in_no_passage() -> None:
    answers = {pair["question"]: pair["answer"] for pair in PAIRS}
    plan = RowPlan(per_context=3, near_miss=0.5, off_topic=0.2, empty=0.1)
    denied = Counter[str]()
    for row in made(plan):
        kind, question, said = asked(row)
        if said == plan.abstention:
            assert not any(holds(answers[question], passage) for passage in passages(row))
            denied[kind] += 1
    assert denied["near miss"]
    assert not denied.keys() - {"near miss", "off topic", "empty"}


def test_a_part_that_is_missing_is_named() -> None:
    plan = RowPlan(per_context=2, near_miss=0.0, off_topic=0.0, empty=0.0, partial=0.9, k=1)
    partial = [asked(row) for row in made(plan) if row["kind"] == "partial"]
    assert partial
    for _, question, said in partial:
        missing = said.splitlines()[-1].removeprefix("The documents do not say: ")
        assert question.endswith(missing)


def test_shares_are_kept() -> None:
    pairs = PAIRS * 60
    plan = RowPlan(per_context=1, near_miss=0.2, off_topic=0.1, empty=0.1, partial=0.0, k=2)
    counts = Counter(row["kind"] for row in made(plan, pairs))
    total = sum(counts.values())
    # A near miss whose answer stands in another passage, and a stranger of the same document, are
    # left out: so these may be fewer than asked for, and not by much.
    for kind, share in (("near miss", 0.2), ("off topic", 0.1), ("empty", 0.1)):
        assert share - 0.06 <= counts[kind] / total <= share + 0.04, counts


def test_a_part_is_missing_though_every_passage_of_the_documents_is_shown() -> None:
    plan = RowPlan(per_context=2, k=50, **{**NOTHING_ELSE, "partial": 0.3})
    counts = Counter(row["kind"] for row in made(plan, PAIRS * 60))
    assert 0.2 <= counts["partial"] / counts.total() <= 0.4


def test_the_true_passage_is_as_often_in_each_place() -> None:
    plan = RowPlan(per_context=1, k=4, **NOTHING_ELSE)
    places = Counter(re.findall(r"\[(\d)\]\n", asked(row)[2])[0] for row in made(plan, PAIRS * 40))
    share = np.array([places[str(n)] for n in range(1, 5)]) / places.total()
    assert np.abs(share - 0.25).max() < 0.08  # four standard errors of 480 draws


def test_every_question_is_asked_once() -> None:
    plan = RowPlan(per_context=4, **NOTHING_ELSE)
    counts = Counter(asked(row)[1] for row in made(plan))
    assert counts == Counter(pair["question"] for pair in PAIRS)


def test_questions_about_the_same_passages_follow_each_other_and_begin_alike() -> None:
    rows = made(RowPlan(per_context=4, empty=0.2))
    numbers = [row["together"] for row in rows]
    sets = [n for n, before in zip(numbers, [None, *numbers], strict=False) if n != before]
    assert len([n for n in sets if n is not None]) == len({*numbers} - {None})
    assert max(Counter(n for n in numbers if n is not None).values()) > 2
    by_number = {row["together"]: passages(row) for row in rows}
    for row in rows:
        assert passages(row) == (by_number[row["together"]] if row["kind"] != "empty" else [])


def test_an_order_in_a_passage_is_followed_by_no_answer() -> None:
    plain, ordered = (made(RowPlan(per_context=2, empty=0.0, orders=o)) for o in (0.0, 1.0))
    assert len(plain) > 4
    for row, with_order in zip(plain, ordered, strict=True):
        assert len(set(passages(with_order)) - set(passages(row))) == 1
        answers = [re.sub(r"\[\d\]", "", asked(one)[2]) for one in (row, with_order)]
        assert answers[0] == answers[1]


def test_the_same_documents_give_the_same_rows_and_max_rows_the_first_of_them() -> None:
    rows = made(RowPlan(per_context=2))
    assert made(RowPlan(per_context=2)) == rows
    assert made(RowPlan(per_context=2, max_rows=3)) == rows[:3]


def test_a_counterfactual_number_is_in_passage_quote_and_answer() -> None:
    plan = RowPlan(
        per_context=1, near_miss=0.0, off_topic=0.0, empty=0.0, partial=0.0, counterfactual=1.0
    )
    known = {pair["answer"] for pair in PAIRS}
    new = [row for row in made(plan) if asked(row)[2].splitlines()[-1] not in known]
    assert len(new) > len(PAIRS) / 2
    for row in new:
        answer = asked(row)[2].splitlines()[-1]
        assert sum(holds(answer, passage) for passage in passages(row)) >= 1


def test_no_digit_of_a_changed_number_grows() -> None:
    chunk = Chunk("a", "The doors open at 7:40 am.", (0, 26))
    pair = Pair("When?", "7:40 am", chunk, "The doors open at 7:40 am")
    found = {changed(pair, np.random.default_rng(seed)).answer for seed in range(60)}
    assert len(found) > 10
    for answer in found:
        hour, minute = map(int, answer.removesuffix(" am").split(":"))
        assert 1 <= hour <= 7
        assert minute in (10, 20, 30, 40)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("We like guests. {} We close late.", "We like guests. We close late."),
        ("# Hall\n\n{} We close late.\n\n# Shop", "# Hall\n\nWe close late.\n\n# Shop"),
        ("# Hall\n\nWe like guests. {}\n\n# Shop", "# Hall\n\nWe like guests. \n\n# Shop"),
    ],
)
def test_a_sentence_is_taken_out_whole(text: str, left: str) -> None:
    sentence = "The doors open at 7:40 am on weekdays."
    assert without("open at 7:40 am", text.format(sentence)) == left
    assert without("open at 7:40 am", text.format(sentence), "No.") == text.format("No.")


OPENS = Pair("When?", "7:40 am", Chunk("a", "", (0, 0)), "The doors open at 7:40 am")
OLD = (
    r"Until \d{4}|Until last year|As it was in \d{4}|An older edition of this page says"
    r"|Before the last change|No longer valid"
)
WRONG = (
    r"Often told, and wrong|A leaflet says by mistake|Not true, whatever others say"
    r"|Misprinted elsewhere as|This is false|Some write, without any ground"
)
DISPUTED = re.compile(rf"(?:(?P<old>{OLD})|{WRONG}): (?P<said>[^.]+(?:\.\d+)?)\.")


def test_an_older_or_contradicting_number_is_said_to_be_one() -> None:
    text = f"We like guests. {OPENS.quote}. We close late."
    seen = Counter[bool]()
    for seed in range(80):
        if (said := disputed(OPENS, text, np.random.default_rng(seed))) is None:
            continue
        found = DISPUTED.fullmatch(said)
        assert found is not None, said
        assert re.fullmatch(r"The doors open at \d:\d0 am", found["said"])
        assert not holds(OPENS.answer, said)
        seen[found["old"] is not None] += 1
        assert disputed(OPENS, text, np.random.default_rng(seed)) == said
    assert min(seen[True], seen[False]) > 20


@pytest.mark.parametrize(
    ("answer", "quote"),
    [
        ("7:40 am", "doors open at 7:40 am"),  # a part of its sentence
        ("Agnes Corbin", "The owner is Agnes Corbin"),  # no number
        ("$1", "The coffee costs $1"),  # none that could be another
    ],
)
def test_what_cannot_be_told_with_another_number_is_not(answer: str, quote: str) -> None:
    pair = Pair("?", answer, OPENS.chunk, quote)
    text = "The doors open at 7:40 am. The owner is Agnes Corbin. The coffee costs $1."
    assert all(disputed(pair, text, np.random.default_rng(seed)) is None for seed in range(20))


def test_a_sentence_is_put_beside_another() -> None:
    text = "We like guests. The doors open at 7:40 am. We close late."
    found = {beside(OPENS.quote, text, "No.", np.random.default_rng(n)) for n in range(20)}
    assert found == {
        "We like guests. The doors open at 7:40 am. No. We close late.",
        "We like guests. No. The doors open at 7:40 am. We close late.",
    }


def test_a_disputed_number_stands_beside_what_is_answered_and_in_place_of_what_is_denied() -> None:
    plan = RowPlan(per_context=1, **{**NOTHING_ELSE, "near_miss": 0.5}, disputed=1.0)
    seen = Counter[str]()
    for row in made(plan, PAIRS * 10):
        kind, _, said = asked(row)
        disputes = [one["said"] for one in DISPUTED.finditer(" ".join(passages(row)))]
        seen[kind] += bool(disputes)
        if kind == "answerable":
            [(quote, place)] = re.findall(r'"(.+)" \[(\d)\]', said)
            assert quote not in disputes
            assert quote in DISPUTED.sub("", passages(row)[int(place) - 1])
    assert min(seen["answerable"], seen["near miss"]) > 10
    plain = made(attrs.evolve(plan, disputed=0.0), PAIRS * 10)  # type: ignore[misc]
    assert not any(DISPUTED.search(passage) for row in plain for passage in passages(row))


def test_what_is_told_with_another_number_is_not_denied_to_who_asks_otherwise() -> None:
    said = ("Say, ", "Tell me: ", "Please: ", "")
    every = [{**pair, "question": way + pair["question"]} for way in said for pair in PAIRS]
    pairs, _ = grounded(every, index(), 12)
    by_question = {pair.question: pair for pair in pairs}
    shares = {**NOTHING_ELSE, "near_miss": 0.5, "partial": 0.2}
    plan = RowPlan(per_context=4, **shares, counterfactual=1.0, disputed=0.0)
    denied = [row for row in made(plan, every) if row["kind"] == "near miss"]
    assert len(denied) > 2
    for row in denied:
        pair = by_question[asked(row)[1]]
        own = [one for one in passages(row) if one.startswith(pair.chunk.heading[0])]
        shape = re.sub(r"\d", "#", pair.quote)
        assert not any(shape in re.sub(r"\d", "#", passage) for passage in own)


def test_an_answer_that_no_document_says_is_left_out_with_the_reason() -> None:
    wrong = {"question": "When does the Clock Shop open?", "answer": "7:40 am", "document": "shop"}
    for said, reason in (
        (wrong, "shop does not say '7:40 am' in these words"),
        ({**wrong, "document": "pool"}, "there is no document 'pool'"),
        (
            {**wrong, "answer": "noon", "document": None},
            "no document that the question finds says 'noon' in these words: name its document",
        ),
        (
            {**wrong, "answer": "10:20 am. We close"},
            "shop says '10:20 am. We close' in more than one sentence: give a shorter answer",
        ),
    ):
        assert Grounder(index(), 12).ground(said) == LeftOut(wrong["question"], reason)


def test_a_question_without_a_document_finds_its_own() -> None:
    for pair in PAIRS:
        asked = {key: pair[key] for key in ("question", "answer")}
        found = Grounder(index(), 12).ground(asked)
        assert isinstance(found, Pair)
        assert found.chunk.document == pair["document"]


def test_questions_are_made_of_sentences_that_tell_something() -> None:
    text = "The doors open at 7:40 am. We like guests here. The owner is Agnes Corbin. It is fine."
    chunk = Chunk("a", text, (0, len(text)), ("Hall",))
    rows = list(extracted([chunk]))
    assert [row["answer"] for row in rows] == ["7:40 am", "Agnes Corbin"]
    for row in rows:
        assert row["answer"] not in row["question"]
        assert row["question"].endswith("?")
        assert row["document"] == "a"


@pytest.mark.parametrize("heading", ["## Open since May 1", "Open since May 1\n---"])
def test_no_question_is_made_of_a_heading(heading: str) -> None:
    text = f"{heading}\n\nRing us."
    assert list(extracted([Chunk("a", text, (0, len(text)))])) == []
    plain = Chunk("a", "Open since May 1\n\nRing us.", (0, 26), ("Open since May 1",))  # as of DOCX
    assert list(extracted([plain])) == []


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(OptionError, match="leave no share"):
        RowPlan(near_miss=0.5, off_topic=0.3, empty=0.2)


def test_passages_are_at_most_k() -> None:
    rows = made(RowPlan(per_context=1, k=2, empty=0.0))
    assert {len(passages(row)) for row in rows} == {2}
    everything = attrs.evolve(RowPlan(per_context=1, empty=0.0), k=50)  # type: ignore[misc]
    assert {len(passages(row)) for row in made(everything)} <= set(range(1, 9))


def test_every_option_of_how_passages_are_shown_is_kept() -> None:
    given: dict[str, Any] = {"k": 7, "instruction": "Quote it.", "abstention": "Nothing is said."}
    assert given.keys() == Grounding.__annotations__.keys()
    assert RowPlan(**given, per_context=2).grounding() == Grounding(**given)


def shortfalls(plan: RowPlan, pairs: list[dict[str, Any]]) -> list[str]:
    documents = index()
    rows = Rows(plan, grounded(pairs, documents, plan.quote_words)[0], documents)
    count = len(list(rows))
    told = list(rows.shortfalls())
    assert (len(list(rows)), list(rows.shortfalls())) == (count, told)  # counted anew
    return told


def test_a_share_that_the_documents_do_not_allow_is_told_with_its_numbers() -> None:
    given: dict[str, Any] = {**NOTHING_ELSE, "off_topic": 0.5, "per_context": 1}
    [told] = shortfalls(
        RowPlan(**given), PAIRS * 5
    )  # the four passages shown are of all four documents
    [due, missing] = map(int, re.findall(r"\d+", told.partition("could not be made")[0]))
    assert due / 2 < missing <= due
    assert abs(due - 30) < 12  # three standard errors of 60 draws
    assert told.startswith("off_topic: of ")
    assert "lower k" in told
    assert shortfalls(RowPlan(**given, k=1), PAIRS * 5) == []


def test_parts_that_cannot_be_missing_are_told() -> None:
    plan = RowPlan(per_context=1, k=1, **{**NOTHING_ELSE, "partial": 0.9})
    [told] = shortfalls(plan, PAIRS[-1:])  # one question has no other beside it
    assert told.startswith("partial: of 1 rows 1 could not be made")
    plan = RowPlan(per_context=2, k=50, **{**NOTHING_ELSE, "partial": 0.3})
    assert shortfalls(plan, PAIRS * 5) == []
