"""An endpoint as a column, against a server on the loopback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest

import customize
from customize import BackendError, Endpoint, OptionError
from customize.evaluation import Draw, EndpointColumn, Prompting, Terms, evaluate
from customize.evaluation.judging import Judge
from customize.evaluation.questions import questions_of
from customize.evaluation.scorers import as_scorers
from customize.runs.run_columns import other_column
from customize.testing import ToyBackend
from customize.training.evaluation_plan import JudgePlan

PLAN = JudgePlan(model="http://…", max_tokens=33)


class Handler(BaseHTTPRequestHandler):
    seen: list[dict[str, Any]]
    failures: list[int]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append({"path": self.path, "key": self.headers["Authorization"], **body})
        if self.failures:
            self.send_response(self.failures.pop())
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()
            self.wfile.write(b"busy")
            return
        self.send_response(200)
        self.end_headers()
        asked = body["messages"][-1]["content"]
        said = "Verdict: yes" if "Verdict:" in asked else f"Heard: {asked}"
        reply = {
            "choices": [{"message": {"content": said}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        }
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr("customize.evaluation.endpoints._WAIT_S", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Handler.seen, Handler.failures = [], []
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def column(server: ThreadingHTTPServer) -> EndpointColumn:
    url = f"http://127.0.0.1:{server.server_port}/v1"
    return EndpointColumn("big", Endpoint(url, "large-1", key_from="MY_KEY"))


ROWS = [
    {
        "id": str(n),
        "messages": [{"role": "user", "content": f"question {n}"}],
        "documents": [{"title": "Hours", "text": "Nine to five."}],
        "expect": {"equals": f"Heard: question {n}"},
    }
    for n in range(6)
]


def test_an_endpoint_answers_rows_in_their_order(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sesame")
    got = evaluate([column(server)], ROWS, Terms(max_tokens=9))
    assert got.rate("big").estimate == 1
    answer = got.items[3].answers["big"]
    assert (answer.num_prompt_tokens, answer.num_tokens, answer.finished) == (7, 3, True)
    sent = Handler.seen[0]
    assert (sent["path"], sent["model"], sent["max_tokens"]) == (
        "/v1/chat/completions",
        "large-1",
        9,
    )
    assert sent["key"] == "Bearer sesame"
    assert "Nine to five." in sent["messages"][0]["content"]


def test_a_prompt_is_sent_and_is_a_part_of_what_the_answer_is_a_function_of(
    server: ThreadingHTTPServer,
) -> None:
    plain = column(server)
    with_prompt = attrs.evolve(plain, prompting=Prompting("Be brief."))
    evaluate([with_prompt], [{**ROWS[0], "documents": None}])
    assert Handler.seen[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert with_prompt.told == f"{plain.told}; prompt: Be brief."
    [question] = questions_of(ROWS[:1], need_expect=True)
    assert with_prompt.key(question, Draw()) != plain.key(question, Draw())


def test_without_the_variable_no_key_is_sent(server: ThreadingHTTPServer) -> None:
    evaluate([column(server)], ROWS[:1])
    assert Handler.seen[0]["key"] is None


def test_a_busy_server_is_asked_again(server: ThreadingHTTPServer) -> None:
    Handler.failures = [503, 429]
    assert evaluate([column(server)], ROWS[:1]).rate("big").estimate == 1
    assert len(Handler.seen) == 3


@pytest.mark.parametrize("code", [401, 307])
def test_a_refusal_and_a_redirect_end_it_and_the_key_stays_out_of_the_message(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setenv("MY_KEY", "sesame")
    Handler.failures = [code]
    with pytest.raises(BackendError, match=f"answered {code}") as told:
        evaluate([column(server)], ROWS[:1])
    assert "sesame" not in str(told.value)
    assert len(Handler.seen) == 1


def test_log_probabilities_are_told_to_be_missing(server: ThreadingHTTPServer) -> None:
    rows = [{**row, "choices": ["a", "b"], "answer": 0} for row in ROWS]
    got = evaluate([column(server)], rows, Terms(scorers=as_scorers(["choice"])))
    assert "without log-probabilities" in got.faults[0].error


@pytest.mark.parametrize("text", ["ftp://host/v1#m", "https://host/v1", "host#m"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="an endpoint reads https://HOST/v1#MODEL"):
        Endpoint.parse(text)


def test_an_endpoint_judges_what_another_one_says(server: ThreadingHTTPServer) -> None:
    rows = [{k: v for k, v in row.items() if k != "expect"} for row in ROWS]
    judge = Judge(
        other_column(f"http://127.0.0.1:{server.server_port}/v1#gpt-9", "the judge"), PLAN
    )
    got = evaluate([column(server)], rows, Terms(judge=judge))
    assert got.rate("big", metric="judge").estimate == 1
    seen = [body for body in Handler.seen if body["model"] == "gpt-9"]
    assert [(body["max_tokens"], body["temperature"]) for body in seen] == [(33, 0)] * 6
    asked = " ".join(sorted(body["messages"][0]["content"] for body in seen))
    assert re.findall(r"Heard: question \d", asked) == [f"Heard: question {n}" for n in range(6)]
    assert judge.column.family == "gpt"


def test_several_answers_are_drawn_with_seeds_of_their_own(server: ThreadingHTTPServer) -> None:
    evaluate([column(server)], ROWS[:1], Terms(samples=3, temperature=0.7))
    assert [(body["temperature"], body["seed"]) for body in Handler.seen] == [
        (0.7, 0),
        (0.7, 1),
        (0.7, 2),
    ]


def test_a_recipe_names_an_endpoint_and_its_prices(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    pytest.importorskip("customize_sft")
    said = {"role": "assistant", "content": "yes"}
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    customize.train(
        model="toy",
        data=[{"messages": [{"role": "user", "content": "q"}, said]}],
        to=tmp_path / "run",
        backend=ToyBackend(),
        options={"steps": 1},
        evaluate={
            "data": str(tmp_path / "test.jsonl"),
            "against": {"big": f"http://127.0.0.1:{server.server_port}/v1#large-1"},
            "prompts": ["Be brief."],
            "prices": {"customized": {"hour": 0.001}, "big": {"input": 3e6, "output": 15e6}},
            "max_tokens": 2,
        },
    )
    results = json.loads((tmp_path / "run" / "eval" / "results.json").read_text())
    assert list(results["columns"]) == ["base", "prompted", "big", "customized"]
    assert results["columns"]["big"].endswith("prompt: Be brief.")
    # 7 tokens read and 3 written, at 3 and 15 a token.
    assert results["costs"]["big"]["per_thousand"] == pytest.approx(1000 * (7 * 3 + 3 * 15))
    [told] = results["decisions"]
    assert "a machine that always runs pays from 0 requests an hour" in told
