"""The two figures that judge features, on the sample, whose relations are documented, and on MovieLens 1M."""

from pathlib import Path

import pytest

from recsys_lib.datasets import read_dataset
from recsys_lib.datasets.sample import SampleConfig, write_sample
from recsys_lib.eda.statistics.association import associations
from recsys_lib.eda.statistics.information import information

pytestmark = pytest.mark.slow
REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"  # beside the repository; not part of it

# recsys_lib/datasets/sample.py, "What the published features know". Trade, seniority and the time of activity are what
# decides; degree and job group go with what a posting asks for, and the university with the degree.
OF_TRADE_USER, OF_TRADE_ITEM = (
    {"resume_keyword", "certificates"},
    {"check_box_keyword", "supply_kind", "company_type_seq", "employee"},
)
OF_LEVEL_USER = {"career_month", "hope_salary", "last_salary", "graduate_year", "career_job_code"}
OF_TIME = {"updated_date", "updated_month", "reg_date"}
OF_DEGREE = {"degree", "job_codes", "univ_type_seq1", "univ_type_seq2", "univ_location", "univ_major_type"}
ASKED_FOR = {"education", "qualifications", "major_task", "addresses"}


def is_planted(user: str, item: str) -> bool:
    return (
        (user in OF_TRADE_USER and item in OF_TRADE_ITEM)
        or (user in OF_LEVEL_USER and item == "recruitment_keyword")
        or (user in OF_DEGREE and item in ASKED_FOR)
    )


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return read_dataset(write_sample(tmp_path_factory.mktemp("sample") / "csv", SampleConfig()))


def test_the_planted_pairs_stand_above_all_others_and_no_noise_above_chance(sample):
    table = associations(sample.interactions, sample.all_user_features, sample.all_item_features, seed=7)
    planted = [is_planted(row.user_feature, row.item_feature) for row in table.itertuples()]
    above = int(table["above_chance"].sum())
    assert above >= 15 and all(planted[:above]), table[: above + 5]
    clear = {(row.user_feature, row.item_feature) for row in table.head(8).itertuples()}
    assert clear >= {
        ("resume_keyword", "check_box_keyword"), ("resume_keyword", "supply_kind"), ("career_month", "recruitment_keyword"),
        ("hope_salary", "recruitment_keyword"), ("last_salary", "recruitment_keyword"), ("degree", "education"), ("job_codes", "education"),
    }  # fmt: skip


def test_the_documented_features_tell_most_in_their_order_and_no_noise_tells_anything(sample):
    table = information(sample.interactions, sample.all_user_features, sample.all_item_features, seed=7)
    order = list(table["feature"])
    assert order[:3] == ["check_box_keyword", "resume_keyword", "supply_kind"]  # informative, then fair
    known = OF_TRADE_USER | OF_TRADE_ITEM | OF_LEVEL_USER | OF_TIME | {"recruitment_keyword"}
    telling = table[table["tells"]]
    assert set(telling["feature"]) <= known and len(telling) >= 10
    assert {"updated_date", "updated_month", "career_month", "recruitment_keyword"} <= set(telling["feature"])
    assert set(order[: len(telling)]) == set(telling["feature"]), "nothing that tells stands behind noise"
    noise = table[~table["feature"].isin(known | OF_DEGREE | ASKED_FOR)]
    assert len(noise) >= 12 and (noise["bits"] <= noise["chance"]).all(), noise


def test_on_movielens_gender_age_and_genres_stand_above_the_zip_code():
    if not (REAL / "ml-1m" / "ratings.dat.gz").is_file():
        pytest.skip("MovieLens 1M is not there")
    dataset = read_dataset(REAL / "ml-1m")
    features = dataset.all_user_features, dataset.all_item_features
    bits = information(dataset.interactions, *features, seed=7).set_index("feature")["bits"]
    assert bits["genres"] > bits["year"] > bits["age"] > bits["gender"] > bits["occupation"] > 5 * bits["zip_code"]
    table = associations(dataset.interactions, *features, seed=7)
    beyond = (table["value"] - table["chance"]).groupby(table["user_feature"]).max()
    assert min(beyond["age"], beyond["gender"], beyond["occupation"]) > 50 * abs(beyond["zip_code"])
