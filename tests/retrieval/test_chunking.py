"""Chunks: exact stretches of the text, whole sentences, within their bounds, nothing lost."""

from __future__ import annotations

import itertools
import random

import pytest

from customize import Chunk, Chunking, Document, Heading, OptionError
from customize.retrieval.chunking import chunks_of, counter, estimated
from customize.retrieval.documents.plain import markdown_headings
from customize.retrieval.sentences import sentences


def markdown(text: str) -> Document:
    return Document("a.md", text, frozenset(), markdown_headings(text))


def cut(document: Document, **options: float) -> list[Chunk]:
    return list(chunks_of(document, Chunking(**options), estimated))  # type: ignore[arg-type]


def prose(words: int, seed: int = 0, least: int = 4, most: int = 30) -> str:
    draw, told = random.Random(seed), []
    while words > 0:
        length = min(words, draw.randint(least, most))
        words -= length
        letters = ["".join(draw.choices("abcdefghij", k=draw.randint(2, 6))) for _ in range(length)]
        told.append(" ".join(letters).capitalize() + ".")
    return " ".join(told)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ('He said "go." Then left.', ['He said "go." ', "Then left."]),
        ("Dr. Who paid 3.50 e.g. at noon. Then", ["Dr. Who paid 3.50 e.g. at noon. ", "Then"]),
        ("今日は晴れ。明日は雨！そう", ["今日は晴れ。", "明日は雨！", "そう"]),
        ("a line\nthat goes on\n\nNext", ["a line\nthat goes on\n\n", "Next"]),
        ("Items:\n- one\n- two\n1. three", ["Items:\n", "- one\n", "- two\n", "1. three"]),
        ("| a | b |\n| c | d |", ["| a | b |\n", "| c | d |"]),
    ],
)
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert [text[start:stop] for start, stop in sentences(text, 0, len(text))] == expected


@pytest.mark.parametrize("seed", range(20))
def test_spans_are_exact_sizes_are_bounded_and_nothing_is_lost(seed: int) -> None:
    draw = random.Random(seed)
    parts = []
    for number in range(draw.randint(1, 12)):
        parts += [f"{'#' * draw.randint(1, 3)} Part {number}", prose(draw.randint(0, 900), seed)]
    document = markdown("\n\n".join(parts))
    most = draw.choice([50, 120, 400])
    chunks = cut(document, most_tokens=most)
    seen = bytearray(len(document.text))
    for chunk in chunks:
        start, stop = chunk.span
        assert chunk.text == document.text[start:stop]
        assert estimated([chunk.text])[0] <= most
        seen[start:stop] = b"\1" * (stop - start)
    assert not "".join(c for c, was in zip(document.text, seen, strict=True) if not was).strip()
    assert [chunk.span for chunk in chunks] == sorted(chunk.span for chunk in chunks)


def test_a_long_section_is_cut_into_parts_of_at_least_half() -> None:
    for words in (280, 300, 500, 900, 2000):
        sizes = [estimated([chunk.text])[0] for chunk in cut(Document("a", prose(words)))]
        assert all(180 <= size <= 400 for size in sizes), sizes


def test_a_chunk_begins_with_the_end_of_the_one_before() -> None:
    chunks = cut(Document("a", prose(2000, most=12)))
    for before, after in itertools.pairwise(chunks):
        again = after.span[0], before.span[1]
        text = before.text[again[0] - before.span[0] :]
        assert 30 <= estimated([text])[0] <= 60  # 15 % of 400, of whole sentences
        assert after.text.startswith(text)


def test_without_overlap_nothing_is_said_twice() -> None:
    chunks = cut(Document("a", prose(2000)), overlap=0)
    assert all(a.span[1] <= b.span[0] for a, b in itertools.pairwise(chunks))


def test_a_character_of_korean_is_a_token_as_one_of_chinese() -> None:
    assert estimated(["우리 학교에서 먹어요", "我们在学校吃饭", "𠮷野"]) == [9, 7, 2]


def test_headings_are_a_path() -> None:
    text = "".join(
        f"{'#' * level} {title}\n\n{prose(290)}\n\n"
        for level, title in [(1, "Shop"), (2, "Hours"), (3, "Late"), (2, "Prices"), (1, "Legal")]
    )
    paths = [
        ("Shop",),
        ("Shop", "Hours"),
        ("Shop", "Hours", "Late"),
        ("Shop", "Prices"),
        ("Legal",),
    ]
    assert [chunk.heading for chunk in cut(markdown(text))] == paths


def test_short_sections_under_one_heading_are_joined() -> None:
    text = "# Shop\n\n## Hours\n\nFrom nine.\n\n## Prices\n\nLow.\n\n# Legal\n\nNone."
    assert [(chunk.heading, chunk.text) for chunk in cut(markdown(text))] == [
        (("Shop",), "# Shop\n\n## Hours\n\nFrom nine.\n\n## Prices\n\nLow."),
        (("Legal",), "# Legal\n\nNone."),
    ]


def test_pages_are_not_joined() -> None:
    headings = (Heading(1, "Page 1", 0), Heading(1, "Page 2", 6))
    chunks = cut(Document("a.pdf", "One.\n\nTwo.", frozenset(), headings))
    assert [(c.heading, c.text) for c in chunks] == [(("Page 1",), "One."), (("Page 2",), "Two.")]


def test_tags_are_those_of_the_document() -> None:
    chunks = cut(Document("a", prose(900), frozenset({"hr"})))
    assert {chunk.tags for chunk in chunks} == {frozenset({"hr"})}


@pytest.mark.parametrize("text", ["a" * 100_000, "字" * 5000, "word " * 20_000, "é" * 9, "."])
def test_what_has_no_sentences_is_cut_too(text: str) -> None:
    chunks = cut(Document("a", text))
    assert all(estimated([chunk.text])[0] <= 400 for chunk in chunks)
    assert sum(len(chunk.text) for chunk in chunks) >= len(text.replace(" ", ""))


@pytest.mark.parametrize("piece", [".", "\n", " ", ". ", '."', "- ", "1. ", "。", "A. ", ".)"])
def test_a_text_of_any_shape_is_cut_to_its_end(piece: str) -> None:
    cut(Document("a", "x" + piece * 100_000 + "x"))


def test_the_ids_are_the_same_again_and_others_for_other_content() -> None:
    text = prose(900)
    ids = [chunk.id for chunk in cut(Document("a", text))]
    assert ids == [chunk.id for chunk in cut(Document("a", text))]
    others = [
        Document("b", text),
        Document("a", text, frozenset({"hr"})),
        Document("a", text, frozenset(), (Heading(1, "T", 0),)),
        Document("a", " " + text),
    ]
    for other in others:
        assert not {chunk.id for chunk in cut(other)} & set(ids)


def test_a_models_own_tokens_are_counted(tmp_path: object) -> None:
    pytest.importorskip("customize_smollm2")
    chunking = Chunking(most_tokens=100, tokenizer="smollm2")
    count, fingerprint = counter(chunking)
    assert len(fingerprint) == 64
    text = prose(1500)
    chunks = list(chunks_of(Document("a", text), chunking, count))
    sizes = count([chunk.text for chunk in chunks])
    assert max(sizes) <= 100
    assert min(sizes) >= 40


def test_the_estimate_is_near_a_models_count_of_english() -> None:
    pytest.importorskip("customize_smollm2")
    count, _ = counter(Chunking(tokenizer="smollm2"))
    import customize.retrieval.building as told

    text = " ".join(word for word in (told.build_index.__doc__ or "").split() if "`" not in word)
    assert estimated([text])[0] == pytest.approx(count([text])[0], rel=0.2)


def test_options_have_bounds() -> None:
    with pytest.raises(OptionError, match="overlap must be >= 0 and"):
        Chunking(overlap=0.9)
