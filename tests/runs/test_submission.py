"""Each defect is seeded alone and must be named alone; what we write is always acceptable."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.datasets.base import Template
from recsys_lib.runs.submission import SubmissionError, check_submission, host_metric, write_submission

USERS, ITEMS = ["U1", "U2", "U3", "U4"], ["R1", "R2", "R3", "R4", "R5", "R6"]
# U4 is not asked for; the template's order is not that of the ids
TEMPLATE = Template("resume_seq", "recruitment_seq", users=np.array([2, 0, 1], dtype=np.int32), k=2)
SEEN = Interactions([0, 1, 2, 3], [0, 1, 2, 3], n_users=4, n_items=6)
GOOD = ["resume_seq,recruitment_seq", "U3,R1", "U3,R2", "U1,R2", "U1,R3", "U2,R1", "U2,R3"]


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue(IdMap(USERS, "user"), IdMap(ITEMS, "item"), FeatureTable(4, ()), FeatureTable(6, ()))


@pytest.fixture
def check(tmp_path, catalogue):
    def check(content):
        path = tmp_path / "submission.csv"
        path.write_bytes(content if isinstance(content, bytes) else ("\n".join(content) + "\n").encode("utf-8"))
        return check_submission(path, TEMPLATE, seen=SEEN, catalogue=catalogue)

    return check


def changed(line: int, text: str) -> list[str]:
    """GOOD with its line `line` (1 is the header) replaced."""
    return [*GOOD[: line - 1], text, *GOOD[line:]]


def without(*lines: int) -> list[str]:
    return [text for number, text in enumerate(GOOD, 1) if number not in lines]


GOOD_BYTES = ("\n".join(GOOD) + "\n").encode("utf-8")
DEFECTS = {
    "empty file": (b"", "empty_file", "not even a header"),
    "only line ends": (b"\n\n", "empty_file", "not even a header"),
    "wrong columns": (changed(1, "resume_seq,posting"), "wrong_columns", "posting"),
    "no header": (GOOD[1:], "wrong_columns", "U3"),
    "an index column": ([f"{n},{line}" for n, line in enumerate(GOOD)], "wrong_columns", "nothing else"),
    "column order": ([",".join(line.split(",")[::-1]) for line in GOOD], "column_order", "must be in the order"),
    "missing user": (without(4, 5), "missing_user", "1 of 3 users have no rows, e.g. 'U1'"),
    "unknown user": ([*GOOD, "U9,R1"], "unknown_user", "1 rows of users whom the template does not ask for, e.g. line 8: U9,R1"),
    "a user not asked for": ([*GOOD, "U4,R1"], "unknown_user", "line 8: U4,R1"),
    "too few": (without(5), "too_few", "1 users have fewer than 2 rows, e.g. 'U1' with 1"),
    "too many": ([*GOOD, "U2,R4"], "too_many", "1 users have more than 2 rows, e.g. 'U2' with 3"),
    "duplicate item": (changed(3, "U3,R1"), "duplicate_item", "1 rows repeat an item of the same user, e.g. line 3: U3,R1"),
    "unknown item": (changed(3, "U3,R9"), "unknown_item", "line 3: U3,R9"),
    "an item as a float": (changed(3, "U3,R2.0"), "unknown_item", "line 3"),
    "seen item": (changed(3, "U3,R3"), "seen_item", "1 rows recommend what the user has already, e.g. line 3: U3,R3"),
    "null item": (changed(3, "U3,"), "null", "line 3: U3,"),
    "NaN item": (changed(3, "U3,NaN"), "null", "line 3: U3,NaN"),
    "null user": (changed(3, ",R2"), "null", "line 3: ,R2"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD_BYTES, "byte_order_mark", "not 'UTF-8 with BOM'"),
    "utf-16": (GOOD_BYTES.decode().encode("utf-16"), "wrong_encoding", "UTF-16"),
    "user order": ([GOOD[0], *GOOD[3:5], *GOOD[1:3], *GOOD[5:]], "user_order", "first on line 4 with 'U3'"),
    "rows of two users mixed": ([GOOD[0], GOOD[1], GOOD[3], GOOD[2], *GOOD[4:]], "user_order", "line 4"),
    "tabs": (GOOD_BYTES.replace(b",", b"\t"), "wrong_separator", "a tab; wanted a comma"),
    "semicolons": (GOOD_BYTES.replace(b",", b";"), "wrong_separator", "a semicolon"),
    "a field too many": ([*GOOD, "U2,R4,0.5"], "ragged_row", "line 8 has 3"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_named_and_nothing_else(check, name):
    content, code, words = DEFECTS[name]
    problems = check(content)
    assert [problem.code for problem in problems] == [code]
    assert words in problems[0].message


def test_a_good_file_has_no_problem_whatever_its_line_ends(check):
    assert check(GOOD) == []
    assert check(GOOD_BYTES.replace(b"\n", b"\r\n")) == []
    assert check(GOOD_BYTES.rstrip(b"\n")) == []


def test_cp949_is_named_and_the_rest_still_checked(tmp_path):
    catalogue = Catalogue(IdMap(["가", "나"], "user"), IdMap(["R1", "R2", "R3"], "item"), FeatureTable(2, ()), FeatureTable(3, ()))
    template = Template("이력서", "공고", users=np.array([0, 1], dtype=np.int32), k=1)
    seen = Interactions([0], [0], n_users=2, n_items=3)
    path = tmp_path / "s.csv"
    path.write_bytes("이력서,공고\n가,R2\n나,R2\n".encode("cp949"))
    problems = check_submission(path, template, seen=seen, catalogue=catalogue)
    assert [problem.code for problem in problems] == ["wrong_encoding"] and "line 1" in problems[0].message
    path.write_bytes("이력서,공고\n가,R1\n나,R2\n".encode("cp949"))
    codes = [problem.code for problem in check_submission(path, template, seen=seen, catalogue=catalogue)]
    assert codes == ["wrong_encoding", "seen_item"]


def test_several_defects_are_all_told(check):
    lines = changed(3, "U3,R3")
    lines[-1] = "U2,R9"
    assert [problem.code for problem in check(lines)] == ["unknown_item", "seen_item"]


def test_a_missing_file_is_an_error_with_the_next_step(tmp_path, catalogue):
    with pytest.raises(FileNotFoundError, match="03_evaluate"):
        check_submission(tmp_path / "no.csv", TEMPLATE, seen=SEEN, catalogue=catalogue)


def recommendations(rows):
    return pd.DataFrame(rows, columns=["user_id", "item_id", "rank", "score"])


RECS = recommendations(
    [("U1", "R3", 2, 0.1), ("U1", "R2", 1, 0.2), ("U2", "R1", 1, 0.9), ("U2", "R3", 2, 0.8), ("U3", "R1", 1, 3), ("U3", "R2", 2, 2)]
)


def test_written_in_the_templates_order_best_first(tmp_path, catalogue):
    path = write_submission(RECS, TEMPLATE, seen=SEEN, catalogue=catalogue, path=tmp_path / "out" / "submission.csv")
    assert path.read_bytes() == GOOD_BYTES
    assert [one.name for one in path.parent.iterdir()] == ["submission.csv"]


@pytest.mark.parametrize(
    ("recs", "codes"),
    [
        (RECS[RECS.user_id != "U2"], ["missing_user"]),
        (RECS[RECS.index != 1], ["too_few"]),
        (pd.concat([RECS, recommendations([("U1", "R4", 3, 0.0)])]), ["too_many"]),
        (RECS.replace({"item_id": {"R2": "R1"}}), ["duplicate_item", "seen_item"]),
        (pd.concat([RECS, recommendations([("U4", "R1", 1, 0.0)])]), ["unknown_user"]),
        (RECS.assign(item_id=RECS.item_id.where(RECS.index != 0, None)), ["null"]),
    ],
)
def test_a_submission_with_problems_is_never_written(tmp_path, catalogue, recs, codes):
    path = tmp_path / "submission.csv"
    path.write_text("the one of yesterday", encoding="utf-8")
    with pytest.raises(SubmissionError) as raised:
        write_submission(recs, TEMPLATE, seen=SEEN, catalogue=catalogue, path=path)
    assert [problem.code for problem in raised.value.problems] == codes
    assert all(code in str(raised.value) for code in codes)
    assert path.read_text(encoding="utf-8") == "the one of yesterday" and len(list(tmp_path.iterdir())) == 1


def test_whole_number_ids_stay_whole_numbers(tmp_path):
    catalogue = Catalogue(IdMap([10, 20], "user"), IdMap([1, 2, 3], "item"), FeatureTable(2, ()), FeatureTable(3, ()))
    template = Template("user", "item", users=np.array([0, 1], dtype=np.int32), k=1)
    seen = Interactions([0], [0], n_users=2, n_items=3)
    recs = recommendations([(10, 2.0, 1, 0.5), (20, 3.0, 1, 0.5)])
    path = write_submission(recs, template, seen=seen, catalogue=catalogue, path=tmp_path / "s.csv")
    assert path.read_text(encoding="utf-8") == "user,item\n10,2\n20,3\n"
    recs.loc[1, "item_id"] = np.nan
    with pytest.raises(SubmissionError, match="null: 1 rows"):
        write_submission(recs, template, seen=seen, catalogue=catalogue, path=tmp_path / "t.csv")


def test_write_wants_its_columns(tmp_path, catalogue):
    with pytest.raises(ValueError, match=r"\['rank'\] missing"):
        write_submission(RECS.drop(columns="rank"), TEMPLATE, seen=SEEN, catalogue=catalogue, path=tmp_path / "s.csv")


def pairs(*rows):
    return pd.DataFrame(rows, columns=["user", "item"])


def test_the_hosts_metric_by_hand():
    answers = pairs(("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("a", 3))
    given = pairs(("a", 1), ("a", 1), ("a", 3), ("b", 9), ("b", 4), ("d", 5))
    # a: 1 in the first two places (1 twice) of min(3, 2); b: 4 of 1; c: not submitted
    assert host_metric(given, answers, k=2) == ((1 / 2) + (1 / 1) + 0) / 3
    assert host_metric(given, answers, k=5) == ((2 / 3) + (1 / 1) + 0) / 3
    assert host_metric(answers, answers) == 1.0


def test_the_hosts_metric_reads_ids_as_text_and_wants_the_same_columns():
    assert host_metric(pairs(("7", "1")), pairs((7, 1))) == 1.0
    with pytest.raises(ValueError, match="columns of the answers"):
        host_metric(pairs(("a", 1)).rename(columns={"item": "x"}), pairs(("a", 1)))
    with pytest.raises(ValueError, match="0 rows"):
        host_metric(pairs(("a", 1)), pairs())


def test_the_full_size_is_checked_in_about_a_second(tmp_path):
    n_users, n_items, k = 8_482, 6_695, 5
    catalogue = Catalogue(
        IdMap([f"U{n:05}" for n in range(n_users)], "user"), IdMap([f"R{n:05}" for n in range(n_items)], "item"),
        FeatureTable(n_users, ()), FeatureTable(n_items, ()),
    )  # fmt: skip
    template = Template("resume_seq", "recruitment_seq", users=np.arange(n_users, dtype=np.int32), k=k)
    seen = Interactions(np.arange(n_users), np.zeros(n_users), n_users=n_users, n_items=n_items)
    user, rank = np.divmod(np.arange(n_users * k), k)
    recs = recommendations({"user_id": catalogue.users.ids[user], "item_id": catalogue.items.ids[1 + rank], "rank": rank + 1, "score": 0.0})
    assert len(write_submission(recs, template, seen=seen, catalogue=catalogue, path=tmp_path / "s.csv").read_bytes()) > 500_000
