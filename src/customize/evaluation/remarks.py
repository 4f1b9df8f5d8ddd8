"""What must be known beside an evaluation's figures: what failed, and what is wrong with rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from customize.evaluation.contamination import FROM_TRAINING
from customize.evaluation.evaluation import Evaluation
from customize.evaluation.item import Item
from customize.evaluation.measures import change, estimate
from customize.evaluation.scoring import ALL
from customize.evaluation.statistics import detectable, deviation, rule_of_three
from customize.evaluation.wording import amount, points
from customize.training.evaluation_plan import BASE, CUSTOMIZED, PROMPTED, RETRIEVED

# Metrics of likelihood, as a sentence has them.
_CALLED = {
    "perplexity.nats_per_token": "nats a token of the rows' own answers",
    "choice.right": "% with the right choice likelier",
}


def remarks(evaluation: Evaluation) -> list[str]:
    """A line for each thing."""
    return [
        *evaluation.notes,
        *_retrieval(evaluation),
        *_power(evaluation),
        *_samples(evaluation),
        *_none_seen(evaluation),
        *_faults(evaluation),
        *_contaminated(evaluation),
        *_flags(evaluation),
        *_uncounted(evaluation),
        *evaluation.decisions,
    ]


def headline(evaluation: Evaluation) -> str:
    """The result in a sentence."""
    metric = evaluation.metric_names[0]
    show = points if metric in evaluation.rates else amount
    called = _CALLED.get(metric, "% right" if metric in evaluation.rates else metric)
    unit = (f" {called}", " points" if metric in evaluation.rates else "")
    own = estimate(evaluation.items, metric, evaluation.new)
    if own is None:  # its scorer failed on all of them, which the remarks tell
        return f"{_at_the_beginning(evaluation.new)} has no answer with the score {metric}."
    num = sum(metric in item.scores.get(evaluation.new, {}) for item in evaluation.items)
    rate, rival = show(own), evaluation.rival
    found = change(evaluation.items, metric, evaluation.new, rival) if rival else None
    if rival is None or found is None:
        return f"{evaluation.new} on {num} rows: {rate}{unit[0]}."
    moved = found.interval
    sign = -1 if metric in evaluation.lower_is_better else 1
    better = sign * moved.low > 0 and sign * moved.high > 0
    worse = sign * moved.low < 0 and sign * moved.high < 0
    told = "is better than" if better else "is worse than" if worse else "cannot be told apart from"
    known = {PROMPTED: "the base with its best prompt", BASE: "the base"}
    return (
        f"{_at_the_beginning(evaluation.new)} {told} {known.get(rival, rival)} "
        f"on {num} rows: {rate}{unit[0]}, a change of {show(moved, True)}{unit[1]}."
    )


def _at_the_beginning(column: str) -> str:
    """Of a sentence: our own word with a capital, and a name as it is."""
    ours = column in (BASE, PROMPTED, RETRIEVED, CUSTOMIZED)
    return column.capitalize() if ours else column


def broken(general: Evaluation) -> list[str]:
    """What the general suite shows beside right and wrong, against the base: in a line or two."""
    shown = {
        "text.bits_per_byte": "bits a byte of general text",
        "kl_to_base": "nats a token from the base",
        "degeneration.repeats": "points repetitive",
        "degeneration.empty": "points empty",
        "degeneration.words": "words an answer",
    }
    told = []
    for metric, unit in shown.items():
        found = [c for c in general.changes if (c.metric, c.slice) == (metric, "all")]
        show = points if metric in general.rates else amount
        told += [f"{show(c.interval, True)} {unit}" for c in found]
    return [f"general: {'; '.join(told)}."] if told else []


def _retrieval(evaluation: Evaluation) -> list[str]:
    """What passages do for the judged column."""
    metric, new = evaluation.metric_names[0], evaluation.new
    if RETRIEVED not in evaluation.columns or new == RETRIEVED:
        return []
    found = change(evaluation.items, metric, RETRIEVED, new)
    if found is None:
        return []
    show, unit = (points, " points") if metric in evaluation.rates else (amount, f" {metric}")
    return [f"With passages from the index {new} changes by {show(found.interval, True)}{unit}."]


def _samples(evaluation: Evaluation) -> list[str]:
    """Where noise comes from: whether more rows or more answers a row would narrow the interval."""
    metric, num = evaluation.metric_names[0], len(evaluation.items)
    split = evaluation.variance(evaluation.new, metric)
    if split is None:
        return []
    drawn = evaluation.num_samples
    now = split.standard_error(num, drawn)
    if not now:
        return []
    more_answers = 100 * (1 - split.standard_error(num, 2 * drawn) / now)
    more_rows = 100 * (1 - split.standard_error(2 * num, drawn) / now)
    return [
        f"Of {drawn} answers a row: the variance of {metric} is {split.between:.2g} between rows "
        f"and {split.within:.2g} between answers to one. Twice the answers would narrow its "
        f"interval by {more_answers:.0f} %, twice the rows by {more_rows:.0f} %."
    ]


def _power(evaluation: Evaluation) -> list[str]:
    """How small a change so many rows can show."""
    metric = evaluation.metric_names[0]
    found = [c for c in evaluation.changes if (c.metric, c.slice) == (metric, "all")]
    if not found or found[0].num_items < 2:
        return []
    num, interval = found[0].num_items, found[0].interval
    if not interval.is_bounded:
        return [f"{num} rows, or clusters of them, do not show how much {metric} varies."]
    least = detectable(deviation(interval, num), num)
    told = f"{100 * min(least, 1):.0f} points" if metric in evaluation.rates else f"{least:.3g}"
    return [f"{num} rows show a change of {told} or more, in four of five evaluations."]


def _none_seen(evaluation: Evaluation) -> list[str]:
    """What was never seen may still be there: the rule of three."""
    new, told = evaluation.new, []
    for metric in evaluation.metric_names:
        if metric not in evaluation.rates or metric not in evaluation.lower_is_better:
            continue
        values = [i.scores[new][metric] for i in evaluation.items if metric in i.scores[new]]
        if values and not any(values):
            told.append(f"{metric}: none in {len(values)} rows; up to {_upper(len(values))} %")
    return [f"{'; '.join(told)} cannot be ruled out."] if told else []


def _upper(num_rows: int) -> str:
    return f"{100 * rule_of_three(num_rows):.2g}"


def _faults(evaluation: Evaluation) -> list[str]:
    """A line for each scorer that failed, with how often and the first error, or on what."""
    of_answers = [fault for fault in evaluation.faults if fault.item != ALL]
    first: dict[str, str] = {}
    for fault in of_answers:
        first.setdefault(fault.scorer, f"{fault.item}: {fault.error}")
    return [
        *(
            f"{scorer} failed on {sum(f.scorer == scorer for f in of_answers)} answers, which "
            f"have no such score ({error})."
            for scorer, error in first.items()
        ),
        *(
            f"{fault.scorer} failed over all answers of {fault.column} ({fault.error})."
            for fault in evaluation.faults
            if fault.item == ALL
        ),
    ]


def _uncounted(evaluation: Evaluation) -> list[str]:
    """Columns whose tokens are not known, and what is not known with them."""
    told = []
    for column, cost in evaluation.costs.items():
        if cost.num_uncounted == cost.num_requests:
            told.append(
                f"{column} tells no usage: its tokens, and what a request costs by them, are not "
                "known."
            )
        elif cost.num_uncounted:
            told.append(
                f"{column} tells no usage of {cost.num_uncounted} of {cost.num_requests} answers: "
                "its tokens are those of the others."
            )
    return told


def _contaminated(evaluation: Evaluation) -> list[str]:
    """The judged column's score on rows that training gives away, and on those it does not."""
    flagged, clean = evaluation.contaminated, evaluation.clean
    if not flagged:
        return []
    found = Counter(flag for item in flagged for flag in item.flags if flag in FROM_TRAINING)
    kinds = ", ".join(f"{count} {flag}" for flag, count in found.items())
    return [
        f"{len(flagged)} of {len(evaluation.items)} rows share something with training ({kinds}): "
        f"{_score_on(evaluation, flagged, clean, 'clean ones')}"
    ]


def _score_on(
    evaluation: Evaluation, some: Sequence[Item], rest: Sequence[Item], called: str
) -> str:
    metric, new = evaluation.metric_names[0], evaluation.new
    show = points if metric in evaluation.rates else amount
    rates = [estimate(items, metric, new) for items in (some, rest)]
    on, off = (show(rate) if rate else "no score" for rate in rates)
    return f"{new} has {on} on them, and {off} on the {len(rest)} {called}."


def _flags(evaluation: Evaluation) -> list[str]:
    """Rows whose answers have something wrong, and the judged column's score on them."""
    told = []
    for flag in dict.fromkeys(flag for item in evaluation.items for flag in item.flags):
        if flag in FROM_TRAINING:
            continue
        flagged = [item for item in evaluation.items if flag in item.flags]
        others = [item for item in evaluation.items if flag not in item.flags]
        told.append(
            f"{len(flagged)} of {len(evaluation.items)} rows: {flag}. "
            f"{_score_on(evaluation, flagged, others, 'others')}"
        )
    return told
