"""Plugins that break one rule each, as they lie on disk once installed."""

from __future__ import annotations

from pathlib import Path

_HONEST = """
import customize


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name={name!r},
        target={target!r},
        summary={summary!r},
        data={data!r},
        needs={{"forward_backward"}},
    )
"""
_METHOD = """
from customize import Method, Observer, Scorer


class Mine(Method):
    data = "chat"
    needs = frozenset({"forward_backward"})

    def num_steps(self, data):
        return 1

    def train(self, session, data, resume=None):
        yield


class Bell(Observer):
    pass


class Longest(Scorer):
    def score(self, answer, row):
        return float(len(answer.text))


def score(text, row):
    return float(len(text))


def score_texts(texts):
    return [float(len(text)) for text in texts]


NOTHING = None
"""


def _source(
    name: str = "mine",
    target: str = "{module}_method:Mine",
    summary: str = "One that is mine.",
    data: str = "chat",
    more: str = "",
) -> str:
    return more + _HONEST.format(name=name, target=target, summary=summary, data=data)


HONEST = _source()
LIARS = {
    "check_listing_imports_nothing_heavy": _source(more="import transformers\n"),
    "check_listing_is_quick": _source(more="sum(i * i for i in range(400_000))\n"),
    "check_listing_is_silent": _source(more="print('welcome')\n"),
    "check_entry_point_is_there": HONEST,
    "check_hooks_answer": HONEST
    + "\n\n@customize.hookimpl\ndef customize_nonsense():\n    return []\n",
    "check_observers_are_given_for_a_run": HONEST
    + "\n\n@customize.hookimpl\ndef customize_observers(run):\n    return run and 1 / 0\n",
    "check_names_are_well_formed": _source(name="mine--too"),
    "check_summaries_are_one_line": _source(summary="one that is mine"),
    "check_targets_import": _source(target="{module}_method:Yours"),
    "check_targets_are_what_specs_say": _source(data="preference"),
}

_OFFERS = """

@customize.hookimpl
def customize_{kind}s():
    yield customize.{spec}(name="{kind}", target="{{module}}_method:{target}", summary="Its own.")
"""


def _offering(kind: str, target: str) -> str:
    return HONEST + _OFFERS.format(kind=kind, spec=f"{kind.title()}Spec", target=target)


# Beside the one liar, what else is not of its kind's class, and what is.
NOT_WHAT_THEY_SAY = {
    f"{kind}_{target.lower()}": _offering(kind, target)
    for kind, target in [
        ("observer", "Mine"),
        ("observer", "score"),
        ("scorer", "Mine"),
        ("scorer", "score_texts"),
        ("scorer", "NOTHING"),
    ]
}
WHAT_THEY_SAY = {
    f"{kind}_{target.lower()}": _offering(kind, target)
    for kind, target in [("observer", "Bell"), ("scorer", "score"), ("scorer", "Longest")]
}


def install(folder: Path, module: str, source: str, entry_point: bool = True) -> None:
    """Files as an installer leaves them; ``folder`` is to be put on the path."""
    (folder / f"{module}.py").write_text(source.replace("{module}", module))
    (folder / f"{module}_method.py").write_text(_METHOD)
    (folder / "transformers.py").write_text("")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    named = module.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {named}\nVersion: 1.0\n")
    points = f"[customize]\nmine = {module}\n" if entry_point else ""
    (info / "entry_points.txt").write_text(points)
