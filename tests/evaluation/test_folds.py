import numpy as np
import pytest

from recsys_lib.data.splits import k_fold
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.evaluation.folds import FoldReport
from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


def report_of(split, catalogue, ks=(5,)):
    model = build_model("popularity", catalogue, seed=0)
    Trainer(train_config("popularity", device="cpu")).repeat(model, split.train, [])
    return Evaluator(split.test, seen=split.known_before_test, ks=ks).evaluate(model)


def test_mean_and_deviation_over_folds_in_one_table(market_log, market_catalogue):
    reports = [report_of(split, market_catalogue) for split in k_fold(market_log, 3, validation=0.2, seed=0)]
    folds = FoldReport(reports)
    values = [report.mean("recall@5") for report in reports]
    mean = (values[0] + values[1] + values[2]) / 3
    deviation = np.sqrt(sum((value - mean) ** 2 for value in values) / (3 - 1))
    row = folds.table().loc["recall@5"]
    assert row.tolist() == pytest.approx([mean, deviation, *values])
    assert list(folds.table().columns) == ["mean", "deviation", "fold 1", "fold 2", "fold 3"]
    assert "coverage@5" in folds.table().index
    with pytest.raises(KeyError, match="no metric 'recall@7'"):
        folds.mean("recall@7")


def test_one_report_and_reports_of_different_metrics_are_refused(market_log, market_catalogue):
    one, two = k_fold(market_log, 2, validation=0.2, seed=0)
    with pytest.raises(ValueError, match="two or more reports; got 1"):
        FoldReport([report_of(one, market_catalogue)])
    with pytest.raises(ValueError, match="different metrics"):
        FoldReport([report_of(one, market_catalogue), report_of(two, market_catalogue, ks=(5, 10))])
