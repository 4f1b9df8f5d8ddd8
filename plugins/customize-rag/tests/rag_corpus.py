"""A small corpus whose answers are known by hand."""

from __future__ import annotations

from typing import Any

import customize

TEXTS = {
    "hall": "# Climbing Hall\n\n## Hours\n\nThe doors open at 7:40 am. We close at 9:15 pm.\n\n"
    "## Prices\n\nA day ticket costs $14.50. Last year a day ticket was $12.00.\n",
    "shop": "# Clock Shop\n\n## Hours\n\nThe doors open at 10:20 am. We close at 6:30 pm.\n\n"
    "## Prices\n\nA new strap costs $23.80. A deposit of $5.00 is due.\n",
    "camp": "# Camp Site\n\n## Hours\n\nThe gate opens at 8:05 am. It shuts at 11:45 pm.\n\n"
    "## Prices\n\nA tent pitch costs $31.20. Children from the age of 6 pay.\n",
    "school": "# Music School\n\n## Hours\n\nLessons begin at 2:10 pm. We close at 8:50 pm.\n\n"
    "## Prices\n\nA piano lesson costs $44.90. The owner is Agnes Corbin.\n",
}
QUESTIONS = [
    ("When does the Climbing Hall open?", "7:40 am", "hall"),
    ("When does the Climbing Hall close?", "9:15 pm", "hall"),
    ("What is a day ticket at the Climbing Hall?", "$14.50", "hall"),
    ("When does the Clock Shop open?", "10:20 am", "shop"),
    ("When does the Clock Shop close?", "6:30 pm", "shop"),
    ("What is a new strap at the Clock Shop?", "$23.80", "shop"),
    ("How high is the deposit at the Clock Shop?", "$5.00", "shop"),
    ("When does the gate of the Camp Site open?", "8:05 am", "camp"),
    ("What does a tent pitch cost at the Camp Site?", "$31.20", "camp"),
    ("From which age do children pay at the Camp Site?", "6", "camp"),
    ("When do lessons begin at the Music School?", "2:10 pm", "school"),
    ("Who owns the Music School?", "Agnes Corbin", "school"),
]
# Of scripts without spaces, and of Korean: texts by name, and questions as above.
OTHER_SCRIPTS: dict[str, tuple[dict[str, str], list[tuple[str, str, str]]]] = {
    "Chinese": (
        {
            "hall": "# 攀岩馆\n\n## 营业时间\n\n攀岩馆早上7:40开门。晚上9:15关门！\n\n"
            "## 价格\n\n一张日票要14.50元。押金是80元。\n",
            "shop": "# 钟表店\n## 营业时间\n钟表店早上10:20开门。店主是王小明先生。\n"
            "## 地址\n我们在北京的长安街，欢迎光临。",
        },
        [
            ("攀岩馆几点开门？", "7:40", "hall"),
            ("攀岩馆几点关门？", "9:15", "hall"),
            ("攀岩馆的日票多少钱？", "14.50元", "hall"),
            ("攀岩馆的押金多少钱？", "80元", "hall"),
            ("钟表店几点开门？", "10:20", "shop"),
            ("钟表店的店主是谁？", "王小明", "shop"),
            ("钟表店在哪个城市？", "北京", "shop"),
        ],
    ),
    "Korean": (
        {
            "hall": "# 암벽장\n\n## 영업 시간\n\n암벽장은 오전 9시에 엽니다. 저녁 8시까지 합니다.\n"
            "\n## 요금\n\n하루 이용권은 14,500원입니다. 보증금은 8,000원이에요.\n",
            "shop": "# 시계점\n## 영업 시간\n시계점은 오전 10시부터 엽니다. 월요일에는 쉽니다.\n"
            "## 주소\n우리는 서울에서 일하고, 대표는 김민수입니다.",
        },
        [
            ("암벽장은 몇 시에 여나요?", "9시", "hall"),
            ("암벽장은 몇 시에 닫나요?", "8시", "hall"),
            ("암벽장 하루 이용권은 얼마예요?", "14,500원", "hall"),
            ("암벽장 보증금은 얼마예요?", "8,000원", "hall"),
            ("시계점은 몇 시에 여나요?", "10시", "shop"),
            ("시계점은 언제 쉬나요?", "월요일", "shop"),
            ("시계점은 어디에 있나요?", "서울", "shop"),
            ("시계점 대표는 누구예요?", "김민수", "shop"),
        ],
    ),
}
DOCUMENTS: list[dict[str, Any]] = [
    {"id": name, "title": text.partition("\n")[0][2:], "text": text} for name, text in TEXTS.items()
]
CHUNKING = customize.Chunking(most_tokens=24, overlap=0.0)  # a section, about
PAIRS = [{"question": q, "answer": a, "document": d} for q, a, d in QUESTIONS]


def index() -> customize.Index:
    """Of the documents, cut so that most facts stand in passages of their own."""
    return customize.index_of(customize.read(DOCUMENTS), CHUNKING)
