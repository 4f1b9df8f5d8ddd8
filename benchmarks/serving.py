"""How a server holds up: time to the first token and tokens a second, as more is asked at once.

``python benchmarks/serving.py smollm2 dist/pizza`` asks each source the questions of the pizza
store's test rows, by as many clients as there are slots, and by four times as many as it has room
for, and writes ``SERVING_RESULTS.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import race
from openai import OpenAI, RateLimitError

from customize.runs.serving import offers_of
from customize.serving.address import Address
from customize.serving.limits import Limits
from customize.serving.server import Server

RESULTS = Path(__file__).with_name("SERVING_RESULTS.md")
ROWS = Path(__file__).parents[1] / "examples/pizza/test.jsonl"


@attrs.frozen
class Answer:
    """first_s: to the first token; None where the request was sent away (429)."""

    first_s: float | None
    num_tokens: int


def questions() -> list[str]:
    rows = [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]
    return [next(m["content"] for m in row["messages"] if m["role"] == "user") for row in rows]


def ask(client: OpenAI, model: str, question: str, max_tokens: int) -> Answer:
    """One streamed answer; every chunk but the last two is of a token."""
    messages: Any = [{"role": "user", "content": question}]
    begun = time.perf_counter()
    first, usage = None, 0
    try:
        for chunk in client.chat.completions.create(
            model=model,
            messages=messages,
            max_tokens=max_tokens,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        ):
            first = first or time.perf_counter() - begun
            usage = chunk.usage.completion_tokens if chunk.usage else usage
    except RateLimitError:
        pass
    return Answer(first, usage)


def asked_by(
    server: Server, at_once: int, texts: Sequence[str], max_tokens: int
) -> tuple[list[Answer], float]:
    """The answers to all texts from so many clients, and the seconds they took."""
    client = OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=600)
    begun = time.perf_counter()
    with client, ThreadPoolExecutor(at_once) as pool:
        asked = pool.map(lambda text: ask(client, server.names[0], text, max_tokens), texts)
        return list(asked), time.perf_counter() - begun


def lines_of(name: str, answers: Sequence[Answer], seconds: float) -> Iterator[str]:
    firsts = [answer.first_s for answer in answers if answer.first_s is not None]
    p50, p95 = np.percentile(firsts, (50, 95))
    speed = sum(answer.num_tokens for answer in answers) / seconds
    away = len(answers) - len(firsts)
    yield f"| {name} | {len(firsts)} | {away} | {p50:.2f} | {p95:.2f} | {speed:.1f} |"


def table(source: str, given: argparse.Namespace) -> Iterator[str]:
    """How long so many clients of one source wait, a line for each number of them."""
    limits = Limits(slots=given.slots, queue=given.queue)
    texts = questions()
    texts = [texts[i % len(texts)] for i in range(max(given.requests, 4 * given.slots))]
    room = given.slots + given.queue
    yield f"## {Path(source).name}"
    yield ""
    yield "| clients | answered | sent away | first token p50, s | p95 | tokens/s |"
    yield "| --- | --- | --- | --- | --- | --- |"
    with Server(offers_of([source]), limits, Address.take(port=0)) as server:
        asked_by(server, 1, texts[:1], given.max_tokens)  # what is made at the first use
        for name, at_once, number in (
            ("1", 1, min(4, given.requests)),
            (f"{given.slots}, as many as slots", given.slots, given.requests),
            (f"{4 * room}, 4 × what fits", 4 * room, 4 * room),
        ):
            some = [texts[i % len(texts)] for i in range(number)]
            yield from lines_of(name, *asked_by(server, at_once, some, given.max_tokens))
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", help="runs, packages or models")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--queue", type=int, default=4)
    parser.add_argument("--requests", type=int, default=16, help="at as many clients as slots")
    parser.add_argument("--max-tokens", type=int, default=32)
    given = parser.parse_args()
    lines = [
        "# A server under load",
        "",
        f"Written by `serving.py` on {os.cpu_count()} cores, {race.processor()}:",
        f"{given.slots} slots, a queue of {given.queue}, at most {given.max_tokens} tokens an",
        "answer, over the wire by the official client. What is sent away is told so at once (429).",
        "",
        *(line for source in given.sources for line in table(source, given)),
    ]
    RESULTS.write_text("\n".join(lines), "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
