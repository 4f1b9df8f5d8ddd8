"""Which backend is taken: what is given with a name is checked, and many processes are noticed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from customize import Backend, OptionError, Unsupported, choose_backend
from customize.runs import backends
from customize.testing import ToyBackend


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One of two processes that torchrun started."""
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_options_without_a_backend_of_their_own_are_refused() -> None:
    with pytest.raises(OptionError, match=r"token_budget.*name the backend"):
        choose_backend("auto", {"token_budget": 77})


def test_an_option_that_a_backend_does_not_have_is_refused_with_the_nearest() -> None:
    pytest.importorskip("customize_torch")
    with pytest.raises(OptionError, match="did you mean 'threads'"):
        choose_backend("cpu", {"thread": 1})


def test_several_processes_do_not_each_begin_the_whole(launched: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unsupported, match=r"2 processes.*backend=torchrun.*on=toy"):
        choose_backend(ToyBackend())


def test_without_the_backend_for_several_processes_it_is_said_how_to_install_it(
    launched: pytest.MonkeyPatch,
) -> None:
    known = {"toy": None}

    def specs(kind: str) -> Mapping[str, object]:
        return known

    launched.setattr(backends, "specs", specs)
    with pytest.raises(Unsupported, match=r'pip install "customize\[torchrun\]"'):
        choose_backend(ToyBackend())


def test_a_backend_whose_processes_follow_one_is_taken_there(
    launched: pytest.MonkeyPatch,
) -> None:
    class Followed(ToyBackend):
        def follow(self) -> None:
            return

    given = Followed()
    assert choose_backend(given) is given


@pytest.mark.parametrize("missing", ["TORCHELASTIC_RUN_ID", "WORLD_SIZE"])
def test_one_process_takes_any(launched: pytest.MonkeyPatch, missing: str) -> None:
    launched.delenv(missing)
    given: Backend = ToyBackend()
    assert choose_backend(given) is given
