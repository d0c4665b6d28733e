"""How well scores rank, and how surely: AUC, AUPRC, calibration, and intervals for one AUC or the difference of two.

Arrays in, numbers out. Every metric of a task is a mean over its *events*, each a column of probabilities against
a column of outcomes: the positive class (binary), "grade at least ``positive``" (graded), every class against the
rest (multiclass), every label (multilabel). An event with one outcome only has no AUC: it is NaN, left out of
means, and counted.
"""

from transfusion.metrics.bootstrap import auc_interval, bootstrap_auc
from transfusion.metrics.calibration import Reliability, reliability
from transfusion.metrics.delong import delong, delong_test
from transfusion.metrics.evaluation import evaluate, events, is_constant
from transfusion.metrics.influence import Influence, influence, weighted
from transfusion.metrics.interval import Interval
from transfusion.metrics.operating import Roc, confusion, rate_interval, rates, roc, threshold_at
from transfusion.metrics.readers import Evidence, contrast, evidence, shared_covariance
from transfusion.metrics.registry import AUC, METRICS, Metric, judging, metric_of

__all__ = [
    "AUC",
    "METRICS",
    "Evidence",
    "Influence",
    "Interval",
    "Metric",
    "Reliability",
    "Roc",
    "auc_interval",
    "bootstrap_auc",
    "confusion",
    "contrast",
    "delong",
    "delong_test",
    "evaluate",
    "events",
    "evidence",
    "influence",
    "is_constant",
    "judging",
    "metric_of",
    "rate_interval",
    "rates",
    "reliability",
    "roc",
    "shared_covariance",
    "threshold_at",
    "weighted",
]
