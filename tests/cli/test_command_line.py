"""The command line: plain errors that tell the fix, and nothing heavy for --help."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click import Choice

from customize import Recipe
from customize._options import options_of
from customize.cli import inspect_command, split_command
from customize.testing import write_tiny_model


def customize(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "customize", *arguments], capture_output=True, text=True, cwd=cwd
    )


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, customize.cli as c\n"
        "sys.argv = ['customize', '--help']\n"
        "try: c.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'numpy', 'rich', 'yaml', 'jinja2', 'tokenizers'}\n"
        "print('heavy', sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "train" in out.stdout
    assert "heavy []" in out.stdout


def test_a_wrong_command_suggests_the_nearest() -> None:
    done = customize("trian")
    assert done.returncode == 2
    assert "Did you mean 'train'?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smollm2", "--time", "5", "--slots", "2"], "--train takes no --slots, --time"),
        (["smollm2", "runs/pizza"], "--train takes one model (got smollm2, runs/pizza)"),
    ],
)
def test_serving_to_train_says_what_it_does_not_take(arguments: list[str], message: str) -> None:
    done = customize("serve", "--train", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_wrong_setting_is_one_message_and_no_traceback() -> None:
    done = customize("train", "--model", "smollm2", "--to", "x", "--set", "sede=1")
    assert done.returncode == 2
    assert "did you mean 'seed'" in done.stderr
    assert "data is missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_json_of_plugins_has_the_documented_keys(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from customize.plugins import left_out, listing
    from customize.plugins.as_json import KEYS, listing_as_json

    hook = "import customize\n@customize.hookimpl\ndef customize_models():\n    yield "
    spec = "customize.ModelSpec(name='tiny', target='json:loads', summary='Tiny.')"
    install("acme-tiny", f"{hook}{spec}\n    1 / 0")
    install("acme-other", "")
    monkeypatch.setenv("CUSTOMIZE_PLUGINS", "acme-tiny")
    made = json.loads(json.dumps(listing_as_json(listing(), left_out())))
    assert made["schema"] == 1
    assert set(_keys(made)) == set(KEYS)


def _keys(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _keys(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and isinstance(value[0], dict):
        for inner in value:
            yield from _keys(inner, f"{path}[]")
    else:
        yield path


def test_plugins_are_listed_as_json() -> None:
    assert json.loads(customize("plugins", "--json").stdout)["schema"] == 1


def test_a_plugins_options_are_shown_with_help_and_bounds() -> None:
    pytest.importorskip("customize_sft")
    shown = customize("plugins", "show", "sft").stdout
    assert "lr = 0.0005 (>= 0)" in shown
    assert "Peak learning rate" in shown


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    done = customize("show", str(tmp_path))
    assert done.returncode == 1
    assert "is no run folder" in done.stderr


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    command = ("inspect", "rows.jsonl", "--model", "smollm2", "--html")
    done = customize(*command, str(tmp_path / "nowhere" / "page"))
    assert done.returncode == 2
    assert f"no folder {tmp_path / 'nowhere'}" in done.stderr
    assert "is a folder" in customize(*command, str(tmp_path)).stderr


def test_split_and_audit_work_on_a_file(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"q{i}"},
                {"role": "assistant", "content": f"a{i}."},
            ]
        }
        for i in range(20)
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert customize("audit", str(data)).returncode == 0
    done = customize("split", str(data), "--to", str(tmp_path / "parts"))
    assert done.returncode == 0, done.stderr
    lines = [line for f in (tmp_path / "parts").iterdir() for line in f.read_text().splitlines()]
    assert len(lines) == 20


@pytest.mark.parametrize("command", ["split", "inspect"])
def test_bad_rows_are_refused_or_left_out_as_in_training(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = write_tiny_model(tmp_path / "model").path
    more = {"split": ("--to", "parts"), "inspect": ("--model", str(model), "--rows", "9")}[command]
    good = [
        {"messages": [{"role": "user", "content": w}, {"role": "assistant", "content": f"{w}!"}]}
        for w in ("bread", "cheese", "olives")
    ]
    lines = [json.dumps(row) for row in good]
    Path("rows.jsonl").write_text("\n".join([*lines[:2], "{torn", lines[2]]))
    if command == "split":
        more = (*more, "--shares", "0.5", "0.5", "0")
    refused = customize(command, "rows.jsonl", *more, cwd=tmp_path)
    assert refused.returncode != 0
    assert "1 of 4 rows cannot be used\n  line 3: " in refused.stderr
    done = customize(command, "rows.jsonl", *more, "--on-bad-rows", "skip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 bad rows skipped" in done.stderr
    assert "  line 3: " in done.stderr
    assert ("olives!" in done.stdout) if command == "inspect" else Path("parts/dev.jsonl").is_file()


def test_the_option_for_bad_rows_takes_what_training_takes() -> None:
    own = split_command.command.params + inspect_command.command.params
    choices = [
        p.type.choices for p in own if p.name == "on_bad_rows" and isinstance(p.type, Choice)
    ]
    [of_training] = [o for o in options_of(Recipe) if o.name == "on_bad_rows"]
    assert [tuple(c) for c in choices] == [of_training.bounds.choices] * 2


def test_help_takes_little_processor_time() -> None:
    """Counted in seconds of the child's own work, and the best of five: other load matters not."""
    assert min(_processor_seconds("--help") for _ in range(5)) < 0.15


def _processor_seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert customize(*arguments).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
