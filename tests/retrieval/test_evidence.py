"""Where an answer stands on its own, in scripts with and without spaces, as a reader would say."""

from __future__ import annotations

import pytest

from customize import find_answer


@pytest.mark.parametrize(
    ("answer", "text", "is_there"),
    [
        (" 6 ", "Room 16.", False),
        ("北京", "我喜欢北京的天气。", True),
        ("9:20", "我们上午9:20开门。", True),
        ("20", "我们上午9:20开门,周日9：20。", False),
        ("6", "门票是16元、¥6、6万元、6％,6：30。", False),
        ("6", "价格:6元,很便宜。", True),
        ("三点", "下午十三点开门。", False),
        ("三十", "有三十五个人。", False),
        ("周三", "周三十点开门。", True),
        ("山田花子", "店長は山田花子です。", True),
        ("Wi-Fi", "無料のWi-Fiがあります。", True),
        ("Fi", "無料のWi-Fiがあります。", False),
        ("สิบโมง", "ร้านเปิดสิบโมงเช้า", True),
        ("9시", "오전 9시에 엽니다.", True),
        ("9시", "저녁 19시에 엽니다.", False),
        ("김민수", "대표는 김민수입니다.", True),
        ("6", "입장료는 6만원입니다.", False),
        ("Seoul", "Seoul에서 엽니다.", True),
    ],
)
def test_an_answer_stands_on_its_own(answer: str, text: str, is_there: bool) -> None:
    assert bool(find_answer(answer, text)) is is_there


def test_every_place_is_found_and_those_beside_it_are_not_hidden() -> None:
    assert find_answer("6", "66 6 6") == [(3, 4), (5, 6)]
    assert find_answer("a a", "ba a a") == [(3, 6)]
    assert find_answer("北京", "北京人在北京") == [(0, 2), (4, 6)]
