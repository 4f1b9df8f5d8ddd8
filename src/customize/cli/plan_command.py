"""``customize plan``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from customize.planning.plan import Plan
    from customize.planning.stage import StagePlan
    from customize.runs.folder import RunFolder

_ELSEWHERE = "Memory and time are known there alone: give the same command on that machine."


@click.command("plan")
@click.argument("recipe", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As for train.")
@click.option("--offers", type=click.Path(path_type=Path), help="Your own table of prices.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(
    recipe: Path | None, settings: tuple[str, ...], offers: Path | None, as_json: bool
) -> None:
    """Say what RECIPE will take: tokens, steps, memory, time and money.

    Loads no weights. Given again when the recipe's run is finished, the plan that was made before
    is held against what happened, and what this machine reached is remembered for the next plan.

    \b
    customize plan pizza.yaml
    customize plan pizza.yaml --set options.epochs=2 --offers prices.yaml
    """
    import json

    import attrs

    from customize.planning.happened import compared, differing
    from customize.planning.kept import keep
    from customize.planning.offers import read_offers
    from customize.planning.plan import plan
    from customize.runs.folder import RunFolder
    from customize.training.recipe_file import read_recipe, recipe_from_settings

    chosen = recipe_from_settings(settings) if recipe is None else read_recipe(recipe, settings)
    made = plan(chosen, read_offers(offers))
    run = RunFolder(Path(chosen.to))
    happened, differs = compared(made, run), differing(made, run)
    if made.absent is None and (differs or not run.finished):
        keep(made)
    if as_json:
        told = None if happened is None else attrs.asdict(happened)
        click.echo(json.dumps({**made.to_dict(), "happened": told, "differs": differs}, indent=1))
        return
    lines = _lines(made)
    if happened is not None:
        lines += ["", *happened.lines()]
    if differs:
        lines += ["", *_another(run, differs)]
    click.echo("\n".join(lines))


def _another(run: RunFolder, differs: Sequence[str]) -> list[str]:
    return [
        f"The finished run in {run.path} is another one: it differs in {', '.join(differs)}.",
        "  It says nothing of this plan; give this one a folder of its own with --set to=FOLDER.",
    ]


def _lines(plan: Plan) -> list[str]:
    trained = f"{_count(plan.num_trainable)} of {_count(plan.num_parameters)} parameters trained"
    lines = [f"{plan.model} on {plan.backend}: {trained}"]
    for stage in plan.stages:
        if not stage.is_counted:
            lines.append(_uncounted(stage))
            continue
        estimate, low, high = stage.tokens
        about = "" if low == high else f" ({_count(low)} to {_count(high)})"
        lines.append(
            f"  {stage.method}: {_rows(stage)}, "
            f"{_count(estimate)} tokens{about}, {_count(stage.flops)} operations"
        )
    if plan.evaluation is not None:
        lines.append(
            f"  evaluation: {plan.evaluation.rows} rows, {plan.evaluation.answers} answers of at "
            f"most {_count(plan.evaluation.drawn)} tokens, "
            f"{_count(plan.evaluation.flops)} operations"
        )
    for remark in plan.remarks:
        lines += _wrapped(remark, indent="  ")
    if plan.absent is None:
        lines += ["", *_memory(plan), "", *_time(plan)]
    else:
        lines += ["", *_wrapped(f"{plan.backend} cannot run here: {plan.absent}."), _ELSEWHERE]
    if plan.offers:
        lines += ["", *_offers(plan)]
    return lines


def _wrapped(text: str, indent: str = "") -> list[str]:
    """In lines that a terminal holds; what is given to a command stays whole."""
    return wrap(
        text,
        80,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _uncounted(stage: StagePlan) -> str:
    if stage.rows is None:
        return f"  {stage.method}: rows, steps and tokens are not known before"
    return f"  {stage.method}: {_rows(stage)}, tokens not known before"


def _rows(stage: StagePlan) -> str:
    if stage.is_glimpsed:
        return f"about {_count(stage.rows or 0)} rows, {_count(stage.steps or 0)} steps"
    return f"{stage.rows} rows, {stage.steps} steps"


def _memory(plan: Plan) -> list[str]:
    if not plan.memory:
        return [f"Memory: the backend {plan.backend} does not say."]
    parts = [f"  {_bytes(size):>9}  {what}" for what, size in plan.memory.items()]
    free = "" if plan.available is None else f", {_bytes(plan.available)} are free"
    changes = [] if plan.advice is None else plan.advice.splitlines()
    advice = ["  does not fit, and would with", *(f"    {one}" for one in changes)]
    if plan.uncounted:
        parts.append("             and what sampling takes, which is not known before")
    low, high = map(_bytes, plan.bytes_between)
    about = f"Memory: about {_bytes(plan.num_bytes)} ({low} to {high})"
    if plan.held is not None:
        more = plan.num_bytes - sum(plan.memory.values())
        told = "more" if more > 0 else "less"
        parts.append(f"  {_bytes(abs(more)):>9}  {told}, as runs on this machine have shown")
    return [f"{about}{free}", *parts, *(advice if changes else [])]


def _time(plan: Plan) -> list[str]:
    if plan.uncounted:
        why = f"{plan.uncounted[0]} learns from what it makes as it goes"
        return [
            f"Time: not known before, for {why}.",
            "  Run a few of its steps, and look at the seconds of one.",
        ]
    if plan.seconds is None or plan.rate is None:
        return [
            "Time: not known yet for this machine. Give this command again when a run is finished,",
            "  and it is remembered how fast that was.",
        ]
    estimate, low, high = map(_duration, plan.seconds)
    runs = f"{plan.rate.runs} run{'' if plan.rate.runs == 1 else 's'}"
    lines = [f"Time: {estimate} ({low} to {high}), by {runs} on this machine"]
    if plan.evaluation_seconds is not None:
        estimate, low, high = map(_duration, plan.evaluation_seconds)
        lines.append(f"  and {estimate} ({low} to {high}) for the evaluation")
    return lines


def _offers(plan: Plan) -> list[str]:
    lines = ["Prices, by a table of examples (--offers FILE for your own):"]
    for offer in plan.offers:
        took = "" if offer.seconds is None else f"  {_duration(offer.seconds)}"
        room = "  does not fit" if offer.fits is False else ""
        money = "below 0.01" if offer.money < 0.01 else f"{offer.money:.2f}"
        lines.append(f"  {offer.name:<16}{money:>10}{took}{room}")
    return lines


def _count(number: float) -> str:
    for unit, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def _bytes(number: float) -> str:
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
