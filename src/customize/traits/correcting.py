"""correct(): from a model that shows a trait to one that does not, and the proof.

What the present model says → pairs → your eyes → DPO → the trait and everything else, measured.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from customize._errors import OptionError, Unsupported
from customize._live_line import say
from customize._structuring import Faults, structure
from customize.data.reading import read
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.evaluation import MARGIN, Evaluation
from customize.interfaces.backend import Backend
from customize.interfaces.dataset import Row
from customize.interfaces.gate import no_worse
from customize.interfaces.session import LoRA
from customize.plugins import load, names
from customize.runs.evaluating import Rows
from customize.runs.folder import Differs
from customize.runs.opening import open as open_run
from customize.runs.package import PackagedRun
from customize.runs.run import Run
from customize.runs.run_columns import column_of
from customize.runs.train import require, require_stacking, train
from customize.training.recipe_making import trains_all_weights
from customize.traits.correction import Correction
from customize.traits.measuring import (
    AFTER,
    BEFORE,
    default_texts,
    judgement,
    measured,
    rows_of,
)
from customize.traits.prompts import check_unmeasured
from customize.traits.proposing import (
    CorrectionFolder,
    Drawing,
    Proposal,
    folder_of,
    proposed,
)
from customize.traits.trait import Trait, keep_verdicts, read_trait, release_judge

Source = str | os.PathLike[str] | Run
TraitLike = Trait | str | os.PathLike[str]

# What `dpo` is told unless it is told otherwise: to keep the desired answers likely.
OPTIONS: Mapping[str, Any] = {"lr": 2e-4, "epochs": 3.0, "sft": 1.0}


def propose_pairs(
    source: Source,
    trait: TraitLike,
    *,
    to: str | os.PathLike[str],
    backend: str | Backend | None = None,
    **drawing: Any,  # Drawing's options, checked strictly
) -> Proposal:
    """Ask a run or model the trait's prompts, and put its undesired answers into pairs.

    They are in ``pairs.jsonl`` of the folder ``to``, to be read and edited; `correct` on the same
    folder learns from what is then there, and asks nothing again.

    Raises:
        OptionError: the trait or an option is wrong.
        DataError: the model does not show the trait, or no desired answer is known.
        RunError: the folder holds another correction.
    """
    run = source if isinstance(source, Run) else open_run(source, backend=backend)
    return proposed(run, read_trait(trait), folder_of(Path(to)), _drawing(drawing))


def correct(
    source: Source,
    trait: TraitLike,
    *,
    to: str | os.PathLike[str],
    others: Sequence[TraitLike] = (),
    checks: Rows | None = None,
    texts: Rows | None = None,
    general: bool = True,
    margin: float = MARGIN,
    options: Mapping[str, Any] | None = None,
    adapter: Mapping[str, Any] | None = None,
    backend: str | Backend | None = None,
    **drawing: Any,  # Drawing's options, checked strictly
) -> Correction:
    """Take a trait out of a run or model by preference pairs, and show what else it changed.

    Goes on with what the folder ``to`` holds: answers, pairs as they were edited, checkpoints.
    The result is the run in its folder ``run``.

    Args:
        others: traits that must not become more frequent.
        checks: the task's own rows with ``expect``, which must not get worse.
        texts: conversations whose last answers must stay likely; those of the package unless
            given.
        general: also ask the general items.
        margin: how much of other traits, checks, form and answering may be lost: 0.1 is ten points.
        options: of `dpo`; three epochs, an SFT term of 1 (but of the loss orpo, which has its own)
            and, of LoRA, a rate of 2e-4 unless given.
        adapter: LoRA's options, for a new adapter, on top of the run's where it has one; unless
            given a run's own is continued.
        drawing: num_samples, temperature, max_tokens, pairs_per_prompt, seed.

    Raises:
        OptionError: a trait or an option is wrong.
        DataError: the model does not show the trait, rows cannot be used, or a pair asks what is
            measured.
        Unsupported: the source cannot be trained.
        RunError: the folder holds another correction.
    """
    run = source if isinstance(source, Run) else open_run(source, backend=backend)
    wanted, folder, drawn = read_trait(trait), folder_of(Path(to)), _drawing(drawing)
    # All that is given is checked, and all rows are read, before the first answer is asked for.
    no_worse(margin=margin)
    _check_adapter(run, adapter)
    options = {**_defaults(run, adapter, options or {}), **(options or {})}
    _check_trainable(run, options, adapter)
    traits = [wanted, *map(read_trait, others)]
    rows = rows_of(
        traits,
        [] if checks is None else list(read(checks)),
        default_texts() if texts is None else list(read(texts, kind="chat")),
    )
    _warn_if_too_few(wanted)
    _tell(proposed(run, wanted, folder, drawn))
    check_unmeasured(folder.pairs, rows)
    folder.forget_verdict()
    for one in traits:
        release_judge(one)
    run.release()  # training loads a base of its own: two would be in memory
    corrected = _trained(run, adapter, folder, options, drawn.seed)
    gc.collect()  # the base that it was trained on, before another is loaded to measure
    store = folder.store()
    for one in traits:
        keep_verdicts(one, store)
    evaluation = _measured(run, corrected, rows, store, drawn.max_tokens, general)
    correction = Correction(wanted, corrected, evaluation, judgement(evaluation, wanted, margin))
    correction.keep(folder)
    return correction


def measure_traits(
    source: Source,
    traits: Sequence[TraitLike],
    *,
    max_tokens: int = 64,
    backend: str | Backend | None = None,
) -> Evaluation:
    """How often a run or model shows each trait, on its held-out prompts; slices by ``part``.

    Raises:
        OptionError: a trait is wrong, or there is none.
    """
    if not traits:
        raise OptionError("there is no trait to measure: name at least one")
    run = source if isinstance(source, Run) else open_run(source, backend=backend)
    rows = rows_of([read_trait(trait) for trait in traits])
    return measured([column_of(run, BEFORE)], rows, max_tokens)


def _warn_if_too_few(trait: Trait) -> None:
    num, fewest = len(trait.rows[1]), trait.fewest_held_out
    if num < fewest:
        warnings.warn(
            f"{trait.name}: {num} prompts are held out, too few to show that at most "
            f"{100 * trait.goal:g} % of answers show it: give {fewest} or more, or a higher goal",
            stacklevel=3,
        )


def _trained(
    run: Run,
    adapter: Mapping[str, Any] | None,
    folder: CorrectionFolder,
    options: Mapping[str, Any],
    seed: int,
) -> Run:
    """The run that learns from the pairs, from where the given one ended."""
    model, revision = _model(run)
    try:
        return train(
            model=model,
            revision=revision,
            adapter=_adapter(run, adapter),
            data=folder.pairs,
            to=folder.run,
            method="dpo",
            options=options,
            backend=run.backend,
            seed=seed,
            evaluate=False,  # the correction is measured, before beside after
        )
    except Differs as error:
        raise Differs(
            f"{error}\nTo learn from the same pairs with other settings, remove {folder.run}: "
            "answers and pairs stay"
        ) from error


def _model(run: Run) -> tuple[str, str | None]:
    """What names the model that a run stands on, and the revision of a hub model."""
    if run.folder is not None:
        recipe = run.folder.recipe()
        return recipe.model, recipe.revision
    if run.model is None:
        return run.backend.name, None  # the toy backend, which holds no model
    known = run.model.revision is not None or run.model.name in names("model")
    return run.model.name if known else str(run.model.path), run.model.revision


def _defaults(
    run: Run, adapter: Mapping[str, Any] | None, given: Mapping[str, Any] = {}
) -> dict[str, Any]:
    """`OPTIONS`, of which the rate is LoRA's: all weights are trained at `dpo`'s own for them; and
    orpo has an SFT term of its own.
    """
    without = {"lr"} if trains_all_weights(_adapter(run, adapter)) else set()
    without |= {"sft"} if given.get("loss") == "orpo" else set()
    return {key: value for key, value in OPTIONS.items() if key not in without}


def _adapter(run: Run, given: Mapping[str, Any] | None) -> str | dict[str, Any]:
    below = _below(run)
    if given is None:
        return {} if below is None else str(below)
    return dict(given) if below is None else {**given, "on": str(below)}


def _below(run: Run) -> Path | None:
    """The folder of what is on the base already."""
    return run.adapter if run.folder is None else run.folder.path


def _measured(
    before: Run,
    after: Run,
    rows: Sequence[Row],
    store: AnswerStore,
    max_tokens: int,
    general: bool,
) -> Evaluation:
    after.engine = before.engine  # one base in memory for both
    columns = [column_of(before, BEFORE), column_of(after, AFTER)]
    return measured(columns, rows, max_tokens, store, general)


def _check_adapter(run: Run, adapter: Mapping[str, Any] | None) -> None:
    """Refuse what is no adapter's options, and a new one where it cannot stand."""
    if adapter is None:
        return
    if not isinstance(adapter, Mapping):
        raise OptionError(
            f"adapter must be options of LoRA, such as {{'rank': 8}} (got {adapter!r}): leave it "
            "out, and what the run has is trained on"
        )
    faults = Faults()
    structure(LoRA, adapter, faults, "adapter.")
    below = _below(run)
    if below is not None and adapter.get("on") is not None:
        faults.add("adapter.on", f"adapter.on: a new adapter stands on {below}: leave it out")
    if below is not None and trains_all_weights(str(below)):
        told = (
            f"adapter: {below} holds all weights, on which none is put: leave it out, to train them"
        )
        faults.add("adapter", told)
    faults.raise_if_any("correct(...)")


def _check_trainable(
    run: Run, options: Mapping[str, Any], adapter: Mapping[str, Any] | None
) -> None:
    faults = Faults()
    method = structure(load("method", "dpo"), options, faults, "options.")
    faults.raise_if_any("correct(...)")
    assert method is not None
    if isinstance(run, PackagedRun):
        raise Unsupported(
            f"{run} answers by a runtime of its own, and cannot be trained: correct the run that "
            "it was made from"
        )
    require(method, run.backend)
    if adapter is not None and _below(run) is not None:
        require_stacking(run.backend)


def _tell(proposal: Proposal) -> None:
    for line in (*proposal.told, f"{proposal.num_pairs} pairs are learnt from: {proposal.pairs}"):
        say(line)


def _drawing(given: Mapping[str, Any]) -> Drawing:
    faults = Faults()
    made = structure(Drawing, given, faults)
    faults.raise_if_any("what is drawn")
    assert made is not None
    return made
