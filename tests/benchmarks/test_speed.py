"""The speed benchmark: its data, that its competitors find what ours finds, and what it writes. Never how long it took."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import speed, works
from benchmarks.__main__ import main
from benchmarks.loading import WAYS, _content
from benchmarks.memory import peak_mib
from benchmarks.references import PairDataset, PlainNeuMF, TensorPairs, dataset_epoch
from benchmarks.speed import KEYS, SIDES, Request, markdown, run_speed
from benchmarks.synthetic import SIZES, Size, synthetic_catalogue, synthetic_log, write_ratings
from benchmarks.works import (
    AXES, CURVES, Data, Point, Rates, dot_product, multi_dae_epoch, multi_dae_evaluation, ncf_catalogue, neumf_epoch, scaling_points,
)  # fmt: skip

TINY = {"S": Size(60, 48, 600), "M": Size(70, 50, 900), "L": Size(80, 60, 1000), "20M": Size(50, 40, 900)}
RATES = Rates(fp32_gflops=100.0, bf16_gflops=400.0, copy_gbs=20.0)


@pytest.fixture(autouse=True)
def known_rates(monkeypatch):
    """The real ones take a second a row."""
    monkeypatch.setattr(speed, "measured_rates", lambda device: RATES)


@pytest.fixture(scope="module")
def data():
    return {name: Data(name, TINY[name]) for name in "SM"}


# ---- the data


@pytest.mark.parametrize("size", [TINY["S"], Size(500, 300, 20_000), Size(40, 12, 200, fewest=5), Size(30, 20, 300), Size(30, 20, 90)], ids=str)
def test_the_log_has_exactly_so_many_distinct_rows_and_each_user_enough(size):
    log = synthetic_log(size)
    assert (len(log), log.n_users, log.n_items) == (size.n_rows, size.n_users, size.n_items)  # Interactions are distinct
    assert size.fewest <= log.user_counts.min() and log.user_counts.max() <= size.n_items // 2


def test_the_data_are_seeded_and_leave_the_global_generator_alone():
    before = np.random.get_state()[1].copy()
    one, same, other = (synthetic_log(TINY["S"], seed).fingerprint for seed in (3, 3, 4))
    assert one == same != other
    one, same, other = (synthetic_catalogue(TINY["S"], seed).user_features.fingerprint() for seed in (3, 3, 4))
    assert one == same != other
    assert (np.random.get_state()[1] == before).all()


def test_the_log_has_popular_items_long_histories_and_tastes():
    log = synthetic_log(SIZES["S"])
    items, users = np.sort(log.item_counts)[::-1], np.sort(log.user_counts)[::-1]
    assert len(log) == 57_946 and log.user_counts.min() >= 3
    assert items[:670].sum() > 0.3 * len(log) and users[0] > 5 * np.median(users)
    catalogue = synthetic_catalogue(SIZES["S"])
    of_users, of_items = catalogue.user_features["user_feature_0"].codes, catalogue.item_features["item_feature_0"].codes
    assert (of_users[log.users] == of_items[log.items]).mean() > 0.4, "most rows are of the user's own cluster"
    assert len(catalogue.user_features) == len(catalogue.item_features) == 8


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="10 users of 3 to 5 rows cannot have 60 rows together"):
        Size(10, 10, 60)


def test_the_ratings_file_is_read_alike_by_all(tmp_path):
    write_ratings(tmp_path / "ratings.csv", TINY["20M"])
    contents = [_content(WAYS[way]()(tmp_path / "ratings.csv")) for way in ("ours", "pandas_and_unique", "pandas_and_factorize")]
    assert contents[0] == contents[1] == contents[2]
    assert {name: contents[0][name] for name in ("rows", "users")} == {"rows": 900, "users": 50}
    frame = pd.read_csv(tmp_path / "ratings.csv")
    assert frame["userId"].is_monotonic_increasing and frame["userId"].iloc[0] == 1
    assert set(frame["rating"]) <= set(np.arange(1, 11) / 2)
    frame.loc[0, "movieId"], frame.loc[1, "movieId"] = frame.loc[1, "movieId"], frame.loc[0, "movieId"]
    other = frame.iloc[1:]
    other.to_csv(tmp_path / "other.csv", index=False)
    assert _content(WAYS["ours"]()(tmp_path / "other.csv"))["sum"] != contents[0]["sum"]


# ---- the competitors


@pytest.mark.parametrize("name", ["S", "M"])
@pytest.mark.parametrize("make", [ncf_catalogue, dot_product, multi_dae_evaluation])
def test_reference_and_plain_find_what_the_evaluator_finds(data, make, name):
    work = make(data[name])
    report = work.ours.run()
    assert "equal to" in work.check(report)
    wrong = {metric: values[::-1].copy() + 1 for metric, values in report.values.items()}
    with pytest.raises(ValueError, match="users is not that of"):
        work.check(type(report)(**(vars(report) | {"values": wrong})))


@pytest.mark.parametrize(
    "make", [neumf_epoch, lambda data: multi_dae_epoch(data, [16]), lambda data: multi_dae_epoch(data, [24, 8])], ids=["neumf", "dae 1", "dae 2"]
)
def test_the_loss_is_that_of_plain_torch_with_the_same_weights(data, make):
    work = make(data["S"])
    before = torch.get_rng_state()
    work.ours.run()
    assert torch.equal(torch.get_rng_state(), before)
    work.plain.run()
    work.reference.run()
    assert work.check(None).startswith("loss of a batch with the same weights equal")


def test_negatives_of_the_competitors_were_never_chosen():
    log = synthetic_log(TINY["S"])
    pairs = np.stack([log.users, log.items], 1)
    dataset = PairDataset(pairs[:200], set(map(tuple, pairs.tolist())), log.n_items, 4)
    dataset.draw()
    rows = torch.stack([column.double() for column in dataset.columns], 1).numpy()
    assert len(dataset) == len(rows) == 1000 and (rows[:, 2] == 1).sum() == 200
    tensors = TensorPairs(*(torch.from_numpy(a.astype(np.int64)) for a in (log.users, log.items, log.pair_keys)), log.n_items, 4)
    users, items, labels = (side.numpy() for side in tensors.draw())
    for u, i, label in ((rows[:, 0], rows[:, 1], rows[:, 2]), (users, items, labels)):
        assert (np.isin(u.astype(np.int64) * log.n_items + i.astype(np.int64), log.pair_keys) == (label == 1)).all()


def test_the_dataset_epoch_learns(data):
    log = data["S"].split.train
    pairs = np.stack([log.users, log.items], 1)
    dataset = PairDataset(pairs, set(map(tuple, pairs.tolist())), log.n_items, 4)
    model = PlainNeuMF(log.n_users, log.n_items, 8, 8, [8, 4])
    before = model.output.weight.clone()
    dataset_epoch(model, torch.optim.Adam(model.parameters(), lr=1e-2), dataset, 256)
    assert not torch.equal(model.output.weight, before)


def test_a_part_is_scaled_to_the_whole_and_said(data, monkeypatch):
    monkeypatch.setattr(works, "SOME_USERS", 15)
    work = dot_product(data["S"])
    assert work.reference.share == pytest.approx(15 / 60) and work.reference.part == "15 of 60 users"
    row = speed.measure(work, 1, torch.device("cpu"))
    assert row["scaled"] == "reference from 15 of 60 users"
    assert "†" in markdown([row | {"work": "dot product", "group": "evaluation", "size": "S", "machine": speed._machine()}])


def test_peak_memory_counts_what_was_taken_and_given_back():
    peak, result = peak_mib(lambda: np.ones(40 * 2**20, dtype=np.uint8)[:10].sum())
    assert result == 10
    assert peak is None or 35 < peak < 80


# ---- the run


def run(file, *groups, sizes="S", **named):
    run_speed(Request.of(groups, sizes, named.pop("repeats", 1), **named), file, sizes=TINY)
    return json.loads(file.read_text(encoding="utf-8"))


def test_rows_have_every_key_and_a_table_and_a_picture_stand_beside_them(tmp_path):
    file = tmp_path / "out" / "speed.json"
    rows = run(file, "evaluation", "training", sizes="S,M")
    names = [(row["work"], row["size"]) for row in rows if "bfloat16" not in row["work"]]
    assert names == [
        ("ncf catalogue", "S"), ("ncf catalogue", "M"), ("dot product", "S"), ("dot product", "M"),
        ("multi_dae evaluation [600, 200]", "M"), ("neumf epoch", "S"), ("neumf epoch", "M"),
        ("multi_dae epoch [200]", "S"), ("multi_dae epoch [200]", "M"),
        ("multi_dae epoch [600, 200]", "S"), ("multi_dae epoch [600, 200]", "M"),
    ]  # fmt: skip
    for row in rows:
        assert set(KEYS) <= set(row)
        assert row["seconds"] > 0 and row["floor_seconds"] > 0 and row["plain_seconds"] > 0 and row["checked"] and row["plain"] and row["floor"]
        assert row["spread"][0] <= row["seconds"] <= row["spread"][1] and row["repeats"] == 1
        assert row["rates"] == {"fp32_gflops": 100.0, "bf16_gflops": 400.0, "copy_gbs": 20.0}
        assert {"python", "packages", "cpus", "cpu", "device", "threads"} == set(row["machine"])
    assert rows[0]["floor_fp32_seconds"] == pytest.approx(4 * rows[0]["floor_seconds"])
    by_work = {(row["work"], row["size"]): row for row in rows}
    assert by_work["multi_dae evaluation [600, 200]", "M"]["reference_seconds"] is None
    table = file.with_suffix(".md").read_text(encoding="utf-8").splitlines()
    assert table[2].startswith("| work | size | seconds | reference s | x faster than reference |") and len(table) == 4 + len(rows)
    assert table[-len(rows)].startswith("| ncf catalogue | S |") and " – | – | " in "\n".join(table)
    assert "GEMM 100 GFLOP/s in fp32 and 400 in bf16" in table[0] and "Medians of 1, competitors in turn" in table[0]
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path) not in file.read_text(encoding="utf-8")


def test_models_of_sequences_agree_with_pytorchs_transformer(tmp_path):
    rows = run(tmp_path / "speed.json", "sequences", sizes="M")
    assert [row["work"] for row in rows] == ["sas_rec evaluation", "sas_rec epoch", "sas_rec epoch bfloat16"]
    assert all(row["plain_seconds"] > 0 and row["floor_seconds"] > 0 and row["reference_seconds"] is None for row in rows)
    assert "equal to PyTorch's transformer" in rows[0]["checked"] and "equal to plain PyTorch" in rows[1]["checked"]


def test_a_second_run_replaces_its_rows_and_keeps_the_others(tmp_path):
    file = tmp_path / "speed.json"
    before = run(file, "evaluation", sizes="S,M")
    after = run(file, "evaluation", sizes="M", repeats=2)
    assert [(row["work"], row["size"]) for row in after] == [(row["work"], row["size"]) for row in before]
    assert [row["repeats"] for row in after] == [1 if row["size"] == "S" else 2 for row in before]
    assert [row for row in after if row["size"] == "S"] == [row for row in before if row["size"] == "S"]


def test_another_machine_is_another_file(tmp_path):
    file = tmp_path / "speed.json"
    rows = run(file, "evaluation")
    for row in rows:
        row["machine"]["cpu"] = "abacus"
    file.write_text(json.dumps(rows))
    before = file.read_text()
    with pytest.raises(ValueError, match=r"(?s)measured elsewhere \(there \{'cpu': 'abacus'\}.*give another --json"):
        run(file, "evaluation")
    assert file.read_text() == before


@pytest.mark.parametrize("content", ['[{"my": "data"}]', "{}", "not JSON"])
def test_a_file_of_something_else_is_not_overwritten(tmp_path, content):
    file = tmp_path / "mine.json"
    file.write_text(content)
    with pytest.raises(ValueError, match="does not hold rows of this benchmark"):
        run(file, "evaluation")
    assert file.read_text() == content


def test_a_work_that_finds_something_else_is_named_and_the_others_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(works, "notes_loop", lambda *_, **__: (None, torch.full((60,), 2.0)))
    with pytest.raises(ValueError, match="ncf catalogue S was not measured: recall@5/10/20 of 60 of 60 users is not that of"):
        run(tmp_path / "speed.json", "evaluation")
    assert [row["work"] for row in json.loads((tmp_path / "speed.json").read_text())] == ["dot product"]


@pytest.mark.slow
def test_loading_in_fresh_processes(tmp_path):
    rows = run(tmp_path / "speed.json", "loading")
    assert [(row["work"], row["size"]) for row in rows] == [
        ("0.0009 M-row CSV", "20M"), ("import recsys_lib", ""), ("every public name", ""), ("bootstrap()", ""),
    ]  # fmt: skip
    assert rows[0]["checked"].startswith("900 rows, 50 users") and rows[0]["reference_seconds"] > 0
    assert rows[1]["reference_seconds"] is None and rows[1]["floor_seconds"] is None and rows[1]["seconds"] > 0


def test_scaling_has_a_file_and_a_picture_of_its_own(tmp_path, monkeypatch):
    points = scaling_points({"users": (30, 60), "k": (2, 4)}, users=40, items=40, factors=4, k=3, rows_each=8)
    assert [point.value for point in points] == [30, 60, 2, 4] and Point("k").value == 20
    run_speed(Request.of(["scaling"], repeats=1), tmp_path / "curves.json", points=points)
    rows = json.loads((tmp_path / "curves.json").read_text())
    assert len(rows) == 3 * 2 + 2 and all(set(KEYS) <= set(row) for row in rows)
    assert {row["curve"] for row in rows if row["varied"] == "k"} == {CURVES[0]}
    assert (tmp_path / "curves.md").is_file() and (tmp_path / "curves.png").is_file()
    with pytest.raises(ValueError, match="curves.json holds scaling curves; these have a file of their own"):
        run(tmp_path / "curves.json", "evaluation")
    monkeypatch.setattr(speed, "entries", list)  # nothing else, quickly
    run_speed(Request.of(["scaling", "evaluation"], repeats=1), tmp_path / "other.json", points=points[:1])
    assert (tmp_path / "other-scaling.json").is_file() and not (tmp_path / "other.json").exists()


def test_the_pictures_say_what_was_found():
    table = pd.DataFrame(
        [
            ["ncf catalogue", "S", 4.0, 80.0, 60.0, 1.0],
            ["dot product", "S", 0.2, None, 0.4, None],
            ["import recsys_lib", "", 0.1, None, None, None],
        ],
        columns=["work", "size", "seconds", "reference_seconds", "plain_seconds", "floor_seconds"],
    )
    figure = speed.speed_figure(table)
    assert figure.sentence == "ncf catalogue S takes 4.00 s, 20.0 times faster than the reference; the median work takes 0.28 of plain code's time"
    assert {text.get_text() for text in figure.axes[0].get_legend().get_texts()} == {label for _, label, *_ in SIDES}
    curves = pd.DataFrame(
        [[CURVES[0], "users", n, n / 1000, n / 10] for n in (1000, 2000, 4000)],
        columns=["curve", "varied", "value", "seconds", "peak_mib"],
    )
    assert speed.scaling_figure(curves).sentence == "The time of an evaluation grows as users^1.0"


@pytest.mark.parametrize(
    "words, message",
    [
        (("evaluatoin",), "no group of speed benchmarks 'evaluatoin'; did you mean 'evaluation'"),
        (("--size", "XL"), "no size 'XL'"),
        (("--size", "S,,M"), "no size ''"),
        (("--repeats", "0"), "--repeats must be 1 or more; got 0"),
    ],
)
def test_words_that_mean_nothing_are_refused(tmp_path, capsys, words, message):
    assert main(["speed", *words, "--json", str(tmp_path / "speed.json")]) == 2
    assert re.search(re.escape(message), capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_the_command_line_runs(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("benchmarks.__main__.run_speed", lambda request, file: asked.append((request, file)))
    assert main(["speed", "--json", "a.json"]) == 0
    assert main(["speed", "training", "evaluation", "--size", "L,S", "--repeats", "2", "--peers", "--json", "b.json"]) == 0
    assert asked[0][0] == Request(("evaluation", "training", "loading"), ("S",))
    assert asked[1][0] == Request(("evaluation", "training"), ("S", "L"), 2, True)
