"""The kit itself: tests, a table and JSON out of rules, strict about what is known to fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import backend_liars
import pytest
from lying import Lying

from customize import OptionError, Unsupported
from customize.testing import ToyBackend, conformance, write_tiny_model
from customize.testing.expansion import Case, cases_of
from customize.testing.rules import rules_of

SIGN = "check_gradient_is_that_of_the_loss"


def wrong_sign() -> ToyBackend:
    return Lying(session=backend_liars.WrongSign)


def cases(test: Callable[[Case], None]) -> dict[str, Case]:
    """What pytest would run."""
    [mark] = test.pytestmark  # type: ignore[attr-defined]
    return {case.rule.name: case for case in mark.args[1]}


test_the_toy_backend_keeps_every_rule = conformance(backend=ToyBackend())
test_a_bare_toy_backend_keeps_those_of_what_it_declares = conformance(
    backend=ToyBackend(without={"forward_backward", "snapshot", "base", "save", "full"})
)
test_one_that_only_answers_keeps_those_of_answering = conformance(
    backend=ToyBackend(without={"forward_backward", "snapshot", "base", "save", "full", "sample"})
)


def test_each_rule_is_one_test() -> None:
    found = cases(conformance(backend=ToyBackend()))
    assert list(found) == [rule.name for rule in rules_of("backend")]


def test_a_broken_rule_fails_its_test_with_what_was_found() -> None:
    test = conformance(backend=wrong_sign())
    with pytest.raises(AssertionError, match="what a step took off the loss"):
        test(cases(test)[SIGN])


def test_a_backend_that_must_be_there_fails_where_it_cannot_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ToyBackend, "probe", lambda self: "there is none")
    test = conformance(backend=ToyBackend())
    case = cases(test)[SIGN]
    monkeypatch.setenv("CUSTOMIZE_REQUIRE", "cuda")
    with pytest.raises(pytest.skip.Exception, match="there is none"):
        test(case)
    monkeypatch.setenv("CUSTOMIZE_REQUIRE", "cuda,toy")
    with pytest.raises(Unsupported, match="CUSTOMIZE_REQUIRE=toy, but: there is none"):
        test(case)


def test_a_known_failure_is_expected_with_its_reason() -> None:
    test = conformance(backend=wrong_sign(), known_failures={SIGN: "the sign is wrong"})
    with pytest.raises(pytest.xfail.Exception, match="the sign is wrong"):
        test(cases(test)[SIGN])


def test_a_known_failure_that_passes_fails() -> None:
    test = conformance(backend=ToyBackend(), known_failures={SIGN: "the sign is wrong"})
    with pytest.raises(AssertionError, match=f"passes: take {SIGN} out of known_failures"):
        test(cases(test)[SIGN])


def test_what_is_not_declared_is_skipped_with_the_reason() -> None:
    test = conformance(backend=ToyBackend(without={"sample"}))
    with pytest.raises(pytest.skip.Exception, match="does not declare sample"):
        test(cases(test)["check_stops_end_a_completion"])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"known_failures": {"check_gradient_adds": "x"}}, "did you mean 'check_gradients_add'"),
        ({"known_failures": {SIGN: " "}}, f"say why {SIGN} fails"),
        ({"method": "sft"}, r"takes one of backend, .* \(got 2\)"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        conformance(backend=ToyBackend(), **wrong)


def test_a_plugin_is_held_to_the_rules_of_all_it_offers() -> None:
    pytest.importorskip("customize_torch")
    found = cases_of("plugin", "customize_torch._plugin")
    assert {(case.label, case.rule.kind) for case in found} == {
        ("customize_torch._plugin", "plugin"),
        ("cpu", "backend"),
    }


def test_a_backend_that_cannot_run_here_is_skipped_with_its_reason() -> None:
    class Absent(ToyBackend):
        def probe(self) -> str | None:
            return "no such device"

    test = conformance(backend=Absent())
    with pytest.raises(pytest.skip.Exception, match="no such device"):
        test(cases(test)[SIGN])


def command(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command, in a process where pytest cannot be imported."""
    code = (
        "import runpy, sys; sys.modules['pytest'] = None; "
        f"sys.path[:0] = {[str(path)] if path else []!r}; "
        "runpy.run_module('customize.testing', run_name='__main__')"
    )
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


@pytest.fixture
def method_file(tmp_path: Path) -> Path:
    """A plugin on the path that offers the honest method of the liars, and one that lies."""
    source = Path(__file__).with_name("method_liars.py").read_text("utf-8")
    (tmp_path / "acme_methods.py").write_text(source)
    (tmp_path / "acme_plugin.py").write_text(
        "import customize\n\n\n@customize.hookimpl\ndef customize_methods():\n"
        "    for name in ('Honest', 'Unlearns'):\n"
        "        yield customize.MethodSpec(name=name.lower(), target=f'acme_methods:{name}',\n"
        "            summary='A method.', data='chat', needs={'forward_backward'})\n"
    )
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[customize]\nacme = acme_plugin\n")
    return tmp_path


def test_the_command_prints_a_table_without_pytest(method_file: Path) -> None:
    done = command("method", "honest", path=method_file)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "method honest"
    assert lines[1].split() == ["passed", rules_of("method")[0].name]
    assert lines[-1] == f"{len(rules_of('method'))} passed"


def test_the_command_gives_json_that_its_schema_describes(method_file: Path) -> None:
    done = command("method", "unlearns", "--json", path=method_file)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["failed"] == 1
    [failed] = [o for o in told["outcomes"] if o["status"] == "failed"]
    assert failed["rule"] == "check_it_learns"
    assert told["badge"]["color"] == "red"
    schema = json.loads(SCHEMA.read_text("utf-8"))
    assert_described(told, schema)


def test_an_unknown_subject_is_told_and_is_no_failure() -> None:
    done = command("backend", "no-such-backend")
    assert done.returncode == 2
    assert "no plugin provides the backend 'no-such-backend'" in done.stderr


SCHEMA = Path(sys.modules[conformance.__module__].__file__ or "").with_name("report.schema.json")


def assert_described(value: Any, schema: dict[str, Any]) -> None:
    """The few words of JSON Schema that ours uses."""
    names = {"object": "dict", "array": "list", "string": "str", "integer": "int"}
    assert type(value).__name__ == names.get(schema["type"], "float")
    if "enum" in schema:
        assert value in schema["enum"]
    if schema["type"] == "object":
        assert set(schema["required"]) == set(value) == set(schema["properties"])
        for key, inner in schema["properties"].items():
            assert_described(value[key], inner)
    for item in value if schema["type"] == "array" else ():
        assert_described(item, schema["items"])


def test_the_tiny_model_is_read_alike_by_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from customize import ChatRenderer

    folder = write_tiny_model(tmp_path / "model").path
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "Café 🍕\n"}, {"role": "assistant", "content": "Yes."}]
    wanted = theirs.apply_chat_template(messages, return_dict=False)
    rendered = ChatRenderer.from_folder(folder).render(messages)
    assert rendered.tokens.tolist() == wanted
    assert max(wanted) < 256
    assert theirs.decode(rendered.tokens[rendered.weights > 0]) == "Yes.<|end|>"
