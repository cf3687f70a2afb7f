import gzip
from dataclasses import fields

import numpy as np
import pytest

from recsys_lib.data.features import Categorical, MultiLabel, Numeric
from recsys_lib.datasets import job_postings
from recsys_lib.datasets.job_postings import TABLES, read


def edit(folder, name, old, new, encoding="utf-8"):
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new), encoding=encoding)


def labels_of(table, ids, name, key):
    """The labels of one id, for either kind of label feature."""
    feature, row = table[name], ids.indexes([key])[0]
    if isinstance(feature, Categorical):
        return feature.labels[feature.codes[row]]
    return {feature.labels[code] for code in feature.codes[feature.indptr[row] : feature.indptr[row + 1]]}


def note_with(dataset, words):
    found = [note for note in dataset.notes if words in note]
    assert len(found) == 1, (words, dataset.notes)
    return found[0]


# ---- what comes out


def test_log_and_catalogue_are_the_files(csv_folder):
    dataset = read(csv_folder)
    catalogue, log = dataset.catalogue, dataset.interactions
    assert (catalogue.n_users, catalogue.n_items, len(log)) == (4, 6, 7)
    pairs = list(zip(catalogue.users.ids_of(log.users), catalogue.items.ids_of(log.items)))
    assert pairs[:3] == [("U00002", "R00003"), ("U00001", "R00001"), ("U00001", "R00002")]  # the file's order
    assert log.timestamps is None
    assert dataset.name == "job_postings" and not dataset.synthetic
    assert set(dataset.tables) == {name.removesuffix(".csv") for name in TABLES}
    assert set(dataset.sources) == set(TABLES)


def test_cold_users_and_items_are_counted_and_kept(csv_folder):
    dataset = read(csv_folder)
    assert note_with(dataset, "résumés in resume.csv and not in apply_train.csv").endswith(": 1")
    assert note_with(dataset, "postings in recruitment.csv and not in apply_train.csv").endswith(": 1")
    assert "U00004" in dataset.catalogue.users.ids and "R00006" in dataset.catalogue.items.ids


def test_ids_of_the_log_alone_are_counted_and_kept(csv_folder):
    edit(csv_folder, "apply_train.csv", "U00001,R00003\n", "U00001,R00003\nU00009,R00009\n")
    dataset = read(csv_folder)
    assert note_with(dataset, "résumés in apply_train.csv and not in resume.csv").endswith(": 1")
    assert note_with(dataset, "postings in apply_train.csv and not in recruitment.csv").endswith(": 1")
    assert (dataset.catalogue.n_users, dataset.catalogue.n_items) == (5, 7)
    assert labels_of(dataset.catalogue.user_features, dataset.catalogue.users, "degree", "U00009") == ""


def test_ids_of_a_side_table_alone_are_counted_and_kept(csv_folder):
    edit(csv_folder, "company.csv", "R00004,", "R00008,")
    dataset = read(csv_folder)
    assert note_with(dataset, "postings in company.csv, and neither").endswith(": 1")
    assert "R00008" in dataset.catalogue.items.ids


def test_duplicates_are_merged_and_counted(csv_folder):
    edit(csv_folder, "apply_train.csv", "U00001,R00003\n", "U00001,R00003\nU00002,R00003\nU00002,R00003\n")
    dataset = read(csv_folder)
    assert len(dataset.interactions) == 7
    assert "2 of 9 rows" in note_with(dataset, "merged")
    assert dataset.interactions.fingerprint == read(csv_folder).interactions.fingerprint


def test_every_column_of_every_table_is_read(csv_folder):
    dataset = read(csv_folder)
    for name, columns in TABLES.items():
        assert [column.name for column in columns] == list(dataset.tables[name.removesuffix(".csv")].columns)


def test_categorical_and_numeric_features(csv_folder):
    catalogue = read(csv_folder).catalogue
    users, items = catalogue.user_features, catalogue.item_features
    assert [labels_of(users, catalogue.users, "degree", f"U0000{n}") for n in (1, 2, 3, 4)] == ["4", "3", "4", "5"]
    assert labels_of(users, catalogue.users, "updated_month", "U00003") == "2020-01"
    assert labels_of(users, catalogue.users, "hischool_special_type", "U00004") == ""  # no row in the table
    assert labels_of(users, catalogue.users, "univ_major", "U00002") == "의류학"
    assert labels_of(items, catalogue.items, "supply_kind", "R00002") == "402"
    assert users["career_month"].values.tolist() == [67, 0, 121, 24]  # 0 months is no missing value
    assert users["updated_date"].values[0] == np.float32(2020 + 182 / 365.25)
    np.testing.assert_array_equal(items["employee"].values, np.float32([20, 90, np.nan, 590, np.nan, np.nan]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("graduate_year", [2008, np.nan, 1979, 2012]),
        ("hope_salary", [3500, np.nan, 2800, 3000]),
        ("last_salary", [np.nan, 3700, 3100, 2500]),
        ("univ_score", [60, np.nan, 80, np.nan]),
    ],
)
def test_zero_stands_for_missing_in_the_feature_and_stays_in_the_table(csv_folder, name, expected):
    dataset = read(csv_folder)
    np.testing.assert_array_equal(dataset.catalogue.user_features[name].values, np.float32(expected))
    column = {"graduate_year": "graduate_date"}.get(name, name)
    table = "resume_education" if name == "univ_score" else "resume"
    assert (dataset.tables[table][column] == 0).any()


def test_zero_is_missing_is_written_in_the_columns():
    marked = {column.name for columns in TABLES.values() for column in columns if column.zero_is_missing}
    assert marked == {"graduate_date", "hope_salary", "last_salary", "univ_score"}
    assert {field.name for field in fields(TABLES["resume.csv"][0])} >= {"name", "kind", "required", "key"}


def test_multi_label_features(csv_folder):
    catalogue = read(csv_folder).catalogue
    users, items = catalogue.user_features, catalogue.item_features
    assert labels_of(users, catalogue.users, "job_codes", "U00003") == {"디자인", "영업·판매·TM"}  # said twice, once
    assert labels_of(users, catalogue.users, "resume_keyword", "U00002") == {"MD", "기획"}
    assert labels_of(users, catalogue.users, "resume_keyword", "U00003") == set()
    assert labels_of(users, catalogue.users, "career_job_code", "U00001") == {"섬유", "봉제", "가방", "의류"}
    assert labels_of(users, catalogue.users, "languages", "U00001") == {"2", "4"}
    assert labels_of(users, catalogue.users, "language_exams", "U00001") == {"4", "5"}
    assert labels_of(items, catalogue.items, "addresses", "R00004") == {"3", "5", "11"}
    assert labels_of(items, catalogue.items, "addresses", "R00003") == set()
    assert labels_of(items, catalogue.items, "check_box_keyword", "R00001") == {"2507", "2707", "2810"}
    assert labels_of(items, catalogue.items, "recruitment_keyword", "R00002") == {"경력", "팀장"}


def test_the_best_language_score_counts(csv_folder):
    values = read(csv_folder).catalogue.user_features["language_score"].values
    np.testing.assert_array_equal(values, np.float32([742.42, np.nan, 888.89, np.nan]))


def test_certificates_are_one_label_whatever_the_spelling(csv_folder, monkeypatch):
    monkeypatch.setattr(job_postings, "CERTIFICATE_MIN_RESUMES", 2)
    dataset = read(csv_folder)
    feature = dataset.catalogue.user_features["certificates"]
    assert feature.labels == ("운전면허2종보통",)  # 주산2급: held by one
    assert np.diff(feature.indptr).tolist() == [1, 1, 0, 0]
    assert "4 spellings are 2 certificates; the 1 that 2 or more" in note_with(dataset, "certificates:")


def test_features_that_say_the_same_of_everybody_are_left_out(csv_folder):
    dataset = read(csv_folder)
    assert "career_start, career_end" in note_with(dataset, "no item feature")
    assert "career_end" not in dataset.catalogue.item_features.names
    assert {type(feature) for feature in dataset.catalogue.item_features} == {Categorical, MultiLabel, Numeric}


def test_describe_shows_the_notes(csv_folder):
    shown = read(csv_folder).describe()
    assert "4 (1 without interactions)" in shown.set_index("what")["value"]["users"]
    assert (shown["what"] == "note").sum() >= 3


# ---- template


def test_template_keeps_the_order_of_users_and_counts_k(csv_folder):
    dataset = read(csv_folder)
    template = dataset.template
    assert list(dataset.catalogue.users.ids_of(template.users)) == ["U00002", "U00001", "U00004", "U00003"]
    assert (template.k, template.user_column, template.item_column) == (2, "resume_seq", "recruitment_seq")


def test_template_without_answers_filled_in(csv_folder):
    rows = "".join(f"{user},\n" * 2 for user in ("U00001", "U00002"))
    (csv_folder / "sample_submission.csv").write_text("resume_seq,recruitment_seq\n" + rows, encoding="utf-8")
    template = read(csv_folder).template
    assert (len(template.users), template.k) == (2, 2)


def test_inconsistent_template_is_refused(csv_folder):
    edit(csv_folder, "sample_submission.csv", "U00003,R00003\n", "U00003,R00003\nU00003,R00004\n")
    with pytest.raises(ValueError, match="most have 2, but 1 of 4 have not, e.g. U00003 has 3"):
        read(csv_folder)


def test_without_a_template_every_resume_gets_five(csv_folder):
    (csv_folder / "sample_submission.csv").unlink()
    dataset = read(csv_folder)
    assert dataset.template.k == 5
    assert list(dataset.catalogue.users.ids_of(dataset.template.users)) == ["U00001", "U00002", "U00003", "U00004"]
    note_with(dataset, "5 postings for every résumé")


# ---- files that are not there, or not as wanted


@pytest.mark.parametrize("name", job_postings.REQUIRED)
def test_a_file_that_must_be_there(csv_folder, name):
    (csv_folder / name).rename(csv_folder / "apply.csv")
    with pytest.raises(FileNotFoundError, match=f"no {name} in csv/; found apply.csv, .*README \"Data\""):
        read(csv_folder)


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("resume_certificate.csv", "certificates"),
        ("resume_education.csv", "univ_score"),
        ("resume_language.csv", "languages"),
        ("company.csv", "employee"),
    ],
)
def test_a_file_that_may_be_absent(csv_folder, name, feature):
    (csv_folder / name).unlink()
    dataset = read(csv_folder)
    note_with(dataset, f"{name} is not there; without ")
    assert feature not in (*dataset.catalogue.user_features.names, *dataset.catalogue.item_features.names)


def test_several_rows_of_one_resume_keep_the_first(csv_folder):
    edit(csv_folder, "resume_education.csv", "U00002,16,", "U00001,99,일반고,사립,남자학교,3,5,5,0,3,,,9,90\nU00002,16,")
    dataset = read(csv_folder)
    assert "1 further rows of a resume_seq" in note_with(dataset, "resume_education.csv")
    assert dataset.catalogue.user_features["univ_score"].values[0] == 60


def test_a_missing_column(csv_folder):
    edit(csv_folder, "resume.csv", ",degree,", ",degre,")
    with pytest.raises(ValueError, match=r"csv/resume.csv has no column 'degree' \(did you mean 'degre'\?\)"):
        read(csv_folder)


def test_a_column_that_teams_remove(csv_folder):
    lines = (csv_folder / "recruitment.csv").read_text(encoding="utf-8").splitlines()
    without = [",".join(field for place, field in enumerate(line.split(",")) if place not in (4, 5)) for line in lines]
    (csv_folder / "recruitment.csv").write_text("\n".join(without), encoding="utf-8")
    assert "read without it" in note_with(read(csv_folder), "no column 'career_end'")


def test_cp949_and_bom_give_the_same_data(csv_folder):
    plain = read(csv_folder)
    edit(csv_folder, "resume.csv", "degree", "degree", encoding="cp949")
    edit(csv_folder, "recruitment.csv", "education", "education", encoding="utf-8-sig")
    dataset = read(csv_folder)
    note_with(dataset, "resume.csv: read as cp949")
    note_with(dataset, "recruitment.csv: begins with a byte-order mark")
    assert dataset.catalogue.user_features.fingerprint() == plain.catalogue.user_features.fingerprint()
    assert dataset.catalogue.item_features.fingerprint() == plain.catalogue.item_features.fingerprint()


def test_gzip(csv_folder):
    path = csv_folder / "apply_train.csv"
    (csv_folder / "apply_train.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    plain = read(csv_folder).interactions.fingerprint
    path.unlink()
    dataset = read(csv_folder)
    assert dataset.interactions.fingerprint == plain and "apply_train.csv.gz" in dataset.sources


def test_the_banner_marks_a_synthetic_folder(csv_folder):
    (csv_folder / "SYNTHETIC.txt").write_text("SYNTHETIC - not Scout/DACON data\n", encoding="utf-8")
    dataset = read(csv_folder)
    assert dataset.synthetic and dataset.name == "job_postings_sample" and "SYNTHETIC" in dataset.title
    assert dataset.notes[0].startswith("SYNTHETIC")


def test_what_became_of_free_text_is_kept(csv_folder):
    edit(csv_folder, "resume.csv", ",MD,디자인", ",m d;기획,디자인")
    dataset = read(csv_folder)
    assert list(dataset.spellings) == ["resume_keyword", "career_job_code", "certificates", "recruitment_keyword"]  # not the codes
    keywords = dataset.spellings["resume_keyword"].set_index("typed")
    assert keywords.loc["MD", "label"] == keywords.loc["m d", "label"] == "MD" and keywords.loc["기획", "rows"] == 2
    certificates = dataset.spellings["certificates"]
    assert len(certificates) == 4 and certificates["label"].nunique() == 2 and certificates["rows"].sum() == 4
    assert labels_of(dataset.catalogue.user_features, dataset.catalogue.users, "resume_keyword", "U00004") == {"MD", "기획"}
    assert dataset.all_user_features is dataset.catalogue.user_features  # there are no further ones
