"""Speed: ours beside what one would write otherwise, and beside what this machine could do at best.

    reference   the notes' own way
    plain       what a good user of PyTorch or pandas writes
    floor       the arithmetic and the memory traffic of that way to compute it, at rates measured beside it; another
                way, with fewer or cheaper operations, can fall below

Competitors run in turn in one process (A B C A B C ...) after a round that is not counted; figures are medians. One that
is too slow for the whole does a part of it, and the row says so. The answers are compared: a way that finds something
else is no competitor. Every row goes into the JSON file at once; a table (.md) and a figure (.png) are made of all of it.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.ticker import FuncFormatter

from benchmarks.memory import peak_mib
from benchmarks.synthetic import SIZES, Size, write_ratings
from benchmarks.works import (
    AXES, CURVES, Competitor, Data, Point, Rates, Told, Work, begin, dot_product, entries, load_ratings, scaling_points,
    scaling_works, with_peers,
)  # fmt: skip
from recsys_lib.data.files import replacing, write_text
from recsys_lib.data.names import did_you_mean
from recsys_lib.display.plots import AMBER, BLUE, GREEN, GREY, INK, ORANGE, PALE, Plot, theme
from recsys_lib.runs.folder import package_versions
from recsys_lib.training.trainer import choose_device

GROUPS = ("evaluation", "training", "loading", "sequences", "scaling")
LONG_SECONDS, FEWEST_ROUNDS = 90.0, 3  # a row that has taken so long is done after three rounds
LONG_RUN = 5.0  # seconds; the memory of shorter ones is asked in a run of its own
KEYS = (
    "work", "group", "size", "seconds", "reference_seconds", "plain_seconds", "floor_seconds", "peak_mib",
    "reference", "plain", "floor", "scaled", "spread", "repeats", "rates", "others_cpus", "checked", "machine",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What is asked of the command line."""

    groups: tuple[str, ...]
    sizes: tuple[str, ...]
    repeats: int = 5
    peers: bool = False

    @classmethod
    def of(cls, groups: Sequence[str] = (), size: str = "S", repeats: int = 5, peers: bool = False) -> Request:
        """Raises: ValueError for a word that means nothing."""
        for name, known in [*((group, GROUPS) for group in groups), *((name, "SML") for name in size.split(","))]:
            if name not in tuple(known):
                what = "group of speed benchmarks" if known is GROUPS else "size"
                raise ValueError(f"no {what} {name!r}{did_you_mean(name, known)} There are: {', '.join(known)}.")
        if repeats < 1:
            raise ValueError(f"--repeats must be 1 or more; got {repeats}")
        chosen = tuple(group for group in GROUPS if group in (groups or GROUPS[:3]))
        return cls(chosen, tuple(name for name in "SML" if name in size.split(",")), repeats, peers)


def measure(work: Work, repeats: int, device: torch.device) -> dict[str, Any]:
    """One row. Raises: ValueError when the answers differ."""
    cuda = device.type == "cuda"
    floor = work.floor if isinstance(work.floor, Competitor) else None
    sides = {"ours": work.ours, "reference": work.reference, "plain": work.plain, "floor": floor}
    if work.reference is work.plain:
        del sides["reference"]
    sides = {name: side for name, side in sides.items() if side is not None}
    first_seconds, answer = _timed(work.ours, cuda)  # warm-up
    for name, side in sides.items():
        if name != "ours":
            side.run()
    checked = work.check(answer)

    seconds: dict[str, list[float]] = {name: [] for name in sides}
    peaks: list[float | None] = []
    rates: list[Rates] = []
    started, others = time.perf_counter(), _seconds_of_others()
    for done in range(repeats):
        if done >= FEWEST_ROUNDS and time.perf_counter() - started > LONG_SECONDS:
            break
        rates.append(measured_rates(device))
        for name, side in sides.items():
            if name == "ours" and first_seconds > LONG_RUN:  # asking costs a moment, which here is nothing
                peak, (took, result) = peak_mib(lambda: _timed(work.ours, cuda), cuda=cuda)
                peaks.append(result.peak_mib if isinstance(result, Told) else peak)
            else:
                took, result = _timed(side, cuda)
                if name == "ours" and isinstance(result, Told):
                    peaks.append(result.peak_mib)
            seconds[name].append(took / side.share)
            del result
    others = (_seconds_of_others() - others) / (time.perf_counter() - started)
    if not peaks:
        peaks.append(peak_mib(work.ours.run, cuda=cuda)[0])

    best = Rates(*(max(column) for column in zip(*(vars(one).values() for one in rates))))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    if work.reference is not None and work.reference is work.plain:
        median["reference"] = median["plain"]
    if callable(work.floor):
        median["floor"] = work.floor(best)
    parts = [("ours", work.ours), ("reference", work.reference), ("plain", work.plain), ("floor", floor)]
    return {
        "seconds": median["ours"],
        "reference_seconds": median.get("reference"),
        "plain_seconds": median.get("plain"),
        "floor_seconds": median.get("floor"),
        "peak_mib": None if None in peaks else statistics.median(peaks),
        "ours": work.ours.what,
        "reference": work.reference.what if work.reference else "",
        "plain": work.plain.what if work.plain else "",
        "floor": work.floor_words or (floor.what if floor else ""),
        "scaled": "; ".join(f"{name} from {side.part}" for name, side in parts if side is not None and side.part),
        "spread": [min(seconds["ours"]), max(seconds["ours"])],
        "repeats": len(seconds["ours"]),
        "rates": {name: round(value, 1) for name, value in vars(best).items()},
        "others_cpus": round(max(0.0, others), 2),
        "checked": checked,
    } | work.also(best, median["ours"], answer)


def _timed(side: Competitor, cuda: bool) -> tuple[float, Any]:
    if cuda:
        torch.cuda.synchronize()
    started = time.perf_counter()
    result = side.run()
    if cuda:
        torch.cuda.synchronize()
    took = time.perf_counter() - started
    return (result.seconds if isinstance(result, Told) else took), result


def _seconds_of_others() -> float:
    """CPU seconds that other processes of this machine have used; 0 where that cannot be asked.

    A row measured beside another's work says little: products on all cores then wait for the slowest.
    """
    try:
        user, nice, system = map(int, Path("/proc/stat").read_text(encoding="utf-8").split(maxsplit=4)[1:4])
    except OSError:
        return 0.0
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def measured_rates(device: torch.device) -> Rates:
    """GFLOP/s of a large square product in float32 and bfloat16; GB/s of a copy, bytes read and written together."""
    n = 8192 if device.type == "cuda" else 2048
    square = torch.rand(n, n, device=device)
    half = square.to(torch.bfloat16)
    block = torch.empty(2**28, dtype=torch.uint8, device=device)
    other = torch.empty_like(block)

    def least(run: Callable[[], Any]) -> float:
        side = Competitor("", run)
        return min(_timed(side, device.type == "cuda")[0] for _ in range(4))

    return Rates(
        fp32_gflops=2 * n**3 / least(lambda: square @ square) / 1e9,
        bf16_gflops=2 * n**3 / least(lambda: half @ half) / 1e9,
        copy_gbs=2 * len(block) / least(lambda: other.copy_(block)) / 1e9,
    )


# ---- the run


def run_speed(request: Request, file: Path, *, sizes: dict[str, Size] = SIZES, points: Sequence[Point] | None = None) -> None:
    """Measure, and write the file after each row, its table and its picture at the end. Scaling has a file of its own.

    A work that fails or whose answer is another's is named at the end; the others are measured all the same.

    Args:
        sizes, points: of the data and of the curves; smaller ones are for tests.
    Raises:
        ValueError: the file holds something else or is of another machine, or a work could not be measured.
    """
    device, refused = choose_device("auto"), []
    main = [group for group in request.groups if group != "scaling"]
    if main:
        with Table(file, scaling=False) as table:
            for group, name, size, make in _works(request, sizes):
                table.measure(make, request.repeats, device, refused, work=name, group=group, size=size)
    if "scaling" in request.groups:
        with Table(file.with_name(f"{file.stem}-scaling.json") if main else file, scaling=True) as table:
            for point in scaling_points() if points is None else points:
                for name, make in scaling_works(point):
                    key = {"work": f"scaling {name}", "group": "scaling", "size": f"{point.varied} {point.value}"}
                    place = {"curve": name, "varied": point.varied, "value": point.value, "base": point.base}
                    table.measure(make, request.repeats, device, refused, **key, **place)
    if refused:
        raise ValueError("\n".join(refused))


def _works(request: Request, sizes: dict[str, Size]) -> Iterator[tuple[str, str, str, Callable[[], Work]]]:
    """(group, work, size, how to make it); size after size, so that the data of one only are held."""
    for name in request.sizes:
        data = Data(name, sizes[name])
        for entry in entries():
            if entry.group in request.groups and name in entry.sizes:
                peers = request.peers and entry.make is dot_product
                yield entry.group, entry.name, name, lambda: with_peers(entry.make(data), data) if peers else entry.make(data)
        del data
    if "loading" in request.groups:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ratings.csv"
            write_ratings(path, sizes["20M"])
            yield "loading", f"{sizes['20M'].n_rows / 1e6:.3g} M-row CSV", "20M", lambda: load_ratings(path, sizes["20M"])
            path.unlink()
            (Path(folder) / "interactions.csv").write_text("user_id,item_id\n1,1\n1,2\n", encoding="utf-8")
            for name, way, what in (
                ("import recsys_lib", "import_library", "import recsys_lib"),
                ("every public name", "import_names", "import recsys_lib and all its names, torch with them"),
                ("bootstrap()", "bootstrap_workspace", "the first cell of a notebook"),
            ):
                yield "loading", name, "", lambda way=way, what=what: begin(way, what, Path(folder))


class Table:
    """The file, written anew after each row; and the Markdown and the picture beside it, also where a run was cut off."""

    def __init__(self, file: Path, *, scaling: bool) -> None:
        self.file, self.scaling, self.machine = file, scaling, _machine()
        self.rows = _kept(file, scaling, self.machine)

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.rows:
            return
        text = markdown(self.rows)
        write_text(self.file.with_suffix(".md"), text)
        draw, frame = scaling_figure if self.scaling else speed_figure, pd.DataFrame(self.rows)
        more = " At the ends of the curves: the exponent over their upper half." if self.scaling else ""
        with replacing(self.file.with_suffix(".png")) as part:
            part.write_bytes(draw(frame, footer=_caption(self.rows) + more).png())
        print("\n" + text)

    def measure(self, make: Callable[[], Work], repeats: int, device: torch.device, refused: list[str], **key: Any) -> None:
        """Make and measure one row, in the place of an older one of its work and size; a failure goes to `refused`."""
        label = f"{key['work']} {key['size']}".strip()
        print(label, flush=True)
        try:
            row = key | measure(make(), repeats, device)
        except (ValueError, RuntimeError) as error:
            refused.append(f"{label} was not measured: {error}")
            print(f"    not measured: {error}", flush=True)
            return
        row |= {"machine": self.machine}
        row = {name: row[name] for name in KEYS} | {name: value for name, value in row.items() if name not in KEYS}
        if _key(row) in map(_key, self.rows):
            self.rows = [row if _key(old) == _key(row) else old for old in self.rows]
        else:
            self.rows.append(row)
        self.rows.sort(key=_place)
        write_text(self.file, json.dumps(self.rows, indent=1, ensure_ascii=False) + "\n")
        print("    " + "  ".join(f"{name} {_seconds(row[f'{name}_seconds' if name else 'seconds'])}".strip()
                                 for name in ("", "reference", "plain", "floor")), flush=True)  # fmt: skip
        if row["others_cpus"] > 0.2:
            print(f"    other processes used {row['others_cpus']} CPUs meanwhile: measure again on a quiet machine", flush=True)


def _kept(file: Path, scaling: bool, machine: dict[str, Any]) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(rows, list):
            raise TypeError(f"a {type(rows).__name__}, not a list")
        for row in rows:
            if absent := [name for name in KEYS if name not in row]:
                raise KeyError(*absent[:1])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file.name} does not hold rows of this benchmark ({error!r}); give another --json") from error
    if rows and (rows[0]["group"] == "scaling") != scaling:
        what = "other rows than scaling curves" if scaling else "scaling curves"
        raise ValueError(f"{file.name} holds {what}; these have a file of their own: give another --json")
    for row in rows:
        if row["machine"] != machine:
            names = [name for name in machine if row["machine"].get(name) != machine[name]]
            there, here = ({name: m.get(name) for name in names} for m in (row["machine"], machine))
            raise ValueError(
                f"{file.name} was measured elsewhere (there {there}, here {here}); seconds of two machines make no table: "
                "give another --json"
            )
    return rows


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["work"], row["size"]


def _place(row: dict[str, Any]) -> tuple:
    """Groups, works and sizes in the order of this file."""
    if row["group"] == "scaling":
        return 3, list(AXES).index(row["varied"]), CURVES.index(row["curve"]), row["value"]
    works = [*(entry.name for entry in entries()), "import recsys_lib", "every public name", "bootstrap()"]
    return GROUPS.index(row["group"]), works.index(row["work"]) if row["work"] in works else -1, "SML".find(row["size"]), 0


def _machine() -> dict[str, Any]:
    device, packages = choose_device("auto"), package_versions()
    return {
        "python": platform.python_version(),
        "packages": {name: packages[name] for name in ("torch", "numpy", "pandas", "pyarrow") if name in packages},
        "cpus": os.cpu_count(),
        "cpu": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


# ---- the table


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table for the README: what it rests on, then a row a work and size; missing cells are –, † is scaled from a part."""
    if rows[0]["group"] == "scaling":
        head = ["work", "varied", "value", "seconds", "MiB"]
        cells = [
            [row["curve"], row["varied"], f"{row['value']:,}", _seconds(row["seconds"]), _mib(row["peak_mib"])] for row in rows
        ]
    else:
        head = [
            "work", "size", "seconds", "reference s", "x faster than reference", "plain s", "share of plain", "floor s",
            "x the floor", "MiB",
        ]  # fmt: skip
        cells = [
            [
                row["work"],
                row["size"] or "–",
                _marked(row, "seconds", "ours"),
                _marked(row, "reference_seconds", "reference"),
                _ratio(row["reference_seconds"], row["seconds"]),
                _marked(row, "plain_seconds", "plain"),
                _ratio(row["seconds"], row["plain_seconds"]),
                _marked(row, "floor_seconds", "floor"),
                _ratio(row["seconds"], row["floor_seconds"]),
                _mib(row["peak_mib"]),
            ]
            for row in rows
        ]
    memory = "; MiB: the most memory beyond what was held before."
    lines = [
        _caption(rows).removesuffix(".") + memory + (" † scaled from a part." if any(row["scaled"] for row in rows) else ""),
        "",
        f"| {' | '.join(head)} |",
        "|---|---|" + "---:|" * (len(head) - 2),
        *(f"| {' | '.join(line)} |" for line in cells),
    ]
    peers = [f"{row['work']} {row['size']}: {row['peers']}" for row in rows if row.get("peers")]
    return "\n".join(lines + ([""] + [f"Peers, {line}." for line in peers] if peers else [])) + "\n"


def _caption(rows: list[dict[str, Any]]) -> str:
    machine, repeats = rows[0]["machine"], sorted({row["repeats"] for row in rows})
    rates = {name: statistics.median(row["rates"][name] for row in rows) for name in rows[0]["rates"]}
    device = "" if machine["device"] == "cpu" else f"{machine['device']}, "
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    medians = str(repeats[0]) if len(repeats) == 1 else f"{repeats[0]} to {repeats[-1]}"
    turns = f". Base: {rows[0]['base']}" if rows[0]["group"] == "scaling" else ", competitors in turn in one run"
    others = max(row["others_cpus"] for row in rows)
    busy = f" Other processes used up to {others:.1f} CPUs meanwhile." if others > 0.2 else ""
    return (
        f"{device}{machine['cpu']}, {machine['cpus']} CPUs, {machine['threads']} threads; "
        f"GEMM {rates['fp32_gflops']:,.0f} GFLOP/s in fp32 and {rates['bf16_gflops']:,.0f} in bf16, copy {rates['copy_gbs']:.3g} GB/s. Python {machine['python']}, {packages}."
        f"{busy} Medians of {medians}{turns}."
    )


def _marked(row: dict[str, Any], name: str, side: str) -> str:
    scaled = any(part.startswith(f"{side} from") for part in row["scaled"].split("; "))
    return _seconds(row[name]) + (" †" if scaled else "")


def _seconds(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def _ratio(one: float | None, other: float | None) -> str:
    return "–" if one is None or other is None else f"{one / other:.1f}" if one >= 10 * other else f"{one / other:.2f}"


def _mib(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


# ---- the pictures


SIDES = (
    ("reference_seconds", "reference", "s", GREY),
    ("plain_seconds", "plain", "D", AMBER),
    ("seconds", "ours", "o", BLUE),
    ("floor_seconds", "floor", "|", GREEN),
)


def speed_figure(table: pd.DataFrame, *, footer: str = "") -> Plot:
    """A line a row of the table, seconds on a log scale: reference, plain, ours, floor.

    Args:
        table: columns work, size, seconds, reference_seconds, plain_seconds, floor_seconds; the last three may be missing.
    """
    numbers = table[[name for name, *_ in SIDES]].astype(float)
    figure = Plot(_speed_sentence(table), height=1.9 + 0.42 * len(table), footer=footer)
    with theme():
        axes = figure.subplots()
        places = np.arange(len(table))[::-1]  # the first on top
        axes.hlines(places, numbers.min(axis=1), numbers.max(axis=1), color=PALE, linewidth=2, zorder=1)
        for name, label, marker, colour in SIDES:
            style = {"s": 62, "color": colour, "linewidth": 0}
            if name == "reference_seconds":  # hollow, so that plain shows within where they are the same
                style = {"s": 70, "facecolor": "none", "edgecolor": colour, "linewidth": 1.6}
            elif name == "plain_seconds":
                style["s"] = 30
            elif name == "floor_seconds":
                style |= {"s": 150, "linewidth": 2.4}
            axes.scatter(numbers[name], places, marker=marker, label=label, zorder=3, **style)
        for place, (_, row) in zip(places, numbers.iterrows()):
            axes.annotate(
                f"{_seconds(row['seconds'])} s" if row["seconds"] >= 0.1 else f"{1000 * row['seconds']:.3g} ms",
                (row["seconds"], place), xytext=(0, 6), textcoords="offset points",
                ha="center", va="bottom", fontsize=7.5, color=BLUE,
            )  # fmt: skip
            told = [
                text
                for other, text in (
                    ("reference_seconds", f"{_ratio(row['reference_seconds'], row['seconds'])} x faster than reference"),
                    ("plain_seconds", f"{_ratio(row['seconds'], row['plain_seconds'])} of plain"),
                    ("floor_seconds", f"{_ratio(row['seconds'], row['floor_seconds'])} x floor"),
                )
                if np.isfinite(row[other]) and not (other == "reference_seconds" and row[other] == row["plain_seconds"])
            ]
            axes.annotate(
                " · ".join(told), (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=7.5, color=INK
            )
        axes.set_xscale("log")
        labels = [f"{row.work}, {row.size}" if len(row.size) == 1 else row.work for row in table.itertuples()]
        axes.set_yticks(places, labels, color=INK)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
        axes.set(xlabel="log scale", ylim=(-0.6, len(table) - 0.3))
        axes.margins(x=0.06)
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0, handletextpad=0.2)
    return figure


def _speed_sentence(table: pd.DataFrame) -> str:
    """The first row that has a reference, and the middle of all that have plain code beside them."""
    ours = table["seconds"].astype(float)
    faster = (table["reference_seconds"].astype(float) / ours).dropna()
    share = (ours / table["plain_seconds"].astype(float)).dropna()
    first = table.loc[faster.index[0] if len(faster) else ours.index[0]]
    parts = [f"{first['work']} {first['size']} takes {_seconds(first['seconds'])} s"]
    if len(faster):
        parts[0] += f", {faster.iloc[0]:.1f} times faster than the reference"
    if len(share):
        parts.append(f"the median work takes {share.median():.2f} of plain code's time")
    return "; ".join(parts)


def scaling_figure(table: pd.DataFrame, *, footer: str = "") -> Plot:
    """Seconds and MiB against users, items, factors and k, both axes logarithmic.

    Args:
        table: columns curve, varied, value, seconds, peak_mib (may be missing).
    """
    figure = Plot(_scaling_sentence(table), height=5.2, footer=footer)
    colours = dict(zip(CURVES, (BLUE, ORANGE, GREEN)))
    with theme():
        grid = figure.subplots(2, len(AXES), sharey="row", sharex="col")
        for column, varied in enumerate(AXES):
            for axes, name in zip(grid[:, column], ("seconds", "peak_mib")):
                axes.set_xscale("log")
                axes.set_yscale("log")
                ends = []
                for curve, rows in table[table["varied"] == varied].groupby("curve"):
                    rows = rows.sort_values("value")
                    values = rows[name].astype(float).clip(lower=0.1 if name == "peak_mib" else None)
                    axes.plot(rows["value"], values, marker="o", markersize=3.5, color=colours[curve], label=curve)
                    slope = _slope(rows["value"], values)
                    if np.isfinite(slope):
                        ends.append((values.iloc[-1], rows["value"].iloc[-1], f"^{slope:.1f}", colours[curve]))
                ends.sort(reverse=True)
                for place, (end, x, text, colour) in enumerate(ends):
                    near = place and ends[place - 1][0] / end < 1.3  # below its neighbour's, where the ends meet
                    axes.annotate(
                        text, (x, end), xytext=(4, -3 if near else 0), textcoords="offset points",
                        va="top" if near else "center", fontsize=7.5, color=colour,
                    )  # fmt: skip
                ticks = sorted(table.loc[table["varied"] == varied, "value"].unique())
                axes.set_xticks(ticks, [f"{tick / 1000:g}k" if tick >= 1000 else f"{tick}" for tick in ticks])
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axes.minorticks_off()
                axes.tick_params(axis="x", labelsize=7)
                axes.margins(x=0.16)
            grid[0, column].set_title(varied)
            grid[1, column].set_xlabel(varied)
        # In the column with one curve there is room for the names.
        handles, names = grid[0, 0].get_legend_handles_labels()
        grid[0, -1].legend(handles[::-1], names[::-1], loc="upper left", handlelength=1.2, borderaxespad=0)
        grid[0, 0].set_ylabel("seconds")
        grid[1, 0].set_ylabel("MiB beyond what was held")
    return figure


def _slope(values: pd.Series, seconds: pd.Series) -> float:
    """Exponent b of seconds ~ value^b over the upper half, where fixed costs weigh least."""
    half = len(values) // 2
    values, seconds = values.to_numpy(float)[half:], seconds.to_numpy(float)[half:]
    if len(values) < 2 or not np.isfinite(seconds).all() or (seconds <= 0).any():
        return float("nan")
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])


def _scaling_sentence(table: pd.DataFrame) -> str:
    slopes = {}
    for varied in AXES:
        rows = table[(table["varied"] == varied) & (table["curve"] == CURVES[0])].sort_values("value")
        slope = _slope(rows["value"], rows["seconds"])
        if np.isfinite(slope):
            slopes[varied] = slope
    if not slopes:
        return "Seconds and memory against size"
    return "The time of an evaluation grows as " + ", ".join(f"{varied}^{slope:.1f}" for varied, slope in slopes.items())
