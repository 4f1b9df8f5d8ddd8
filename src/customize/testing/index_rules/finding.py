"""Rules about what a search finds."""

from __future__ import annotations

from customize._errors import OptionError
from customize.interfaces.index import Chunk
from customize.testing.expecting import expect, expect_raises
from customize.testing.index_rules.subject import CHUNKS, IndexSubject

_ODD = (
    *('"', "'", "*", "(", ")", "basil NOT", "AND", 'basil"', "NEAR(a b)", "text:basil", "+basil"),
    *("-basil", "basil~", "[a TO b]", "basil^2", "\\", "basil\0", "/.*/", "{}", "IN [a]", "1=1;--"),
    "basil \udce9",  # what a terminal of another encoding gives
)


def check_a_chunk_is_found_by_its_words(subject: IndexSubject) -> None:
    """A question with a word that one chunk alone has, in its text or heading, finds it first."""
    index = subject.index()
    for query, chunk in (("opening hours", CHUNKS[0]), ("takeover", CHUNKS[4])):
        found = [hit.chunk for hit in index.search(query, 3, None)]
        expect(found[:1] == [chunk], f"{query!r} finds {found[:1]}, not {chunk}")


def check_accents_and_case_are_folded(subject: IndexSubject) -> None:
    """``cafe`` finds ``Café``."""
    index = subject.index([Chunk("a", "The Café of Łódź", (0, 16))])
    expect(len(index.search("cafe", 1)) == 1, "'cafe' does not find 'Café'")


def check_scripts_without_spaces_are_searched(subject: IndexSubject) -> None:
    """A word of two characters is found in Chinese without spaces, in Korean with an ending."""
    for word, *texts in (
        ("北京", "我喜欢北京的天气", "他喜欢上海的食物"),
        ("학교", "우리 학교에서 먹어요", "집에서 점심을 먹어요"),
    ):
        chunks = [Chunk(id, text, (0, len(text))) for id, text in zip("ab", texts, strict=True)]
        found = [hit.chunk for hit in subject.index(chunks).search(word, 1)]
        expect(found == chunks[:1], f"{word!r} finds {found}")


def check_the_best_come_first(subject: IndexSubject) -> None:
    """At most ``k`` are found, by falling score, and each once; fewer where fewer fit."""
    index = subject.index()
    for k, most in ((1, 1), (2, 2), (9, 2)):
        hits = index.search("basil", k)
        scores = [hit.score for hit in hits]
        expect(len(hits) == most, f"k={k} finds {len(hits)} chunks of the {most} that fit")
        expect(scores == sorted(scores, reverse=True), f"the scores are {scores}")


def check_nothing_is_found_where_nothing_fits(subject: IndexSubject) -> None:
    """A question without a word of any chunk, one without a word, and an empty index find none."""
    for query in ("zeppelin", "", " ", "?!"):
        found = subject.index().search(query, 3, None)
        expect(not found, f"{query!r} finds {found}")
    expect(subject.index([]).search("basil", 3) == [], "an empty index finds something")


def check_only_who_may_see_finds(subject: IndexSubject) -> None:
    """A chunk with tags is found by who has one of them, and its place in ``k`` is no one else's.

    Without a filter only chunks without tags are found; with None all are.
    """
    index = subject.index()
    for asker, expected in ((None, 3), (["hr"], 3), (["board"], 2), (["h"], 2), ([], 2)):
        hits = index.search("margherita basil", 9, asker)
        told = f"asked as {asker}, {len(hits)} chunks are found, not {expected}"
        expect(len(hits) == expected, told)
    tags = [hit.chunk.tags for hit in index.search("cook margherita salary", 1)]
    expect(tags == [frozenset()], f"without a filter the best that all may see is not it: {tags}")


def check_a_text_is_no_filter(subject: IndexSubject) -> None:
    """A ``filter`` that is a text is an `OptionError`: it would let in who has a part of a tag."""
    index = subject.index()
    expect_raises(OptionError, lambda: index.search("basil", 3, "hr-lead"), "filter='hr-lead'")


def check_a_question_is_no_syntax(subject: IndexSubject) -> None:
    """Any text can be asked: its words are looked for, and nothing in it is an operator."""
    index = subject.index()
    for query in _ODD:
        try:
            found = index.search(query, 9)
        except Exception as error:  # whatever an engine's parser raises
            expect(False, f"{query!r} raises {type(error).__name__}: {error}")
        if "basil" in query:
            expect(len(found) == 2, f"{query!r} finds {len(found)} chunks, and 'basil' two")


def check_k_is_at_least_one(subject: IndexSubject) -> None:
    """A ``k`` of none is an `OptionError`."""
    index = subject.index()
    expect_raises(OptionError, lambda: index.search("basil", 0), "k=0")
