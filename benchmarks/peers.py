"""The dot-product evaluation by RecTools and implicit, in an environment of their own: python peers.py FILE.npz REPEATS

They want NumPy 1, the library NumPy 2; so speed.py makes them an environment and starts this file with its Python. It
imports nothing of ours. Prints a line of JSON: seconds (medians), hits at each k, and the versions.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import pandas as pd
import scipy.sparse as sp

KS = (5, 10, 20)


def rectools(
    user_factors: np.ndarray, item_factors: np.ndarray, users: np.ndarray, seen: sp.csr_matrix, held_out: pd.DataFrame
) -> Callable[[], dict[int, float]]:
    """TorchRanker and calc_metrics."""
    from rectools import Columns
    from rectools.metrics import Recall, calc_metrics
    from rectools.models.rank.rank_torch import Distance, TorchRanker

    filtered = seen[users]
    frame = held_out.rename(columns={"user": Columns.User, "item": Columns.Item})

    def run() -> dict[int, float]:
        ranker = TorchRanker(Distance.DOT, "cpu", user_factors, item_factors)
        ids, items, _ = ranker.rank(users, k=max(KS), filter_pairs_csr=filtered)
        ranks = np.arange(len(ids)) - np.searchsorted(ids, ids) + 1  # users come in rising order
        lists = pd.DataFrame({Columns.User: ids, Columns.Item: items, Columns.Rank: ranks})
        return calc_metrics({k: Recall(k) for k in KS}, lists, frame)

    return run


def implicit(
    user_factors: np.ndarray, item_factors: np.ndarray, users: np.ndarray, seen: sp.csr_matrix, held_out: pd.DataFrame
) -> Callable[[], dict[int, float]]:
    """recommend of a matrix factorisation with these factors, and recall with NumPy (its own metrics take one k a run)."""
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=user_factors.shape[1], num_threads=0)
    model.user_factors, model.item_factors = user_factors, item_factors
    n_items, filtered = len(item_factors), seen[users]
    keys = np.sort(held_out["user"].to_numpy() * n_items + held_out["item"].to_numpy())
    each = np.bincount(held_out["user"], minlength=seen.shape[0])[users]

    def run() -> dict[int, float]:
        items, _ = model.recommend(users, filtered, N=max(KS), filter_already_liked_items=True)
        asked = users[:, None] * n_items + items
        hits = keys[np.minimum(np.searchsorted(keys, asked), len(keys) - 1)] == asked
        return {k: float((hits[:, :k].sum(1) / each).mean()) for k in KS}

    return run


def main(path: str, repeats: str) -> None:
    arrays = np.load(path)
    shape = (len(arrays["user_factors"]), len(arrays["item_factors"]))
    seen = sp.csr_matrix((np.ones(len(arrays["seen_users"]), np.float32), (arrays["seen_users"], arrays["seen_items"])), shape)
    held_out = pd.DataFrame({"user": arrays["test_users"].astype(np.int64), "item": arrays["test_items"].astype(np.int64)})
    held_out = held_out.sort_values("user", kind="stable")
    users = np.unique(held_out["user"].to_numpy())
    ways = {
        name: make(arrays["user_factors"], arrays["item_factors"], users, seen, held_out)
        for name, make in (("rectools", rectools), ("implicit", implicit))
        if name in arrays["names"].tolist()
    }
    recall = {name: run() for name, run in ways.items()}  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(int(repeats)):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    print(
        json.dumps(
            {
                "seconds": {name: statistics.median(values) for name, values in seconds.items()},
                "recall": {name: [values[k] for k in KS] for name, values in recall.items()},
                "versions": {name: version(name) for name in ("rectools", "implicit", "numpy", "torch")},
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
