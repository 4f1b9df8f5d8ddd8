"""Statistics against scipy, statsmodels and brute force, and against simulated studies."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from customize.evaluation import statistics as ours
from customize.evaluation.statistics import Interval

stats = pytest.importorskip("scipy.stats")

NUM_STUDIES = 2000
EIGHT = np.array([0.2, 0.4, -0.1, 0.3, 0.0, 0.9, -0.2, 0.1])
IN_FOURS = np.array([0, 0, 1, 1, 2, 2, 3, 3])


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (57, 120)])
def test_wilson_is_scipys(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    got = ours.wilson(k, n)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("n", [5, 30, 1000])
def test_the_rule_of_three_is_the_exact_upper_limit_of_no_failures(n: int) -> None:
    expected = stats.binomtest(0, n, alternative="less").proportion_ci(0.95).high
    assert ours.rule_of_three(n) == pytest.approx(expected)
    assert ours.rule_of_three(n) <= 3 / n


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 30, 99, 500])
def test_students_quantile_is_scipys(degrees: int) -> None:
    assert ours.t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=1e-9)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (12, 3), (5, 5)])
def test_mcnemar_is_the_exact_binomial(b: int, c: int) -> None:
    expected = stats.binomtest(min(b, c), b + c).pvalue if b + c else 1.0
    assert ours.mcnemar(b, c) == pytest.approx(expected)


def _score_by_search(b: int, c: int, n: int, delta: float) -> float:
    """The score with the constrained likelihood maximised by a fine search instead of algebra."""
    low, high = max(0.0, -delta), (1 - delta) / 2
    q = np.linspace(low + 1e-12, high - 1e-12, 400_001)
    rest = np.clip(1 - 2 * q - delta, 1e-300, None)
    likelihood = b * np.log(q + delta) + c * np.log(q) + (n - b - c) * np.log(rest)
    best = q[likelihood.argmax()]
    return float((b - c - n * delta) / math.sqrt(n * (2 * best + delta * (1 - delta))))


@pytest.mark.parametrize(("b", "c", "n"), [(12, 3, 50), (7, 7, 30), (20, 1, 40)])
@pytest.mark.parametrize("delta", [-0.3, -0.05, 0.1, 0.4])
def test_tangos_score_is_that_of_the_constrained_likelihood(
    b: int, c: int, n: int, delta: float
) -> None:
    assert ours.score(b, c, n, delta) == pytest.approx(_score_by_search(b, c, n, delta), abs=1e-3)


def test_tangos_score_at_no_difference_is_mcnemars() -> None:
    assert ours.score(12, 3, 50, 0.0) == pytest.approx((12 - 3) / math.sqrt(12 + 3))


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 20), (20, 0, 20), (0, 20, 20)])
def test_the_interval_does_not_collapse_at_the_ends(b: int, c: int, n: int) -> None:
    got = ours.paired_difference(b, c, n)
    assert got.high - got.low > 0.1
    assert got.low <= got.estimate <= got.high


def test_with_no_differing_item_the_limit_is_z2_over_n_plus_z2() -> None:
    z2 = 1.959963984540054**2
    got = ours.paired_difference(0, 0, 30)
    assert got.high == pytest.approx(z2 / (30 + z2), abs=1e-9)
    assert got.low == pytest.approx(-got.high)


def test_a_mean_without_clusters_has_students_interval() -> None:
    expected = stats.ttest_1samp(EIGHT, 0).confidence_interval()
    got = ours.mean(EIGHT)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high))


def test_the_clustered_error_is_that_of_statsmodels() -> None:
    models: Any = pytest.importorskip("statsmodels.api")  # it has no types
    fitted = models.OLS(EIGHT, np.ones(8)).fit(cov_type="cluster", cov_kwds={"groups": IN_FOURS})
    assert ours.standard_error(EIGHT, IN_FOURS) == pytest.approx(fitted.bse[0])


def test_clusters_of_one_row_change_nothing_and_copies_count_once() -> None:
    alone = np.arange(8)
    assert ours.standard_error(EIGHT, alone) == pytest.approx(ours.standard_error(EIGHT))
    twice, of_two = np.repeat(EIGHT, 2), np.repeat(alone, 2)
    assert ours.standard_error(twice, of_two) == pytest.approx(ours.standard_error(EIGHT))
    rights = np.repeat(np.tile([1.0, 0.0], 300), 3)
    assert ours.effective_rows(rights, np.repeat(np.arange(600), 3)) == pytest.approx(600, rel=0.01)


def test_one_cluster_shows_nothing() -> None:
    got = ours.mean(EIGHT, np.zeros(8, np.int64))
    assert (got.low, got.high) == (-math.inf, math.inf)


def test_clustered_rates_do_not_collapse_where_all_are_right() -> None:
    right, clusters = np.ones(40), np.repeat(np.arange(10), 4)
    got = ours.rate(right, clusters)
    assert got.estimate == 1
    assert got.low < ours.wilson(10, 10).low  # ten clusters, and ten are few
    change = ours.rate_difference(right, np.zeros(40), clusters)
    assert 0 < change.low < ours.paired_difference(10, 0, 10).low


def test_cluster_numbers_are_one_a_key() -> None:
    assert ours.cluster_numbers(["b", "a", "b"]).tolist() == [1, 0, 1]


def test_the_bootstrap_of_a_mean_is_scipys_at_the_level_of_student() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=60)
    wide = math.sqrt(60 / 59) * stats.t.ppf(0.975, 59)
    expected = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=20_000,
        method="percentile",
        confidence_level=1 - 2 * stats.norm.sf(wide),
        rng=np.random.default_rng(2),
    ).confidence_interval
    got = ours.bootstrap(ours.weighted_mean(values), 60, resamples=20_000)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_the_bootstrap_draws_whole_clusters() -> None:
    values, clusters = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0, 0, 0, 1])
    # Of four draws of two clusters one has only zeros, one only the one, two have 1 of 4.
    got = ours.bootstrap(ours.weighted_mean(values), 4, clusters)
    assert (got.estimate, got.low, got.high) == (0.25, 0.0, 1.0)


def test_resamples_without_a_value_are_left_out() -> None:
    def share_of_answered(weights_RN: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return weights_RN[:, 0] / (weights_RN[:, 0] + weights_RN[:, 1])

    got = ours.bootstrap(share_of_answered, 3)
    assert (got.low, got.high) == (0.0, 1.0)


def test_sign_flips_are_those_of_scipys_permutation_test() -> None:
    expected = stats.permutation_test(
        (EIGHT,), np.sum, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert ours.sign_flip(EIGHT) == pytest.approx(expected)


def test_sign_flips_of_clusters_are_those_of_all_patterns() -> None:
    sums = [EIGHT[c == IN_FOURS].sum() for c in range(4)]
    tried = [
        abs(sum(s * x for s, x in zip(signs, sums, strict=True)))
        for signs in itertools.product((-1, 1), repeat=4)
    ]
    expected = np.mean([t >= abs(sum(sums)) - 1e-12 for t in tried])
    assert ours.sign_flip(EIGHT, IN_FOURS) == pytest.approx(expected)


def test_many_sign_flips_are_drawn_and_agree_with_the_t_test() -> None:
    values = np.random.default_rng(0).normal(0.25, 1, 100)
    assert ours.sign_flip(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.01)


def test_holm_is_that_of_statsmodels() -> None:
    tests: Any = pytest.importorskip("statsmodels.stats.multitest")  # it has no types
    given = [0.01, 0.04, 0.03, 0.005, 0.9]
    assert ours.holm(given) == pytest.approx(tests.multipletests(given, method="holm")[1])


def test_power_is_that_of_statsmodels_for_many_rows() -> None:
    power: Any = pytest.importorskip("statsmodels.stats.power")  # it has no types
    expected = power.NormalIndPower(ddof=0).solve_power(0.2, alpha=0.05, power=0.8, ratio=0)
    assert ours.rows_needed(1.0, 0.2) == pytest.approx(expected, abs=1)
    assert ours.detectable(1.0, expected) == pytest.approx(0.2, abs=1e-5)


def test_the_deviation_is_that_of_the_differences() -> None:
    differences = np.repeat([1.0, -1.0, 0.0], [300, 100, 600])
    of_rates = ours.paired_difference(300, 100, 1000)
    assert ours.deviation(of_rates, 1000) == pytest.approx(differences.std(), rel=0.01)
    assert ours.deviation(ours.mean(differences), 1000) == pytest.approx(
        differences.std(), rel=0.01
    )
    assert ours.deviation(ours.paired_difference(0, 0, 20), 20) > 0


def test_the_split_of_variances_finds_both_parts() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2.0, (4000, 1)) + rng.normal(0, 3.0, (4000, 5))
    got = ours.variance_split(scores)
    assert (got.between, got.within) == pytest.approx((4.0, 9.0), rel=0.05)
    means = scores.mean(axis=1)
    assert got.standard_error(4000, 5) == pytest.approx(means.std(ddof=1) / math.sqrt(4000))


# Simulated studies.


def _share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


@pytest.mark.parametrize("truth", [0.2, 0.5, 0.8])
def test_wilsons_interval_covers_95_percent(truth: float) -> None:
    draws = np.random.default_rng(0).binomial(100, truth, NUM_STUDIES)
    got = [ours.wilson(int(k), 100) for k in draws]
    assert 0.93 <= _share([i.low <= truth <= i.high for i in got]) <= 0.97


# The new and the old rate of each lie within 0.2 and 0.8.
@pytest.mark.parametrize("cells", [(0.3, 0.1), (0.15, 0.15), (0.5, 0.02), (0.05, 0.02)])
def test_tangos_interval_covers_95_percent(cells: tuple[float, float]) -> None:
    b, c = cells
    draws = np.random.default_rng(0).multinomial(100, [b, c, 1 - b - c], size=NUM_STUDIES)
    got = [ours.paired_difference(int(x), int(y), 100) for x, y, _ in draws]
    assert 0.93 <= _share([i.low <= b - c <= i.high for i in got]) <= 0.97


def _clustered(rng: np.random.Generator, rates: float, size: int) -> Any:
    """Rights of 100 clusters whose own rates vary about ``rates``: [studies, 100 * size]."""
    own = rng.beta(4 * rates, 4 * (1 - rates), (NUM_STUDIES, 100))
    return (
        (rng.random((NUM_STUDIES, 100, size)) < own[..., None])
        .astype(float)
        .reshape(NUM_STUDIES, -1)
    )


@pytest.mark.parametrize("truth", [0.2, 0.5])
def test_clustered_rates_cover_95_percent_and_unclustered_ones_would_not(truth: float) -> None:
    clusters = np.repeat(np.arange(100), 6)
    studies = _clustered(np.random.default_rng(0), truth, 6)
    got = [ours.rate(study, clusters) for study in studies]
    naive = [ours.rate(study) for study in studies]
    assert 0.93 <= _share([i.low <= truth <= i.high for i in got]) <= 0.97
    assert _share([i.low <= truth <= i.high for i in naive]) < 0.9


def test_clustered_differences_of_rates_cover_95_percent() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(100), 3)
    new, old = _clustered(rng, 0.7, 3), _clustered(rng, 0.5, 3)
    got = [ours.rate_difference(n, o, clusters) for n, o in zip(new, old, strict=True)]
    assert 0.93 <= _share([i.low <= 0.2 <= i.high for i in got]) <= 0.97


@pytest.mark.parametrize("clustered", [False, True])
def test_means_of_skewed_scores_cover_95_percent(clustered: bool) -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(100), 2) if clustered else None
    shared = rng.gamma(2.0, size=(NUM_STUDIES, 100))
    studies = np.repeat(shared, 2, axis=1) if clustered else shared
    got = [ours.mean(study, clusters) for study in studies]
    assert 0.93 <= _share([i.low <= 2.0 <= i.high for i in got]) <= 0.97


def test_the_paired_bootstrap_covers_95_percent() -> None:
    rng = np.random.default_rng(0)
    hard = rng.beta(2, 2, (NUM_STUDIES, 100))
    new = np.clip(hard + rng.normal(0.1, 0.1, hard.shape), -1, 2)
    got = [
        ours.bootstrap(ours.weighted_mean(n - o), 100, resamples=200, seed=i)
        for i, (n, o) in enumerate(zip(new, hard, strict=True))
    ]
    assert 0.93 <= _share([i.low <= 0.1 <= i.high for i in got]) <= 0.97


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("n", [20, 100, 400])
def test_a_gate_raises_a_false_alarm_in_at_most_5_percent_of_studies(rate: float, n: int) -> None:
    rng = np.random.default_rng(0)
    old = rng.random((NUM_STUDIES, n)) < rate
    same = rng.random((NUM_STUDIES, n)) < rate
    worse = rng.random((NUM_STUDIES, n)) < rate - 0.1
    better = [ours.superior(_change(a, b)) for a, b in zip(same, old, strict=True)]
    kept = [ours.non_inferior(_change(a, b), 0.1) for a, b in zip(worse, old, strict=True)]
    assert _share([v == "pass" for v in better]) <= 0.05
    assert _share([v == "fail" for v in better]) <= 0.05
    assert _share([v == "pass" for v in kept]) <= 0.05


def _change(new: Any, old: Any) -> Interval:
    return ours.paired_difference(int((new & ~old).sum()), int((old & ~new).sum()), len(new))


def test_mcnemar_and_sign_flips_raise_false_alarms_in_at_most_5_percent_of_studies() -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(100, [0.15, 0.15, 0.7], size=NUM_STUDIES)
    assert _share([ours.mcnemar(int(b), int(c)) < 0.05 for b, c, _ in counts]) <= 0.05
    studies = rng.laplace(size=(NUM_STUDIES, 40))
    alarms = [ours.sign_flip(s, patterns=400, seed=i) < 0.05 for i, s in enumerate(studies)]
    assert 0.03 <= _share(alarms) <= 0.06


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(0.0, -0.04, 0.04), "pass"),
        (Interval(-0.2, -0.3, -0.1), "fail"),
        (Interval(0.0, -0.1, 0.1), "inconclusive"),
    ],
)
def test_non_inferiority_has_three_answers(interval: Interval, verdict: str) -> None:
    assert ours.non_inferior(interval, 0.05) == verdict


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(0.2, 0.1, 0.3), "pass"),
        (Interval(-0.2, -0.3, -0.1), "fail"),
        (Interval(0.2, -0.1, 0.5), "inconclusive"),
    ],
)
def test_superiority_has_three_answers(interval: Interval, verdict: str) -> None:
    assert ours.superior(interval) == verdict


@pytest.mark.parametrize("weights", [np.ones(8), np.array([0.0, 2, 1, 1, 3, 0, 1, 1])])
def test_kappa_is_that_of_statsmodels(weights: Any) -> None:
    raters: Any = pytest.importorskip("statsmodels.stats.inter_rater")
    one = np.array([1.0, 1, 0, 0, 2, 1, 0, 1])
    other = np.array([1.0, 0, 0, 1, 2, 1, 0, 2])
    table = np.zeros((3, 3))
    for a, b, weight in zip(one, other, weights, strict=True):
        table[int(a), int(b)] += weight
    expected = raters.cohens_kappa(table).kappa
    assert ours.kappa(one, other, weights[None, :])[0] == pytest.approx(expected)


def test_kappa_of_one_answer_alone_is_not_defined() -> None:
    assert math.isnan(ours.kappa(np.ones(5), np.ones(5), np.ones((1, 5)))[0])


def test_prediction_powered_means_are_those_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    predicted, labels = rng.random(50), np.full(50, np.nan)
    labels[:20] = predicted[:20] + rng.normal(0, 0.1, 20)
    rest, known = predicted[20:], predicted[:20]
    covariance = ((labels[:20] - labels[:20].mean()) * (known - known.mean())).sum() / 19
    weight = covariance / predicted.var() / (1 + 20 / 30)
    expected = weight * rest.mean() + (labels[:20] - weight * known).mean()
    got = ours.prediction_powered(predicted, labels)
    assert got.estimate == pytest.approx(expected)
    variance = weight**2 * rest.var() / 30 + (labels[:20] - weight * known).var() / 20 + 2 / 20**2
    half = stats.t.ppf(0.975, 19) * math.sqrt(variance)
    assert got.high - got.estimate == pytest.approx(half)


def test_where_all_are_labelled_the_labels_alone_count() -> None:
    labels = np.array([1.0, 0.0, 1.0, 1.0])
    assert ours.prediction_powered(np.zeros(4), labels).estimate == 0.75


def test_copies_of_labelled_rows_say_no_more() -> None:
    rng = np.random.default_rng(0)
    predicted, labels = rng.random(40), np.full(40, np.nan)
    labels[:20] = rng.random(20)
    rows = np.arange(40)
    alone = ours.prediction_powered(predicted, labels, rows)
    twice = ours.prediction_powered(np.repeat(predicted, 2), np.repeat(labels, 2), rows.repeat(2))
    assert twice.high - twice.estimate == pytest.approx(alone.high - alone.estimate, rel=0.02)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
@pytest.mark.parametrize(("labelled", "accuracy"), [(100, 0.6), (100, 0.9), (300, 0.75)])
def test_prediction_powered_intervals_cover(rate: float, labelled: int, accuracy: float) -> None:
    rng = np.random.default_rng(int(10 * rate) + labelled)
    covered = 0
    for _ in range(NUM_STUDIES):
        truth = (rng.random(labelled + 400) < rate).astype(float)
        predicted = np.where(rng.random(len(truth)) < accuracy, truth, 1 - truth)
        labels = np.where(np.arange(len(truth)) < labelled, truth, np.nan)
        got = ours.prediction_powered(predicted, labels)
        covered += got.low <= rate <= got.high
    assert 0.93 <= covered / NUM_STUDIES <= 0.97


def test_prediction_powered_intervals_are_narrower_than_the_labels_own() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random(1000) < 0.5).astype(float)
    predicted = np.where(rng.random(1000) < 0.9, truth, 1 - truth)
    labels = np.where(np.arange(1000) < 100, truth, np.nan)
    got, alone = ours.prediction_powered(predicted, labels), ours.mean(truth[:100])
    assert got.high - got.low < 0.75 * (alone.high - alone.low)
