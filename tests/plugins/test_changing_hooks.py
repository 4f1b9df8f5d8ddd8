"""Hooks and arguments come without breaking a plugin, and go with a warning first."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import pytest

import customize
from customize.plugins import PluginRow, hooks, listing, load
from customize.plugins.asking import call
from customize.plugins.hooks import hookspec
from customize.plugins.leaving import Leaving
from customize.plugins.specs import ReaderSpec

Install = Callable[[str, str], None]

READER = """
import customize

@customize.hookimpl
def customize_readers({arguments}):
    yield customize.ReaderSpec(
        name="talk", target="json:loads", summary="Talk.", suffixes={{".talk"}}
    )
"""
METHOD = """
import customize

@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="kto", target="json:loads", summary="A method.", data="chat", needs=()
    )
"""


def row(distribution: str) -> PluginRow:
    return next(row for row in listing() if row.distribution == distribution)


def a_hook(monkeypatch: pytest.MonkeyPatch, specification: Any) -> None:
    """Have the hook as a later release of customize might."""
    monkeypatch.setattr(hooks, specification.__name__, specification, raising=False)


def test_an_implementation_may_take_fewer_arguments_than_the_hook_offers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @hookspec
    def customize_greetings(name: str, loud: bool) -> str:  # type: ignore[empty-body]
        """As it became: ``loud`` was added."""

    a_hook(monkeypatch, customize_greetings)

    @customize.hookimpl(specname="customize_greetings")
    def as_it_was(name: str) -> str:
        return f"hello {name}"

    assert call("customize_greetings", as_it_was, name="you", loud=True) == "hello you"


def test_a_plugin_of_before_works_beside_a_new_hook_and_a_new_argument(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    @hookspec
    def customize_methods(project: str = "") -> Iterable[customize.MethodSpec]:  # type: ignore[empty-body]
        """With an argument more."""

    @hookspec
    def customize_judges() -> Iterable[object]:  # type: ignore[empty-body]
        """A kind more."""

    a_hook(monkeypatch, customize_methods)
    a_hook(monkeypatch, customize_judges)
    install("acme-kto", METHOD)
    assert row("acme-kto").faults == ()
    assert load("method", "kto")


def test_a_plugin_for_a_later_release_works_but_for_what_is_not_there_yet(install: Install) -> None:
    later = "\n@customize.hookimpl(optionalhook=True)\ndef customize_judges(): return []\n"
    install("acme-kto", METHOD + later)
    assert row("acme-kto").faults == ()
    assert load("method", "kto")


def test_an_argument_that_no_hook_offers_is_a_fault_of_that_hook_alone(install: Install) -> None:
    install("acme-both", METHOD + READER.format(arguments="folder"))
    (fault,) = row("acme-both").faults
    assert fault.code == "hook"
    assert "customize_readers cannot be called: Argument(s) {'folder'}" in fault.message
    assert "upgrade customize if acme-both is newer" in fault.fix
    assert load("method", "kto")


def test_a_hook_that_is_going_warns_whoever_implements_it_and_works_until_then(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    @hookspec(warn_on_impl=Leaving("customize_readers", gone="0.3", instead="use customize_files"))
    def customize_readers() -> Iterable[ReaderSpec]:  # type: ignore[empty-body]
        """It is going."""

    a_hook(monkeypatch, customize_readers)
    install("acme-kto", METHOD)
    install("acme-talk", READER.format(arguments=""))
    with pytest.warns(Leaving, match="customize_readers is gone in customize 0.3: use customize_"):
        (fault,) = row("acme-talk").faults
    assert (fault.code, fault.severity) == ("deprecated", "warning")
    assert fault.message == "customize_readers is gone in customize 0.3: use customize_files"
    assert load("reader", "talk")
    assert row("acme-kto").faults == ()


@pytest.mark.filterwarnings("ignore:Argument")  # nobody offers it yet
def test_an_argument_that_is_going_warns_whoever_takes_it(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = Leaving("customize_readers(folder)", gone="0.3", instead="leave it out")

    @hookspec(warn_on_impl_args={"folder": leaving})
    def customize_readers(folder: str, name: str) -> Iterable[ReaderSpec]:  # type: ignore[empty-body]
        """``folder`` is going."""

    a_hook(monkeypatch, customize_readers)
    takes, does_not = READER.format(arguments="folder"), READER.format(arguments="name")
    install("acme-old", takes)
    install("acme-new", does_not)
    with pytest.warns(Leaving, match=r"customize_readers\(folder\) is gone in customize 0.3"):
        assert [f.code for f in row("acme-old").faults][:1] == ["deprecated"]
    assert "deprecated" not in [f.code for f in row("acme-new").faults]


def test_warnings_made_errors_are_a_fault_of_one_plugin(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    @hookspec(warn_on_impl=Leaving("customize_readers", gone="0.3", instead="use customize_files"))
    def customize_readers() -> Iterable[ReaderSpec]:  # type: ignore[empty-body]
        """It is going."""

    a_hook(monkeypatch, customize_readers)
    install("acme-kto", METHOD)
    install("acme-talk", READER.format(arguments=""))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "hook" in [f.code for f in row("acme-talk").faults]
    assert load("method", "kto")
