"""Résumés and job postings: the eight CSV files of DACON 236170, and the synthetic sample, which has the same shape.

One row of apply_train.csv says that a résumé applied to a posting. There are no timestamps, and the order of the rows
means nothing. Users are résumés, items are postings. A feature that is one column keeps the column's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.columns import Column, file_or_gzip, read_table
from recsys_lib.data.features import (
    Categorical,
    Feature,
    FeatureTable,
    MultiLabel,
    Numeric,
    categorical,
    multi_label,
    numeric,
)
from recsys_lib.data.files import fingerprint_of_file
from recsys_lib.data.ids import IdMap
from recsys_lib.data.text import normalise_certificates, one_spelling, spellings, split_keywords
from recsys_lib.datasets.base import Dataset, Template
from recsys_lib.datasets.log import first_row_each, interactions_from, template_from

USER, ITEM = "resume_seq", "recruitment_seq"
SUBMISSION_K = 5  # postings a résumé, where there is no sample_submission.csv to say so
CERTIFICATE_MIN_RESUMES = 5  # a certificate that fewer hold is a name, not a feature
BANNER = "SYNTHETIC.txt"  # lies in a folder whose files were generated

_USER = Column(USER, "id", key=True, about="résumé, U00001 ...")
_ITEM = Column(ITEM, "id", key=True, about="posting, R00001 ...")

TABLES: Mapping[str, tuple[Column, ...]] = {
    "apply_train.csv": (_USER, _ITEM),
    "resume.csv": (
        _USER,
        Column("reg_date", "date", about="résumé registered"),
        Column("updated_date", "date", about="résumé last changed"),
        Column("degree", "integer", about="highest degree: 2 ... 6"),
        Column("graduate_date", "integer", zero_is_missing=True, about="year of graduation"),
        Column("hope_salary", "number", zero_is_missing=True, about="wanted salary, 10,000 won"),
        Column("last_salary", "number", zero_is_missing=True, about="last salary, 10,000 won"),
        Column("text_keyword", "text", about="wanted work, keywords separated by ;"),
        Column("job_code_seq1", "text", about="wanted job group, first"),
        Column("job_code_seq2", "text", about="second; mostly missing"),
        Column("job_code_seq3", "text", about="third; mostly missing"),
        Column("career_month", "integer", about="months of work so far"),
        Column("career_job_code", "text", about="trades worked in, separated by ;"),
    ),
    "resume_certificate.csv": (
        _USER,
        Column("certificate_contents", "text", about="a certificate as typed; 0 to 10 rows a résumé"),
    ),
    "resume_education.csv": (
        _USER,
        Column("hischool_type_seq", "integer"),
        Column("hischool_special_type", "text"),
        Column("hischool_nation", "text", about="state, public or private"),
        Column("hischool_gender", "text"),
        Column("hischool_location_seq", "integer"),
        Column("univ_type_seq1", "integer"),
        Column("univ_type_seq2", "integer"),
        Column("univ_transfer", "integer"),
        Column("univ_location", "integer"),
        Column("univ_major", "text", about="mostly missing"),
        Column("univ_sub_major", "text", about="mostly missing"),
        Column("univ_major_type", "integer"),
        Column("univ_score", "number", zero_is_missing=True, about="0 ... 100"),
    ),
    "resume_language.csv": (
        _USER,
        Column("language", "integer"),
        Column("exam_name", "integer"),
        Column("score", "number", about="rescaled to 0 ... 1000"),
    ),
    "recruitment.csv": (
        _ITEM,
        Column("address_seq1", "integer", about="place of work, first; one missing value"),
        Column("address_seq2", "integer", about="second; mostly missing"),
        Column("address_seq3", "integer", about="third; mostly missing"),
        # 0 in every posting of the contest, so that some teams remove them
        Column("career_end", "integer", required=False),
        Column("career_start", "integer", required=False),
        Column("check_box_keyword", "text", about="4-digit job codes separated by ;"),
        Column("education", "integer", about="wanted degree: 2, 3, 4, 6"),
        Column("major_task", "integer"),
        Column("qualifications", "integer", about="0, 1, 2"),
        Column("text_keyword", "text", about="keywords separated by ;, mostly missing"),
    ),
    "company.csv": (
        _ITEM,
        Column("company_type_seq", "integer"),
        Column("supply_kind", "integer", about="trade"),
        Column("employee", "integer", about="employees"),
    ),
    "sample_submission.csv": (_USER, Column(ITEM, "id")),
}
ZERO_IS_MISSING = frozenset(column.name for columns in TABLES.values() for column in columns if column.zero_is_missing)
REQUIRED = ("apply_train.csv", "resume.csv", "recruitment.csv")
# Other contests have a sample_submission.csv or a company.csv too; these names are this contest's alone.
_TELLING = ("apply_train.csv", "resume.csv", "resume_certificate.csv", "resume_education.csv", "resume_language.csv",
            "recruitment.csv")  # fmt: skip
WANTS = f"job postings: {', '.join(REQUIRED)}, and if there {', '.join(name for name in TABLES if name not in REQUIRED)}"


def matches(file_names: set[str]) -> bool:
    """Whether a folder with these files is meant for this reader; it may still be incomplete."""
    return any(name in file_names for name in _TELLING)


def read(directory: str | Path) -> Dataset:
    """Read the folder.

    Raises:
        FileNotFoundError: one of the three files that there must be is absent.
        ValueError: a file is not as wanted, or the template gives résumés different numbers of rows.
    """
    directory = Path(directory)
    synthetic = (directory / BANNER).exists()
    notes: list[str] = []
    if synthetic:
        notes.append("SYNTHETIC: generated, no row is from the contest. Put the eight files of the contest in its place.")
    tables, sources = _read_tables(directory, notes)

    log = tables["apply_train"]
    users = IdMap.union(*(table[USER] for table in tables.values() if USER in table.columns), what="user")
    # A template names the users to serve; its items may be placeholders, and would be recommended if they counted.
    described = [table for name, table in tables.items() if ITEM in table.columns and name != "sample_submission"]
    items = IdMap.union(*(table[ITEM] for table in described), what="item")
    notes += _strangers(log, tables)
    interactions, merged = interactions_from(log, users, items, user=USER, item=ITEM)
    notes += [f"apply_train.csv: {note}" for note in merged]

    typed: dict[str, pd.DataFrame] = {}
    return Dataset(
        interactions=interactions,
        catalogue=Catalogue(
            users=users,
            items=items,
            user_features=_table(users, _user_features(users, tables, notes, typed), notes),
            item_features=_table(items, _item_features(items, tables, notes, typed), notes),
        ),
        tables=tables,
        template=_template(tables, users, notes),
        name="job_postings_sample" if synthetic else "job_postings",
        sources=sources,
        notes=tuple(notes),
        synthetic=synthetic,
        spellings=typed,
    )


def _read_tables(directory: Path, notes: list[str]) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    paths = {name: file_or_gzip(directory, name) for name in TABLES}
    absent = [name for name in REQUIRED if paths[name] is None]
    if absent:
        found = sorted(path.name for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
        raise FileNotFoundError(
            f"no {', '.join(absent)} in {directory.name}/; found {', '.join(found)}. "
            'The eight files of the contest go there, see README "Data".'
        )
    tables, sources = {}, {}
    for name, columns in TABLES.items():
        path = paths[name]
        if path is None:
            without = ", ".join(column.name for column in columns if not column.key)
            notes.append(f"{name} is not there" + ("" if name == "sample_submission.csv" else f"; without {without}"))
            continue
        tables[name.removesuffix(".csv")], came = read_table(path, columns)
        sources[path.name] = fingerprint_of_file(path)
        notes += came
    return tables, sources


def _strangers(log: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Ids in the log and not in a side table, and the other way round. All stay in the catalogue."""
    notes = []
    for key, home, what in ((USER, "resume", "résumés"), (ITEM, "recruitment", "postings")):
        in_log, at_home = pd.Index(log[key].unique()), pd.Index(tables[home][key].unique())
        for count, sentence in (
            (len(in_log.difference(at_home)), f"{what} in apply_train.csv and not in {home}.csv (no features)"),
            (len(at_home.difference(in_log)), f"{what} in {home}.csv and not in apply_train.csv (no applications)"),
        ):
            if count:
                notes.append(f"{sentence}: {count:,}")
        known = in_log.union(at_home)
        for name, table in tables.items():
            if name not in ("apply_train", home) and key in table.columns:
                count = len(pd.Index(table[key].dropna().unique()).difference(known))
                if count:
                    notes.append(f"{what} in {name}.csv, and neither in {home}.csv nor in apply_train.csv: {count:,}")
    return notes


def _template(tables: Mapping[str, pd.DataFrame], users: IdMap, notes: list[str]) -> Template:
    if "sample_submission" not in tables:
        resumes = tables["resume"][USER].drop_duplicates()
        notes.append(f"the submission has {SUBMISSION_K} postings for every résumé of resume.csv, in its order")
        return Template(USER, ITEM, users.indexes(resumes), SUBMISSION_K)
    return template_from(tables["sample_submission"], users, USER, ITEM, "sample_submission.csv")


# ---- features


def _user_features(
    users: IdMap, tables: Mapping[str, pd.DataFrame], notes: list[str], typed: dict[str, pd.DataFrame]
) -> list[Feature]:
    resume = first_row_each(tables["resume"], USER, "resume.csv", notes)
    keys = resume[USER]
    features: list[Feature] = [
        categorical("degree", users, keys, resume["degree"]),
        numeric("graduate_year", users, keys, _given(resume["graduate_date"])),
        numeric("hope_salary", users, keys, _given(resume["hope_salary"])),
        numeric("last_salary", users, keys, _given(resume["last_salary"])),
        numeric("career_month", users, keys, resume["career_month"]),
        numeric("reg_date", users, keys, _as_year(resume["reg_date"])),
        numeric("updated_date", users, keys, _as_year(resume["updated_date"])),
        # the month as a label too: people who were active in the same weeks saw the same postings
        categorical("updated_month", users, keys, resume["updated_date"].dt.strftime("%Y-%m")),
        _several("job_codes", users, resume, ["job_code_seq1", "job_code_seq2", "job_code_seq3"]),
        _keywords("resume_keyword", users, resume, "text_keyword", typed),
        _keywords("career_job_code", users, resume, "career_job_code", typed),
    ]
    if "resume_certificate" in tables:
        features.append(_certificates(users, tables["resume_certificate"], notes, typed))
    if "resume_education" in tables:
        education = first_row_each(tables["resume_education"], USER, "resume_education.csv", notes)
        features += [
            categorical(column.name, users, education[USER], education[column.name])
            for column in TABLES["resume_education.csv"][1:]
            if column.kind != "number"
        ]
        features.append(numeric("univ_score", users, education[USER], _given(education["univ_score"])))
    if "resume_language" in tables:
        language = tables["resume_language"]
        best = language.groupby(USER, sort=False)["score"].max()
        features += [
            multi_label("languages", users, language[USER], language["language"]),
            multi_label("language_exams", users, language[USER], language["exam_name"]),
            numeric("language_score", users, best.index, best.to_numpy()),
        ]
    return features


def _item_features(
    items: IdMap, tables: Mapping[str, pd.DataFrame], notes: list[str], typed: dict[str, pd.DataFrame]
) -> list[Feature]:
    posting = first_row_each(tables["recruitment"], ITEM, "recruitment.csv", notes)
    keys = posting[ITEM]
    features: list[Feature] = [
        _several("addresses", items, posting, ["address_seq1", "address_seq2", "address_seq3"]),
        categorical("education", items, keys, posting["education"]),
        categorical("major_task", items, keys, posting["major_task"]),
        categorical("qualifications", items, keys, posting["qualifications"]),
        _keywords("check_box_keyword", items, posting, "check_box_keyword"),
        _keywords("recruitment_keyword", items, posting, "text_keyword", typed),
    ]
    features += [
        numeric(name, items, keys, posting[name]) for name in ("career_start", "career_end") if name in posting.columns
    ]
    if "company" in tables:
        company = first_row_each(tables["company"], ITEM, "company.csv", notes)
        features += [
            categorical("company_type_seq", items, company[ITEM], company["company_type_seq"]),
            categorical("supply_kind", items, company[ITEM], company["supply_kind"]),
            numeric("employee", items, company[ITEM], company["employee"]),
        ]
    return features


def _table(ids: IdMap, features: list[Feature], notes: list[str]) -> FeatureTable:
    """Without the features that say the same of everybody."""
    constant = [feature.name for feature in features if _is_constant(feature)]
    if constant:
        notes.append(f"no {ids.what} feature, the value is everywhere the same or missing: {', '.join(constant)}")
    return FeatureTable(len(ids), [feature for feature in features if feature.name not in constant])


def _is_constant(feature: Feature) -> bool:
    if isinstance(feature, Numeric):
        return len(np.unique(feature.values)) <= 1  # NaNs count as one value
    if isinstance(feature, Categorical):
        return len(np.unique(feature.codes)) <= 1
    return len(feature.codes) == 0


def _given(values: pd.Series) -> pd.Series:
    return values.where(values != 0) if values.name in ZERO_IS_MISSING else values


def _as_year(dates: pd.Series) -> pd.Series:
    """2020-07-01 -> 2020.5, so that a plot can be read."""
    return dates.dt.year + (dates.dt.day_of_year - 1) / 365.25


def _several(name: str, ids: IdMap, frame: pd.DataFrame, columns: list[str]) -> MultiLabel:
    """One feature of columns that hold the first, second and third choice."""
    key = frame.columns[frame.columns.isin([USER, ITEM])][0]
    long = frame.melt(id_vars=key, value_vars=columns).dropna(subset="value")
    return multi_label(name, ids, long[key], long["value"])


def _keywords(
    name: str, ids: IdMap, frame: pd.DataFrame, column: str, typed: dict[str, pd.DataFrame] | None = None
) -> MultiLabel:
    """typed: given where the column is free text, not codes; what became of its spellings is left there."""
    key = frame.columns[frame.columns.isin([USER, ITEM])][0]
    keys, words = split_keywords(frame[key], frame[column])
    if typed is None:
        return multi_label(name, ids, keys, words)
    labels = one_spelling(words)
    typed[name] = spellings(words, labels)
    return multi_label(name, ids, keys, labels)


def _certificates(
    users: IdMap, table: pd.DataFrame, notes: list[str], typed: dict[str, pd.DataFrame]
) -> MultiLabel:
    names = normalise_certificates(table["certificate_contents"])
    typed["certificates"] = spellings(table["certificate_contents"], names)
    pairs = pd.DataFrame({"resume": table[USER], "name": names}).dropna().drop_duplicates()
    holders = pairs["name"].map(pairs["name"].value_counts())
    kept = pairs[holders >= CERTIFICATE_MIN_RESUMES]
    notes.append(
        f"certificates: {table['certificate_contents'].nunique():,} spellings are {names.nunique():,} certificates; "
        f"the {kept['name'].nunique():,} that {CERTIFICATE_MIN_RESUMES} or more résumés hold are labels"
    )
    return multi_label("certificates", users, kept["resume"], kept["name"])
