"""What changed between two submissions, by hand on 4 users and 6 items, and by brute force on more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys_lib.__main__ import main
from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.datasets.base import Dataset, Template
from recsys_lib.runs.overlap import compare_submissions, submission_file
from recsys_lib.runs.submission import write_submission

#                  user 0     user 1  user 2: five rows; item 0 chosen three times, item 1 twice
LOG = Interactions([0, 1, 2, 2, 2, 2, 2, 3], [0, 0, 0, 1, 2, 3, 4, 1], n_users=4, n_items=6)
CATALOGUE = Catalogue(
    IdMap(["u1", "u2", "u3", "u4"], "user"), IdMap(range(10, 16), "item"), FeatureTable(4, ()), FeatureTable(6, ())
)
TITLES = pd.DataFrame({"item_id": range(10, 16), "title": ["Alien", "Brazil", "Cube", "Dune", "Eraserhead", "Fargo"]})
DATASET = Dataset(LOG, CATALOGUE, {"items": TITLES}, Template("user", "movie", np.array([2, 0, 1, 3], np.int32), 2), "toy")


def lists(**of_user) -> pd.DataFrame:
    return pd.DataFrame([(user, item) for user, items in of_user.items() for item in items], columns=["user", "movie"])


BEFORE = lists(u3=[15, 10], u1=[11, 12], u2=[11, 12], u4=[10, 12])
AFTER = lists(u3=[15, 10], u1=[12, 11], u2=[11, 15], u4=[14, 15])  # equal, another order, one swapped, both swapped


def values(change):
    return change.table().set_index("what")["value"].to_dict()


def test_the_whole_by_arithmetic():
    told = values(compare_submissions(BEFORE, AFTER, DATASET))
    assert told["users x items"] == "4 x 2"
    assert told["lists that are the same"] == told["same items in another order"] == told["wholly other items"] == "1 of 4 (25%)"
    assert told["other items"] == "2 of 4 (50%)"
    assert told["overlap@1"] == f"{(1 + 0 + 1 + 0) / 4:.3f}"
    assert told["overlap@2"] == f"{(2 + 2 + 1 + 0) / 8:.3f}"
    assert told["Jaccard"] == f"{(1 + 1 + 1 / 3 + 0) / 4:.3f}"
    assert told["items swapped a user"] == f"{3 / 4:.2f} of 2 ({3 / 2:.2f} where any was)"
    assert told["items recommended at all"] == "4 -> 5"


def test_for_whom_to_what_and_which_items():
    change = compare_submissions(BEFORE, AFTER, DATASET)
    activity = change.by_activity().set_index("group")
    assert activity["users"].to_dict() == {"1": 3, "3–5": 1}
    assert activity.loc["1", ["changed", "overlap", "swapped"]].tolist() == pytest.approx([2 / 3, (2 + 1 + 0) / 6, 3 / 3])
    assert activity.loc["3–5", ["changed", "overlap", "swapped"]].tolist() == [0, 1, 0]
    popularity = change.by_popularity().set_index("group")
    # item 10 is the most chosen of six, so its place is (0 + ½)/6 > .05: the third group; 15 was never chosen
    assert popularity.loc["5–20 %"].tolist() == [2, 1, 1, 0]
    assert popularity.loc["other 80 %"].tolist() == [5, 4, 2, 1]
    assert popularity.loc["never seen"].tolist() == [1, 3, 0, 2]
    items = change.items(1)
    assert items[["item", "title", "chosen", "before", "after", "change"]].values.tolist() == [
        [15, "Fargo", 0, 1, 3, 2],
        [12, "Cube", 1, 3, 1, -2],
    ]
    assert set(change.items()["item"]) == {10, 12, 14, 15}, "11 neither gained nor lost"


def test_equal_lists_say_that_no_recall_can_tell_them_apart():
    change = compare_submissions(BEFORE, BEFORE.iloc[[3, 2, 1, 0, 5, 4, 7, 6]], DATASET)
    assert "no recall can tell" in change.sentence() and values(change)["other items"] == "0 of 4 (0%)"
    assert not len(change.items()) and "0 of 4" in str(change) and str(change).endswith("Gained and lost most\nnothing")


def test_files_frames_and_recommendations_are_one(tmp_path):
    recommendations = BEFORE.rename(columns={"user": "user_id", "movie": "item_id"}).assign(rank=[1, 2] * 4, score=0.5)
    path = write_submission(
        recommendations, DATASET.template, seen=LOG.take(np.zeros(8, bool)), catalogue=CATALOGUE, path=tmp_path / "submission.csv"
    )
    (tmp_path / "excel.csv").write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    for other in (path, str(path), tmp_path / "excel.csv", recommendations, recommendations.iloc[::-1]):
        assert values(compare_submissions(BEFORE, other, DATASET))["lists that are the same"] == "4 of 4 (100%)"


def test_it_equals_a_slow_count_on_random_lists():
    rng = np.random.default_rng(0)
    n_users, n_items, k = 50, 40, 7
    catalogue = Catalogue(
        IdMap(range(n_users), "user"), IdMap(range(n_items), "item"), FeatureTable(n_users, ()), FeatureTable(n_items, ())
    )
    log = Interactions(np.arange(n_users), rng.integers(0, n_items, n_users), n_users, n_items)
    first, second = (np.array([rng.permutation(n_items)[:k] for _ in range(n_users)]) for _ in range(2))
    frames = [pd.DataFrame({"u": np.repeat(np.arange(n_users), k), "i": of.ravel()}) for of in (first, second)]
    change = compare_submissions(*frames, Dataset(log, catalogue, {}, None, "random"))
    shared = [len(set(a) & set(b)) for a, b in zip(first, second)]
    assert change.swapped.tolist() == [k - n for n in shared]
    assert values(change)["overlap@7"] == f"{sum(shared) / (k * n_users):.3f}"
    assert (
        values(change)["overlap@3"] == f"{sum(len(set(a[:3]) & set(b[:3])) for a, b in zip(first, second)) / (3 * n_users):.3f}"
    )
    assert values(change)["Jaccard"] == f"{np.mean([n / (2 * k - n) for n in shared]):.3f}"
    table = change.by_popularity()
    assert (
        table["before"].sum() == table["after"].sum() == n_users * k
        and table["out"].sum() == table["in"].sum() == change.swapped.sum()
    )


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (AFTER[AFTER["user"] != "u4"], "the second submission lacks 1 of the other's, e.g. 'u4'"),
        (lists(u1=[11], u2=[11], u3=[11], u4=[10]), "first submission has 2 items a user, the second submission 1"),
        (AFTER.iloc[:-1], "lists of 1 to 2 items, e.g. user 'u4'; check_submission"),
        (lists(u1=[11, 11], u2=[11, 12], u3=[11, 12], u4=[10, 12]), "repeats an item within 1 lists, e.g. of user 'u1'"),
        (AFTER.replace({"movie": {14: 99}}), "1 rows of unknown movie, e.g. '99'"),
        (AFTER.assign(score=1).rename(columns={"movie": "film"}), "needs rows of a user and an item column; got 8 rows"),
    ],
)
def test_what_cannot_be_compared_is_said(other, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        compare_submissions(BEFORE, other, DATASET)


def test_the_file_at_fault_is_named(tmp_path):
    path = tmp_path / "old.csv"
    path.write_text("user,movie\nu1,11\nu1,12\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"the first submission \(old.csv\) lacks 3"):
        compare_submissions(path, AFTER, DATASET)
    with pytest.raises(FileNotFoundError, match="no file gone.csv"):
        compare_submissions(tmp_path / "gone.csv", AFTER, DATASET)


def test_a_submission_is_found_by_the_name_of_its_run(tmp_path):
    of_run = tmp_path / "team" / "2026-mina-ease-1a2b"
    of_run.mkdir(parents=True)
    (of_run / "submission.csv").write_text("user,movie\nu1,11\nu1,12\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"the first submission \(2026-mina-ease-1a2b\) lacks 3"):
        compare_submissions(of_run.name, AFTER, DATASET, [tmp_path / "mine", tmp_path / "team"])
    words = "no file 2026-mina-ease-9z to compare; did you mean '2026-mina-ease-1a2b'. Runs that wrote one: 2026-mina-ease-1a2b"
    with pytest.raises(FileNotFoundError, match=words):
        compare_submissions("2026-mina-ease-9z", AFTER, DATASET, [tmp_path / "team"])
    with pytest.raises(FileNotFoundError, match="no file mmm"):
        submission_file(300 * "m", [tmp_path / "team"])


def test_whether_a_file_can_be_compared_is_known_before_the_other_is_made(tmp_path):
    path = tmp_path / "old.csv"
    BEFORE.to_csv(path, index=False)
    assert submission_file(path, (), DATASET) == path
    no_contest = replace(DATASET, template=None)
    assert submission_file(path, (), no_contest, 2) == path
    with pytest.raises(ValueError, match=r"the earlier submission \(old.csv\) has 2 items a user, the new one 3"):
        submission_file(path, (), no_contest, 3)
    BEFORE[BEFORE["user"] != "u3"].to_csv(path, index=False)
    assert submission_file(path) == path, "of whatever contest"
    with pytest.raises(ValueError, match=r"the earlier submission \(old.csv\) lacks 1 of the other's, e.g. 'u3'"):
        submission_file(path, (), DATASET)


def test_the_command_tells_all_of_it(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    (data / "interactions.csv").write_text("user_id,item_id\nu1,a\nu1,b\nu2,c\nu2,d\n", encoding="utf-8")
    for name, of_second in (("old.csv", "a"), ("new.csv", "b")):
        (tmp_path / name).write_text(f"user_id,item_id\nu1,c\nu2,{of_second}\n", encoding="utf-8")
    assert main(["compare-submissions", str(tmp_path / "old.csv"), str(tmp_path / "new.csv"), "--data", str(data)]) == 0
    said = capsys.readouterr().out
    assert "1 of 2 (50%) users get other items" in said and "Gained and lost most" in said
    assert main(["compare-submissions", str(tmp_path / "old.csv"), str(tmp_path / "no.csv"), "--data", str(data)]) == 2
    run = tmp_path / "runs" / "a-run"
    run.mkdir(parents=True)
    (run / "submission.csv").write_bytes((tmp_path / "old.csv").read_bytes())
    assert main(["compare-submissions", "a-run", str(tmp_path / "new.csv"), "--data", str(data), "--runs", str(run.parent)]) == 0
    assert "1 of 2 (50%) users get other items" in capsys.readouterr().out
