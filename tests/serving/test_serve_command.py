"""``customize serve`` of a real engine: answers equal to the run's own, and an end that drains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

import customize
from customize.testing import write_tiny_model

pytest.importorskip("customize_torch")

ROW = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho, ho."}]}
ASKED: Any = [{"role": "user", "content": "Do you deliver?"}]
Starting = Callable[..., tuple[subprocess.Popen[str], OpenAI]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model").path


@pytest.fixture(scope="module")
def run(model: Path) -> customize.Run:
    """One that answers otherwise than its base."""
    to = model.parent / "pizza"
    options = {"batch_size": 1, "max_steps": 3, "lr": 0.05}
    backend = {"dtype": "float32"}
    pytest.importorskip("customize_sft")
    return customize.train(
        model=str(model),
        data=[ROW] * 4,
        method="sft",
        method_options=options,
        backend="cpu",
        backend_options=backend,
        to=str(to),
    )


@pytest.fixture
def starting() -> Iterator[Starting]:
    """Starts ``customize serve``, and gives the process and a client of it."""
    begun: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **variables: str) -> tuple[subprocess.Popen[str], OpenAI]:
        process = subprocess.Popen(
            [sys.executable, "-m", "customize", "serve", *arguments, "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )
        begun.append(process)
        assert process.stdout is not None
        told = process.stdout.readline()
        url = told.split(" at ")[1].split()[0]
        key = variables.get("SERVE_TOKEN", "none")
        return process, OpenAI(base_url=url, api_key=key, max_retries=0, timeout=60)

    yield start
    for process in begun:
        process.kill()
        process.wait()


def test_a_run_and_its_base_answer_as_they_do_in_process(
    starting: Starting, run: customize.Run, model: Path
) -> None:
    assert run.folder is not None
    _, client = starting(str(run.folder.path), f"plain={model}")
    assert [one.id for one in client.models.list()] == ["pizza", "plain"]
    own = run.reply(ASKED, max_tokens=40)
    assert own != run.reply(ASKED, max_tokens=40, base=True)
    settings: Any = {"messages": ASKED, "max_tokens": 40, "temperature": 0}
    for name, base in (("pizza", False), ("plain", True)):
        wanted = run.reply(ASKED, max_tokens=40, base=base)
        reply = client.chat.completions.create(model=name, **settings)
        assert reply.choices[0].message.content == wanted
        chunks = client.chat.completions.create(model=name, **settings, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == wanted
    drawn = run.reply(ASKED, max_tokens=40, temperature=0.7, seed=5)
    again = client.chat.completions.create(
        model="pizza", messages=ASKED, max_tokens=40, temperature=0.7, seed=5
    )
    assert again.choices[0].message.content == drawn


def test_sigterm_lets_an_answer_finish_and_takes_no_other(starting: Starting, model: Path) -> None:
    process, client = starting(str(model))
    prompt: Any = "x" * 100
    stream = client.completions.create(
        model="model", prompt=prompt, max_tokens=400, temperature=0, seed=1, stream=True
    )
    first = next(iter(stream))
    process.send_signal(signal.SIGTERM)
    rest = list(stream)
    assert rest[-1].choices[0].finish_reason in ("stop", "length")
    assert len([first, *rest]) > 10
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    with pytest.raises(openai.APIConnectionError):
        client.models.list()


def test_a_token_is_taken_from_the_environment(starting: Starting, model: Path) -> None:
    token = "a-token-that-nobody-guesses"
    _, client = starting(str(model), "--token-from", "SERVE_TOKEN", SERVE_TOKEN=token)
    assert [one.id for one in client.models.list()] == ["model"]
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="another").models.list()


def command(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import sys; {before}; from customize.cli import main; main()"
    given = (sys.executable, "-c", code, "serve", *arguments)
    return subprocess.run(given, capture_output=True, text=True, timeout=120)


def test_faults_are_told_before_anything_is_served(model: Path) -> None:
    for arguments, told in (
        ((str(model), "--host", "0.0.0.0"), "a token is required"),
        ((str(model), "--token-from", "NOBODY_SET_THIS"), "NOBODY_SET_THIS holds no token"),
        ((str(model), f"model={model}"), "two of what is served would be 'model'"),
        ((str(model / "nowhere"),), "nowhere"),
    ):
        done = command(*arguments)
        assert done.returncode == 2, done.stderr
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def test_what_is_not_installed_is_told_with_the_line_that_installs_it(model: Path) -> None:
    absent = "import importlib.util as u; found = u.find_spec"
    absent += "; u.find_spec = lambda name: None if name == 'uvicorn' else found(name)"
    done = command(str(model), before=absent)
    assert done.returncode == 2
    assert "pip install 'customize[serve]'" in done.stderr


def test_help_is_narrow_and_costs_little() -> None:
    heavy = "{'starlette', 'uvicorn', 'numpy', 'torch', 'tokenizers'}"
    after = f"import atexit; atexit.register(lambda: print({heavy} & set(sys.modules)))"
    done = command("--help", before=after)
    assert done.stdout.splitlines()[-1] == "set()"
    assert max(map(len, done.stdout.splitlines())) <= 80
