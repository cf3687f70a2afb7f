import gzip
from pathlib import Path

import numpy as np
import pytest

from recsys_lib.data.candidates import Candidates
from recsys_lib.datasets import read_dataset
from recsys_lib.datasets.ncf_split import matches, read

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"  # beside the repository; not part of it

# 3 users, 6 items. User 1's last row in time stands first; user 2's two rows have one time; user 0 has one row.
TRAIN = [(1, 4, 5, 900), (0, 3, 4, 100), (1, 0, 3, 100), (2, 5, 1, 70), (1, 3, 2, 800), (2, 1, 5, 70)]
TEST = [(0, 0, 5, 950), (1, 1, 4, 990), (2, 3, 3, 80)]
NEGATIVES = [("(0,0)", 1, 2), ("(1,1)", 5, 2), ("(2,3)", 0, 4)]  # item 2 is known only from here


def text_of(rows):
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "ncf"
    folder.mkdir()
    (folder / "toy-1.train.rating.gz").write_bytes(gzip.compress(text_of(TRAIN).encode()))
    (folder / "toy-1.test.rating").write_text(text_of(TEST), encoding="utf-8")
    (folder / "toy-1.test.negative").write_text(text_of(NEGATIVES), encoding="utf-8")
    return folder


def pairs(dataset, log):
    return list(zip(dataset.catalogue.users.ids_of(log.users).tolist(), dataset.catalogue.items.ids_of(log.items).tolist()))


def test_train_and_test_together_are_the_log(folder):
    dataset = read_dataset(folder)
    assert dataset.name == "ncf_toy_1" and dataset.template is None
    assert (dataset.catalogue.n_users, dataset.catalogue.n_items) == (3, 6)
    assert pairs(dataset, dataset.interactions) == [row[:2] for row in TRAIN + TEST]
    assert dataset.interactions.timestamps.tolist() == [row[3] for row in TRAIN + TEST]
    assert set(dataset.sources) == {"toy-1.train.rating.gz", "toy-1.test.rating", "toy-1.test.negative"}


def test_the_parts_are_disjoint_and_sum_to_the_log(folder):
    dataset = read(folder)
    split = dataset.split
    together = split.train.union(split.validation).union(split.test)
    np.testing.assert_array_equal(together.pair_keys, dataset.interactions.pair_keys)
    assert split.protocol == "ncf_paper" and split.seed == 0 and split.fold_in is None


def test_the_test_part_is_the_papers(folder):
    dataset = read(folder)
    assert pairs(dataset, dataset.split.test) == [(0, 0), (1, 1), (2, 3)]


def test_validation_is_each_users_last_training_row_in_time_then_in_the_file(folder):
    dataset = read(folder)
    assert pairs(dataset, dataset.split.validation) == [(1, 4), (2, 1)]  # user 0 keeps his only row
    assert pairs(dataset, dataset.split.train) == [(0, 3), (1, 0), (2, 5), (1, 3)]


def test_describe_says_that_there_is_a_split_and_among_how_many(folder):
    rows = read(folder).describe().set_index("what")["value"]
    assert rows["published split"] == "ncf_paper: 3 test rows, each user's among 2 candidates"


def test_a_pair_twice_in_one_file_is_told_from_one_in_both(folder):
    (folder / "toy-1.train.rating.gz").write_bytes(gzip.compress(text_of([*TRAIN, TRAIN[0]]).encode()))
    with pytest.raises(ValueError, match="ncf/toy-1.train.rating.gz: 1 rows repeat a pair; the paper's file has none"):
        read(folder)


def test_the_candidates_are_the_papers_as_indexes(folder):
    # Ids with gaps, so that an id is not its index: users 10 u, items 100 + 7 i
    (folder / "toy-1.train.rating.gz").write_bytes(
        gzip.compress(text_of((10 * u, 100 + 7 * i, r, t) for u, i, r, t in TRAIN).encode())
    )
    (folder / "toy-1.test.rating").write_text(text_of((10 * u, 100 + 7 * i, r, t) for u, i, r, t in TEST), encoding="utf-8")
    rows = [("(20,121)", 100, 128), ("(0,100)", 107, 114), ("(10,107)", 135, 114)]  # users in another order
    (folder / "toy-1.test.negative").write_text(text_of(rows), encoding="utf-8")
    dataset = read(folder)
    assert dataset.catalogue.items.ids.tolist() == [100, 107, 114, 121, 128, 135]
    assert dataset.candidates.users.tolist() == [2, 0, 1]
    assert dataset.candidates.items.tolist() == [[0, 4], [1, 2], [5, 2]]
    assert dataset.candidates.n == 2 and len(dataset.candidates) == 3


def test_a_test_row_among_train_is_refused(folder):
    (folder / "toy-1.test.rating").write_text(text_of([(0, 3, 5, 950), *TEST[1:]]), encoding="utf-8")
    (folder / "toy-1.test.negative").write_text(text_of([("(0,3)", 1, 2), *NEGATIVES[1:]]), encoding="utf-8")
    with pytest.raises(ValueError, match="ncf/: 1 of 9 rows repeat a pair .*; the parts of a split must be disjoint"):
        read(folder)


@pytest.mark.parametrize(
    "rows",
    [
        [NEGATIVES[0], ("(1,1)", 5), NEGATIVES[2]],  # too short
        [NEGATIVES[0], ("(1,1)", 5, 2, 3), NEGATIVES[2]],  # too long
        [NEGATIVES[0], ("1,1", 5, 2), NEGATIVES[2]],  # no parentheses
        [NEGATIVES[0], ("(1,1)", 5, "x"), NEGATIVES[2]],
        [],
    ],
)
def test_a_ragged_file_of_candidates_is_refused(folder, rows):
    (folder / "toy-1.test.negative").write_text(text_of(rows), encoding="utf-8")
    with pytest.raises(ValueError, match="ncf/toy-1.test.negative is not as wanted: a row a user, .* Copy or download"):
        read(folder)


@pytest.mark.parametrize("spoil", ["cut", "bytes"])
def test_a_broken_gzip_file_of_candidates_is_refused(folder, spoil):
    (folder / "toy-1.test.negative").unlink()
    whole = gzip.compress(text_of((f"({n},{n})", n * 7919 % 1009, n * 31 % 977) for n in range(2000)).encode())
    broken = whole[:-50] if spoil == "cut" else whole[:2000] + bytes(200) + whole[2200:]
    (folder / "toy-1.test.negative.gz").write_bytes(broken)
    with pytest.raises(ValueError, match="toy-1.test.negative.gz is not as wanted: .* Copy or download it again"):
        read(folder)


@pytest.mark.parametrize("row, odd", [(("(1,5)", 0, 2), "1,1"), (("(7,1)", 5, 2), "1,1")])
def test_candidates_for_other_test_rows_are_refused(folder, row, odd):
    (folder / "toy-1.test.negative").write_text(text_of([NEGATIVES[0], row, NEGATIVES[2]]), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"toy-1.test.negative do not belong together; 2 pairs .*e.g. \({odd}\)"):
        read(folder)


def test_candidates_refuse_a_user_twice_and_shapes_that_do_not_fit(folder):
    with pytest.raises(ValueError, match="a user has two rows of candidates"):
        Candidates([0, 2, 0], [[1, 2], [3, 4], [4, 5]])
    with pytest.raises(ValueError, match=r"users must be \(U,\) and items \(U, C\); got \(3,\) and \(2, 2\)"):
        Candidates([0, 1, 2], [[1, 2], [3, 4]])
    (folder / "toy-1.test.negative").write_text(text_of([*NEGATIVES, ("(1,1)", 5, 3)]), encoding="utf-8")
    with pytest.raises(ValueError, match="a user has two rows of candidates"):
        read(folder)


def test_which_folders_are_meant(folder):
    names = {"x.train.rating", "x.test.rating", "x.test.negative"}
    assert matches(names)
    assert not any(matches(names - {name}) for name in names)
    assert not matches({"x.train.rating", "y.test.rating", "x.test.negative"})
    (folder / "toy-1.test.rating").unlink()
    with pytest.raises(FileNotFoundError, match="no NCF split in ncf/; wanted .*; found toy-1.test.negative, toy-1.train"):
        read(folder)


def test_two_splits_in_one_folder_are_refused(folder):
    for part in ("train.rating.gz", "test.rating", "test.negative"):  # as the authors' own repository has them
        (folder / f"other.{part}").write_bytes((folder / f"toy-1.{part}").read_bytes())
    with pytest.raises(ValueError, match=r"ncf/ holds 2 NCF splits \(other, toy-1\); give each its own folder"):
        read_dataset(folder)


# ---- the real files


def test_real_ncf_ml_1m():
    folder = REAL / "ncf-ml-1m"
    if not folder.is_dir():
        pytest.skip("no ncf-ml-1m beside the repository (GroupLens does not allow passing it on)")
    dataset = read(folder)
    split, candidates = dataset.split, dataset.candidates
    assert dataset.name == "ncf_ml_1m" and (dataset.catalogue.n_users, dataset.catalogue.n_items) == (6040, 3706)
    assert len(split.train) + len(split.validation) == 994_169 and len(split.test) == len(split.validation) == 6040
    assert (len(candidates), candidates.n) == (6040, 99)
    assert (split.test.user_counts == 1).all() and (split.validation.user_counts == 1).all()
    # The first row of the paper's file: (0,25) and then 1064, 174, ...
    assert dataset.catalogue.users.ids[candidates.users[0]] == 0
    assert dataset.catalogue.items.ids_of(candidates.items[0, :2]).tolist() == [1064, 174]
    # No candidate is an item that the user chose before.
    known = split.known_before_test
    keys = candidates.users[:, None].astype(np.int64) * known.n_items + candidates.items
    assert not np.isin(keys, known.pair_keys).any()
