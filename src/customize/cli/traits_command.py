"""``customize traits``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., None])

_DRAWING = (
    click.option(
        "--to",
        required=True,
        metavar="FOLDER",
        type=click.Path(path_type=Path, file_okay=False),
        help="The correction's folder: answers, pairs, run and verdict.",
    ),
    click.option(
        "--num-samples",
        type=click.IntRange(min=0),
        default=8,
        show_default=True,
        help="Answers drawn to each prompt, beside the likeliest.",
    ),
    click.option(
        "--temperature", type=float, default=0.7, show_default=True, help="Of what is drawn."
    ),
    click.option(
        "--max-tokens",
        type=click.IntRange(min=1),
        default=64,
        show_default=True,
        help="Tokens an answer may have.",
    ),
    click.option(
        "--pairs-per-prompt",
        type=click.IntRange(min=1),
        default=2,
        show_default=True,
        help="Pairs of a prompt at most.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="What is drawn and learnt is a function of it.",
    ),
)


def drawing_options(command: F) -> F:
    """Add what `pairs` and `correct` share, so that the second goes on from the first."""
    for option in reversed(_DRAWING):
        command = option(command)
    return command


@click.group("traits")
def command() -> None:
    """See, measure and correct traits: what answers show and should not.

    A trait is a small YAML file: a name, a sentence, what to expect, prompts that provoke it.

    \b
    customize traits show rambles.yaml
    customize traits measure runs/pizza rambles.yaml
    customize traits pairs runs/pizza rambles.yaml --to corrections/rambles
    customize traits correct runs/pizza rambles.yaml --to corrections/rambles
    """


@command.command("show")
@click.argument("traits", nargs=-1, required=True, metavar="TRAITS...")
def show(traits: tuple[str, ...]) -> None:
    """Show what is in trait files, and whether they can be used; of a folder, all of its."""
    from customize.traits.proposing import check_answers
    from customize.traits.trait import read_trait

    for number, file in enumerate(path for given in traits for path in _files(given)):
        trait = read_trait(file)
        asked, held_out = trait.rows
        check_answers(trait)
        sources = [f"{len(trait.answers)} answers"] if trait.answers else []
        own = sum("answer" in row for row in asked)
        sources += [f"{own} of the prompts' own"] if own else []
        sources += ["its best samples", *(["a rewrite"] if trait.rewrite else [])]
        if number:
            click.echo()
        click.echo(f"{trait.name}: {trait.sentence}")
        click.echo(f"  file      {file}")
        click.echo(f"  expects   {', '.join(map(str, trait.expect))}")
        click.echo(f"  prompts   {len(asked)} to learn from, {len(held_out)} held out")
        click.echo(f"  desired   {', '.join(sources)}")
        click.echo(f"  goal      at most {100 * trait.goal:g} % of answers may show it")
        click.echo(f"            {_enough(len(held_out), trait.fewest_held_out)}")


@command.command("measure")
@click.argument("source")
@click.argument("traits", nargs=-1, required=True, metavar="TRAITS...")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Tokens an answer may have.",
)
def measure(source: str, traits: tuple[str, ...], max_tokens: int) -> None:
    """Measure how often SOURCE, a run or a model, shows each of TRAITS on held-out prompts."""
    from customize._errors import DataError
    from customize.evaluation.wording import points
    from customize.traits.correcting import measure_traits
    from customize.traits.measuring import BEFORE, PART, num_cut, shown
    from customize.traits.trait import read_trait

    chosen = [read_trait(path) for given in traits for path in _files(given)]
    evaluation = measure_traits(source, chosen, max_tokens=max_tokens)
    rates = {trait.name: shown(evaluation, BEFORE, trait.name) for trait in chosen}
    for name, rate in rates.items():
        num, cut = len(evaluation.of(f"{PART}={name}")), num_cut(evaluation, BEFORE, name)
        if rate.is_defined:
            click.echo(f"{name}: {points(rate)} % of {num} answers show it")
        if cut:
            click.echo(
                f"  {cut} others were cut off at {max_tokens} tokens, and whole ones might show "
                "it: raise --max-tokens"
            )
    for fault in evaluation.faults[:1]:
        click.echo(f"{len(evaluation.faults)} answers have no score ({fault.item}: {fault.error})")
    if unknown := [name for name, rate in rates.items() if not rate.is_defined]:
        raise DataError(f"no answer could be judged by {', '.join(unknown)}: see above")


@command.command("pairs")
@click.argument("source")
@click.argument("trait")
@drawing_options
def pairs(source: str, trait: str, to: Path, **drawing: Any) -> None:
    """Ask SOURCE the prompts of TRAIT, and put undesired answers beside desired ones.

    Read and edit the pairs; `customize traits correct` then learns from what is there.
    """
    from customize.traits.correcting import propose_pairs

    proposal = propose_pairs(source, trait, to=to, **drawing)
    for line in proposal.told:
        click.echo(line)
    click.echo(f"{proposal.num_pairs} pairs to look through: {proposal.pairs}")
    for pair in proposal.first(3):
        click.echo(f"\n  asked     {pair['asked']}")
        click.echo(f"  rejected  {pair['rejected']}\n  chosen    {pair['chosen']}")


@command.command("correct")
@click.argument("source")
@click.argument("trait")
@click.option(
    "--other",
    "others",
    multiple=True,
    metavar="TRAIT",
    help="Another trait's file, or a folder of them: none may become more frequent.",
)
@click.option(
    "--checks", metavar="FILE", help="The task's own rows with expect, which must not get worse."
)
@click.option(
    "--texts",
    metavar="FILE",
    help="Conversations whose answers must stay likely; the package's unless given.",
)
@click.option(
    "--no-general",
    "general",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Leave out the general items.",
)
@click.option(
    "--margin",
    type=float,
    default=0.1,
    show_default=True,
    help="How much of checks and other traits may be lost; 0.1 is ten points.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of dpo (customize plugins show dpo); here lr is 2e-4, that of dpo where all "
    "weights are trained, epochs 3 and sft 1 by default.",
)
@click.option(
    "--adapter",
    "of_adapter",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of LoRA, for a new adapter on top of the run's, which is continued else.",
)
@drawing_options
def correct(
    source: str,
    trait: str,
    others: tuple[str, ...],
    settings: tuple[str, ...],
    of_adapter: tuple[str, ...],
    **given: Any,
) -> None:
    """Take TRAIT out of SOURCE, a run or a model, and show what else that changed.

    It goes on from pairs that are there; fails unless the trait is corrected and nothing harmed.
    """
    from customize.training.recipe_file import parse_settings
    from customize.traits.correcting import correct as correct_trait
    from customize.traits.trait import read_trait

    wanted = read_trait(trait)
    files = [path for other in others for path in _files(other)]
    beside = [one for one in map(read_trait, files) if one.name != wanted.name]
    correction = correct_trait(
        source,
        wanted,
        others=beside,
        options=parse_settings(settings),
        adapter=parse_settings(of_adapter) or None,
        **given,
    )
    assert correction.run.folder is not None
    click.echo(f"{correction}\n\nRun: {correction.run.folder.path}")
    click.echo(f"Report: {correction.run.folder.evaluation / 'report.html'}")
    correction.raise_unless_good()


def _enough(num: int, fewest: int) -> str:
    """Whether so many held-out prompts can show that a goal is reached."""
    told = f"{fewest} or more held-out prompts can show that"
    return told if num >= fewest else f"{told}: hold out {fewest - num} more, or raise the goal"


def _files(given: str) -> list[Path]:
    """The file, or every trait's file of a folder."""
    path = Path(given)
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.yaml"))
    if not found:
        raise click.BadParameter(f"the folder {path} holds no .yaml file of a trait")
    return found
