"""Drawn once; drawn again only for a reason; harmless where nothing can be written."""

import inspect
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from recsys_lib.datasets import read_dataset, source_files
from recsys_lib.datasets.sample import SampleConfig, write_sample
from recsys_lib.eda import figures
from recsys_lib.eda import gallery as module
from recsys_lib.eda.figures.shared import NothingToDraw
from recsys_lib.eda.gallery import Gallery, Picture, Skipped, code_fingerprint, code_of, imported_files
from recsys_lib.eda.parts import PARTS, reads

ROOT = Path(module.__file__).parents[2]


def png(width=20, height=10) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")


class Drawing:
    def __init__(self, times: int) -> None:
        self.times = times
        self.sentence, self.alt_text = "학력 3 chooses 4", "a heat map [of 4 users]"

    def png(self) -> bytes:
        return png() + bytes([self.times])


@pytest.fixture
def draw():
    """Counts how often it is drawn; reads the log only."""
    calls = []

    @reads("interactions")
    def draw(dataset, **parameters) -> Drawing:
        calls.append(parameters)
        return Drawing(len(calls))

    draw.calls = calls
    return draw


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "csv"
    folder.mkdir()
    (folder / "interactions.csv").write_text("user_id,item_id\nu1,a\nu1,b\nu2,a\n", encoding="utf-8")
    return folder


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "eda"


def test_a_picture_is_drawn_once_and_shown_by_another_session_without_reading(data, out, draw):
    first = Gallery(data, out).show("one", draw, k=5, pair=("a", "b"))
    again = Gallery(data, out)
    second = again.show("one", draw, pair=["a", "b"], k=5)
    assert len(draw.calls) == 1 and again.drawn == [] and not again.has_read
    assert second.png == first.png and second.sentence == "학력 3 chooses 4"
    assert first.drawn_because == "not drawn yet" and second.drawn_because == ""
    assert "drawn just now: none" in repr(again) and again.title == "interactions"


def test_it_is_drawn_again_for_another_parameter_or_when_asked(data, out, draw):
    Gallery(data, out).show("one", draw, k=5)
    assert Gallery(data, out).show("one", draw, k=10).drawn_because == "changed: parameters"
    assert Gallery(data, out, redraw=True).show("one", draw, k=10).drawn_because == "asked for"
    assert len(draw.calls) == 3 and Gallery(data, out).show("one", draw, k=10).drawn_because == ""


def test_one_changed_row_is_enough(data, out, draw):
    Gallery(data, out).show("one", draw)
    (data / "interactions.csv").write_text("user_id,item_id\nu1,a\nu1,b\nu2,b\n", encoding="utf-8")
    assert Gallery(data, out).show("one", draw).drawn_because == "changed: interactions"
    assert Gallery(data, out).show("one", draw).drawn_because == "" and len(draw.calls) == 2


def test_other_bytes_of_the_same_content_are_read_once_and_draw_nothing(data, out, draw):
    Gallery(data, out).show("one", draw)
    (data / "interactions.csv").write_text("user_id,item_id\r\nu1,a\r\nu1,b\r\nu2,a\r\n", encoding="utf-8")
    gallery = Gallery(data, out)
    assert gallery.show("one", draw).drawn_because == "" and gallery.has_read
    gallery = Gallery(data, out)
    assert gallery.show("one", draw).drawn_because == "" and not gallery.has_read and len(draw.calls) == 1


def test_each_language_keeps_its_own(data, out):
    spoken = []

    def draw(dataset, *, language):
        spoken.append(language)
        return Drawing(len(spoken))

    for language in ("en", "ko", "en", "ko"):
        Gallery(data, out, language=language).show("one", draw)
    assert spoken == ["en", "ko"]
    assert {path.name for path in (out / "interactions").iterdir()} == {"one.png", "one.ko.png", "manifest.json"}
    assert "interactions/one.ko.png" in (out / "README.ko.md").read_text(encoding="utf-8")
    assert "ko.png" not in (out / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="speak en and ko"):
        Gallery(data, out, language="kr")


def test_a_missing_or_a_foreign_picture_is_drawn_again(data, out, draw):
    def show():
        return Gallery(data, out).show("one", draw).drawn_because

    show()
    (out / "interactions" / "one.png").write_bytes(b"half")
    assert "not the one" in show()
    (out / "interactions" / "one.png").unlink()
    assert show() == "not drawn yet"
    (out / "interactions" / "manifest.json").write_text("{ broken", encoding="utf-8")
    assert show() == "not drawn yet" and len(draw.calls) == 4
    (out / "interactions" / "manifest.json").write_text("[]", encoding="utf-8")
    assert show() == "not drawn yet"


def test_the_manifest_and_the_index_page(data, out, draw):
    gallery = Gallery(data, out)
    gallery.show("02_two", draw, k=5)
    gallery.show("01_one", draw)
    content = json.loads((out / "interactions" / "manifest.json").read_text(encoding="utf-8"))
    assert content["data_set"] == "interactions" and list(content["figures"]) == ["01_one", "02_two"]
    entry = content["figures"]["02_two"]
    assert entry["sources"]["files"] == source_files(data) and entry["parameters"] == {"k": 5}
    assert entry["reads"] == {"interactions": gallery.dataset.interactions.fingerprint, "title": "interactions"}
    assert {"alt_text", "code", "png", "seconds", "versions", "sentence", "language"} <= set(entry)
    page = (out / "README.md").read_text(encoding="utf-8")
    assert "# interactions\n\n## 학력 3 chooses 4\n\n![a heat map (of 4 users)](interactions/01_one.png)" in page
    assert not list(out.rglob("*.part*"))


def test_the_index_page_shows_all_data_sets(data, out, draw, tmp_path):
    Gallery(data, out).show("one", draw)
    (other := tmp_path / "other").mkdir()
    (other / "log.yaml").write_text("log: clicks.csv\nuser: who\nitem: what\n", encoding="utf-8")
    (other / "clicks.csv").write_text("who,what\n1,2\n1,3\n", encoding="utf-8")
    Gallery(other, out).show("one", draw)
    page = (out / "README.md").read_text(encoding="utf-8")
    assert page.index("(clicks/one.png)") < page.index("(interactions/one.png)")


def test_what_the_data_set_holds_is_kept_too(data, out):
    first = Gallery(data, out).describe()
    again = Gallery(data, out)
    assert again.describe().equals(first) and not again.has_read
    assert first.equals(read_dataset(data).describe())
    (data / "interactions.csv").write_text("user_id,item_id\nu1,a\n", encoding="utf-8")
    changed = Gallery(data, out).describe().set_index("what")["value"]
    assert changed["interactions"] == "1"


def test_where_nothing_can_be_written_it_is_drawn_into_memory_and_said_once(data, tmp_path, draw, capsys):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    gallery = Gallery(data, tmp_path / "file" / "eda")
    gallery.describe()
    for name in ("one", "two"):
        assert isinstance(gallery.show(name, draw), Picture)
    assert len(draw.calls) == 2
    assert capsys.readouterr().out.count("cannot be kept in interactions/") == 1


def test_a_read_only_gallery_shows_what_is_there(data, out, draw, monkeypatch, capsys):
    Gallery(data, out).show("one", draw)

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "replacing", refuse)
    monkeypatch.setattr(module, "write_text", refuse)
    assert Gallery(data, out).show("one", draw).png == png() + b"\x01"
    assert capsys.readouterr().out == ""
    assert Gallery(data, out).show("one", draw, k=7).png == png() + b"\x02"
    assert "Permission denied" in capsys.readouterr().out


def test_nothing_to_draw_is_said_and_kept_without_a_picture(data, out):
    there, calls = [True], []

    @reads("interactions")
    def draw(dataset):
        calls.append(1)
        if there[0]:
            return Drawing(1)
        raise NothingToDraw("toy has no features of users")

    Gallery(data, out).show("one", draw)
    there[0] = False
    (data / "interactions.csv").write_text("user_id,item_id\nu1,a\n", encoding="utf-8")
    for has_read in (True, False):
        gallery = Gallery(data, out)
        shown = gallery.show("one", draw)
        assert isinstance(shown, Skipped) and repr(shown) == "one: nothing to draw: toy has no features of users"
        assert gallery.has_read == has_read and "0 pictures kept" in repr(gallery)
    assert len(calls) == 2 and not list(out.rglob("*.png")) and "one.png" not in (out / "README.md").read_text(encoding="utf-8")


def test_an_error_while_drawing_rises_and_leaves_the_old_picture(data, out, draw):
    Gallery(data, out).show("one", draw)
    with pytest.raises(ZeroDivisionError):
        Gallery(data, out).show("one", lambda dataset: 1 / 0)
    assert Gallery(data, out).show("one", draw).drawn_because == ""


def test_a_picture_shows_itself_in_a_notebook():
    picture = Picture("one", png(1728, 806), "a sentence", "what is seen")
    data, metadata = picture._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}
    assert metadata["image/png"] == {"width": 864, "height": 403, "alt": "what is seen"}
    assert repr(picture) == "Picture(one: a sentence)"


def test_showing_reads_nothing_and_imports_neither_matplotlib_nor_seaborn(data, out):
    def run(code: str) -> str:
        lines = (
            "import sys; from recsys_lib.eda import figures; from recsys_lib.eda.gallery import Gallery; "
            f"gallery = Gallery({str(data)!r}, {str(out)!r}); gallery.describe(); "
            "shown = gallery.show('01', figures.histories_and_popularity, k=1); shown._repr_mimebundle_(); "
        )
        done = subprocess.run([sys.executable, "-c", lines + code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
        assert not done.returncode, done.stderr
        return done.stdout.strip()

    assert run("print(gallery.drawn)") == "['01']"
    said = run("print(gallery.drawn, gallery.has_read, sorted({'matplotlib', 'seaborn', 'torch', 'sklearn'} & set(sys.modules)))")
    assert said == "[] False []"


# ---- whose code draws?


def test_the_code_of_a_figure_is_its_file_and_what_that_imports():
    names = {path.relative_to(module.LIBRARY).as_posix() for path in imported_files(Path(inspect.getsourcefile(figures.density)))}
    assert {
        "eda/figures/density.py",
        "eda/statistics/density.py",
        "display/plots.py",
        "display/fonts.py",
        "eda/words.py",
    } <= names
    assert "data/interactions.py" in names, "what the data set is made of"
    assert not {"eda/figures/information.py", "eda/statistics/information.py", "datasets/movielens.py"} & names
    splits = {path.name for path in imported_files(Path(inspect.getsourcefile(figures.split_side_by_side)))}
    assert "splits.py" in splits


def test_code_of_figures_differs_and_line_ends_do_not_count(tmp_path):
    codes = {code_of(getattr(figures, name)) for name in figures.__all__}
    assert len(codes) >= 11  # association and lift share a file, spelling and telling_words another
    (tmp_path / "a.py").write_bytes(b"a = 1\n")
    (tmp_path / "b.py").write_bytes(b"a = 1\r\n")
    assert code_fingerprint([tmp_path / "a.py"]) == code_fingerprint([tmp_path / "b.py"])


def test_another_text_of_the_code_draws_again(data, out, draw, monkeypatch):
    Gallery(data, out).show("one", draw)
    monkeypatch.setattr(module, "code_of", lambda draw: "another")
    assert Gallery(data, out).show("one", draw).drawn_because == "changed: code"


def test_a_changed_reader_reads_and_draws_only_what_differs(data, out, draw, monkeypatch):
    Gallery(data, out).show("one", draw)
    monkeypatch.setattr(module, "code_fingerprint", lambda paths: "another")
    monkeypatch.setattr(module, "changed_since_import", lambda: [])
    gallery = Gallery(data, out)
    assert gallery.show("one", draw).drawn_because == "" and gallery.has_read and len(draw.calls) == 1


def test_a_figure_of_ones_own_is_known_by_its_text(data, out):
    def draw(dataset):
        return Drawing(1)

    Gallery(data, out).show("own", draw)
    assert Gallery(data, out).show("own", draw).drawn_because == ""

    def draw(dataset):
        return Drawing(1 + 1)

    assert Gallery(data, out).show("own", draw).drawn_because == "changed: code"
    assert code_of(len) == ""
    exec("def made(dataset): return draw(dataset)", names := {"draw": draw})
    assert [Gallery(data, out).show("made", names["made"]).drawn_because for _ in range(2)] == [
        "not drawn yet",
        "its code has no text",
    ]


def test_what_partial_has_fixed_is_a_parameter(data, out, draw):
    for k, because in ((5, "not drawn yet"), (5, ""), (7, "changed: parameters")):
        assert Gallery(data, out).show("one", partial(draw, k=k)).drawn_because == because
    assert Gallery(data, out).show("one", draw, k=7).drawn_because == ""
    with pytest.raises(TypeError, match="by name"):
        Gallery(data, out).show("one", partial(draw, 7))


def test_the_code_of_the_readers_is_all_that_they_import():
    names = {path.relative_to(module.LIBRARY).as_posix() for path in module.reader_files()}
    assert {"datasets/job_postings.py", "data/text.py", "data/columns.py", "data/files.py", "datasets/log.py"} <= names
    assert "datasets/sample.py" not in names


def test_a_reader_that_adds_a_column_redraws_the_columns(data, out, monkeypatch):
    """The bytes are the same, the tables are not."""
    calls = []
    draw = reads("tables")(lambda dataset: calls.append(1) or Drawing(len(calls)))
    Gallery(data, out).show("07", draw)
    real = module.read_dataset
    monkeypatch.setattr(module, "code_fingerprint", lambda paths: "another")
    monkeypatch.setattr(module, "changed_since_import", lambda: [])
    monkeypatch.setattr(module, "read_dataset", lambda folder: replace(real(folder), tables={"more": pd.DataFrame({"x": [1]})}))
    assert Gallery(data, out).show("07", draw).drawn_because == "changed: tables"


def test_a_kernel_with_old_code_keeps_nothing(data, out, draw, monkeypatch, capsys):
    monkeypatch.setitem(module._AT_IMPORT, module.LIBRARY / "eda" / "words.py", "as it was")
    assert isinstance(Gallery(data, out).show("one", draw), Picture)
    assert not list(out.rglob("*.png")) and "words.py changed after this kernel began" in capsys.readouterr().out


def test_an_open_gallery_notices_other_files(data, out, draw):
    gallery = Gallery(data, out)
    gallery.show("one", draw)
    kept = (data / "interactions.csv").read_bytes()
    (data / "interactions.csv").write_text("user_id,item_id\nu1,a\nu9,z\n", encoding="utf-8")
    assert gallery.show("one", draw).drawn_because == "changed: interactions" and len(gallery.dataset.interactions) == 2
    (data / "interactions.csv").write_bytes(kept)
    assert Gallery(data, out).show("one", draw).drawn_because == "changed: interactions", "the picture is of the other files"


@pytest.mark.parametrize("figures_of", ['{"one": null}', '{"one": "x"}', '{"one": {"png": "00"}}', "[]", "3"])
def test_a_manifest_that_is_wrong_inside_breaks_nothing(data, out, draw, figures_of):
    Gallery(data, out).show("two", draw)
    (out / "broken").mkdir()
    for folder in ("broken", "interactions"):
        text = f'{{"data_set": "x", "sources": {{}}, "description": [], "figures": {figures_of}}}'
        (out / folder / "manifest.json").write_text(text, encoding="utf-8")
    assert Gallery(data, out).show("one", draw).drawn_because == "not drawn yet"
    assert "one.png" in (out / "README.md").read_text(encoding="utf-8")


def test_what_a_colleague_drew_meanwhile_is_kept(data, out, draw, monkeypatch):
    real = module.read_dataset

    def slowly(folder):
        monkeypatch.setattr(module, "read_dataset", real)
        Gallery(data, out).show("colleague", draw)
        return real(folder)

    monkeypatch.setattr(module, "read_dataset", slowly)
    gallery = Gallery(data, out)
    gallery.describe()
    assert list(gallery.manifest()["figures"]) == ["colleague"]


def test_a_part_that_there_is_not():
    with pytest.raises(ValueError, match="no part moods of a data set; there are interactions"):
        reads("moods")


# ---- one changed row of one table


CHANGES = {
    # file -> (how a row changes, the parts of the data set that are others then)
    "apply_train.csv": (lambda lines: lines[:-1], {"interactions"}),
    "resume.csv": (
        lambda lines: [*lines[:1], _with(lines[1], 3, lambda degree: "5" if degree == "4" else "4"), *lines[2:]],
        {"user_features"},
    ),
    "company.csv": (
        lambda lines: [*lines[:1], _with(lines[1], 3, lambda employee: str(int(employee) + 5)), *lines[2:]],
        {"item_features"},
    ),
    "resume_certificate.csv": (lambda lines: [*lines, f"{lines[1].split(',')[0]},운전면허 1종"], {"user_features", "spellings"}),
    "sample_submission.csv": (lambda lines: [lines[0], _with(lines[1], 1, lambda _: lines[2].split(",")[1]), *lines[2:]], set()),
}


def _with(line: str, place: int, change) -> str:
    values = line.split(",")
    values[place] = change(values[place])
    return ",".join(values)


@pytest.fixture(scope="module")
def postings(tmp_path_factory) -> Path:
    return write_sample(
        tmp_path_factory.mktemp("sample") / "csv", SampleConfig(n_resumes=150, n_postings=100, n_applications=900)
    )


@pytest.mark.parametrize("file", CHANGES)
def test_one_row_redraws_exactly_the_figures_that_depend_on_its_table(postings, out, tmp_path, file):
    folder = shutil.copytree(postings, tmp_path / "csv")

    def drawn() -> list[str]:
        gallery = Gallery(folder, out)
        for name in figures.__all__:
            # not the real drawings, which take a minute: what each reads is asked of it
            stand_in = reads(*getattr(figures, name).reads)(lambda dataset: Drawing(1))
            gallery.show(name, stand_in)
        return gallery.drawn

    assert drawn() == list(figures.__all__) and drawn() == []
    change, parts = CHANGES[file]
    lines = (folder / file).read_text(encoding="utf-8").splitlines()
    (folder / file).write_text("\n".join(change(lines)) + "\n", encoding="utf-8")
    depend = [name for name in figures.__all__ if {*getattr(figures, name).reads} & (parts | {"tables"})]
    assert drawn() == depend and drawn() == []


def test_a_new_user_in_a_side_table_changes_what_counts_users(postings, out, tmp_path):
    folder = shutil.copytree(postings, tmp_path / "csv")
    Gallery(folder, out).show("09_cold_start", figures.cold_start)
    resume = folder / "resume.csv"
    lines = resume.read_text(encoding="utf-8").splitlines()
    resume.write_text("\n".join([*lines, _with(lines[-1], 0, lambda _: "U99999")]) + "\n", encoding="utf-8")
    assert Gallery(folder, out).show("09_cold_start", figures.cold_start).drawn_because == "changed: interactions"


def test_the_parts_cover_the_data_set():
    assert {part for name in figures.__all__ for part in getattr(figures, name).reads} == set(PARTS)
