"""A run folder: one writer, nothing half, nothing of this machine."""

from __future__ import annotations

import errno
import json
import os
import re

import numpy as np
import pandas as pd
import pytest

from recsys_lib.runs.folder import RunFolder, all_runs, as_json, finished_runs, runs_table


def make(runs_dir, model="ease", **more):
    return RunFolder.create(runs_dir, kind=more.pop("kind", "training"), model=model, member=more.pop("member", "mina"), **more)


def strict(text: str):
    """json.loads that refuses NaN, as browsers and other languages do."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_the_name_says_when_who_what_and_nothing_windows_refuses(tmp_path):
    run = make(tmp_path, model="multi_dae", member="김 민아/a-b:c")
    assert re.fullmatch(r"\d{8}T\d{6}Z-김_민아_a_b_c-multi_dae-[0-9a-f]{4}", run.name)
    assert run.member == "김 민아/a-b:c"


def test_two_runs_of_one_second_get_two_folders(tmp_path, monkeypatch):
    from recsys_lib.runs import folder

    ids = iter(["aaaa", "aaaa", "aaaa", "bbbb"] + [f"{n:08x}" for n in range(99)])
    monkeypatch.setattr(folder.uuid, "uuid4", lambda: type("Id", (), {"hex": next(ids)}))
    monkeypatch.setattr(folder, "write_text", lambda path, text: path.write_text(text, encoding="utf-8"))
    first, second = make(tmp_path), make(tmp_path)
    assert first.name != second.name and len(list(tmp_path.iterdir())) == 2


def test_the_member_is_the_argument_else_the_environment_else_me(tmp_path, monkeypatch):
    monkeypatch.delenv("RECSYS_MEMBER", raising=False)
    assert make(tmp_path, member="").member == "me"
    monkeypatch.setenv("RECSYS_MEMBER", "jun")
    assert make(tmp_path, member="").member == "jun"
    assert make(tmp_path, member="mina").member == "mina"


def test_without_run_json_it_is_unfinished_and_still_says_what_it_was(tmp_path):
    run = make(tmp_path)
    again = RunFolder.open(run.path)
    assert (again.status, again.kind, again.model, again.is_finished) == ("unfinished", "training", "ease", False)
    assert finished_runs(tmp_path) == [] and [one.name for one in all_runs(tmp_path)] == [run.name]


@pytest.mark.parametrize("content", ["", '{"status": "fini', "[1, 2]", "\x00\x00"])
def test_a_half_run_json_is_unfinished_never_an_exception(tmp_path, content):
    run = make(tmp_path)
    (run.path / "run.json").write_text(content, encoding="utf-8")
    assert run.status == "unfinished" and finished_runs(tmp_path) == []


def test_a_bare_folder_is_unfinished_by_its_name(tmp_path):
    path = tmp_path / "20261121T181500Z-mina-ease-ab12"
    path.mkdir()
    (tmp_path / "notes").mkdir()
    assert [run.model for run in all_runs(tmp_path)] == ["ease"]


def test_finish_records_the_content_and_the_versions(tmp_path):
    run = make(tmp_path)
    run.finish(parents=["a"], parameters={"K": 5}, seeds=[1], split_fingerprint="3fa9", seconds_training=1.5)
    record = run.record
    assert record["kind"] == "training" and record["model"] == "ease" and record["parents"] == ["a"]
    assert record["status"] == "finished" and record["packages"]["numpy"] == np.__version__ and record["python"]
    assert run.is_finished and not list(run.path.glob("*.part-*")) and not list(run.path.glob(".*part*"))


def test_a_finished_run_stays_as_it_is(tmp_path):
    run = make(tmp_path)
    run.finish(best_epoch=3)
    with pytest.raises(FileExistsError, match="start a new run"):
        run.finish(best_epoch=4)
    assert run.record["best_epoch"] == 3


def test_a_failure_keeps_what_was_known_and_the_last_lines(tmp_path):
    run = make(tmp_path)
    run.finish(best_epoch=3)
    run.fail("\n".join(f"line {n}" for n in range(100)))
    assert run.status == "failed" and run.record["best_epoch"] == 3
    assert run.record["error"][-1] == "line 99" and len(run.record["error"]) == 20


def test_nan_infinity_and_numpy_become_valid_json(tmp_path):
    run = make(tmp_path)
    content = {
        "nan": float("nan"), "inf": np.float32("inf"), "np": np.int64(3), "f": np.float32(0.5), "b": np.bool_(True),
        "array": np.array([1.0, np.nan]), "none": None, "na": pd.NA, "series": pd.Series([1, 2]), 5: (1, 2), "é": "한글",
    }  # fmt: skip
    run.write_metrics(content)
    run.finish(**{"value": np.nan})
    assert strict((run.path / "run.json").read_text(encoding="utf-8"))["value"] is None
    assert strict((run.path / "metrics.json").read_text(encoding="utf-8")) == {
        "nan": None, "inf": None, "np": 3, "f": 0.5, "b": True,
        "array": [1.0, None], "none": None, "na": None, "series": [1, 2], "5": [1, 2], "é": "한글",
    }  # fmt: skip


def test_no_absolute_path_enters_a_file(tmp_path):
    run = make(tmp_path / "ws" / "runs")
    run.finish(
        parameters={
            "DATA_DIR": str(tmp_path / "ws" / "csv"),
            "ELSEWHERE": "/home/mina/secret/ml-1m",
            "WINDOWS": "G:\\My Drive\\team\\csv",
            "RUN_DIR": run.path,
            "SPLIT": "leave_one_out_random",
            "share": "a/b",
        }
    )
    run.write_metrics({"table": [{"path": str(run.path / "x")}]})
    assert run.record["parameters"] == {
        "DATA_DIR": "csv", "ELSEWHERE": "ml-1m", "WINDOWS": "csv", "RUN_DIR": f"runs/{run.name}",
        "SPLIT": "leave_one_out_random", "share": "a/b",
    }  # fmt: skip
    for path in run.path.rglob("*"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_history_is_appended_and_survives_a_kill_in_mid_line(tmp_path):
    run = make(tmp_path)
    for epoch in (1, 2):
        run.append_history({"epoch": epoch, "loss": np.float32(0.5) / epoch, "recall@5": float("nan")})
    with (run.path / "history.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"epoch": 3, "lo')
    again = RunFolder.open(run.path)
    assert again.history()["epoch"].tolist() == [1, 2]
    again.append_history({"epoch": 3, "loss": 0.1, "recall@5": 0.2})
    assert again.history()["epoch"].tolist() == [1, 2, 3]
    assert again.history()["loss"].tolist() == [0.5, 0.25, 0.1]
    assert make(tmp_path).history().empty


def test_a_resumed_epoch_counts_once_as_it_went_last(tmp_path):
    run = make(tmp_path)
    for epoch, loss in ((1, 0.9), (2, 0.8), (3, 0.7), (2, 0.75)):
        run.append_history({"epoch": epoch, "loss": loss})
    assert run.history()["loss"].tolist() == [0.9, 0.75, 0.7]


def lists(part, users=("a", "b"), k=2):
    rows = [(part, user, f"i{rank}", rank, 1 / rank) for user in users for rank in range(1, k + 1)]
    return pd.DataFrame(rows, columns=["part", "user_id", "item_id", "rank", "score"])


def test_lists_add_a_part_and_replace_the_same_part(tmp_path):
    run = make(tmp_path)
    run.write_lists(lists("validation"))
    run.write_lists(lists("test"))
    run.write_lists(lists("test", users=("c",), k=3))
    assert run.lists()["part"].value_counts().to_dict() == {"validation": 4, "test": 3}
    pd.testing.assert_frame_equal(run.lists("validation"), lists("validation"), check_dtype=False)
    with pytest.raises(ValueError, match="score"):
        run.write_lists(lists("test").drop(columns="score"))
    with pytest.raises(FileNotFoundError, match="no lists"):
        make(tmp_path).lists()


def test_a_figure_is_a_png(tmp_path):
    from recsys_lib.display.plots import Plot

    run = make(tmp_path)
    figure = Plot("one line", height=2)
    figure.subplots().plot([1, 2])
    path = run.save_figure("loss_and_recall", figure)
    assert path == run.path / "figures" / "loss_and_recall.png" and path.read_bytes().startswith(b"\x89PNG")
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    with pytest.raises(ValueError, match="letters"):
        run.save_figure("a/b", figure)


def test_finished_runs_are_found_by_what_they_recorded_newest_last(tmp_path):
    for model, split in (("ease", "s1"), ("ease", "s2"), ("neumf", "s1"), ("ease", "s1")):
        make(tmp_path, model=model).finish(split_fingerprint=split)
    make(tmp_path)  # never finished
    make(tmp_path).fail("ValueError: x")
    make(tmp_path, kind="evaluation").finish(split_fingerprint="s1")
    found = finished_runs(tmp_path, kind="training", model="ease", split_fingerprint="s1")
    assert len(found) == 2 and found[0].record["started"] < found[1].record["started"]
    assert len(finished_runs(tmp_path)) == 5 and finished_runs(tmp_path / "nowhere") == []


def test_the_table_of_a_batch(tmp_path):
    good, bad = make(tmp_path), make(tmp_path, model="neumf")
    good.write_metrics({"n_users": 4, "metrics": {"recall@5": {"mean": 0.25, "low": 0.2, "high": 0.3}, "ndcg@5": 0.125}})
    good.finish(best_epoch=7, seconds_training=1.5, seconds_evaluation=0.5)
    bad.fail("ValueError: x")
    table = runs_table([good, bad])
    assert table.loc[good.name, ["recall@5", "ndcg@5", "best_epoch"]].tolist() == [0.25, 0.125, 7]
    assert table["status"].tolist() == ["finished", "failed"] and np.isnan(table.loc[bad.name, "recall@5"])
    assert list(table.columns)[-2:] == ["seconds_training", "seconds_evaluation"]
    assert runs_table([]).empty


def test_open_wants_a_folder_and_open_or_create_takes_what_the_batch_gave(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run folder 'x'"):
        RunFolder.open(tmp_path / "x")
    run = make(tmp_path)
    creating = {"kind": "training", "model": "gmf", "member": "jun"}
    assert RunFolder.open_or_create(str(run.path), tmp_path, **creating).name == run.name
    assert RunFolder.open_or_create("", tmp_path, **creating).model == "gmf"


def test_publish_is_nothing_at_home_and_copies_elsewhere(tmp_path):
    assert make(tmp_path / "local").publish() is None
    run = make(tmp_path / "local", publish_to=tmp_path / "drive" / "runs")
    run.finish()
    assert run.publish().complete
    assert RunFolder.open(tmp_path / "drive" / "runs" / run.name).is_finished


def test_json_ends_with_a_line_end_and_keeps_hangul():
    assert as_json({"이름": 1}, indent=None) == '{"이름": 1}\n'


def test_runs_of_several_folders_count_once_and_a_folder_that_is_away_is_left_out(tmp_path, monkeypatch, capsys):
    here, there = tmp_path / "here", tmp_path / "there"
    mine, theirs, both = make(here), make(there, member="jun"), make(here, model="gmf")
    copy = there / both.name
    copy.mkdir()
    (copy / "started.json").write_text((both.path / "started.json").read_text(encoding="utf-8"), encoding="utf-8")
    RunFolder(copy).finish()
    found = {run.name: run.path.parent for run in all_runs([here, there])}
    assert found == {mine.name: here, theirs.name: there, both.name: there}  # the finished one of two
    scandir = os.scandir

    def away(path):
        if str(path) == str(there):
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", away)
    assert {run.name for run in all_runs([here, there])} == {mine.name, both.name}
    assert "there/ cannot be read now" in capsys.readouterr().out


def test_the_last_line_says_what_is_not_published(tmp_path, monkeypatch):
    assert make(tmp_path / "home").said_at_the_end().startswith("run 2")
    run = make(tmp_path / "home", publish_to=tmp_path / "shared")
    run.finish()
    earlier = make(tmp_path / "home", publish_to=tmp_path / "shared")
    earlier.finish()
    (tmp_path / "shared").write_text("no folder", encoding="utf-8")
    said = run.said_at_the_end()
    assert "2 NOT published" in said and "run this cell once more" in said and "다시 실행해" in said
    (tmp_path / "shared").unlink()
    assert "published to the shared folder" in run.said_at_the_end()
    assert {one.name for one in finished_runs(tmp_path / "shared")} == {run.name, earlier.name}  # what was left behind, too


def test_a_run_that_a_batch_made_is_published_by_the_batch(tmp_path):
    made = make(tmp_path / "home")
    run = RunFolder.open_or_create(str(made.path), tmp_path / "home", kind="training", model="ease", publish_to=tmp_path / "shared")
    run.finish()
    assert run.said_at_the_end() == f"run {run.name}" and not (tmp_path / "shared").exists()
