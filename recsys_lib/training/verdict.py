"""Did it learn, or learn by heart? In words."""

from __future__ import annotations

import math

import pandas as pd


def overfit_verdict(history: pd.DataFrame, monitor: str, *, fit: float, validation: float) -> str:
    """Two or three sentences for the end of a training.

    Args:
        history: a row an epoch with `epoch`, `loss` and, where evaluated, the column `monitor`.
        fit: the metric on a probe of training rows, asked as validation is (fit_recall).
        validation: the metric of the best epoch on validation.
    """
    evaluated = history.dropna(subset=[monitor])
    best = evaluated.loc[evaluated[monitor].idxmax()]
    last = evaluated.iloc[-1]
    ratio = fit / validation if validation > 0 else math.inf
    remembers = (
        f"On rows it was trained on, the best epoch's {monitor} is {fit:.4f}; on validation {validation:.4f}"
        + (f" ({ratio:.1f} times)." if math.isfinite(ratio) else ".")
    )
    fell = 1 - last[monitor] / best[monitor] if best[monitor] > 0 else 0.0
    loss_fell = last["loss"] < best["loss"]
    if fell > 0.02 and loss_fell:
        return (
            f"Overfitting after epoch {best['epoch']:.0f}: the training loss went on from {best['loss']:.4f} to {last['loss']:.4f} "
            f"while {monitor} on validation fell by {fell:.0%}. The weights of epoch {best['epoch']:.0f} are kept. {remembers}"
        )
    if best["epoch"] == history["epoch"].iloc[-1]:
        return f"Not finished: the last epoch was the best; more epochs may help. {remembers}"
    if ratio < 1.2:
        return f"No overfitting: it does no better on what it was shown. {remembers} A larger model or more epochs may help."
    return f"Levelled off at epoch {best['epoch']:.0f}, without a fall after it. {remembers}"
