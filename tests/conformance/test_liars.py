"""Every rule can fail: for each there is a liar that it catches, and that no other rule does."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import backend_liars
import encoder_liars
import environment_liars
import exporter_liars
import index_liars
import method_liars
import observer_liars
import other_liars
import plugin_liars
import pytest
import sampling_liars
import scorer_liars

from customize import Exporter, Scorer, find_environment
from customize.retrieval.sqlite_index import SqliteIndex
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.dataset_rules.subject import DatasetSubject
from customize.testing.encoder_rules.subject import EncoderSubject
from customize.testing.environment_rules.subject import EnvironmentSubject
from customize.testing.exporter_rules.subject import ExporterSubject
from customize.testing.holding import hold
from customize.testing.index_rules.subject import IndexSubject
from customize.testing.method_rules.subject import MethodSubject
from customize.testing.model_rules.subject import ModelSubject
from customize.testing.observer_rules.subject import ObserverSubject
from customize.testing.plugin_rules.subject import PluginSubject
from customize.testing.reader_rules.subject import ReaderSubject
from customize.testing.rules import KINDS, rules_of
from customize.testing.scorer_rules.subject import ScorerSubject
from customize.testing.subject import Subject
from customize.testing.toy import ToyBackend

BACKENDS = {**backend_liars.LIARS, **sampling_liars.LIARS}
PROBE, PEFT = "check_probe_is_light", "check_peft_loads_the_weights"
LIARS: Mapping[str, Mapping[str, Any]] = {
    "backend": {
        **BACKENDS,
        PROBE: backend_liars.heavy_probe,
        PEFT: backend_liars.unreadable_to_peft,
    },
    "method": method_liars.LIARS,
    "exporter": exporter_liars.LIARS,
    "model": other_liars.MODELS,
    "dataset": other_liars.DATASETS,
    "reader": other_liars.READERS,
    "observer": observer_liars.LIARS,
    "scorer": scorer_liars.LIARS,
    "environment": environment_liars.LIARS,
    "index": index_liars.LIARS,
    "encoder": encoder_liars.LIARS,
    "plugin": plugin_liars.LIARS,
}


def broken(subject: Subject, without: Sequence[str] = ()) -> list[str]:
    """The rules that the subject breaks."""
    rules = [rule for rule in rules_of(subject.kind) if rule.name not in without]
    return [rule.name for rule in rules if hold(subject, rule).status == "failed"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_has_a_liar_and_says_what_it_is(kind: str) -> None:
    rules = rules_of(kind)
    assert {rule.name for rule in rules} == set(LIARS[kind])
    assert all(rule.text.partition("\n\n")[0].rstrip().endswith(".") for rule in rules)


def test_no_two_rules_have_one_name() -> None:
    names = [rule.name for kind in KINDS for rule in rules_of(kind)]
    assert len(names) == len(set(names))


def test_the_honest_break_no_rule(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    honest = [
        BackendSubject("honest", ToyBackend()),
        MethodSubject("honest", method_liars.Honest()),
        ModelSubject("honest", other_liars.Model()),
        DatasetSubject("honest", other_liars.Data),
        ReaderSubject("honest", other_liars.read, tmp_path / "rows.jsonl"),
    ]
    assert [broken(subject) for subject in honest] == [[]] * len(honest)


# A process for each of these and each liar takes a minute: the liars' probes are the toy's.
@pytest.mark.parametrize("rule", BACKENDS)
def test_a_lying_backend_is_caught_by_its_rule_alone(rule: str) -> None:
    subject = BackendSubject("liar", BACKENDS[rule]())
    assert broken(subject, without=[PROBE]) == [rule]


def test_a_probe_that_imports_torch_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    there = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "torch"}
    assert broken(BackendSubject("liar", backend_liars.heavy_probe(tmp_path))) == [PROBE]
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        if name not in there:  # the one that only says that it is torch
            del sys.modules[name]


@pytest.mark.slow
def test_weights_that_peft_cannot_read_are_caught() -> None:
    pytest.importorskip("peft")
    pytest.importorskip("customize_torch")
    assert broken(BackendSubject("liar", backend_liars.unreadable_to_peft())) == [PEFT]


@pytest.mark.parametrize("rule", method_liars.LIARS)
def test_a_lying_method_is_caught_by_its_rule_alone(rule: str) -> None:
    assert broken(MethodSubject("liar", method_liars.LIARS[rule]())) == [rule]


@pytest.fixture(scope="module")
def trained() -> ExporterSubject:
    """What exporters package alike: a trained session, and what it answers."""
    pytest.importorskip("peft")
    pytest.importorskip("customize_torch")
    subject = ExporterSubject("honest", exporter_liars.Honest())
    assert subject.cases
    return subject


def exporting(exporter: Exporter, trained: ExporterSubject) -> ExporterSubject:
    """The same session, packaged by another exporter; in folders of its own, since it may lie."""
    subject = ExporterSubject("liar", exporter)
    for name in ("engine", "session", "cases"):
        setattr(subject, name, getattr(trained, name))
    return subject


@pytest.mark.slow
@pytest.mark.parametrize("rule", [None, *exporter_liars.LIARS])
def test_a_lying_exporter_is_caught_by_its_rule_alone(
    rule: str | None, trained: ExporterSubject
) -> None:
    made = exporter_liars.Honest() if rule is None else exporter_liars.LIARS[rule]()
    assert broken(exporting(made, trained)) == ([] if rule is None else [rule])


@pytest.mark.slow
def test_a_runtime_that_ends_at_none_of_its_models_own_stop_tokens_is_caught(
    trained: ExporterSubject,
) -> None:
    both = ["check_package_passes_the_gate", "check_runtime_ends_where_it_should"]
    others = [rule.name for rule in rules_of("exporter") if rule.name not in both]
    subject = exporting(exporter_liars.never_stops(), trained)
    assert any(case.stopped for case in subject.cases)
    assert broken(subject, without=others) == both


@pytest.mark.parametrize("rule", other_liars.MODELS)
def test_a_lying_model_is_caught_by_its_rule_alone(rule: str) -> None:
    assert broken(ModelSubject("liar", other_liars.MODELS[rule]())) == [rule]


@pytest.mark.parametrize("rule", other_liars.DATASETS)
def test_a_lying_dataset_is_caught_by_its_rule_alone(rule: str) -> None:
    assert broken(DatasetSubject("liar", other_liars.DATASETS[rule])) == [rule]


@pytest.mark.parametrize("rule", other_liars.READERS)
def test_a_lying_reader_is_caught_by_its_rule_alone(rule: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    subject = ReaderSubject("liar", other_liars.READERS[rule], tmp_path / "rows.jsonl")
    assert broken(subject) == [rule]


@pytest.mark.parametrize("rule", [None, *observer_liars.LIARS])
def test_a_lying_observer_is_caught_by_its_rule_alone(rule: str | None) -> None:
    pytest.importorskip("customize_sft")
    made = observer_liars.Honest() if rule is None else observer_liars.LIARS[rule]()
    assert broken(ObserverSubject("liar", made)) == ([] if rule is None else [rule])


@pytest.mark.parametrize("rule", [None, *scorer_liars.LIARS])
def test_a_lying_scorer_is_caught_by_its_rule_alone(rule: str | None) -> None:
    made = scorer_liars.Honest() if rule is None else scorer_liars.LIARS[rule]()
    assert broken(ScorerSubject("liar", made)) == ([] if rule is None else [rule])


@pytest.mark.parametrize("peeking", [scorer_liars.Cut, scorer_liars.Told])
def test_a_scorer_that_looks_at_anything_of_an_answer_reads_it(peeking: type[Scorer]) -> None:
    assert broken(ScorerSubject("liar", peeking())) == ["check_unread_answers_do_not_count"]


@pytest.mark.parametrize("rule", [None, *environment_liars.LIARS])
def test_a_lying_environment_is_caught_by_its_rule_alone(rule: str | None) -> None:
    made = environment_liars.honest if rule is None else environment_liars.LIARS[rule]
    subject = EnvironmentSubject("liar", find_environment(made))
    assert broken(subject) == ([] if rule is None else [rule])


@pytest.mark.parametrize("rule", [None, *index_liars.LIARS])
def test_a_lying_index_is_caught_by_its_rule_alone(rule: str | None) -> None:
    made = SqliteIndex if rule is None else index_liars.LIARS[rule]
    assert broken(IndexSubject("liar", made)) == ([] if rule is None else [rule])


@pytest.mark.parametrize("rule", [None, *encoder_liars.LIARS])
def test_a_lying_encoder_is_caught_by_its_rule_alone(rule: str | None) -> None:
    made = encoder_liars.Honest() if rule is None else encoder_liars.LIARS[rule]()
    assert broken(EncoderSubject("liar", made)) == ([] if rule is None else [rule])


@pytest.mark.parametrize("rule", [None, *plugin_liars.LIARS])
def test_a_lying_plugin_is_caught_by_its_rule_alone(
    rule: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"acme_{rule or 'honest'}"
    source = plugin_liars.HONEST if rule is None else plugin_liars.LIARS[rule]
    plugin_liars.install(tmp_path, module, source, rule != "check_entry_point_is_there")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "transformers", ModuleType("transformers"))
    assert broken(PluginSubject(module)) == ([] if rule is None else [rule])


@pytest.mark.parametrize("name", [*plugin_liars.NOT_WHAT_THEY_SAY, *plugin_liars.WHAT_THEY_SAY])
def test_observers_and_scorers_are_of_their_class(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying = plugin_liars.NOT_WHAT_THEY_SAY
    source = {**lying, **plugin_liars.WHAT_THEY_SAY}[name]
    plugin_liars.install(tmp_path, f"acme_{name}", source)
    monkeypatch.syspath_prepend(str(tmp_path))
    expected = ["check_targets_are_what_specs_say"] if name in lying else []
    assert broken(PluginSubject(f"acme_{name}")) == expected
