"""One load in a process of its own, so that nothing held or cached by another counts: python -m benchmarks.loading WAY PATH

Prints a line of JSON: seconds (imports left out, unless they are what is measured), peak_mib, and what was read.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.memory import peak_mib

Way = Callable[[Path], Any]


def ours() -> Way:
    import pyarrow.csv  # noqa: F401  read_log imports it when it is called

    from recsys_lib.datasets.log import read_log

    return read_log


def pandas_and_unique() -> Way:
    """read_csv, np.unique on both columns, a CSR matrix."""
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp

    def load(path: Path) -> tuple:
        frame = pd.read_csv(path)
        users, rows = np.unique(frame["userId"].to_numpy(), return_inverse=True)
        items, columns = np.unique(frame["movieId"].to_numpy(), return_inverse=True)
        ones = np.ones(len(frame), dtype=np.float32)
        return users, items, sp.csr_matrix((ones, (rows, columns)), shape=(len(users), len(items)))

    return load


def pandas_and_factorize() -> Way:
    """The same with pd.factorize, which hashes where np.unique sorts."""
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp

    def load(path: Path) -> tuple:
        frame = pd.read_csv(path)
        rows, users = pd.factorize(frame["userId"].to_numpy())
        columns, items = pd.factorize(frame["movieId"].to_numpy())
        ones = np.ones(len(frame), dtype=np.float32)
        return users, items, sp.csr_matrix((ones, (rows, columns)), shape=(len(users), len(items)))

    return load


def read_bytes() -> Way:
    """No more than the bytes, once through one buffer."""

    def load(path: Path) -> None:
        buffer = bytearray(1 << 24)
        with path.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass

    return load


def import_library() -> Way:
    def load(_: Path) -> None:
        import recsys_lib  # noqa: F401

    return load


def import_names() -> Way:
    def load(_: Path) -> None:
        import recsys_lib

        for name in recsys_lib.__all__:
            getattr(recsys_lib, name)

    return load


def bootstrap_workspace() -> Way:
    """The first cell of every notebook; `path` is a folder with data, and takes what is written."""

    def load(path: Path) -> None:
        from colab_bootstrap import bootstrap

        bootstrap(data_dir=path, out_dir=path / "out", member="benchmark")

    return load


WAYS = {
    way.__name__: way
    for way in (ours, pandas_and_unique, pandas_and_factorize, read_bytes, import_library, import_names, bootstrap_workspace)
}


def _content(result: Any) -> dict[str, int]:
    """Counts, and a sum over rows that any wrong or missing pair changes; the same for every way."""
    import numpy as np

    if result is None:
        return {}
    if isinstance(result, tuple):
        users, items, matrix = result
        matrix = matrix.tocoo()
        rows, columns = matrix.row, matrix.col
    else:
        users, items = result.users.ids.to_numpy(), result.items.ids.to_numpy()
        rows, columns = result.interactions.users, result.interactions.items
    with np.errstate(over="ignore"):
        mixed = users[rows].astype(np.uint64) * np.uint64(1_000_003) + items[columns].astype(np.uint64)
        mixed *= mixed  # a plain sum would not notice two users who changed an item
        return {"rows": len(rows), "users": len(users), "items": len(items), "sum": int(mixed.sum())}


def main(way: str, path: str) -> None:
    load = WAYS[way]()

    def timed() -> tuple[float, Any]:
        started = time.perf_counter()
        result = load(Path(path))
        return time.perf_counter() - started, result

    peak, (seconds, result) = peak_mib(timed)
    print(json.dumps({"seconds": seconds, "peak_mib": peak} | _content(result)))


if __name__ == "__main__":
    main(*sys.argv[1:])
