"""The command line: plain errors that tell the fix, and nothing heavy for --help."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click import Choice
from click.testing import CliRunner

from customize import Recipe, run_command
from customize import _errors as errors
from customize._options import options_of
from customize.cli import inspect_command, split_command
from customize.cli.group import cli
from customize.plugins import names
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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("trian", "Did you mean 'train'?"),
        ("serach docs", "Did you mean 'index search'?"),
        ("train --method rag", "give --set method=…"),
        ("train --rank 2", "give --set adapter.rank=…"),
        ("train --modle smollm2", "--model"),
        ("index search . words --tag a --all", "give --tag or --all"),
        ("chat . --message ''", "--message is empty"),
    ],
)
def test_what_is_asked_for_wrongly_is_told_with_what_was_meant(arguments: str, told: str) -> None:
    done = CliRunner().invoke(cli, shlex.split(arguments))
    assert done.exit_code == 2
    assert told in done.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("train --epochs 2", "give --set options.epochs=…"),
        ("train --set method=dpo --beta 2", "give --set options.beta=…"),
        ("export . hf --merged", "give --set merged=true"),
        ("export . hf --shard-mb 5", "give --set shard_mb=…"),
    ],
)
def test_an_option_of_a_plugin_is_told_with_how_it_is_set(arguments: str, told: str) -> None:
    for plugin in ("customize_sft", "customize_dpo", "customize_hf"):
        pytest.importorskip(plugin)
    test_what_is_asked_for_wrongly_is_told_with_what_was_meant(arguments, told)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.OptionError, 2),
        (errors.UnknownName, 2),
        (errors.DataError, 1),
        (errors.ModelError, 1),
        (errors.RunError, 1),
        (errors.ExportError, 1),
        (errors.MissingDependency, 1),
        (errors.GateFailed, 1),
        (errors.GateInconclusive, 3),
    ],
)
def test_the_exit_code_says_whether_to_change_what_was_asked_for(
    error: type[Exception],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command()
    def fails() -> None:
        raise error("so it is")

    monkeypatch.setattr("sys.argv", ["fails"])
    with pytest.raises(SystemExit) as ended:
        run_command(fails)
    assert ended.value.code == code
    assert capsys.readouterr().err == "Error: so it is\n"


def test_h_is_help_of_every_command_that_is_run_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.group()
    def outer() -> None: ...

    @outer.command()
    def inner() -> None: ...

    monkeypatch.setattr("sys.argv", ["outer", "inner", "-h"])
    run_command(outer)
    told = capsys.readouterr().out
    assert "outer inner" in told
    assert "-h, --help" in told


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
    assert "--data: data is missing" in done.stderr
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


def test_help_of_an_export_names_its_forms_and_where_their_options_are() -> None:
    code = (
        "import sys\nfrom customize.cli.group import cli\n"
        "try: cli(['export', '--help'])\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = " ".join(done.stdout.split())
    assert f"Forms that are installed: {', '.join(names('exporter'))}" in told
    assert "customize plugins show FORM" in told


def test_a_plugins_options_are_shown_with_help_and_bounds() -> None:
    pytest.importorskip("customize_sft")
    shown = customize("plugins", "show", "sft").stdout
    assert "lr = 0.00025 (>= 0), 2.5e-05 with adapter: full" in shown
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
    assert "1 bad row skipped" in done.stderr
    assert "  line 3: " in done.stderr
    assert ("olives!" in done.stdout) if command == "inspect" else Path("parts/dev.jsonl").is_file()


def test_the_option_for_bad_rows_takes_what_training_takes() -> None:
    own = split_command.command.params + inspect_command.command.params
    choices = [
        p.type.choices for p in own if p.name == "on_bad_rows" and isinstance(p.type, Choice)
    ]
    [of_training] = [o for o in options_of(Recipe) if o.name == "on_bad_rows"]
    assert [tuple(c) for c in choices] == [of_training.bounds.choices] * 2


def test_help_brings_click_and_a_few_modules_and_no_more() -> None:
    """Counted, for seconds tell more of the machine."""
    code = (
        "import sys; before = set(sys.modules); import customize.cli as c\n"
        "sys.argv = ['customize', '--help']\n"
        "try: c.main()\n"
        "except SystemExit: pass\n"
        "print('modules', *(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    brought = out.rpartition("modules")[2].split()
    others = [name for name in brought if name.split(".")[0] not in sys.stdlib_module_names]
    assert {name.split(".")[0] for name in others} == {"click", "customize"}
    assert sum(name.split(".")[0] == "customize" for name in others) <= 8
    assert len(brought) <= 100
