"""Several reports of one protocol in one: the folds of a cross-validation, or the seeds of a repeated experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys_lib.evaluation.evaluator import Report


@dataclass(frozen=True, eq=False)
class FoldReport:
    """Mean and deviation over folds.

    The deviation is the sample's standard deviation (n - 1) over the folds' means: how much a figure moves when other
    rows are held out. The folds share most of their training rows, so it is not a standard error of the mean.

    Attributes:
        reports: one a fold, in order.
    Raises:
        ValueError: fewer than two reports, or they do not measure the same.
    """

    reports: Sequence[Report]

    def __post_init__(self) -> None:
        if len(self.reports) < 2:
            raise ValueError(f"a FoldReport needs two or more reports; got {len(self.reports)}")
        for what, of in (
            ("metrics", lambda report: sorted([*report.values, *report.whole])),
            ("kinds", lambda report: report.kind),
        ):
            distinct = {str(of(report)) for report in self.reports}
            if len(distinct) > 1:
                raise ValueError(f"the reports have different {what}, so they have no common mean: {' / '.join(sorted(distinct))}")

    def mean(self, metric: str) -> float:
        """The mean over folds. Raises: KeyError listing the metrics there are."""
        return float(self._column(metric).mean())

    def deviation(self, metric: str) -> float:
        """The standard deviation over folds (n - 1)."""
        return float(self._column(metric).std(ddof=1))

    def table(self) -> pd.DataFrame:
        """Index `metric`; columns `mean`, `deviation`, then `fold 1`, `fold 2`, ..."""
        rows = {
            metric: {"mean": self.mean(metric), "deviation": self.deviation(metric)}
            | {f"fold {number}": value for number, value in enumerate(self._column(metric), start=1)}
            for metric in [*self.reports[0].values, *self.reports[0].whole]
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")

    def _column(self, metric: str) -> np.ndarray:
        return np.array([report.mean(metric) for report in self.reports])
