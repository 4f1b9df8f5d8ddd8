"""``customize serve`` of a real engine: answers equal to the run's own, and an end that drains."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from serving_asks import client_of

import customize
from customize.runs.serving import offers_of
from customize.serving.address import Address
from customize.serving.limits import Limits
from customize.serving.server import Server
from customize.testing import write_tiny_model

pytest.importorskip("customize_torch")

ROW = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho, ho."}]}
ASKED: Any = [{"role": "user", "content": "Do you deliver?"}]
TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model").path


@pytest.fixture(scope="module")
def run(model: Path) -> customize.Run:
    """One that answers otherwise than its base."""
    pytest.importorskip("customize_sft")
    return customize.train(
        model=str(model),
        data=[ROW] * 4,
        to=str(model.parent / "pizza"),
        backend="cpu",
        backend_options={"dtype": "float32"},
        options={"batch_size": 1, "steps": 3, "lr": 0.05},
    )


def test_a_run_and_its_base_answer_as_they_do_in_process(run: customize.Run, model: Path) -> None:
    assert run.folder is not None
    own = run.reply(ASKED, max_tokens=40)
    assert own != run.reply(ASKED, max_tokens=40, base=True)
    offers = offers_of([str(run.folder.path), f"plain={model}"], run.backend)
    assert len({id(offer.runtime) for offer in offers}) == 1  # one base in memory
    with Server(offers, Limits(), Address.take(port=0)) as server, client_of(server) as client:
        assert [one.id for one in client.models.list()] == ["pizza", "plain"]
        for name, base in (("pizza", False), ("plain", True)):
            wanted = run.reply(ASKED, max_tokens=40, base=base)
            assert answer(client, name, max_tokens=40, temperature=0) == wanted
            assert answer(client, name, max_tokens=40, temperature=0, stream=True) == wanted
        drawn = run.reply(ASKED, max_tokens=40, temperature=0.7, seed=5)
        assert answer(client, "pizza", max_tokens=40, temperature=0.7, seed=5) == drawn


def answer(client: OpenAI, model: str, **settings: Any) -> str:
    reply = client.chat.completions.create(model=model, messages=ASKED, **settings)
    if not settings.get("stream"):
        return str(reply.choices[0].message.content)
    return "".join(chunk.choices[0].delta.content or "" for chunk in reply)


@pytest.fixture
def process(model: Path) -> Iterator[subprocess.Popen[str]]:
    """``customize serve`` of the model, with a token."""
    given = (str(model), "--port", "0", "--token-from", "SERVE_TOKEN")
    made = subprocess.Popen(
        [sys.executable, "-m", "customize", "serve", *given],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SERVE_TOKEN": TOKEN},
    )
    yield made
    made.kill()
    made.wait()


def test_two_of_the_same_weights_with_other_templates_are_each_asked_by_their_own(
    model: Path, tmp_path: Path
) -> None:
    new = Path(shutil.copytree(model, tmp_path / "new"))
    file = new / "tokenizer_config.json"
    told = json.loads(file.read_text("utf-8"))
    told["chat_template"] = "{{ 'Now. ' }}" + told["chat_template"]
    file.write_text(json.dumps(told), "utf-8")
    assert customize.resolve(new).fingerprint == customize.resolve(model).fingerprint
    offers = offers_of([f"old={model}", f"new={new}"], "cpu")
    for offer, folder in zip(offers, (model, new), strict=True):
        wanted = customize.ChatRenderer.from_folder(folder).prompt(ASKED)
        assert offer.runtime.renderer.prompt(ASKED).tolist() == wanted.tolist()


@pytest.mark.slow
def test_sigterm_lets_an_answer_finish_and_takes_no_other(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    told = process.stdout.readline()
    assert told.startswith("Serving model at http://127.0.0.1:")
    url = told.split()[3]
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=url, api_key="another").models.list()
    client = OpenAI(base_url=url, api_key=TOKEN, max_retries=0, timeout=60)
    stream = client.completions.create(
        model="model", prompt="x" * 100, max_tokens=200, temperature=0, seed=1, stream=True
    )
    first = next(iter(stream))
    process.send_signal(signal.SIGTERM)
    rest = list(stream)
    assert rest[-1].choices[0].finish_reason in ("stop", "length")
    assert len([first, *rest]) > 10
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    with pytest.raises(openai.APIConnectionError):
        client.models.list()


def command(*arguments: str, before: str = "pass") -> subprocess.CompletedProcess[str]:
    code = f"import sys; {before}; from customize.cli import main; main()"
    given = (sys.executable, "-c", code, "serve", *arguments)
    return subprocess.run(given, capture_output=True, text=True, timeout=120)


def test_faults_are_told_before_anything_is_served(model: Path) -> None:
    for arguments, told, code in (
        ((str(model), "--host", "0.0.0.0"), "a token is required", 2),
        ((str(model), "--token-from", "NOBODY_SET_THIS"), "NOBODY_SET_THIS holds no token", 2),
        ((str(model), f"model={model}"), "two of what is served would be 'model'", 2),
        ((str(model / "nowhere"),), "nowhere", 1),
    ):
        done = command(*arguments)
        assert done.returncode == code, done.stderr
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def test_what_is_not_installed_is_told_with_the_line_that_installs_it(model: Path) -> None:
    absent = "import importlib.util as u; found = u.find_spec"
    absent += "; u.find_spec = lambda name: None if name == 'uvicorn' else found(name)"
    done = command(str(model), before=absent)
    assert done.returncode == 1
    assert "pip install 'customize[serve]'" in done.stderr


def test_help_is_narrow_and_costs_little() -> None:
    heavy = "{'starlette', 'uvicorn', 'numpy', 'torch', 'tokenizers'}"
    after = f"import atexit; atexit.register(lambda: print({heavy} & set(sys.modules)))"
    done = command("--help", before=after)
    assert done.stdout.splitlines()[-1] == "set()"
    assert max(map(len, done.stdout.splitlines())) <= 80
