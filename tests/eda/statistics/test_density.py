import numpy as np
import pytest

from recsys_lib.data.interactions import Interactions
from recsys_lib.eda.statistics.density import density_by_share, k_cores

#       user 0: items 0 1 2; user 1: 0 1; user 2: 0; user 3: nothing; item 5 nobody
TOY = Interactions([0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 1, 4], n_users=4, n_items=6)


def test_k_cores_by_hand():
    table = k_cores(TOY, ks=(2, 1, 3)).set_index("k")
    assert list(table.loc[1, ["users", "items", "interactions"]]) == [3, 4, 6]
    assert table.loc[1, "density"] == 6 / (3 * 4)
    # users 0 and 1 with items 0 and 1; item 2 has one user, user 2 one item
    assert list(table.loc[2, ["users", "items", "interactions"]]) == [2, 2, 4] and table.loc[2, "density"] == 1
    assert list(table.loc[3, ["users", "items", "interactions"]]) == [0, 0, 0] and np.isnan(table.loc[3, "density"])


def test_k_cores_are_what_is_left_when_one_row_after_another_goes():
    keys = np.random.default_rng(0).choice(30 * 20, 150, replace=False)
    log = Interactions(keys // 20, keys % 20, 30, 20)
    for row in k_cores(log, ks=(2, 3, 4)).itertuples():
        pairs = set(zip(log.users.tolist(), log.items.tolist()))
        while True:
            weak = {(u, i) for u, i in pairs if sum(a == u for a, _ in pairs) < row.k or sum(b == i for _, b in pairs) < row.k}
            if not weak:
                break
            pairs -= {next(iter(weak))}  # in any order
        assert (row.users, row.items, row.interactions) == (len({u for u, _ in pairs}), len({i for _, i in pairs}), len(pairs))


def test_fields_hold_all_interactions_the_fullest_first():
    fields, users, items = density_by_share(TOY, parts=2)
    assert users.tolist() == [0, 2, 4] and items.tolist() == [0, 3, 6]
    # users 0 1 | 2 3 by activity, items 0 1 and (of 2 and 4, which tie) 2 | 3 4 5
    assert fields.tolist() == [[5 / 6, 0], [0, 1 / 6]]


def test_fewer_users_than_parts():
    fields, users, items = density_by_share(TOY, parts=50)
    assert fields.shape == (4, 6) and users.tolist() == [0, 1, 2, 3, 4]
    assert fields.sum() == pytest.approx(len(TOY))
