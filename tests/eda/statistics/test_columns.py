import numpy as np
import pandas as pd
import pytest

from recsys_lib.eda.statistics.columns import column_quality

N = 200


@pytest.fixture(scope="module")
def quality() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    salary = np.where(rng.random(N) < 0.4, 0.0, 1900 + 100 * rng.integers(0, 30, N))
    far = rng.normal(100, 5, N)
    far[:3] = 1e6
    table = pd.DataFrame(
        {
            "id": [f"U{n}" for n in range(N)],
            "career_start": np.zeros(N, dtype=int),
            "major": [None] * (N - 10) + ["x"] * 10,
            "address": ["3"] * (N - 4) + ["5"] * 4,
            "hope_salary": salary,
            "career_month": np.where(rng.random(N) < 0.3, 0, rng.integers(1, 300, N)),
            "qualifications": rng.integers(0, 3, N),
            "employee": far,
            "nothing": [None] * N,
        }
    )
    return column_quality({"resume": table}).set_index("column")


@pytest.mark.parametrize(
    "column, finding",
    [
        ("id", ""),
        ("career_start", "constant"),
        ("major", "mostly missing"),
        ("nothing", "mostly missing"),
        ("address", "nearly constant"),
        ("hope_salary", "zero means missing?"),
        ("career_month", ""),  # zeros, but one month is near
        ("qualifications", ""),  # three codes, of which 0 is one
        ("employee", "far values"),
    ],
)
def test_findings(quality, column, finding):
    assert quality.loc[column, "finding"] == finding


def test_shares(quality):
    assert quality.loc["major", "missing"] == (N - 10) / N and quality.loc["major", "top_share"] == 1
    assert quality.loc["address", "top_share"] == (N - 4) / N
    assert 0.3 < quality.loc["hope_salary", "zero_apart"] < 0.5 and quality.loc["hope_salary", "top_share"] < 0.2
    assert quality.loc["employee", "far"] == 3 / N
    assert quality.loc["id", "distinct"] == N and quality.loc["nothing", "distinct"] == 0
    assert (quality["rows"] == N).all()
