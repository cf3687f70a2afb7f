"""The synthetic job-posting sample: its schema, its published marginals, and how recommenders rank on it."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from recsys_lib.datasets import sample as sample_module
from recsys_lib.datasets.sample import BANNER, Sample, SampleConfig, generate_sample, sample_fingerprint, write_sample

SMALL = SampleConfig(n_resumes=300, n_postings=200, n_applications=2_000)
STEMS = ["apply_train", "resume", "resume_certificate", "resume_education", "resume_language", "recruitment",
         "company", "sample_submission"]  # fmt: skip


@pytest.fixture(scope="module")
def full() -> Sample:
    return generate_sample()


@pytest.fixture(scope="module")
def applications(full: Sample) -> pd.DataFrame:
    """apply_train with both sides' columns; the missing address read as the commonest code, as the source did."""
    resumes = full.tables["resume"][["resume_seq", "degree", "job_code_seq1"]]
    postings = full.tables["recruitment"].assign(address=full.tables["recruitment"]["address_seq1"].fillna(3).astype(int))
    return full.tables["apply_train"].merge(resumes, on="resume_seq").merge(postings, on="recruitment_seq")


@pytest.fixture(scope="module")
def cold() -> tuple[SampleConfig, Sample]:
    config = SampleConfig(
        n_resumes=1_000, n_postings=800, n_applications=6_000, cold_posting_share=0.1, cold_resume_share=0.2
    )
    return config, generate_sample(config)


def files_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ---- schema ----------------------------------------------------------------------------------------------------------


def test_tables_have_the_contests_columns_and_sizes(full):
    tables = full.tables
    assert list(tables) == STEMS
    assert {stem: list(tables[stem].columns) for stem in STEMS} == {
        "apply_train": ["resume_seq", "recruitment_seq"],
        "resume": [
            "resume_seq", "reg_date", "updated_date", "degree", "graduate_date", "hope_salary", "last_salary",
            "text_keyword", "job_code_seq1", "job_code_seq2", "job_code_seq3", "career_month", "career_job_code",
        ],
        "resume_certificate": ["resume_seq", "certificate_contents"],
        "resume_education": [
            "resume_seq", "hischool_type_seq", "hischool_special_type", "hischool_nation", "hischool_gender",
            "hischool_location_seq", "univ_type_seq1", "univ_type_seq2", "univ_transfer", "univ_location",
            "univ_major", "univ_sub_major", "univ_major_type", "univ_score",
        ],
        "resume_language": ["resume_seq", "language", "exam_name", "score"],
        "recruitment": [
            "recruitment_seq", "address_seq1", "address_seq2", "address_seq3", "career_end", "career_start",
            "check_box_keyword", "education", "major_task", "qualifications", "text_keyword",
        ],
        "company": ["recruitment_seq", "company_type_seq", "supply_kind", "employee"],
        "sample_submission": ["resume_seq", "recruitment_seq"],
    }  # fmt: skip
    assert {stem: len(tables[stem]) for stem in STEMS if stem not in ("resume_language", "company")} == {
        "apply_train": 57_946,
        "resume": 8_482,
        "resume_certificate": 12_975,
        "resume_education": 8_482,
        "recruitment": 6_695,
        "sample_submission": 8_482 * 5,
    }
    assert 900 <= len(tables["resume_language"]) <= 1_100
    assert 0.5 * 6_695 < len(tables["company"]) < 6_695


def test_keys_hold_together(full):
    tables = full.tables
    resumes, postings = tables["resume"]["resume_seq"], tables["recruitment"]["recruitment_seq"]
    assert list(resumes) == [f"U{i:05d}" for i in range(1, 8_483)]
    assert list(postings) == [f"R{i:05d}" for i in range(1, 6_696)]
    for stem, table in [*tables.items(), ("answers", full.answers)]:
        for key, known in (("resume_seq", resumes), ("recruitment_seq", postings)):
            if key in table:
                assert table[key].isin(known).all(), f"{stem}.{key} names a row that does not exist"
    for stem, key in (("resume_education", "resume_seq"), ("company", "recruitment_seq")):
        assert not tables[stem][key].duplicated().any()


def test_values_have_the_published_form(full):
    resume, recruitment = full.tables["resume"], full.tables["recruitment"]
    certificate, language = full.tables["resume_certificate"], full.tables["resume_language"]
    for column in ("reg_date", "updated_date"):
        assert resume[column].str.fullmatch(r"20[12]\d-[01]\d-[0-3]\d").all()
    assert (resume["reg_date"] <= resume["updated_date"]).all()
    assert resume["updated_date"].min() >= "2020-01-01"
    assert resume["updated_date"].max() <= "2020-09-30"
    assert resume["updated_date"].value_counts().max() < 0.015 * 8_482, "274 days: no day holds a heap of them"
    assert resume[["hope_salary", "last_salary"]].dtypes.eq(float).all()
    wanted = resume.loc[resume["hope_salary"] > 0, "hope_salary"]
    assert wanted.mean() == pytest.approx(3_362.66, rel=0.05)
    assert (resume["hope_salary"] == 0).mean() == pytest.approx(0.4, rel=0.1)
    assert (resume["graduate_date"] == 0).any()
    n_tokens = resume["text_keyword"].dropna().str.count(";") + 1
    assert (n_tokens.min(), n_tokens.max()) == (1, 8)
    assert 0 < resume["text_keyword"].isna().mean() < 0.1
    assert resume["job_code_seq2"].isna().mean() > 0.7
    assert (resume["job_code_seq3"].isna() | resume["job_code_seq2"].notna()).all()

    assert recruitment["address_seq1"].dtype == float
    assert recruitment["address_seq1"].isna().sum() == 1
    assert recruitment["check_box_keyword"].str.fullmatch(r"(2[12578]\d\d)(;2[12578]\d\d){2,3}").all()
    assert recruitment["text_keyword"].isna().mean() > 0.8
    assert (recruitment[["career_start", "career_end"]] == 0).all(axis=None)

    assert set(language["language"]) == {2, 3, 4, 8, 9}
    assert language["language"].mode().item() == 2
    assert language["score"].between(0, 1_000).all()
    usual = language.loc[language["exam_name"] == 4, "score"]
    raw = (usual * 990 / 1_000 / 5).round() * 5
    assert ((raw / 990 * 1_000).round(2) == usual).all(), "exam 4 is a 990-point exam in steps of 5, rescaled"
    assert not language.duplicated(["resume_seq", "language"]).any()

    per_resume = np.bincount(certificate["resume_seq"].value_counts().to_numpy(), minlength=11)
    assert per_resume[1:5] == pytest.approx(np.array([2_612, 1_503, 935, 508]), rel=0.03)
    assert len(per_resume) == 11
    assert 0 < certificate["certificate_contents"].isna().sum() < 50
    no_space = certificate["certificate_contents"].dropna().str.replace(" ", "")
    assert no_space.nunique() < certificate["certificate_contents"].nunique(), "spelling variants differ by spaces"


# ---- marginals and dependences ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "column", "rows", "of_applications"),
    [
        ("resume", "degree", {4: 7_453, 3: 463, 5: 349, 2: 211, 6: 6}, {4: 50_468, 3: 3_537, 5: 2_202, 2: 1_688, 6: 51}),
        (
            "resume",
            "job_code_seq1",
            {"재료·화학·섬유·의복": 7_288},
            {
                "재료·화학·섬유·의복": 51_114, "디자인": 3_343, "경영·기획·회계·사무": 2_587, "영업·판매·TM": 860,
                "건설·기계·전기·전자": 21, "전문·교육·자격": 11, "문화·예술·신문·방송": 5, "IT·게임": 3, "기타 직종": 2,
            },
        ),
        ("recruitment", "education", {3: 2_862, 4: 2_188, 2: 1_644, 6: 1}, {3: 24_104, 4: 19_119, 2: 14_712, 6: 11}),
        ("recruitment", "qualifications", {1: 4_492, 2: 2_164, 0: 39}, {1: 37_811, 2: 19_724, 0: 411}),
        ("recruitment", "major_task", {}, {2: 54_954, 8: 1_906, 7: 797, 1: 248, 9: 21, 10: 15, 6: 5}),
        ("recruitment", "address_seq1", {3: 6_490}, {}),
        ("recruitment", "address", {}, {3: 56_276, 5: 1_475, 20: 115, 11: 29, 1: 27, 9: 10, 13: 8, 2: 6}),
    ],
)  # fmt: skip
def test_marginals_are_the_published_ones(full, applications, table, column, rows, of_applications):
    if rows:
        counts = full.tables[table][column].value_counts()
        for label, count in rows.items():
            assert counts[label] == count
    if of_applications:
        counts = applications[column].value_counts()
        assert set(counts.index) == set(of_applications)
        for label, count in of_applications.items():  # two percent; a handful where the category is a handful
            assert abs(counts[label] - count) <= max(0.02 * count, 5), f"{column} = {label}: {counts[label]} not {count}"


@pytest.mark.parametrize(
    ("ours", "theirs", "published"),
    [
        ("degree", "education", 0.030),
        ("degree", "major_task", 0.016),
        ("degree", "qualifications", 0.019),
        ("degree", "address", 0.014),
        ("job_code_seq1", "education", 0.040),
        ("job_code_seq1", "major_task", 0.024),
        ("job_code_seq1", "qualifications", 0.058),
        ("job_code_seq1", "address", 0.016),
    ],
)
def test_dependences_are_as_tiny_as_published(applications, ours, theirs, published):
    seen = pd.crosstab(applications[ours], applications[theirs]).to_numpy()
    expected = seen.sum(1, keepdims=True) * seen.sum(0) / seen.sum()
    chi_square = ((seen - expected) ** 2 / expected).sum()
    cramers_v = np.sqrt(chi_square / seen.sum() / (min(seen.shape) - 1))
    assert published / 2.5 < cramers_v < 2 * published


def test_lifts_are_planted(applications):
    """A master applies to master-friendly education 4 more, and a designer to education 2, as in the cross-tabulation."""
    share_4 = (applications["education"] == 4).groupby(applications["degree"]).mean()
    assert share_4[5] > share_4[4] > share_4[2]
    share_2 = (applications["education"] == 2).groupby(applications["job_code_seq1"]).mean()
    assert share_2["디자인"] > 1.15 * share_2["재료·화학·섬유·의복"]


def test_histories_and_popularity_have_the_published_shape(full):
    train = full.tables["apply_train"]
    assert not train.duplicated().any()
    per_resume = train["resume_seq"].value_counts()
    per_posting = train["recruitment_seq"].value_counts()
    assert (len(per_resume), len(per_posting)) == (8_482, 6_695)
    assert per_resume.min() == 2
    assert 12 < per_resume.max() <= 150
    assert 0.1 < (per_resume == 2).mean() < 0.3  # NegBin(4.83, .8) gives 0 with (.8 / 5.63)^.8 = .21
    assert per_posting.max() <= 0.002 * 57_946


def test_hidden_answers_are_further_applications(full):
    answers, train = full.answers, full.tables["apply_train"]
    assert list(answers.columns) == ["resume_seq", "recruitment_seq", "part"]
    both = pd.concat([train, answers[["resume_seq", "recruitment_seq"]]])
    assert not both.duplicated().any()
    per_resume = answers["resume_seq"].value_counts()
    assert (len(per_resume), per_resume.min(), per_resume.max()) == (8_482, 1, 5)
    part = answers.groupby("resume_seq")["part"].agg(["nunique", "first"])
    assert (part["nunique"] == 1).all()
    assert (part["first"] == "public").mean() == pytest.approx(0.3, rel=0.05)
    assert set(part["first"]) == {"public", "private"}


def test_submission_template_is_a_valid_submission(full):
    template = full.tables["sample_submission"]
    assert (template["resume_seq"].value_counts() == 5).all()
    assert template["resume_seq"].nunique() == 8_482
    seen = pd.concat([full.tables["apply_train"], template])
    assert not seen.duplicated().any(), "a row twice, or a posting already applied to"


# ---- calibration: how recommenders rank ------------------------------------------------------------------------------


class LeaveOneOut:
    """One random row of each résumé held out, all postings ranked, seen ones masked, ties broken at random."""

    def __init__(self, train: pd.DataFrame, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        users = train["resume_seq"].str[1:].astype(int).to_numpy() - 1
        items = train["recruitment_seq"].str[1:].astype(int).to_numpy() - 1
        order = np.lexsort((self.rng.random(len(users)), users))
        users, items = users[order], items[order]
        is_held_out = np.append(users[1:] != users[:-1], True)
        self.held_out = items[is_held_out]  # (n_users,)
        self.shape = (users.max() + 1, items.max() + 1)
        ones = np.ones((~is_held_out).sum(), dtype=np.float32)
        self.known = sp.csr_matrix((ones, (users[~is_held_out], items[~is_held_out])), self.shape)

    def recall(self, score_users) -> dict[int, float]:
        """score_users(start, stop) -> (stop - start, n_items)."""
        ranks = []
        for start in range(0, self.shape[0], 1_000):
            stop = min(start + 1_000, self.shape[0])
            scores = np.array(score_users(start, stop), dtype=np.float32)
            scores[self.known[start:stop].nonzero()] = -np.inf
            target = scores[np.arange(stop - start), self.held_out[start:stop]][:, None]
            assert np.isfinite(target).all(), "NaN compares as 'no better posting' and would count as a hit"
            ties = (scores == target).sum(1)
            ranks.append((scores > target).sum(1) + np.floor(self.rng.random(stop - start) * ties))
        rank = np.concatenate(ranks)
        return {k: float((rank < k).mean()) for k in (5, 20)}


def cosine_user_knn(known: sp.csr_matrix):
    length = np.sqrt(np.asarray(known.sum(1)))
    unit = known.multiply(1 / np.maximum(length, 1)).tocsr()
    return lambda start, stop: (unit[start:stop] @ unit.T @ known).toarray()


def pearson_user_item(known: sp.csr_matrix, item_weight: float = 0.2):
    """(1 - g) of the users' and g of the items' correlation-weighted means, as in the contest's public notebooks."""

    def correlation(rows: sp.csr_matrix) -> np.ndarray:
        mean = np.asarray(rows.mean(1), dtype=np.float32).ravel()
        deviation = np.sqrt(np.maximum(mean - mean**2, 1e-12))
        matrix = (rows @ rows.T).toarray() / np.float32(rows.shape[1]) - np.outer(mean, mean)
        matrix /= deviation[:, None]
        matrix /= deviation
        matrix[mean == 0] = 0
        matrix[:, mean == 0] = 0
        return matrix

    users, items = correlation(known), correlation(known.T.tocsr())
    user_total = np.maximum(np.abs(users).sum(1, keepdims=True), 1e-9)
    item_total = np.maximum(np.abs(items).sum(0), 1e-9)
    by_item = known.T.tocsr()

    def score(start: int, stop: int) -> np.ndarray:
        of_users = (by_item @ users[start:stop].T).T / user_total[start:stop]
        return (1 - item_weight) * of_users + item_weight * (known[start:stop] @ items) / item_total

    return score


@pytest.fixture(scope="module")
def task(full: Sample) -> LeaveOneOut:
    return LeaveOneOut(full.tables["apply_train"], seed=1)


def test_random_ranking_is_at_chance(task):
    rng = np.random.default_rng(0)
    recall = task.recall(lambda start, stop: rng.random((stop - start, task.shape[1]), dtype=np.float32))
    assert recall[5] < 0.0025  # 5 / 6,695 = .0007, three standard errors of 8,482 draws above it


@pytest.mark.parametrize("within", [None, "degree", "job_code_seq1"])
def test_popularity_is_weak(full, task, within):
    group = np.zeros(task.shape[0], dtype=int) if within is None else pd.factorize(full.tables["resume"][within])[0]
    one_hot = sp.csr_matrix((np.ones(len(group), dtype=np.float32), (group, np.arange(len(group)))))
    popularity = (one_hot @ task.known).toarray()
    recall = task.recall(lambda start, stop: popularity[group[start:stop]])
    assert 0.003 <= recall[5] <= 0.015


@pytest.mark.parametrize("build", [cosine_user_knn, pearson_user_item])
def test_collaborative_filtering_is_as_strong_as_on_the_real_data(task, build):
    recall = task.recall(build(task.known))
    assert 0.10 <= recall[5] <= 0.16
    assert 0.23 <= recall[20] <= 0.33


def test_keywords_tell_the_sub_trade_and_the_school_does_not(full):
    """Résumés that share a posting share keywords more than strangers do; the high school's region is noise."""
    train = full.tables["apply_train"]
    pairs = train.merge(train, on="recruitment_seq").query("resume_seq_x < resume_seq_y")
    pairs = pairs.sample(4_000, random_state=0)
    resume = full.tables["resume"].set_index("resume_seq")["text_keyword"]
    region = full.tables["resume_education"].set_index("resume_seq")["hischool_location_seq"]

    def share(left: pd.Series, right: pd.Series) -> tuple[float, float]:
        tokens = zip(resume.loc[left].fillna("").str.split(";"), resume.loc[right].fillna("").str.split(";"), strict=True)
        return np.mean([bool((set(a) & set(b)) - {""}) for a, b in tokens]), (
            region.loc[left].to_numpy() == region.loc[right].to_numpy()
        ).mean()

    strangers = pairs["resume_seq_y"].sample(frac=1, random_state=0)
    neighbour_tokens, neighbour_region = share(pairs["resume_seq_x"], pairs["resume_seq_y"])
    stranger_tokens, stranger_region = share(pairs["resume_seq_x"], strangers)
    assert neighbour_tokens > 1.5 * stranger_tokens
    assert abs(neighbour_region - stranger_region) < 0.05


# ---- seeds, sizes, cold --------------------------------------------------------------------------------------------


def test_same_seed_same_bytes_and_other_seed_other_rows(tmp_path):
    first = files_of(write_sample(tmp_path / "a", SMALL))
    again = files_of(write_sample(tmp_path / "b", SMALL))
    other = files_of(write_sample(tmp_path / "c", replace(SMALL, seed=1)))
    assert first == again
    assert [name for name in first if first[name] == other[name]] == []


def test_global_random_state_is_untouched():
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    generate_sample(SMALL)
    assert (np.random.get_state()[1] == before).all()


def test_feature_knobs_leave_the_applications_alone():
    plain = generate_sample(SMALL)
    noisy = generate_sample(replace(SMALL, keyword_noise=0.9, date_blur_days=5.0))
    pd.testing.assert_frame_equal(plain.tables["apply_train"], noisy.tables["apply_train"])
    pd.testing.assert_frame_equal(plain.answers, noisy.answers)
    assert not plain.tables["resume"].equals(noisy.tables["resume"])


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SampleConfig(n_resumes=20, n_postings=40, n_applications=70),
        SampleConfig(n_resumes=500, n_postings=100, n_applications=1_000),
        SampleConfig(n_resumes=50, n_postings=300, n_applications=600, seed=3),
    ],
)
def test_small_samples_keep_the_laws(config):
    drawn = generate_sample(config)
    train = drawn.tables["apply_train"]
    assert len(train) == config.n_applications
    assert not pd.concat([train, drawn.answers[["resume_seq", "recruitment_seq"]]]).duplicated().any()
    assert train["resume_seq"].nunique() == config.n_resumes
    assert train["recruitment_seq"].nunique() == config.n_postings
    assert train["resume_seq"].value_counts().min() >= 2
    assert train["resume_seq"].value_counts().max() <= config.longest_history
    assert len(drawn.tables["sample_submission"]) == 5 * config.n_resumes
    assert not pd.concat([train, drawn.tables["sample_submission"]]).duplicated().any()


def test_duplicate_rows_repeat_rows_on_top():
    train = generate_sample(replace(SMALL, duplicate_rows=17)).tables["apply_train"]
    assert len(train) == 2_000 + 17
    assert train.duplicated().sum() == 17


def test_cold_option_leaves_postings_and_resumes_without_applications(cold):
    config, drawn = cold
    train, answers = drawn.tables["apply_train"], drawn.answers
    assert len(train) == config.n_applications
    cold_postings = set(drawn.tables["recruitment"]["recruitment_seq"]) - set(train["recruitment_seq"])
    assert len(cold_postings) == 80
    per_resume = train["resume_seq"].value_counts().reindex(drawn.tables["resume"]["resume_seq"], fill_value=0)
    assert (per_resume <= 1).sum() == 200
    assert (per_resume == 0).any()
    assert answers["recruitment_seq"].isin(cold_postings).sum() > 80  # they are applied for, but only in hiding
    assert set(answers["resume_seq"]) == set(drawn.tables["resume"]["resume_seq"])
    assert not pd.concat([train, answers[["resume_seq", "recruitment_seq"]]]).duplicated().any()


@pytest.mark.parametrize(
    ("knobs", "name"),
    [
        ({"n_applications": 100}, "n_applications"),
        ({"n_applications": 10**6}, "n_applications"),
        ({"public_share": 1.5}, "public_share"),
        ({"n_sub_trades": 99}, "n_sub_trades"),
        ({"cold_posting_share": -0.1}, "cold_posting_share"),
        ({"open_days": 0.0}, "open_days"),
        ({"hidden_max": 0}, "hidden_max"),
    ],
)
def test_config_refuses_what_cannot_be_drawn(knobs, name):
    with pytest.raises(ValueError, match=rf"SampleConfig\.{name} = "):
        SampleConfig(**knobs)


def test_fingerprint_names_config_and_version(monkeypatch):
    plain = sample_fingerprint(SampleConfig())
    assert plain == sample_fingerprint(SampleConfig())
    assert len(plain) == 12
    assert int(plain, 16) >= 0
    others = {sample_fingerprint(SampleConfig(seed=1)), sample_fingerprint(SampleConfig(keyword_noise=0.1)), plain}
    assert len(others) == 3
    monkeypatch.setattr(sample_module, "SAMPLE_VERSION", sample_module.SAMPLE_VERSION + 1)
    assert sample_fingerprint(SampleConfig()) not in others


# ---- the folder ------------------------------------------------------------------------------------------------------


def test_folder_holds_the_files_and_says_that_it_is_synthetic(tmp_path):
    folder = write_sample(tmp_path / "deep" / "sample", SMALL)
    assert sorted(files_of(folder)) == sorted([*(f"{stem}.csv" for stem in STEMS), "SYNTHETIC.txt", "hidden/answers.csv"])
    banner = (folder / "SYNTHETIC.txt").read_text(encoding="utf-8")
    assert banner.startswith(BANNER)
    assert "합성 데이터" in banner
    for field in fields(SMALL):
        assert f"\n{field.name} = {getattr(SMALL, field.name)!r}\n" in banner
    for path in folder.rglob("*.csv"):
        content = path.read_bytes()
        assert b"\r" not in content
        assert not content.startswith(b"\xef\xbb\xbf")
        content.decode("utf-8")


def test_files_read_back_as_the_tables(tmp_path):
    folder = write_sample(tmp_path / "sample", SMALL)
    drawn = generate_sample(SMALL)
    for stem, table in drawn.tables.items():
        read = pd.read_csv(folder / f"{stem}.csv", encoding="utf-8")
        pd.testing.assert_frame_equal(read, table, check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "hidden" / "answers.csv"), drawn.answers, check_dtype=False)


def test_a_failed_write_leaves_nothing_and_keeps_the_earlier_sample(tmp_path, monkeypatch):
    folder = write_sample(tmp_path / "sample", SMALL)
    before = files_of(folder)

    def fail(config):
        raise OSError("disk full")

    monkeypatch.setattr(sample_module, "_banner_text", fail)
    for target in (folder, tmp_path / "new"):
        with pytest.raises(OSError, match="disk full"):
            write_sample(target, replace(SMALL, seed=1))
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]
    assert files_of(folder) == before


def test_an_earlier_sample_is_replaced_and_other_files_are_not(tmp_path):
    folder = write_sample(tmp_path / "sample", SMALL)
    before = files_of(folder)
    write_sample(folder, replace(SMALL, seed=1))
    assert files_of(folder).keys() == before.keys()
    assert files_of(folder) != before
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]

    theirs = tmp_path / "csv"
    theirs.mkdir()
    (theirs / "apply_train.csv").write_text("resume_seq,recruitment_seq\n")
    with pytest.raises(FileExistsError, match="no SYNTHETIC.txt"):
        write_sample(theirs, SMALL)
    assert [path.name for path in theirs.iterdir()] == ["apply_train.csv"]


# ---- strong signals --------------------------------------------------------------------------------------------------


def test_of_the_strong_signals_the_planted_tell_much_and_the_noise_nothing(tmp_path):
    from recsys_lib.data.features import FeatureTable
    from recsys_lib.datasets import read_dataset
    from recsys_lib.datasets.sample import STRONG_NOISE, STRONG_PLANTED, strong_signals
    from recsys_lib.eda.statistics.information import information

    dataset = read_dataset(write_sample(tmp_path / "csv", strong_signals(5)))
    tables = dataset.catalogue.user_features, dataset.catalogue.item_features
    there = {name for table in tables for name in table.names}
    assert set(STRONG_PLANTED) | set(STRONG_NOISE) <= there and not set(STRONG_PLANTED) & set(STRONG_NOISE)
    asked = [FeatureTable(table.n_rows, [f for f in table if f.name in STRONG_PLANTED + STRONG_NOISE]) for table in tables]
    bits = information(dataset.interactions, *asked, seed=0, shuffles=0).set_index("feature")["bits"]
    assert bits[list(STRONG_PLANTED)].min() > 0.3
    assert bits[list(STRONG_NOISE)].max() < 0.01
    assert 3 < len(dataset.interactions) / dataset.catalogue.n_users < 4


def test_strong_signals_leave_the_calibrated_sample_as_it_is():
    from recsys_lib.datasets.sample import SAMPLE_VERSION, strong_signals

    assert (SAMPLE_VERSION, sample_fingerprint(SampleConfig())) == (3, "7129a4c6c157")
    assert strong_signals(1) == replace(strong_signals(2), seed=1) and strong_signals(1).seed == 1
