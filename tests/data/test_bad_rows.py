"""Every line of a file is a row, blank, or a bad row with its line and reason."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from customize._errors import DataError
from customize.data import audit, read
from customize.data.strict_json import MAX_DEPTH

GOOD = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'


def chat(user: str, answer: str) -> bytes:
    return (
        b'{"messages": [{"role": "user", "content": %s}, {"role": "assistant", "content": %s}]}'
        % (user.encode(), answer.encode())
    )


def nested(depth: int) -> bytes:
    return b'{"prompt": "x", "deep": ' + b"[" * depth + b"]" * depth + b"}"


BAD = {
    "not UTF-8": [
        GOOD.replace(b'"a"', b'"\xff"'),
        GOOD.replace(b'"a"', b'"\xed\xa0\x80"'),
    ],
    "lone surrogate": [
        chat(r'"\ud83d"', '"b"'),
        GOOD.replace(b'"content"', rb'"\udc00"', 1),
    ],
    "NUL character": [
        GOOD.replace(b'"a"', b'"\0"'),
        chat(r'"\u0000"', '"b"'),
        b"\0" * 9,
    ],
    "not JSON": [
        b"{",
        b"hello",
        GOOD + b"}",
        b'{"a": 1,}',
        b"\xef\xbb\xbf" + GOOD,
        b"9" * 5000,
    ],
    "not an object": [b"[]", b"3", b'"text"', b"null", b"true"],
    "duplicate key": [
        b'{"id": 1, "id": 2, ' + GOOD[1:],
        chat('"a", "role": "user"', '"b"'),
    ],
    "number is not finite": [
        b'{"id": NaN, ' + GOOD[1:],
        b'{"id": -Infinity, ' + GOOD[1:],
        b'{"id": 1e999, ' + GOOD[1:],
    ],
    "nested too deeply": [nested(MAX_DEPTH + 1), nested(100_000)],
    "wrong type": [
        b'{"messages": 5}',
        b'{"messages": ["a"]}',
        chat("7", '"b"'),
        chat('"a"', "{}"),
        b'{"weight": "much", ' + GOOD[1:],
        b'{"tools": 3, ' + GOOD[1:],
    ],
    "missing role": [b'{"messages": [{"content": "a"}]}'],
    "unknown role": [GOOD.replace(b'"user"', b'"usr"')],
    "missing content": [b'{"messages": [{"role": "user"}]}'],
    "empty answer": [chat('"a"', '""'), chat('"a"', r'" \n"'), chat('"a"', "null")],
    "no assistant turn": [b'{"messages": [{"role": "user", "content": "a"}]}'],
    "no messages": [b'{"messages": []}'],
    "missing column": [b"{}", b'{"text": "a"}'],
    "negative weight": [b'{"weight": -1, ' + GOOD[1:]],
    "not text": [chat('[{"type": "image_url", "image_url": "x"}]', '"b"')],
    "bad tool call": [
        b'{"messages": [{"role": "assistant", "tool_calls": [%s]}]}' % call
        for call in (b"3", b"{}", b'{"name": "f", "arguments": [1]}')
    ],
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_is_reported_with_line_and_reason(tmp_path: Path, reason: str) -> None:
    file = tmp_path / "rows.jsonl"
    for bad in BAD[reason]:
        file.write_bytes(b"\n".join([GOOD, b"", bad, GOOD]) + b"\n")
        dataset = read(file, on_bad_rows="skip")
        assert [(row.line, row.reason) for row in dataset.report.bad] == [(3, reason)]
        assert (len(dataset), dataset.report.blank, dataset.report.lines) == (2, 1, 4)
        assert dataset.line(1) == 4
        with pytest.raises(DataError, match=f"line 3: {reason}"):
            read(file)


def test_what_is_unusual_but_right_is_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    emoji = chat(r'"\ud83d\ude00"', '"b"')
    file.write_bytes(
        b"\xef\xbb\xbf" + b"\r\n".join([GOOD, emoji, b"  ", chat(r'"\\u0000"', '"b"'), GOOD])
    )
    dataset = read(file)
    assert len(dataset) == 4
    assert dataset[1]["messages"][0]["content"] == "\U0001f600"
    assert dataset[2]["messages"][0]["content"] == "\\u0000"
    assert dataset.raw(0) == GOOD + b"\r\n"
    file.write_bytes(nested(MAX_DEPTH - 1))
    assert len(read(file)) == 1


def test_a_line_over_50_mb_is_reported_and_the_next_is_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    with file.open("wb") as stream:
        stream.write(GOOD + b"\n" + b'{"x": "')
        stream.seek(51 * 2**20, 1)  # a hole, which is NULs
        stream.write(b'"}\n' + GOOD + b"\n")
    report = read(file, on_bad_rows="skip").report
    assert [(row.line, row.reason) for row in report.bad] == [(2, "line too long")]
    assert (report.lines, report.good) == (3, 2)


def test_a_refusal_lists_ten_rows_the_counts_and_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\n".join([GOOD, *[b"{"] * 12, chat('"a"', '""')]))
    with pytest.raises(DataError) as refused:
        read(file)
    said = str(refused.value)
    assert "13 of 14 rows cannot be used" in said
    assert said.count("  line ") == 10
    assert "and 3 more" in said
    assert "12 x not JSON, 1 x empty answer" in said
    assert "on_bad_rows='skip'" in said
    assert f"customize audit {file} --json" in said
    told = json.loads(audit(file).to_json())["report"]["bad"]
    assert [bad["line"] for bad in told] == list(range(2, 15))


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_one_object_in_place_of_rows_is_told_as_what_it_is(tmp_path: Path, name: str) -> None:
    file, row = tmp_path / name, json.loads(GOOD)
    pretty = json.dumps(row, indent=2)
    for content, told in (
        (pretty, r"a JSON object written over lines, the first over \d+; .*jq -c"),
        (f"{pretty}\n{pretty}", "objects, each written over"),
        (json.dumps({"version": 1, "data": [row, row]}), "whose 'data' holds a list of 2, .*jq"),
        (json.dumps({"data": [row] * 3}, indent=2), "whose 'data' holds a list of 3, .*jq"),
    ):
        file.write_text(content)
        with pytest.raises(DataError, match=told) as refused:
            read(file, on_bad_rows="skip")
        assert len(str(refused.value).splitlines()) == 1
    file.write_text(json.dumps(row))
    assert len(read(file)) == 1


def test_no_good_row_is_refused_even_when_skipping(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    for content, reason in (
        (b"", "holds no rows"),
        (b"\n\n", "holds no rows"),
        (b"{\n", "1 of 1"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=reason):
            read(file, on_bad_rows="skip")


@pytest.mark.parametrize(
    ("start", "reason"), [(b"\xff\xfe{\0", "UTF-16"), (b"\x1f\x8b\x08", "decompress")]
)
def test_other_encodings_are_named(tmp_path: Path, start: bytes, reason: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(start)
    with pytest.raises(DataError, match=reason):
        read(file)


def _damaged(rng: random.Random, line: bytes) -> bytes:
    """One or a few random changes: bytes, spans, tokens of JSON, types."""
    pieces = [
        b"\0",
        b"\xff",
        b"\\ud800",
        b"NaN",
        b"null",
        b"{}",
        b"[",
        b'"',
        b"\r",
        b"1e999",
        b"7",
    ]
    keys = [
        b"messages",
        b"role",
        b"content",
        b"assistant",
        b"user",
        b'"a"',
        b'"b"',
        b":",
        b",",
    ]
    data = bytearray(line)
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        at = rng.randrange(len(data) + 1)
        action = rng.randrange(5)
        if action == 0:
            data[at:at] = rng.choice(pieces)
        elif action == 1:
            del data[at : at + rng.randrange(20)]
        elif action == 2:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif action == 3:
            data = bytearray(data.replace(rng.choice(keys), rng.choice(pieces), 1))
        else:
            data = bytearray(data[:at] + data[rng.randrange(len(data) + 1) :])
    return bytes(data).replace(b"\n", b"")


def _fuzzed(num_rows: int) -> list[bytes]:
    rng = random.Random(0)
    named = [bad for rows in BAD.values() for bad in rows if len(bad) < 10_000]
    made = []
    for number in range(num_rows):
        if rng.random() < 0.3:
            made.append(rng.choice([*named, b"", b"  ", GOOD + b"\r"]))
        else:
            made.append(_damaged(rng, chat(json.dumps(f"question {number}"), '"b"')))
    return made


def test_ten_thousand_fuzzed_rows_are_all_accounted_for(tmp_path: Path) -> None:
    rows = [GOOD, *_fuzzed(10_000)]
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\n".join(rows) + b"\n")
    dataset = read(file, on_bad_rows="skip")
    report = dataset.report
    assert report.lines == len(rows) == report.good + report.blank + len(report.bad)
    good = {dataset.line(number) for number in range(len(dataset))}
    bad = {row.line for row in report.bad}
    blank = {line for line, row in enumerate(rows, start=1) if not row.strip()}
    assert len(good) + len(bad) + len(blank) == len(rows)
    assert good | bad | blank == set(range(1, len(rows) + 1))
    assert sum(report.reasons.values()) == len(bad) == dataset.rows_skipped
    assert report.reasons == dict(Counter(row.reason for row in report.bad).most_common())
    for number in range(len(dataset)):  # each good row is what plain JSON makes of its own line
        plain = json.loads(rows[dataset.line(number) - 1])
        assert dataset.source(number) == plain
        assert dataset[number]["messages"][-1]["content"]


_MEASURE = """
import resource, sys
from customize.data import audit, read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
dataset = read(sys.argv[1])
for number in range(0, len(dataset), 100):
    assert dataset[number]["id"] == number
last = dataset[len(dataset) - 1]
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(len(dataset), last["id"], grown)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.jsonl"
    text = "a pizza " * 8000
    num_rows = 3200  # 200 MB
    with file.open("w") as stream:
        for number in range(num_rows):
            stream.write(json.dumps({"prompt": text, "completion": "b", "id": number}) + "\n")
    ran = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    rows, last, grown_kib = map(int, ran.stdout.split())
    assert (rows, last) == (num_rows, num_rows - 1)
    assert grown_kib < 50 * 1024  # the sample of 16 MB by which the format is told, and little else


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chosen": "same", "rejected": "same"}, "no preference"),
        ({"chosen": "b", "rejected": " "}, "empty answer"),
        ({"chosen": [], "rejected": "b"}, "empty answer"),
        ({"chosen": ["asked", "b"], "rejected": ["other", "c"]}, "different prompts"),
        ({"chosen": ["first", "b", "asked", "c"], "rejected": ["asked", "d"]}, "different prompts"),
        ({"chosen": ["asked", "b"], "rejected": "c"}, "different prompts"),
        ({"chosen": ["other", "b"], "rejected": ["other", "c"]}, "different prompts"),
        ({"chosen": "b", "rejected": "c", "messages": ["other"]}, "different prompts"),
        (
            {"chosen": "b", "rejected": "c", "system": "s", "messages": ["asked"]},
            "different prompts",
        ),
        ({"chosen": "b", "rejected": "c", "prompt": " "}, "no prompt"),
        ({"chosen": "b", "rejected": "c", "prompt": [" "]}, "no prompt"),
    ],
)
def test_a_pair_that_is_none_is_refused_by_its_line(row: dict[str, Any], reason: str) -> None:
    """A list stands for turns of the user and the assistant."""
    turns = {k: _conversation(v) if isinstance(v, list) else v for k, v in row.items()}
    good = {"prompt": "asked", "chosen": "a", "rejected": "b"}
    with pytest.raises(DataError, match=f"line 2: {reason}"):
        read([good, {"prompt": "asked", **turns}])


def _conversation(said: list[str]) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]


def test_a_pair_may_part_at_any_answer() -> None:
    chosen, rejected = _conversation(["a", "b", "c", "d"]), _conversation(["a", "e", "f", "g"])
    (row,) = read([{"chosen": chosen, "rejected": rejected}])
    assert (row["messages"], row["chosen"], row["rejected"]) == (
        chosen[:1],
        chosen[1:],
        rejected[1:],
    )


_TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
_CALLS = [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]
_ONE_OF_EACH: list[dict[str, Any]] = [
    {
        "messages": [*_TURNS, {"role": "assistant", "tool_calls": _CALLS}],
        "tools": [{"type": "function"}],
        "weight": 1.0,
    },
    {
        "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
        "system": "s",
    },
    {"instruction": "a", "input": "b", "output": "c", "system": "s"},
    {"prompt": _TURNS[:1], "completion": _TURNS[1:], "weight": 2},
    {"prompt": "a", "chosen": _TURNS[1:], "rejected": "c", "system": "s"},
    {"prompt": "a", "documents": [{"text": "t"}]},
]
_VALUES: list[Any] = [
    None,
    True,
    0,
    -1.5,
    "",
    "  ",
    "[",
    '[{"role',
    '"x"',
    "{}",
    [],
    {},
    [[]],
    [{}],
]


def _with_another_value(rng: random.Random, row: dict[str, Any]) -> dict[str, Any]:
    """``row`` with a value, at any depth, replaced or removed."""
    changed: dict[str, Any] = json.loads(json.dumps(row))
    place: Any = changed
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inside = place[key]
        if isinstance(inside, dict | list) and inside and rng.random() < 0.7:
            place = inside
        elif place is not changed and rng.random() < 0.3:
            del place[key]
            return changed
        else:
            place[key] = rng.choice(_VALUES)
            return changed


@pytest.mark.parametrize("row", _ONE_OF_EACH, ids=lambda row: "+".join(row))
def test_wrong_values_anywhere_in_any_format_are_accounted_for(row: dict[str, Any]) -> None:
    rng = random.Random(0)
    rows = [row, *(_with_another_value(rng, row) for _ in range(1000))]
    dataset = read(rows, on_bad_rows="skip")
    report = dataset.report
    assert report.lines == len(rows) == report.good + len(report.bad)
    assert report.good > 1
    assert report.bad
    for good in dataset:
        for message in good["messages"] + good.get("chosen", []) + good.get("rejected", []):
            assert message["role"] in ("system", "user", "assistant", "tool")
            assert isinstance(message["content"], str)
    audit(rows)
