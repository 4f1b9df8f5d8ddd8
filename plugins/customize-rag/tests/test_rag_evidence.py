"""Where a text holds an answer, and what is quoted: against what a reader would mark."""

from __future__ import annotations

import pytest

from customize import find_answer
from customize_rag.evidence import holds, is_heading, quoted, sentences, shortened


@pytest.mark.parametrize(
    ("answer", "text", "is_there"),
    [
        ("6", "Children from the age of 6 pay.", True),
        ("6", "We open at 6:30 pm.", False),
        ("6", "Room 16, $6.50, 6% and 0.6", False),
        ("6", "It costs $6.", False),
        ("$6", "It costs $6.", True),
        ("$6.50", "It costs $6.50.", True),
        ("$6.5", "It costs $6.50.", False),
        ("7:40 am", "Open at\n7:40 AM.", True),
        ("555-12", "Ring 555-1234.", False),
        ("Monday", "Closed on Mondays.", False),
        ("41%", "You save 41%.", True),
        ("", "Anything.", False),
    ],
)
def test_an_answer_is_there_only_where_it_stands_on_its_own(
    answer: str, text: str, is_there: bool
) -> None:
    assert holds(answer, text) is is_there


def test_sentences_end_where_another_begins() -> None:
    text = "Open at 7:40 am. On Mr. Holm's day, No. 12, it is 3.5 hours! 9 of us work here."
    assert [text[a:b] for a, b in sentences(text)] == [
        "Open at 7:40 am.",
        "On Mr. Holm's day, No. 12, it is 3.5 hours!",
        "9 of us work here.",
    ]


@pytest.mark.parametrize(
    "heading", ["## Hours", "  ## Hours ##", "##", "Hours\n-----", "Hours at a glance\n==="]
)
def test_a_heading_is_a_sentence_whatever_line_follows(heading: str) -> None:
    text = f"Come in, all\n{heading}\nWe open at 9:20 am. Ring\nus.\n{heading}\n\n{heading}\nNo."
    own = heading.strip()
    assert [text[a:b] for a, b in sentences(text)] == [
        *("Come in, all", own, "We open at 9:20 am.", "Ring\nus.", own, own, "No."),
    ]
    assert [is_heading(text[a:b]) for a, b in sentences(text)] == [0, 1, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("heading", ["## Open from 9:20 am", "# Open from 9:20 am #"])
def test_a_heading_is_quoted_without_its_marks(heading: str) -> None:
    assert quoted("9:20 am", f"{heading}\nRing us.", "When?", 12) == "Open from 9:20 am"
    assert quoted("9:20 am", f"{heading[2:]}\n---\nRing us.", "When?", 2) == "9:20 am"


def test_the_sentence_that_is_asked_about_is_quoted() -> None:
    text = "Groups have 44 people. The card takes 44 stamps. We like it quiet."
    assert quoted("44", text, "How many stamps?", 12) == "The card takes 44 stamps"
    assert quoted("44", text, "How big is a group?", 12) == "Groups have 44 people"
    assert quoted("45", text, "How many stamps?", 12) is None


def test_sentences_of_scripts_without_spaces_and_of_korean_end_at_their_marks() -> None:
    text = "我们9:20开门。真的吗？！他说：“早上好。”我们喜欢客人。９時です。 月曜は休み｡"
    assert [text[a:b] for a, b in sentences(text)] == [
        *("我们9:20开门。", "真的吗？！", "他说：“早上好。”", "我们喜欢客人。"),
        *("９時です。", "月曜は休み｡"),
    ]
    text = "오전 9시에 엽니다. 월요일에는 쉽니다! 3.5 km 거리입니다."
    assert [text[a:b] for a, b in sentences(text)] == [
        *("오전 9시에 엽니다.", "월요일에는 쉽니다!", "3.5 km 거리입니다."),
    ]


def test_of_a_script_without_spaces_the_sentence_that_is_asked_about_is_quoted_in_part() -> None:
    text = "我们的停车场有44个车位。集满一张卡需要44个印章。我们喜欢安静。"
    assert quoted("44", text, "一张卡需要多少印章？", 12) == "集满一张卡需要44个印章"
    assert quoted("44", text, "停车场有多大？", 12) == "我们的停车场有44个车位"
    long = f"{'很长的话' * 9}我们在北京开门{'还没说完' * 9}。"
    short = quoted("北京", long, "在哪里开门？", 5) or ""
    assert short in long
    assert 9 <= len(short) <= 12  # two characters a word
    korean = "주말에는 카드 한 장에 도장 44개가 필요합니다. 주차장에는 44대가 들어갑니다."
    assert quoted("44", korean, "카드에 도장이 몇 개 필요해요?", 4) == "장에 도장 44개가 필요합니다"
    assert quoted("44", korean, "주차장은 얼마나 큰가요?", 12) == "주차장에는 44대가 들어갑니다"


def test_a_long_sentence_is_quoted_around_the_answer() -> None:
    sentence = " ".join(f"w{n}" for n in range(40)) + "."
    [place] = find_answer("w20", sentence)
    short = shortened(sentence, place, 5)
    assert short == "w18 w19 w20 w21 w22"
    assert shortened(sentence, (0, 2), 3) == "w0 w1 w2"
    assert shortened(sentence, (len(sentence) - 4, len(sentence) - 1), 3) == "w37 w38 w39"
    [whole] = find_answer("w5 w6 w7 w8", sentence)
    assert shortened(sentence, whole, 2) == "w5 w6 w7 w8"
