"""Writes ``docs/reference`` from the code: ``python docs/make_reference.py [--check]``.

Everything on those pages is read from click commands, options, specs, hooks, signatures and
docstrings, so what is wrong there is mended in the code. Plugins that are not in this repository
are left out.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import click
from reading_source import Source, first_paragraph, prose

import customize
from customize import _errors as errors
from customize._options import Bounds, options_of
from customize.cli import group, running
from customize.plugins import as_json, faults, hooks, listing, load, specs
from customize.plugins.specs import KINDS
from customize.testing.rules import KINDS as KINDS_OF_RULES
from customize.testing.rules import rules_of
from customize.training.evaluation_plan import EvaluationPlan, JudgePlan
from customize.training.prices import Price
from customize.traits.proposing import Drawing
from customize.traits.rewriting import Rewrite
from customize_tinker.limits import Limits
from customize_torch.checking.page import GLOSSARY, table

REFERENCE = Path(__file__).parent / "reference"
PLUGINS = Path(__file__).parents[1] / "plugins"
MADE = "<!-- Made by docs/make_reference.py from the code: change it there. -->\n"


def pages() -> dict[str, str]:
    """The text of every page, by file name."""
    made = {
        "commands.md": _commands(),
        "options.md": _options(),
        "names.md": _names(),
        "errors.md": _errors(),
        "plugins.md": _plugins(),
        "hardware.md": _hardware(),
        "tinker.md": _tinker(),
        **{f"what-{_article(kind)}-must-do.md": _rules(kind) for kind in KINDS_OF_RULES},
    }
    return {name: MADE + "\n".join(lines).rstrip() + "\n" for name, lines in made.items()}


def _commands() -> Iterator[str]:
    yield from ("# Commands", "", "`customize COMMAND --help` says the same.", "")
    for name, summary in group.COMMANDS.items():
        command = group.command_of(name)
        yield from _command(f"customize {name}", command, summary)
        for inner in getattr(command, "commands", {}).values():
            yield from _command(f"customize {name} {inner.name}", inner, "")
    codes = first_paragraph(running.run_command.__doc__, 2).removeprefix("Exit codes: ")
    yield from ("## Exit codes", "", prose(codes))


def _command(name: str, command: click.Command, summary: str) -> Iterator[str]:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    chosen = [p for p in command.params if isinstance(p, click.Option)]
    told = [a.name.upper() if a.required else f"[{a.name.upper()}]" for a in arguments if a.name]
    yield from (f"## {name}", "", *([summary, ""] if summary else []))
    yield from ("```text", " ".join([name, *told, *(["[OPTIONS]"] if chosen else [])]), "```", "")
    text, _, example = inspect.cleandoc(command.help or "").partition("\b\n")
    yield from (prose(text.strip()), "")
    if example:
        yield from ("```text", example.strip(), "```", "")
    rows = [(f"`{_spelled(p)}`", _default(p), _help(p)) for p in chosen]
    if rows:
        yield from (*_table(("option", "default", "what"), rows), "")


def _help(option: click.Option) -> str:
    if not option.help:
        raise LookupError(f"the option {option.opts[0]} has no help")
    return option.help


def _spelled(option: click.Option) -> str:
    names = ", ".join(option.opts)
    if option.is_flag:
        return names
    return f"{names} {option.metavar or option.type.name.upper().removesuffix(' RANGE')}"


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    if not option.show_default:
        return ""
    values = option.default if isinstance(option.default, tuple) else (option.default,)
    return f"`{' '.join(str(value) for value in values)}`"


def _hardware() -> Iterator[str]:
    yield from ("# Hardware", "", "What ran where. Each was written on the machine itself by", "")
    yield from ("```text", "python -m customize_cuda.check", "```", "")
    yield (
        "whose `gpu.json` lies in `docs/reference/hardware`. A GPU that is not here is untested: "
        "of AMD's none was at hand yet, so the backend `rocm` is untested on hardware. The "
        "processor is tested by every run of the tests; its speed is in "
        "[benchmarks](../../benchmarks/RESULTS.md)."
    )
    for file in sorted((REFERENCE / "hardware").glob("*.json")):
        found = json.loads(file.read_text("utf-8"))
        yield from ("", f"## {found['machine']['device']}", "", table(found))
    yield from ("", f"{GLOSSARY}", "")


def _tinker() -> Iterator[str]:
    yield from ("# Clients of the Tinker API", "")
    yield (
        'What the unmodified client did, call by call, when `nox -s "tinker(VERSION)"` last ran '
        "it against `customize-tinker`: every public method of its four clients, and more of what "
        "they can be asked for. Why something is refused is in "
        "[train over the network](../tutorials/train-over-the-network.md)."
    )
    files = (REFERENCE / "tinker").glob("*.json")
    reports = [json.loads(file.read_text("utf-8")) for file in files]
    reports.sort(key=lambda report: [int(part) for part in report["version"].split(".")])
    calls = dict.fromkeys(name for report in reports for name in report["calls"])
    rows = [(_spoken(name), *(_mark(r["calls"].get(name)) for r in reports)) for name in calls]
    yield from ("", *_table(("call", *(report["version"] for report in reports)), rows), "")
    yield from (
        "works: its result is checked as well; refused: by name, within seconds; –: this version "
        "has no such call; not tried: torch was not installed beside the client.",
        "",
    )
    yield from _recipes()
    yield from _options_of("Limits", Limits, "Of the server; what is beyond them is refused.")


def _recipes() -> Iterator[str]:
    yield from ("## Recipes of the cookbook", "")
    yield (
        "What recipes of `tinker-cookbook`, unmodified and offline, learnt on the processor when "
        "`nox -s cookbook` last ran them against `customize-tinker`."
    )
    files = sorted((REFERENCE / "cookbook").glob("*.json"))
    reports = [json.loads(file.read_text("utf-8")) for file in files]
    columns = ("recipe", "model", "measured", "before", "after", "cookbook", "client")
    rows = [(_spoken(r["recipe"]), *(str(r[name]) for name in columns[1:])) for r in reports]
    yield from ("", *_table(columns, rows), "")


def _spoken(name: str) -> str:
    return f"`{name}`" if "_" in name else name


def _mark(said: str | None) -> str:
    if said is None or said.startswith("not in this version"):
        return "–"
    return said.partition(":")[0]


def _options() -> Iterator[str]:
    yield from ("# Options", "", "Recipes, `customize.train` and `--set` share these.", "")
    yield from _options_of("Keys of a recipe", customize.Recipe, "")
    yield from _options_of("adapter: LoRA", customize.LoRA, "Written `adapter.rank` and so on.")
    yield from _options_of("adapter: full", customize.Full, "Written `adapter: full`.")
    yield from _options_of("evaluate", EvaluationPlan, "Written `evaluate.NAME`.")
    yield from _options_of("evaluate.judge", JudgePlan, "Written `evaluate.judge.NAME`.")
    yield from _options_of("evaluate.prices", Price, "Written `evaluate.prices.COLUMN.NAME`.")
    for kind, written in (
        ("method", "Written `options.NAME` in a recipe, for `method: {}`."),
        ("backend", "Given in Python: pass an instance as `backend`."),
        ("exporter", "Given to `run.export({!r}, …)`, or by `--set` to `customize export`."),
        ("observer", "Named in `observers`; its options are written `observers.{}.NAME`."),
    ):
        for name in ours(kind):
            yield from _options_of(f"{kind} {name}", load(kind, name), written.format(name))
    written = "Keys of its file; see [correct a trait](../how-to/correct-a-trait.md)."
    yield from _options_of("A trait", customize.Trait, written)
    yield from _options_of("A trait: rewrite", Rewrite, "Written under `rewrite`.")
    yield from _options_of(
        "A trait: what is drawn", Drawing, "Given to `propose_pairs`, `correct`."
    )
    for cls in (customize.AdamW, customize.Sampling):
        yield from _options_of(cls.__name__, cls, "For authors of methods.")


def _options_of(title: str, cls: type, written: str) -> Iterator[str]:
    yield from (f"## {title}", "", prose(first_paragraph(cls.__doc__)), "")
    if written:
        yield from (written, "")
    rows = []
    for option in options_of(cls):
        default = "required" if option.default is attrs.NOTHING else f"`{option.default!r}`"
        if option.full is not None:
            default += f"; `{option.full!r}` with `adapter: full`"
        rows.append((f"`{option.name}`", default, _allowed(option.bounds), option.help))
    if rows:
        yield from (*_table(("option", "default", "allowed", "what"), rows), "")


def _allowed(bounds: Bounds) -> str:
    return ", ".join(f"`{c}`" for c in bounds.choices) or (f"`{bounds}`" if str(bounds) else "")


def _names() -> Iterator[str]:
    yield from ("# Public names", "", "Everything one may import from `customize`.", "")
    for name in sorted(customize.__all__, key=str.lower):
        yield from _name(name, Source(customize._HOMES[name], name))


def _name(name: str, source: Source) -> Iterator[str]:
    yield from (f"## {name}", "", "```text", source.signature(), "```", "")
    if summary := source.summary():
        yield from (prose(summary), "")
    if name in errors.__dict__:
        yield from ("See [errors](errors.md).", "")
        return
    members = list(source.members())
    for signature, summary in members:
        yield f"* `{signature}`" + (f": {prose(summary)}" if summary else "")
    if members:
        yield ""


def _errors() -> Iterator[str]:
    tree = (errors.__doc__ or "").split("\n\n")
    yield from ("# Errors", "", prose(tree[0]), "", "```text", tree[1], "```", "")
    yield from (prose(tree[2].strip()), "")
    for name in customize.__all__:
        if name in errors.__dict__:
            yield f"* `{name}`: {prose(first_paragraph(getattr(customize, name).__doc__))}"


def _plugins() -> Iterator[str]:
    yield from ("# Plugins", "", *_how_to_offer(), "", "## Hooks", "")
    for name, hook in vars(hooks).items():
        if name.startswith("customize_"):
            taken = ", ".join(f"`{one}`" for one in inspect.signature(hook).parameters)
            offered = f" It is offered {taken}." if taken else ""
            told = " ".join((hook.__doc__ or "").split())
            yield f"* `{name}`: {prose(told)}{offered}"
    yield from ("", "## Specs", "", "A hook yields specs; a spec names what it offers.", "")
    for spec in KINDS.values():
        yield from (f"### {spec.__name__}", "", prose(first_paragraph(spec.__doc__)), "")
        yield from (*(_field(field) for field in attrs.fields(spec)), "")
    yield from ("## What the plugins of this repository offer", "")
    offers = [(f"`{n}`", kind, specs(kind)[n].summary) for kind in KINDS for n in ours(kind)]
    yield from (*_table(("name", "kind", "what"), offers), "")
    yield from _listing()


def _listing() -> Iterator[str]:
    yield from ("## Faults", "", "What `customize plugins` can find wrong with a plugin.", "")
    rows = [(f"`{c}`", "error", what) for c, what in faults.ERRORS.items()]
    rows += [(f"`{c}`", "warning", what) for c, what in faults.WARNINGS.items()]
    yield from (*_table(("code", "severity", "what"), rows), "")
    yield from ("## customize plugins --json", "", prose(first_paragraph(as_json.__doc__)), "")
    yield from _table(("key", "what"), [(f"`{key}`", what) for key, what in as_json.KEYS.items()])


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'}-{kind}"


def _rules(kind: str) -> Iterator[str]:
    title = _article(kind).replace("-", " ")
    yield from (f"# What {title} must do", "")
    yield from (
        f"`customize.testing.conformance({kind}=…)` is a test for each of these rules.",
        "A rule that needs what the subject does not declare is skipped.",
        "See [how to test a plugin](../how-to/test-a-plugin.md).",
        "",
    )
    for rule in rules_of(kind):
        first, *more = rule.text.split("\n\n")
        yield from (f"## {rule.name}", "", prose(" ".join(first.split())), "")
        for paragraph in more:
            yield from (prose(" ".join(paragraph.split())), "")
        if rule.needs:
            yield from (f"Needs {', '.join(f'`{n}`' for n in sorted(rule.needs))}.", "")


def _how_to_offer() -> Iterator[str]:
    yield from (
        "A plugin is a distribution with an entry point in the group `customize`.",
        "It points at a light module whose hooks yield specs.",
        "What a spec's `target` names is imported when it is used.",
        "`customize new-plugin` makes one.",
        "[Write a plugin](../tutorials/write-a-plugin.md) shows how it is done.",
    )


def _field(field: attrs.Attribute[Any]) -> str:
    default = "" if field.default is attrs.NOTHING else f", {field.default!r} unless given"
    return f"* `{field.name}: {field.type}`{default}"


def ours(kind: str) -> list[str]:
    """Names of a kind that the plugins in this repository provide."""
    here = {path.name for path in PLUGINS.iterdir()}
    marker = f"{kind}:"
    offered = [p for row in listing() if row.distribution in here for p in row.provides]
    return sorted(p.removeprefix(marker) for p in offered if p.startswith(marker))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def stale(made: dict[str, str]) -> list[str]:
    """Pages on disk that are not what the code says, missing and left-over ones too."""
    there = {file.name: file.read_text("utf-8") for file in REFERENCE.glob("*.md")}
    return sorted(n for n in made.keys() | there.keys() if made.get(n) != there.get(n))


def main() -> None:
    """Write the pages, or with ``--check`` say which are out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="Change nothing.")
    made = pages()
    if parser.parse_args().check:
        if old := stale(made):
            sys.exit(f"out of date: {', '.join(old)}; run python docs/make_reference.py")
        return
    REFERENCE.mkdir(exist_ok=True)
    for name in stale(made):
        (REFERENCE / name).unlink(missing_ok=True)
    for name, text in made.items():
        (REFERENCE / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
