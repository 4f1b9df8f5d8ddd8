"""Statistics of evaluations, in numpy: estimates, intervals, tests, power. Know no models."""

from __future__ import annotations

from customize.evaluation.statistics.agreement import kappa as kappa
from customize.evaluation.statistics.bootstrap import Statistic as Statistic
from customize.evaluation.statistics.bootstrap import bootstrap as bootstrap
from customize.evaluation.statistics.bootstrap import weighted_mean as weighted_mean
from customize.evaluation.statistics.clusters import cluster_numbers as cluster_numbers
from customize.evaluation.statistics.clusters import effective_rows as effective_rows
from customize.evaluation.statistics.clusters import mean as mean
from customize.evaluation.statistics.clusters import rate as rate
from customize.evaluation.statistics.clusters import rate_difference as rate_difference
from customize.evaluation.statistics.clusters import standard_error as standard_error
from customize.evaluation.statistics.intervals import Interval as Interval
from customize.evaluation.statistics.intervals import t_quantile as t_quantile
from customize.evaluation.statistics.power import detectable as detectable
from customize.evaluation.statistics.power import deviation as deviation
from customize.evaluation.statistics.power import rows_needed as rows_needed
from customize.evaluation.statistics.prediction_powered import (
    prediction_powered as prediction_powered,
)
from customize.evaluation.statistics.rates import paired_difference as paired_difference
from customize.evaluation.statistics.rates import rule_of_three as rule_of_three
from customize.evaluation.statistics.rates import score as score
from customize.evaluation.statistics.rates import wilson as wilson
from customize.evaluation.statistics.samples import VarianceSplit as VarianceSplit
from customize.evaluation.statistics.samples import variance_split as variance_split
from customize.evaluation.statistics.significance import holm as holm
from customize.evaluation.statistics.significance import mcnemar as mcnemar
from customize.evaluation.statistics.significance import sign_flip as sign_flip
from customize.evaluation.statistics.verdicts import Verdict as Verdict
from customize.evaluation.statistics.verdicts import non_inferior as non_inferior
from customize.evaluation.statistics.verdicts import superior as superior
