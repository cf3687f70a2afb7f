"""The figures of 01_eda, a question a file; the same code for every data set.

Every title is a sentence that states the finding with its number; below the picture stand the numbers of rows. A figure
takes a Dataset, its parameters and a language ("en" or "ko"), and gives a Plot; where there is nothing to show it raises
NothingToDraw with the reason. matplotlib is imported while drawing only, so that pictures can be shown without it.
"""

from recsys_lib.eda.figures.association import association, lift
from recsys_lib.eda.figures.cold_start import cold_start
from recsys_lib.eda.figures.columns import column_quality
from recsys_lib.eda.figures.competition import competition
from recsys_lib.eda.figures.density import density
from recsys_lib.eda.figures.factors import factors
from recsys_lib.eda.figures.histories import histories_and_popularity
from recsys_lib.eda.figures.information import information
from recsys_lib.eda.figures.splits import split_side_by_side
from recsys_lib.eda.figures.text import spelling, telling_words
from recsys_lib.eda.figures.time import time

__all__ = [
    "association",
    "cold_start",
    "column_quality",
    "competition",
    "density",
    "factors",
    "histories_and_popularity",
    "information",
    "lift",
    "spelling",
    "split_side_by_side",
    "telling_words",
    "time",
]
