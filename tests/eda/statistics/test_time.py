import numpy as np
import pandas as pd
import pytest

from recsys_lib.data.interactions import Interactions
from recsys_lib.eda.statistics import time as statistics

DAY = 86_400
# item 0 on days 0, 1, 10; item 1 on days 2, 4; item 2 once, on day 20; item 3 never. Users 0, 1 early, user 2 on day 20
LOG = Interactions([0, 1, 0, 0, 1, 2], [0, 0, 1, 1 + 3, 1, 2], 4, 6, np.array([0, 1, 2, 10, 4, 20]) * DAY)


def test_arrivals_choose_the_finest_period_that_can_be_read():
    counts, period = statistics.arrivals(LOG.timestamps)
    assert period == "day" and len(counts) == 21 and counts.sum() == 6 and counts.iloc[20] == 1
    dates = pd.Series(pd.to_datetime(["2019-01-15", "2020-03-01", "2020-03-31", None]))
    counts, period = statistics.arrivals(dates)
    assert period == "month" and counts.sum() == 3 and counts.loc["2020-03-01"] == 2 and counts.loc["2019-02-01"] == 0
    assert statistics.arrivals(pd.Series(pd.to_datetime(["1950-01-01", "2020-01-01"])))[1] == "year"


def test_lives_by_hand():
    log = Interactions([0, 1, 2, 0, 1], [0, 0, 0, 1, 2], 4, 6, np.array([0, 1, 10, 2, 4]) * DAY)
    lives = statistics.item_lives(log).set_index("item")
    assert list(lives.index) == [0]
    assert lives.loc[0, "days"] == 10 and lives.loc[0, "days_to_half"] == 1  # two of three are the half


def test_the_last_rows_meet_who_was_never_there():
    gaps = statistics.holdout_gaps(LOG, shares=(0.2, 0.5)).set_index("share")
    assert gaps.loc[0.2, "rows"] == 1 and gaps.loc[0.2, "new_users"] == 1 and gaps.loc[0.2, "new_items"] == 1
    # after day 2: (0, 4) on day 10, (1, 1) on day 4, (2, 2) on day 20; only the user of the last is new, item 1 is known
    assert gaps.loc[0.5, "rows"] == 3 and gaps.loc[0.5, "new_users"] == 1 / 3 and gaps.loc[0.5, "new_items"] == 2 / 3
    assert gaps.loc[0.5, "both_known"] == 1 / 3 and gaps.loc[0.5, "days"] == 20 - 2


def test_without_timestamps_it_is_said():
    for what in (statistics.item_lives, statistics.holdout_gaps):
        with pytest.raises(ValueError, match="no timestamps"):
            what(Interactions([0], [0], 4, 6))
