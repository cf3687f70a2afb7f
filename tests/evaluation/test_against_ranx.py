"""The metrics against an independent library, on the same lists, to nine digits."""

import numpy as np
import pytest
import torch

from recsys_lib.evaluation.metrics import METRICS

ranx = pytest.importorskip("ranx", reason="in the test section of requirements.txt")

N_USERS, N_ITEMS, LENGTH = 300, 120, 40


@pytest.fixture(scope="module")
def lists():
    """Random lists and held-out sets of 1 to 25 items; (hits, n_held_out), and the same as qrels and run."""
    rng = np.random.default_rng(0)
    ranked = np.stack([rng.permutation(N_ITEMS)[:LENGTH] for _ in range(N_USERS)])
    held = [rng.choice(N_ITEMS, rng.integers(1, 26), replace=False) for _ in range(N_USERS)]
    hits = torch.from_numpy(np.stack([np.isin(row, answer) for row, answer in zip(ranked, held)]))
    qrels = ranx.Qrels({f"u{user:03d}": {f"i{item}": 1 for item in answer} for user, answer in enumerate(held)})
    run = ranx.Run(
        {f"u{user:03d}": {f"i{item}": float(LENGTH - rank) for rank, item in enumerate(row)} for user, row in enumerate(ranked)}
    )
    return hits, torch.tensor([len(answer) for answer in held]), qrels, run


def theirs(lists, name):
    return np.asarray(ranx.evaluate(lists[2], lists[3], name, return_mean=False))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("k", [1, 5, 10, 40])
@pytest.mark.parametrize("name", ["recall", "hit_rate", "ndcg", "mrr"])
def test_equal_where_the_definitions_agree(lists, name, k):
    ours = METRICS[name](lists[0], lists[1], k).numpy()
    assert ours == pytest.approx(theirs(lists, f"{name}@{k}"), rel=1e-9, abs=1e-12)
    assert 0 < ours.mean() < 1 or (name, k) == ("hit_rate", 40)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("k", [5, 10])
def test_where_they_differ_the_factor_is_the_one_the_docstring_names(lists, k):
    n = lists[1].numpy()
    ours = METRICS["map"](lists[0], lists[1], k).numpy()
    assert ours * np.minimum(k, n) / n == pytest.approx(theirs(lists, f"map@{k}"), rel=1e-9, abs=1e-12)
    truncated = METRICS["truncated_recall"](lists[0], lists[1], k).numpy()
    assert truncated * np.minimum(k, n) / n == pytest.approx(theirs(lists, f"recall@{k}"), rel=1e-9, abs=1e-12)
