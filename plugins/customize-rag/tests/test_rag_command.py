"""``customize-rag`` on a folder: rows to edit, and questions of a model behind an endpoint."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from rag_corpus import PAIRS, TEXTS

import customize
from customize_rag.command import command, main


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / f"{name}.md").write_text(text, "utf-8")
    return folder


def run(*arguments: object) -> list[str]:
    found = CliRunner().invoke(command, [str(one) for one in arguments])
    assert found.exit_code == 0, found.output
    return found.output.splitlines()


def test_rows_are_a_file_that_can_be_read_and_trained_on(handbook: Path, tmp_path: Path) -> None:
    questions, to = tmp_path / "questions.jsonl", tmp_path / "rows.jsonl"
    asked = [{**pair, "document": f"{pair['document']}.md"} for pair in PAIRS]
    asked.append({"question": "Who sings?", "answer": "Nobody", "document": "hall.md"})
    questions.write_text("".join(json.dumps(one) + "\n" for one in asked), "utf-8")
    told = run("rows", handbook, "--questions", questions, "--to", to, "--chunk-tokens", 24)
    rows = customize.read(to, kind="chat")
    assert told[-2].startswith(f"{len(rows)} rows in {to}: ")
    assert told[-1] == "left out: 'Who sings?': hall.md does not say 'Nobody' in these words"


def kinds(file: Path) -> set[str]:
    return {json.loads(line)["kind"] for line in file.read_text("utf-8").splitlines()}


def test_every_option_of_the_rows_can_be_set(handbook: Path, tmp_path: Path) -> None:
    to = tmp_path / "rows.jsonl"
    shares = {"near_miss": 0.9, "off_topic": 0, "empty": 0, "partial": 0.0}
    settings = [f"--set={name}={value}" for name, value in shares.items()]
    run("rows", handbook, "--to", to, "--chunk-tokens", 24, "--k", 3, *settings, "--set=k=2")
    assert kinds(to) <= {"near miss", "answerable"}
    assert "near miss" in kinds(to)
    rows = customize.read(to, kind="chat")
    assert {len(rows[number]["sources"]) for number in range(len(rows))} <= {1, 2}


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("near_mis=0.2", "unknown key 'near_mis': did you mean 'near_miss'"),
        ("near_miss=2", "near_miss must be >= 0 and < 1"),
        ("near_miss=few", "near_miss must be a number"),
        ("near_miss", "a setting reads key=value"),
        ("lr=1e-4", "unknown key 'lr'"),  # rows have no rate
    ],
)
def test_a_setting_that_is_none_of_the_rows_is_refused(
    handbook: Path, tmp_path: Path, setting: str, told: str
) -> None:
    arguments = ["rows", str(handbook), "--to", str(tmp_path / "rows.jsonl"), "--set", setting]
    with pytest.raises(customize.OptionError, match=told):
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert not (tmp_path / "rows.jsonl").exists()


@pytest.mark.parametrize("edit", ["reworded", "last rows taken out", "a row added", "emptied"])
def test_rows_that_were_edited_are_not_written_over(
    handbook: Path, tmp_path: Path, edit: str
) -> None:
    to = tmp_path / "made" / "rows.jsonl"
    run("rows", handbook, "--to", to, "--chunk-tokens", 24)
    written = to.read_bytes()
    run("rows", handbook, "--to", to, "--chunk-tokens", 24)  # nobody edited them
    lines = written.splitlines(keepends=True)
    edited = {
        "reworded": written.replace(b"opens", b"is open"),
        "last rows taken out": b"".join(lines[:-2]),
        "a row added": written + lines[0],
        "emptied": b"",
    }[edit]
    to.write_bytes(edited)
    arguments = ["rows", str(handbook), "--to", str(to), "--chunk-tokens", "24"]
    with pytest.raises(customize.DataError, match="name another file"):
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert to.read_bytes() == edited != written


def test_a_kill_while_rows_are_written_leaves_no_file_of_them(
    handbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "rows.jsonl"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        found = CliRunner().invoke(command, ["rows", str(handbook), "--to", str(to)])
    assert (found.exit_code, to.exists()) == (1, False)
    run("rows", handbook, "--to", to)
    assert len(customize.read(to, kind="chat")) > 0
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["rows.jsonl"]


def test_faults_are_told_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: object) -> tuple[object, str]:
        monkeypatch.setattr("sys.argv", ["customize-rag", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    to = ("--to", tmp_path / "rows.jsonl")
    (empty := tmp_path / "empty").mkdir()
    code, told = said("rows", empty, *to)
    assert (code, told.startswith(f"Error: {empty} holds no document")) == (1, True)
    code, told = said("rows", empty, *to, "--questions", tmp_path / "nowhere")
    assert (code, f"there is no {tmp_path / 'nowhere'}" in told) == (2, True)


class Teacher(BaseHTTPRequestHandler):
    """Asks when the first of the shown passage opens."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][-1]["content"]
        said = "At 10:20 am."
        if "Write one question" in asked:
            said = "Question: When does the Clock Shop open?\nAnswer: 10:20 am"
        elif "in other words" in asked:
            said = "Question: At what time do the doors of the Clock Shop open?"
        elif "Copy the words" in asked:
            said = "Quote: The doors open at 10:20 am.\nAnswer: 10:20 am"
        reply = {"choices": [{"message": {"content": said}}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Teacher)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1#teacher"
    server.shutdown()
    server.server_close()


def test_a_teacher_behind_an_endpoint_asks(handbook: Path, tmp_path: Path, endpoint: str) -> None:
    to = tmp_path / "questions.jsonl"
    told = run("questions", handbook, "--model", endpoint, "--to", to, "--chunk-tokens", 24)
    [kept] = [json.loads(line) for line in to.read_text("utf-8").splitlines()]
    assert (kept["answer"], kept["document"]) == ("10:20 am", "shop.md")
    assert any(line.startswith("1 of ") and line.endswith(f"kept in {to}") for line in told)
    again = run("questions", handbook, "--model", endpoint, "--to", to, "--chunk-tokens", 24)
    assert again[-1] == f"0 of 0 questions kept in {to}"


def test_a_teacher_rewords_and_answers(handbook: Path, tmp_path: Path, endpoint: str) -> None:
    log, answered, reworded = (tmp_path / name for name in ("log", "answered", "reworded"))
    log.write_text('{"question": "When does the Clock Shop open?"}\n', "utf-8")
    asking = ("questions", handbook, "--model", endpoint, "--chunk-tokens", 24)
    told = run(*asking, "--answer", log, "--to", answered)
    assert told[-1] == f"1 of 1 questions kept in {answered}"
    told = run(*asking, "--reword", answered, "--per-passage", 2, "--to", reworded)
    assert told[-2:] == [
        f"1 of 2 questions kept in {reworded}",
        "1 left out: it is worded as another is",
    ]
    # What was not answered is no file of questions to learn from, and the fault says what to do.
    arguments = ["rows", str(handbook), "--questions", str(log), "--to", str(tmp_path / "rows")]
    with pytest.raises(customize.DataError, match="customize-rag questions --answer"):
        CliRunner().invoke(command, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--per-passage", 2), "--answer adds no questions"),
        (("--reword", "log"), "--answer adds no questions"),
        (("--to", "log"), "name another"),
    ],
)
def test_what_does_not_go_with_answers_is_refused(
    handbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log").write_text('{"question": "When?"}\n', "utf-8")
    given = ["questions", handbook, "--model", "m", "--to", "new", "--answer", "log", *more]
    found = CliRunner().invoke(command, [str(one) for one in given])
    assert (found.exit_code, told in found.output) == (2, True)
