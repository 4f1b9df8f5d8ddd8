"""A trait that only a model can see: asked once of each answer, many at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import customize
from customize import BackendError, DataError, OptionError, Run
from customize.evaluation import EndpointColumn
from customize.evaluation.expectations import said
from customize.traits.judge import TraitJudge
from customize.traits.measuring import shown
from customize.traits.proposing import check_answers

if TYPE_CHECKING:
    from tests.traits.conftest import Make

ROW = {"messages": [{"role": "user", "content": "Pizza?"}]}


class Critic(BaseHTTPRequestHandler):
    """Finds fault with every answer that says yes, and has no opinion of a question mark."""

    asked: list[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][0]["content"]
        self.asked.append(text)
        answer = text.split("<answer>\n")[1].split("\n</answer>")[0]
        verdict = (
            "It depends." if "?" in answer else f"Verdict: {'no' if 'yes' in answer else 'yes'}"
        )
        self.send_response(200)
        self.end_headers()
        reply = {
            "choices": [{"message": {"content": verdict}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        }
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Critic.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Critic)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1#critic"
    server.shutdown()
    server.server_close()


def test_a_judge_says_whether_it_is_shown_and_is_asked_once(trait: Make, model: str) -> None:
    made = trait(expect={"judge": model, "max_words": 3})
    assert made.shown(said("yes"), ROW)
    assert made.shown(said("one two three four"), ROW)
    assert not made.shown(said("no"), ROW)
    assert not made.shown(said("no"), ROW)
    assert len(Critic.asked) == 3
    assert "It is free of this fault: It says yes." in Critic.asked[0]
    assert "user: Pizza?" in Critic.asked[0]


def test_its_criterion_may_be_given(trait: Make, model: str) -> None:
    judge = {"model": model, "criterion": "It is polite."}
    assert not trait(expect={"judge": judge}).shown(said("no"), ROW)
    assert "criterion:\nIt is polite.\n" in Critic.asked[0]


def test_no_verdict_is_no_answer(trait: Make, model: str) -> None:
    with pytest.raises(ValueError, match="gave no verdict"):
        trait(expect={"judge": model}).shown(said("really?"), ROW)


def test_given_answers_are_checked_by_rules_before_a_judge_is_asked(
    trait: Make, model: str
) -> None:
    check_answers(trait(expect={"judge": model, "max_words": 3}, answers=("yes",)))
    with pytest.raises(DataError, match="the good answer 'one two three four'"):
        check_answers(
            trait(expect={"judge": model, "max_words": 3}, answers=("one two three four",))
        )
    assert not Critic.asked


def test_all_answers_are_judged_together(
    run: Run, trait: Make, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trait(expect={"judge": model})
    batches: list[int] = []
    monkeypatch.setattr(EndpointColumn, "answers", _counted(EndpointColumn.answers, batches))
    proposal = customize.propose_pairs(run, made, to=tmp_path / "c", num_samples=2, max_tokens=8)
    assert proposal.num_pairs >= 20
    assert max(batches) > 4
    measured = customize.measure_traits(run, [made], max_tokens=8)
    assert shown(measured, "before", "says-yes").estimate == 1
    assert len(Critic.asked) == len(set(Critic.asked))


def _counted(answers: Any, batches: list[int]) -> Any:
    def counted(self: Any, questions: Any, draw: Any) -> Any:
        batches.append(len(questions))
        return answers(self, questions, draw)

    return counted


def test_a_wrong_judge_is_told_with_every_fault(trait: Make) -> None:
    with pytest.raises(OptionError, match=r"says-yes: expect: .*modle.*max_tokens"):
        trait(expect={"judge": {"modle": "smollm2", "max_tokens": 0}})


def test_what_was_judged_is_kept_in_the_folder_and_not_asked_again(
    run: Run, trait: Make, model: str, tmp_path: Path
) -> None:
    drawn: dict[str, Any] = {"num_samples": 2, "max_tokens": 8}
    before = customize.propose_pairs(
        run, trait(expect={"judge": model}), to=tmp_path / "c", **drawn
    ).pairs.read_bytes()
    num_asked = len(Critic.asked)
    (tmp_path / "c" / "pairs.jsonl").unlink()
    again = trait(expect={"judge": model})  # as another process reads it
    assert (
        customize.propose_pairs(run, again, to=tmp_path / "c", **drawn).pairs.read_bytes() == before
    )
    assert len(Critic.asked) == num_asked


def test_a_request_that_fails_is_a_fault_of_one_answer_and_the_others_are_judged(
    trait: Make, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that will not look at some text, as a filter of contents does."""
    answer = EndpointColumn._answer

    def refusing(self: Any, question: Any, draw: Any) -> Any:
        if "odd" in question.text:
            raise BackendError("the server answered 400: refused")
        return answer(self, question, draw)

    monkeypatch.setattr(EndpointColumn, "_answer", refusing)
    made = trait(expect={"judge": model})
    texts = ["yes", "odd", *(f"no {n}" for n in range(40))]
    made.expectation.prepare([said(text) for text in texts], [ROW] * len(texts))
    num_asked = len(Critic.asked)
    found = [made.shown(said(text), ROW) for text in texts if text != "odd"]
    assert found == [True] + [False] * 40
    with pytest.raises(BackendError, match="400: refused"):
        made.shown(said("odd"), ROW)
    assert len(Critic.asked) == num_asked


def test_a_judge_that_is_not_there_is_not_asked_of_everything(
    trait: Make, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def gone(self: Any, question: Any, draw: Any) -> Any:
        tried.append(question.text)
        raise BackendError("the server cannot be used")

    monkeypatch.setattr(EndpointColumn, "_answer", gone)
    made = trait(expect={"judge": model})
    with pytest.raises(BackendError, match="cannot be used"):
        made.expectation.prepare([said(f"no {n}") for n in range(40)], [ROW] * 40)
    assert len(tried) <= 32 + 3  # a batch, and then one by one


def test_a_judge_that_is_a_run_is_looked_up_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "runs" / "critic").mkdir(parents=True)
    file = tmp_path / "trait.yaml"
    for judge in ("runs/critic", "{model: runs/critic}", "smollm2"):
        file.write_text(
            "name: rude\nsentence: It is rude.\nprompts: [a, b, c, d]\n"
            f"expect: {{judge: {judge}}}\n"
        )
        made = customize.read_trait(file).expectation.scorers["judge"]
        assert isinstance(made, TraitJudge)
        assert made.model == (
            "smollm2" if judge == "smollm2" else str(tmp_path / "runs" / "critic")
        )
