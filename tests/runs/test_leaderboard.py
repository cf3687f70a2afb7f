"""The log of submissions: nothing is lost, what cannot be right is named, and the report is arithmetic one can check."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from recsys_lib.__main__ import main
from recsys_lib.runs import leaderboard as module
from recsys_lib.runs.folder import RunFolder
from recsys_lib.runs.leaderboard import FILE, NAMES, board_of, leaderboard_report, log_scores, log_submission, read_leaderboard

ASKED = {"split": "contest_10_random", "metric": "truncated_recall@10", "member": "지우"}


def written(folder, *rows: str) -> None:
    (folder / FILE).write_text("\n".join([",".join(NAMES), *rows]) + "\n", encoding="utf-8")


def test_what_is_logged_is_read_back(tmp_path):
    log_submission(tmp_path / "team", "ease.csv", validation=0.1512, **ASKED)
    log = log_submission(tmp_path / "team", "vae.csv", validation=0.1377, public=0.139, **ASKED | {"member": "민수"})
    assert log["submission"].tolist() == ["ease.csv", "vae.csv"] and list(log.columns) == NAMES
    pd.testing.assert_frame_equal(read_leaderboard(tmp_path / "team"), log)
    assert (tmp_path / "team" / FILE).read_bytes().startswith(b"\xef\xbb\xbf"), "Excel shows Hangul only with the mark"
    assert [path.name for path in (tmp_path / "team").iterdir()] == [FILE], "no lock and no part is left behind"


def test_no_file_is_an_empty_log_and_a_header_alone_too(tmp_path):
    assert not len(read_leaderboard(tmp_path / "nowhere"))
    written(tmp_path)
    assert not len(read_leaderboard(tmp_path)) and list(read_leaderboard(tmp_path).columns) == NAMES
    assert "Too few submissions" in leaderboard_report(read_leaderboard(tmp_path)).sentence


def test_leaderboard_scores_are_filled_in_later_for_every_split_of_the_submission(tmp_path):
    log_submission(tmp_path, "ease.csv", validation=0.15, **ASKED)
    log_submission(tmp_path, "ease.csv", validation=0.12, **ASKED | {"split": "leave_one_out_last"})
    log_submission(tmp_path, "other.csv", validation=0.11, **ASKED)
    log_scores(tmp_path, "ease.csv", public=0.1612)
    log = log_scores(tmp_path, "ease.csv", private=0.1603)
    assert log["public"].tolist()[:2] == [0.1612] * 2 and log["private"].tolist()[:2] == [0.1603] * 2
    assert log.loc[2, ["public", "private"]].isna().all()
    later = log_submission(tmp_path, "ease.csv", validation=0.2, **ASKED | {"split": "fraction"})
    assert later.iloc[-1][["public", "private"]].tolist() == [0.1612, 0.1603], "a split logged later knows them too"


def test_a_row_logged_again_is_corrected_and_keeps_what_is_known(tmp_path):
    log_submission(tmp_path, "ease.csv", validation=0.15, public=0.16, **ASKED)
    log = log_submission(tmp_path, "ease.csv", validation=0.155, **ASKED)
    assert len(log) == 1 and log.loc[0, ["validation", "public"]].tolist() == [0.155, 0.16]
    assert log_submission(tmp_path, "ease.csv", validation=0.155, public=0.161, **ASKED).loc[0, "public"] == 0.161


def test_a_submission_is_called_by_its_run(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSYS_MEMBER", "하늘")
    run = RunFolder.create(tmp_path, kind="evaluation", model="evaluation", member="a")
    asked = {name: ASKED[name] for name in ("split", "metric")}
    log_submission(tmp_path, run, validation=0.1, **asked)
    log = log_submission(tmp_path, run.path / "submission.csv", validation=0.11, **asked)
    assert log[["submission", "member", "validation"]].values.tolist() == [[run.name, "하늘", 0.11]]


def test_two_members_of_one_file_name_stay_apart(tmp_path):
    for member in ("지우", "민수"):
        log_submission(tmp_path, "s1.csv", validation=0.1, **ASKED | {"member": member})
    with pytest.raises(ValueError, match="지우, 민수 each logged a submission 's1.csv'; name the member"):
        log_scores(tmp_path, "s1.csv", public=0.2)
    log = log_scores(tmp_path, "s1.csv", public=0.2, member="민수")
    assert log["public"].isna().tolist() == [True, False]


def test_members_who_write_at_once_lose_nothing(tmp_path):
    def log_all(member):
        for number in range(6):
            log_submission(tmp_path, f"{member}{number}.csv", validation=0.1, **ASKED | {"member": member})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(log_all, ["a", "b", "c", "d"]))
    log = read_leaderboard(tmp_path)
    assert sorted(log["submission"]) == sorted(f"{member}{number}.csv" for member in "abcd" for number in range(6))


def test_the_lock_of_a_dead_writer_is_no_lock_and_that_of_a_living_one_is(tmp_path, monkeypatch):
    lock = tmp_path / f".{FILE}.lock"
    lock.touch()
    monkeypatch.setattr(module, "SECONDS_TO_WAIT", 0.1)
    with pytest.raises(TimeoutError, match=f"somebody else is writing {FILE}.*remove .{FILE}.lock"):
        log_submission(tmp_path, "s.csv", validation=0.1, **ASKED)
    assert not (tmp_path / FILE).exists()
    monkeypatch.setattr(module, "SECONDS_OF_A_LOCK", 0.0)
    assert len(log_submission(tmp_path, "s.csv", validation=0.1, **ASKED)) == 1 and not lock.exists()


def test_a_copy_made_by_the_drive_is_read_and_the_file_itself_has_the_first_word(tmp_path):
    written(tmp_path, "a.csv,지우,fraction,recall@10,0.2,,", "b.csv,지우,fraction,recall@10,0.3,0.25,")
    (tmp_path / FILE).rename(tmp_path / "leaderboard (1).csv")
    written(tmp_path, "a.csv,지우,fraction,recall@10,0.21,0.19,")
    log = log_submission(tmp_path, "c.csv", validation=0.1, **ASKED)
    assert log[["submission", "validation"]].values.tolist() == [["a.csv", 0.21], ["b.csv", 0.3], ["c.csv", 0.1]]
    assert log["public"].tolist()[:2] == [0.19, 0.25]


def test_columns_of_ones_own_are_kept(tmp_path):
    (tmp_path / FILE).write_text(f"{','.join(NAMES)},note\na.csv,지우,fraction,recall@10,0.2,,,λ = 300\n", encoding="utf-8")
    log_submission(tmp_path, "b.csv", validation=0.1, **ASKED)
    log_submission(tmp_path, "a.csv", split="fraction", metric="recall@10", validation=0.21, member="지우")
    log = log_scores(tmp_path, "a.csv", public=0.2).set_index("submission")
    assert log.loc["a.csv", ["validation", "public", "note"]].tolist() == [0.21, 0.2, "λ = 300"]
    assert (
        read_leaderboard(tmp_path)["note"].tolist()[-1] == "λ = 300"
        and len(leaderboard_report(read_leaderboard(tmp_path)).table) == 1
    )


def test_a_note_of_several_lines_is_read(tmp_path):
    rows = [
        ",".join([*NAMES, "note"]),
        'a.csv,지우,fraction,recall@10,0.2,,,"two',
        'lines"',
        "b.csv,지우,fraction,recall@10,0.1,,,",
    ]
    (tmp_path / FILE).write_text("\n".join(rows) + "\n", encoding="utf-8")
    assert read_leaderboard(tmp_path)["note"].tolist()[0] == "two\nlines"


def test_what_excel_makes_of_the_file_is_read(tmp_path):
    text = "submission,member,split,metric,validation,public,private\r\na.csv,지우,fraction,recall@10,0.2,0.19,\r\n,,,,,,\r\n"
    (tmp_path / FILE).write_bytes(text.encode("cp949"))
    assert read_leaderboard(tmp_path).loc[0, ["member", "public"]].tolist() == ["지우", 0.19]


GOOD = "a.csv,지우,fraction,recall@10,0.2,0.19,"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [GOOD, "b.csv,지우,fraction,recall@10,13.84,,"],
            "row 3: validation is 13.84, and scores lie between 0 and 1; is 0.1384 meant?",
        ),
        ([GOOD, "", "b.csv,지우,fraction,recall@10,0.1,-1,"], "row 4: public is -1"),
        ([GOOD, ",지우,fraction,recall@10,0.1,,"], "row 3: submission is empty"),
        ([GOOD, "b.csv,지우,fraction,recall@10,,0.1,"], "row 3: validation is empty"),
        ([GOOD, 'b.csv,지우,fraction,recall@10,"0,13",,'], "column 'validation' wants numbers; .* '0,13' in row 3"),
        ([GOOD, GOOD], "rows 2, 3: 'a.csv' of 지우 on fraction, recall@10 is there 2 times; keep one"),
        (
            [GOOD, "a.csv,지우,temporal,recall@10,0.2,0.18,"],
            "rows 2, 3: public of 'a.csv' of 지우 is 0.19 and 0.18; a submission has one",
        ),
    ],
)
def test_a_row_that_cannot_be_right_is_named_and_the_file_left_alone(tmp_path, rows, words):
    written(tmp_path, *rows)
    before = (tmp_path / FILE).read_bytes()
    for act in (read_leaderboard, lambda folder: log_submission(folder, "new.csv", validation=0.1, **ASKED)):
        with pytest.raises(ValueError, match=words.replace("?", r"\?")):
            act(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_missing_scores_at_the_end_of_a_row_are_unknown_ones(tmp_path):
    written(tmp_path, GOOD, "b.csv,지우,fraction,recall@10,0.1")
    assert read_leaderboard(tmp_path).loc[1, ["public", "private"]].isna().all()


def test_several_wrong_rows_are_all_told_and_a_wrong_header_says_what_was_meant(tmp_path):
    written(tmp_path, "a.csv,지우,,recall@10,2,,", "b.csv,,fraction,recall@10,0.1,,")
    with pytest.raises(
        ValueError,
        match="(?s)leaderboard.csv cannot be right:.*row 2: split is empty.*row 2: validation is 2.*row 3: member is empty",
    ):
        read_leaderboard(tmp_path)
    (tmp_path / FILE).write_text("submission,member,split,metric,validation,publik,private\n" + GOOD + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"no column 'public' \(did you mean 'publik'\?\)"):
        read_leaderboard(tmp_path)


def test_wrong_arguments_write_nothing(tmp_path):
    with pytest.raises(ValueError, match="this submission: validation is 35, .* is 0.35 meant"):
        log_submission(tmp_path, "a.csv", validation=35, **ASKED)
    with pytest.raises(ValueError, match="this submission: split is empty"):
        log_submission(tmp_path, "a.csv", validation=0.35, **ASKED | {"split": ""})
    assert not (tmp_path / FILE).exists()
    log_submission(tmp_path, "ease_1.csv", validation=0.35, **ASKED)
    with pytest.raises(ValueError, match="no submission 'ease1.csv' in leaderboard.csv; did you mean 'ease_1.csv'"):
        log_scores(tmp_path, "ease1.csv", public=0.1)
    with pytest.raises(ValueError, match="neither was given"):
        log_scores(tmp_path, "ease_1.csv")
    with pytest.raises(ValueError, match="this score: public is 13.8"):
        log_scores(tmp_path, "ease_1.csv", public=13.8)
    assert read_leaderboard(tmp_path)["public"].isna().all()


# ---- the report


def log_of(**of_split) -> pd.DataFrame:
    """split -> [(validation, public, private), ...], submission s0, s1, ... in all of them."""
    rows = [
        {
            "submission": f"s{n}",
            "member": "a",
            "split": split,
            "metric": "recall@10",
            "validation": v,
            "public": public,
            "private": private,
        }
        for split, scores in of_split.items()
        for n, (v, public, private) in enumerate(scores)
    ]
    return pd.DataFrame(rows, columns=NAMES)


NONE = float("nan")
PUBLIC = [0.10, 0.12, 0.14, 0.16, 0.18]
FAITHFUL = [(p + 0.03, p, NONE) for p in PUBLIC]
LYING = [(v, p, NONE) for v, p in zip([0.31, 0.30, 0.35, 0.32, 0.33], PUBLIC)]  # ranks 2 1 5 3 4


def test_the_split_that_keeps_the_order_is_the_best_whatever_its_bias():
    report = leaderboard_report(log_of(lying=LYING, faithful=FAITHFUL))
    assert report.best == "faithful" and report.board == "public"
    first, second = report.table.to_dict("records")
    assert (first["split"], first["n"], first["spearman"], first["kendall"]) == (
        "faithful",
        5,
        pytest.approx(1),
        pytest.approx(1),
    )
    assert first["luck"] == pytest.approx(1 / 120), "one order of five in 5!"
    assert first["bias"] == pytest.approx(0.03) and first["spread"] == pytest.approx(0, abs=1e-12)
    differences = (2 - 1) ** 2 + (1 - 2) ** 2 + (5 - 3) ** 2 + (3 - 4) ** 2 + (4 - 5) ** 2
    assert second["spearman"] == pytest.approx(1 - 6 * differences / (5 * 24))
    assert second["kendall"] == pytest.approx((7 - 3) / 10), "of ten pairs three stand the other way round"
    assert second["bias"] == pytest.approx(np.mean([0.31, 0.30, 0.35, 0.32, 0.33]) - 0.14)
    assert report.sentence == (
        "faithful puts 5 submissions most like the public leaderboard: Spearman 1.00, next lying 0.60. "
        "Its recall@10 reads 0.0300 too high on average (± 0.0000)."
    )
    assert "faithful" in str(report) and "luck" in str(report)


def test_private_decides_where_enough_of_it_is_known():
    turned = [(v, p, 0.3 - p) for v, p, _ in FAITHFUL]
    other = [(0.3 - v, p, 0.3 - p) for v, p, _ in FAITHFUL]
    report = leaderboard_report(log_of(turned=turned, other=other))
    assert report.board == "private" and report.best == "other"
    few = [(v, p, 0.3 - p if n < 3 else NONE) for n, (v, p, _) in enumerate(FAITHFUL)]
    report = leaderboard_report(log_of(few=few))
    assert report.board == "public" and report.best == "few"
    assert report.table.set_index("board").loc["private", ["n", "note"]].tolist() == [3, "too few"]


def test_three_submissions_say_nothing():
    report = leaderboard_report(log_of(faithful=FAITHFUL[:3]))
    assert report.best == "" and report.table["note"].tolist() == ["too few"] and report.table["spearman"].isna().all()
    assert report.sentence.startswith("Too few submissions") and "3 with both scores at most, 4 are needed" in report.sentence


def test_a_good_order_of_four_of_which_one_pair_is_wrong_may_be_luck():
    report = leaderboard_report(log_of(four=[(0.1, 0.1, NONE), (0.2, 0.3, NONE), (0.3, 0.2, NONE), (0.4, 0.4, NONE)]))
    assert report.table.loc[0, "luck"] == pytest.approx(4 / 24), "so many orders of four have at most one pair wrong"
    assert "may still be luck: chance alone gives as good an order in 17% of cases" in report.sentence


def test_equal_scores_and_an_order_upside_down_are_told():
    equal = leaderboard_report(log_of(flat=[(0.2, p, NONE) for p in PUBLIC]))
    assert equal.table["note"].tolist() == ["all scores equal"] and "no order to compare" in equal.sentence
    upside_down = leaderboard_report(log_of(down=[(0.3 - p, p, NONE) for p in PUBLIC]))
    assert "Spearman -1.00" in upside_down.sentence and "No split can be trusted to choose" in upside_down.sentence


def test_splits_of_different_submissions_are_told():
    report = leaderboard_report(log_of(faithful=FAITHFUL, lying=LYING[:4]))
    assert "different submissions" in report.sentence


def test_the_figure_has_a_colour_a_split_and_the_line_of_equal_scores():
    report = leaderboard_report(log_of(lying=LYING, faithful=[(v, p, p - 0.01) for v, p, _ in FAITHFUL]))
    figure = report.figure()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["public leaderboard", "private leaderboard"]
    public = figure.axes[0]
    shown = {tuple(dot.get_offsets()[0].round(4)) for dot in public.collections}
    assert shown == {(0.31, 0.10), (0.13, 0.10)}
    assert len({tuple(dot.get_facecolor()[0]) for dot in public.collections}) == 2
    assert public.get_xlim() == public.get_ylim()
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert "faithful (Spearman 1.00)" in legend
    assert figure.png().startswith(b"\x89PNG")


def test_submissions_without_a_leaderboard_score_are_drawn_as_none():
    report = leaderboard_report(log_of(waiting=[(0.1, NONE, NONE)]))
    assert not report.table.size and not report.figure().axes[0].collections


def test_the_command_tells_the_report_and_draws_it(tmp_path, capsys):
    for n, (validation, public, _) in enumerate(FAITHFUL):
        log_submission(tmp_path, f"s{n}.csv", validation=validation, public=public, **ASKED)
    assert main(["leaderboard", "--runs", str(tmp_path), "--figure", str(tmp_path / "board.png")]) == 0
    assert str(leaderboard_report(read_leaderboard(tmp_path))) in capsys.readouterr().out
    assert (tmp_path / "board.png").read_bytes().startswith(b"\x89PNG")
    assert main(["leaderboard", "--runs", str(tmp_path / "empty")]) == 2
    assert "no submission is logged in empty/leaderboard.csv; log_submission" in capsys.readouterr().err


def test_a_board_of_two_folders_holds_both_logs(tmp_path, capsys):
    own, team = tmp_path / "own", tmp_path / "team"
    log_submission(team, "a.csv", validation=0.1, public=0.2, **ASKED)
    log_submission(own, "b.csv", validation=0.3, **ASKED)
    assert board_of(own, team).log["submission"].tolist() == ["b.csv", "a.csv"]
    (own / FILE).write_text("submission,member\na,b\n", encoding="utf-8")
    assert board_of(own, team).log["submission"].tolist() == ["a.csv"], "one that is damaged hides no other"
    assert "leaderboard.csv cannot be read" in capsys.readouterr().out


def test_a_board_that_cannot_be_read_says_so_and_stops_nothing(tmp_path, capsys, monkeypatch):
    assert "Too few submissions" in board_of(tmp_path).sentence and capsys.readouterr().out == ""
    (tmp_path / FILE).write_text("submission,member\na,b\n", encoding="utf-8")
    assert not len(board_of(tmp_path).log) and "leaderboard.csv cannot be read" in capsys.readouterr().out

    def gone(folder):
        raise OSError(107, "Transport endpoint is not connected")

    monkeypatch.setattr("recsys_lib.runs.leaderboard.read_leaderboard", gone)
    assert not len(board_of(tmp_path).log) and "not connected" in capsys.readouterr().out
