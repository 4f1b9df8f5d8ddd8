"""The evaluation that ends a training: what is asked, and whether it is made. Knows no statistics.

What a recipe says of it must be possible, or the run does not begin; of itself it is made where it
can be, and else the reason is told.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from customize._errors import CustomizeError, EpisodesFailed, WorkerLost
from customize._live_line import say
from customize.data.dataset import IndexedDataset
from customize.data.reading import read
from customize.evaluation.choosing import check_apart
from customize.evaluation.evaluation import Evaluation
from customize.evaluation.questions import questions_of
from customize.evaluation.remarks import headline
from customize.evaluation.results import RESULTS
from customize.evaluation.scorers import as_scorers
from customize.interfaces.method import Method
from customize.retrieval.index_folder import open_index
from customize.runs.evaluating import Asked, evaluate_run, labels_of, planned, raise_for_gates
from customize.runs.folder import RunFolder
from customize.runs.held_out import of_held_out
from customize.runs.run import Run
from customize.training.evaluation_plan import OWN, EvaluationPlan, judge_plan_of
from customize.training.recipe import Recipe

_LOST_IN_VAIN = 3  # times that workers may be lost in one evaluation
_NOTHING = (
    "nothing was held out, so the run was not evaluated: customize split makes a file of rows to "
    "hold out, which is given as validation"
)
_CHOSEN_BY = (
    "These rows chose the weights too (keep_best, patience), so the change is flattered: claim "
    "nothing but on others."
)


@attrs.frozen
class FinalEvaluation:
    """asked: None where there is nothing to ask, and ``why`` says the reason. is_asked_for: the
    recipe says what is asked, and it is made even where the run has an evaluation.
    """

    asked: Asked | None
    why: str
    is_asked_for: bool

    def make(self, run: Run) -> None:
        """Evaluate the run, or tell why not.

        Raises:
            GateFailed, GateInconclusive: a gate is not passed; the results are kept all the same.
        """
        assert run.folder is not None
        if self.is_asked_for:
            assert self.asked is not None
            _evaluate(run, self.asked)
        elif not is_evaluated(run.folder):
            self._make_if_possible(run)

    def _make_if_possible(self, run: Run) -> None:
        if self.asked is None:
            say(self.why)
            return
        try:
            _evaluate(run, self.asked)
        except EpisodesFailed as error:  # the rest is a traceback of the environment
            say(_not(str(error).partition("\n")[0]))
        except CustomizeError as error:
            say(_not(str(error)))


def check_named(recipe: Recipe) -> None:
    """What needs no held-out rows, before there is a folder.

    Raises:
        OptionError, UnknownName: a scorer that the recipe names is wrong.
        DataError: rows, labels or the index that it names cannot be used.
    """
    plan = recipe.evaluation_chosen()
    said = isinstance(recipe.evaluate, Mapping)
    if said and plan is not None and not _is_of_held_out(recipe, plan):
        _check(plan, planned(plan))


def final_evaluation(
    recipe: Recipe, method: Method, held_out: IndexedDataset | None
) -> FinalEvaluation | None:
    """What ends the run of a recipe; None where it says that nothing does.

    Raises:
        DataError, OptionError: what the recipe asks of the held-out rows cannot be asked.
    """
    plan = recipe.evaluation_chosen()
    if plan is None:
        return None
    if isinstance(recipe.evaluate, Mapping):
        asked = asked_at_the_end(plan, recipe, method, held_out)
        if _is_of_held_out(recipe, plan):
            _check(plan, asked)
        return FinalEvaluation(asked, "", is_asked_for=True)
    if held_out is None:
        return FinalEvaluation(None, _NOTHING, is_asked_for=False)
    try:
        asked = asked_at_the_end(plan, recipe, method, held_out)
        _check(plan, asked)
    except CustomizeError as error:
        return FinalEvaluation(None, _not(str(error)), is_asked_for=False)
    return FinalEvaluation(asked, "", is_asked_for=False)


def is_evaluated(folder: RunFolder) -> bool:
    """Whether the run has an evaluation, whole."""
    return (folder.evaluation / RESULTS).is_file()


def asked_at_the_end(
    plan: EvaluationPlan, recipe: Recipe, method: Method, held_out: IndexedDataset | None
) -> Asked:
    """What the plan asks, of the held-out rows unless it has others.

    Raises:
        DataError, OptionError, UnknownName: the held-out rows cannot be asked so.
    """
    asked = planned(plan)
    if held_out is None or not _is_of_held_out(recipe, plan):
        return asked
    asked = of_held_out(asked, held_out, method, plan.max_rows)
    chose = recipe.keep_best or recipe.patience > 0
    return attrs.evolve(asked, notes=(*asked.notes, *([_CHOSEN_BY] if chose else [])))


def _is_of_held_out(recipe: Recipe, plan: EvaluationPlan) -> bool:
    return plan.data is None and recipe.validation is not None


def _check(plan: EvaluationPlan, asked: Asked) -> None:
    """Whatever can be known to be wrong before a model is trained."""
    scorers, judge = as_scorers(asked.scorers), judge_plan_of(plan.judge)
    rows, playing = asked.read()
    if playing is not None:
        return
    questions_of(rows, need_expect=not scorers and judge is None)
    if plan.development is not None:
        check_apart(list(read(plan.development)), rows)
    if plan.index not in (None, OWN):
        open_index(str(plan.index))
    if judge is not None:
        labels_of(judge)


def _evaluate(run: Run, asked: Asked) -> None:
    evaluation = _evaluation(run, asked)
    say(headline(evaluation))
    run.tell(evaluation)
    raise_for_gates(evaluation)


def _evaluation(run: Run, asked: Asked) -> Evaluation:
    """Of the run; where workers are lost, by others, which are not asked what is answered.

    Raises:
        WorkerLost: they are lost again and again.
    """
    for _ in range(_LOST_IN_VAIN - 1):
        try:
            return evaluate_run(run, asked, None)
        except WorkerLost as error:
            say(f"{error}: the evaluation goes on from the answers that are kept")
            run.open_anew()
    return evaluate_run(run, asked, None)


def _not(why: str) -> str:
    return f"the run was not evaluated: {why}"
