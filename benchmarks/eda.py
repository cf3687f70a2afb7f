"""The whole EDA, from files to pictures: seconds and memory, and how long it takes to show it again.

The files are synthetic, in the form of MovieLens 1M (benchmarks/synthetic.py), so that every figure has something to draw.
Each size runs in two processes: the first reads and draws, the second shows. Beside the association of features stands
what one would write with pandas: the log merged with both tables, a crosstab for each pair; one deal is measured and
counted as often as ours deals.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.synthetic import SIZES, Size, write_with_features
from recsys_lib.data.files import write_text
from recsys_lib.data.names import did_you_mean

ROOT = Path(__file__).parents[1]
DEALS = 2 * 50  # of figures.association: fifty of the users, fifty of the items
MERGED_ROWS = 1_000_000  # that pandas is given; its time is counted in proportion

_PASS = """
import json, re, sys, time
from pathlib import Path
started = time.perf_counter()
from recsys_lib.eda import figures
from recsys_lib.eda.gallery import Gallery
gallery = Gallery(sys.argv[1], sys.argv[2])
gallery.describe()
seconds = {"reading": time.perf_counter() - started}
for name in figures.__all__:
    begun = time.perf_counter()
    gallery.show(name, getattr(figures, name))
    seconds[name] = time.perf_counter() - begun
peak = None
if sys.platform == "linux":
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps({"seconds": seconds, "all": time.perf_counter() - started, "drawn": gallery.drawn, "peak_mib": peak}))
"""


def run_eda(sizes: Sequence[str], file: Path, *, known: dict[str, Size] = SIZES) -> list[dict[str, Any]]:
    """Measure each size, write the file and its table, return the rows. Raises: ValueError for an unknown size."""
    for name in sizes:
        if name not in known:
            raise ValueError(f"no size {name!r}{did_you_mean(name, list(known))} There are: {', '.join(known)}.")
    rows = []
    for name in sizes:
        with tempfile.TemporaryDirectory() as folder:
            data, out = Path(folder) / "csv", Path(folder) / "eda"
            data.mkdir()
            write_with_features(data, known[name])
            first, second = _pass(data, out), _pass(data, out)
            if second["drawn"]:
                raise RuntimeError(f"the second pass drew {second['drawn']}")
            rows.append(
                {
                    "figure": "whole EDA",
                    "size": name,
                    "data": str(known[name]),
                    "seconds": {part: round(value, 2) for part, value in first["seconds"].items()},
                    "all_seconds": round(first["all"], 1),
                    "pictures": len(first["drawn"]),
                    "peak_mib": first["peak_mib"],
                    "again_seconds": round(second["all"], 2),
                    "crosstab_seconds": round(_crosstabs(data), 1),
                }
            )
        write_text(file, json.dumps(rows, indent=1) + "\n")
        write_text(file.with_suffix(".md"), markdown(rows))
    print("\n" + markdown(rows))
    return rows


def _pass(data: Path, out: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _PASS, str(data), str(out)], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _crosstabs(data: Path) -> float:
    """Seconds in which pandas would make all tables of all deals."""
    from recsys_lib.datasets import read_dataset

    dataset = read_dataset(data)
    people, films = (
        dataset.tables["users"],
        dataset.tables["movies"].assign(genre=lambda table: table["genres"].str.split("|").str[0]),
    )
    films["decade"] = films["year"] // 10
    log = dataset.tables["ratings"]
    share = min(1.0, MERGED_ROWS / len(log))
    log = log.head(int(share * len(log)))[["user_id", "item_id"]]
    dealt = people.assign(user_id=np.random.default_rng(0).permutation(people["user_id"]))
    started = time.perf_counter()
    merged = log.merge(dealt, on="user_id").merge(films, on="item_id")
    for one, other in product(("gender", "age", "occupation"), ("genre", "decade")):
        pd.crosstab(merged[one], merged[other])
    return (time.perf_counter() - started) / share * DEALS


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table of the README."""
    parts = [part for part in rows[0]["seconds"]]
    head = ["", *(f"{row['size']}: {row['data']}" for row in rows)]
    lines = [
        ("whole EDA, files to pictures", [f"**{row['all_seconds']:.0f} s**" for row in rows]),
        ("shown again", [f"{row['again_seconds']:.1f} s" for row in rows]),
        ("peak memory of the process", [f"{row['peak_mib']:,.0f} MiB" if row["peak_mib"] else "not known" for row in rows]),
        *((part, [f"{row['seconds'][part]:.1f} s" for row in rows]) for part in parts),
        (
            "association with pandas.crosstab",
            [
                f"{row['crosstab_seconds']:,.0f} s ({row['crosstab_seconds'] / row['seconds']['association']:.0f} x ours)"
                for row in rows
            ],
        ),
    ]
    table = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {name} | {' | '.join(cells)} |" for name, cells in lines)]
    return "\n".join(table) + "\n"
