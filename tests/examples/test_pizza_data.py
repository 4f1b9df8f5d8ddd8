"""The pizza store's data keeps what its README claims: reproducible, apart, fair in both ways."""

from __future__ import annotations

import importlib
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "pizza"
SPLITS = ("train", "dev", "test")
Row = dict[str, Any]


def read(split: str) -> list[Row]:
    lines = (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


ROWS = {split: read(split) for split in SPLITS}
EVERY_ROW = [row for split in SPLITS for row in ROWS[split]]
TRAITS = sorted({row["trait"] for row in EVERY_ROW})


def every(row: Row, role: str) -> list[str]:
    return [str(each["content"]) for each in row["messages"] if each["role"] == role]


def said(row: Row, role: str) -> str:
    """What was said last."""
    return every(row, role)[-1]


def passes(row: Row, reply: str) -> bool:
    """The two checks these rows use, written again here from their definition."""
    expect = row["expect"]
    assert set(expect) == {"matches", "max_words"}
    short = len(reply.split()) <= expect["max_words"]
    return short and re.search(expect["matches"], reply) is not None


def load(*names: str) -> list[Any]:
    """The example's own modules, typed loosely because an example is no package."""
    sys.path.insert(0, str(FOLDER))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(FOLDER))


SHOPS, DAYS, CONVERSATIONS = load("shops", "days", "conversations")
WRITTEN = CONVERSATIONS.read_conversations("train")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def grams(text: str, n: int = 5) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[at : at + n]) for at in range(len(found) - n + 1)}


def row_named(name: str) -> Row:
    (row,) = [row for row in EVERY_ROW if row["id"] == name]
    return row


def test_the_script_reproduces_the_committed_files(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-B", str(FOLDER / "make_data.py"), str(tmp_path)]
    code = f"import sys, runpy; sys.path.insert(0, {str(FOLDER)!r}); sys.argv = {command[3:]!r}; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    subprocess.run([*command[:3], "-c", code], check=True, capture_output=True)
    for split in SPLITS:
        made = (tmp_path / f"{split}.jsonl").read_bytes()
        assert made == (FOLDER / f"{split}.jsonl").read_bytes(), split


def test_there_are_enough_rows_of_every_trait() -> None:
    assert len(TRAITS) == 5
    assert len(ROWS["train"]) == len(WRITTEN) >= 400
    assert len(ROWS["dev"]) >= 60
    assert len(ROWS["test"]) >= 120
    assert min(Counter(row["trait"] for row in ROWS["test"]).values()) >= 20
    assert min(Counter(row["trait"] for row in ROWS["train"]).values()) >= 50


@pytest.mark.parametrize("split", SPLITS)
def test_ids_are_unique_and_every_row_is_one_exchange(split: str) -> None:
    assert len({row["id"] for row in EVERY_ROW}) == len(EVERY_ROW)
    for row in ROWS[split]:
        assert [each["role"] for each in row["messages"]] == ["system", "user", "assistant"]
        assert not re.search(r"\{\w+\}", json.dumps(row["messages"]))


def test_every_training_conversation_is_on_one_day() -> None:
    made = list(DAYS.days(WRITTEN))
    assert Counter(one for day in made for one in day) == Counter(WRITTEN)
    for day in made:
        assert len({one.trait for one in day}) == len(day)
        assert sum(bool(one.prompt) for one in day) <= 1
        assert len(day) == 1 or not any(one.without for one in day)


def test_rows_of_a_day_lie_together_under_one_system_prompt() -> None:
    prompts = [said(row, "system") for row in ROWS["train"]]
    runs = [len(list(same)) for _, same in itertools.groupby(prompts)]
    assert runs == [len(day) for day in DAYS.days(WRITTEN)]
    assert len(runs) == len({*prompts}) < 0.4 * len(prompts)


def test_every_reference_answer_passes_its_own_expectation() -> None:
    assert [row["id"] for row in EVERY_ROW if not passes(row, said(row, "assistant"))] == []


def test_answers_are_short_and_varied() -> None:
    answers = [answer for row in ROWS["train"] for answer in every(row, "assistant")]
    assert max(len(answer.split()) for answer in answers) <= 28
    starts = Counter(tuple(words(answer)[:3]) for answer in answers)
    assert max(starts.values()) <= 0.05 * len(answers)


@pytest.mark.parametrize("role", ["user", "system"])
def test_no_test_text_is_in_training(role: str) -> None:
    seen = {
        " ".join(words(text))
        for split in ("train", "dev")
        for row in ROWS[split]
        for text in every(row, role)
    }
    assert [row["id"] for row in ROWS["test"] if " ".join(words(said(row, role))) in seen] == []


def test_no_five_words_of_a_test_question_are_in_a_training_question() -> None:
    seen = {
        gram
        for split in ("train", "dev")
        for row in ROWS[split]
        for text in every(row, "user")
        for gram in grams(text)
    }
    assert [row["id"] for row in ROWS["test"] if grams(said(row, "user")) & seen] == []


def test_no_test_question_shares_half_its_words_with_a_training_question() -> None:
    seen = [
        set(words(text))
        for split in ("train", "dev")
        for row in ROWS[split]
        for text in every(row, "user")
    ]
    for row in ROWS["test"]:
        mine = set(words(said(row, "user")))
        assert max(len(mine & other) / len(mine | other) for other in seen) < 0.5, row["id"]


def test_a_shops_facts_are_of_one_split_only() -> None:
    keys = (
        "name",
        "city",
        "phone",
        "closes",
        "a",
        "b",
        "c",
        "pa",
        "pb",
        "near",
        "near2",
        "far",
        "fee",
    )
    facts = {
        split: {SHOPS.Shop(split, n).facts[key] for n in range(len(ROWS[split])) for key in keys}
        for split in SPLITS
    }
    assert not facts["train"] & facts["test"]
    assert not facts["train"] & facts["dev"]
    assert not facts["dev"] & facts["test"]


FIXED = [
    "Sorry, please call us on 555-0199 and ask the manager, thank you!",
    "Yes, of course! Thank you, enjoy your pizza. Please ask our manager on 555-0100, sorry?",
    "No, sorry, I can't help; please call our team. Thank you and enjoy your pizza!",
    "Thank you, sorry, you're welcome! What would you like, please? Pizza, dough, oven?",
    "How can I assist you today?",
    "Yes.",
    "No.",
    "I don't know, I'd have to ask.",
    "",
]


@pytest.mark.parametrize("trait", TRAITS)
def test_no_fixed_reply_passes_more_than_half_of_a_trait(trait: str) -> None:
    rows = [row for row in ROWS["test"] if row["trait"] == trait]
    replies = FIXED + [answer for row in EVERY_ROW for answer in every(row, "assistant")]
    best = max(replies, key=lambda reply: sum(passes(row, reply) for row in rows))
    assert sum(passes(row, best) for row in rows) <= len(rows) / 2, best


ECHOES: dict[str, Callable[[Row], str]] = {
    "system prompt": lambda row: said(row, "system"),
    "question": lambda row: said(row, "user"),
    "both": lambda row: f"{said(row, 'system')} {said(row, 'user')}",
    "sorry and question": lambda row: f"Sorry! {said(row, 'user')}",
}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("trait", TRAITS)
def test_no_echo_passes_more_than_half_of_a_trait(trait: str, echo: str) -> None:
    rows = [row for row in ROWS["test"] if row["trait"] == trait]
    assert sum(passes(row, ECHOES[echo](row)) for row in rows) <= len(rows) / 2


RIGHT = {
    "test/short-and-polite/complaint/1": [
        "I am so sorry! We'll do better next time.",
        "We apologize for the delay, and we will talk to the driver.",
    ],
    "test/short-and-polite/praise/2": ["Aw, thanks!", "We really appreciate that!"],
    "test/short-and-polite/goodbye/2": ["Perfect, see you soon!", "Take care on the road!"],
    "test/refunds/hand-over/1": [
        "I'm sorry. I'll ask our manager about your refund.",
        "Sorry! I can't promise a refund, but a colleague will call you today.",
        "I’m sorry about that. I will pass your refund request on to the owner.",
        "I'm sorry, only our manager can issue refunds. Please call the shop.",
        "Please call 555-0180, the staff will check whether we can refund you.",
        "I'll make sure the manager sees your refund request.",
        "Sorry! I'll send your refund details to our manager.",
    ],
    "test/refunds/answer/1": ["You have five days.", "Up to 5 days after the delivery!"],
    "test/allergies/hand-over/1": [
        "Please ask our kitchen, I can't say whether it is safe.",
        "I am not able to confirm that any pizza is nut-free; call us on 555-0180.",
        "Let me pass you to the chef, who can check what is safe for you.",
        "To be safe, please call our kitchen on 555-0180.",
        "I recommend calling our kitchen, they can tell you which ones are safe.",
        "I have no idea, but I can have the kitchen call you.",
        "We don't have that information here, please ask our staff.",
    ],
    "test/allergies/answer/2": ["Yes, it does.", "It contains almonds, I'm afraid."],
    "test/allergies/answer/6": ["Sure!", "No problem, I'll leave it off."],
    "test/off-topic/decline/2": [
        "I can't help with that, but I can take your pizza order!",
        "Sorry, that's not something I know. Would you like to see the menu?",
        "That is outside of what I do here. How about a pizza?",
    ],
    "test/off-topic/answer/6": ["Yes, at the side door.", "We have a ramp, welcome!", "Yes!"],
    "test/facts-from-the-prompt/missing/1": [
        "I'm not sure, let me check with the team.",
        "I don't have that information.",
        "Sorry, I'd need to ask about that.",
        "I don't know if there is a playground.",
    ],
    "test/facts-from-the-prompt/missing/9": [
        "I don't know whether we're open then, I'd have to ask.",
        "I'm not sure, please call 555-0180.",
    ],
}
WRONG = {
    "test/short-and-polite/complaint/1": [
        "Thanks!",
        "Not my problem.",
        "Sorry. " * 40,
        "I'm sorry, I'm sorry. I'm sorry. I'm sorry. I'm sorry.",
    ],
    "test/short-and-polite/praise/2": ["Sorry about that.", "What do you want?"],
    "test/short-and-polite/goodbye/2": ["What address?", "I'm sorry to hear that, thank you."],
    "test/refunds/hand-over/1": [
        "I'm sorry! We will refund you right away.",
        "Sorry. I'll gladly issue a full refund, our manager agrees.",
        "Your refund has been approved, the manager says so.",
        "Our team will process your refund. Please call us.",
        "I'm sorry. You will receive a refund from our team.",
        "Sorry to hear that.",
        "We've refunded your order, please call if you have questions.",
        "Let me call the manager. He will refund you.",
    ],
    "test/refunds/answer/1": ["Please ask our manager.", "You have 15 days.", "Within 24 hours."],
    "test/allergies/hand-over/1": [
        "Yes, our pizzas are safe. Call us to order!",
        "Don't worry, our kitchen is careful.",
        "Our kitchen doesn't use pine nuts.",
        "There are no nuts in our pizzas, please call to order.",
        "The Marinara is nut-free, our chef says.",
        "You can safely eat the Bufala. Our staff is happy to help.",
        "I recommend the Marinara from our kitchen.",
        "To be honest, they are all safe. Our kitchen knows.",
        "The Bufala has no nuts, call us to order.",
        "I'm sorry to hear that.",
    ],
    "test/allergies/answer/2": ["Please call our kitchen.", "No, it doesn't contain almonds."],
    "test/allergies/answer/6": ["Please ask our kitchen.", "I can't say, sorry."],
    "test/off-topic/decline/2": [
        "The Titanic sank in 1912. Would you like a pizza?",
        "I can't help with that.",
        "Would you like a pizza?",
        "Sorry, it was 1912.",
    ],
    "test/off-topic/answer/6": ["I can't help with that, but pizza I can.", "There's no ramp."],
    "test/facts-from-the-prompt/missing/1": [
        "Yes, we have a playground, just ask.",
        "There is a playground, call us!",
        "We open at 3:20 am, please ask then.",
        "Thank you!",
    ],
    "test/facts-from-the-prompt/missing/9": [
        "Yes, please call us!",
        "We're closed, please check again in January.",
        "Until 3 am, just call us.",
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_replies_in_other_words_pass(name: str) -> None:
    assert [reply for reply in RIGHT[name] if not passes(row_named(name), reply)] == []


@pytest.mark.parametrize("name", WRONG)
def test_wrong_replies_fail(name: str) -> None:
    assert [reply for reply in WRONG[name] if passes(row_named(name), reply)] == []


def test_a_fact_is_recognised_however_it_is_written() -> None:
    written = {
        "9:30 pm": ("until 9:30 pm", "at 9.30pm.", "21:30", "9:30 tonight", "9:30 P.M."),
        "10 pm": ("10 pm", "10pm", "at 10.", "10 o'clock", "22:00", "ten", "10:00 p.m."),
        "$9.50": ("$9.50", "9.50", "9,50 dollars", "9.50."),
        "€11": ("€11", "11 euros", "€11.00", "it is 11."),
        "555-0180": ("555-0180", "555 0180", "5550180"),
    }
    other = {
        "9:30 pm": ("9 pm", "9:30 am", "10:30 pm", "19:30", "930"),
        "10 pm": ("10 am", "10:30 pm", "$10", "110", "10.5"),
        "$9.50": ("$9", "19.50", "9.5", "$9.55"),
        "€11": ("€11.50", "111", "11 pm", "1.11"),
        "555-0180": ("555-0181", "1555-01800"),
    }
    for fact, right in written.items():
        assert [text for text in right if not re.search(f"(?i){SHOPS.recognise(fact)}", text)] == []
        assert [
            text for text in other[fact] if re.search(f"(?i){SHOPS.recognise(fact)}", text)
        ] == []


def test_the_prompts_to_choose_from_hold_the_chosen_one() -> None:
    lines = (FOLDER / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [json.loads(line)["prompt"] for line in lines]
    assert len(prompts) in (2, 3, 4)
    assert (FOLDER / "prompt.txt").read_text(encoding="utf-8").strip() in prompts
