"""Drawn once; drawn again only for a reason; harmless where nothing can be written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recsys_lib.data.files import fingerprint_of_file
from recsys_lib.eda import gallery as module
from recsys_lib.eda.gallery import Gallery, NothingToDraw, Picture, Skipped, code_fingerprint

ROOT = Path(module.__file__).parents[2]
SOURCES = {"apply.csv": "aa", "resume.csv": "bb"}


def png(width=20, height=10) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")


class Drawing:
    """Counts how often it is drawn."""

    def __init__(self) -> None:
        self.times = 0
        self.sentence, self.alt_text = "학력 3 chooses 4", "a heat map [of 4 users]"

    def __call__(self) -> "Drawing":
        self.times += 1
        return self

    def png(self) -> bytes:
        return png() + bytes([self.times])


@pytest.fixture
def draw() -> Drawing:
    return Drawing()


def test_a_picture_is_drawn_once_and_shown_by_another_session(tmp_path, draw):
    first = Gallery(tmp_path / "toy").show("one", draw, sources=SOURCES, parameters={"k": 5, "pair": ("a", "b")})
    again = Gallery(tmp_path / "toy")
    second = again.show("one", draw, sources=dict(reversed(SOURCES.items())), parameters={"pair": ["a", "b"], "k": 5})
    assert draw.times == 1 and again.drawn == []
    assert second.png == first.png and second.sentence == "학력 3 chooses 4"
    assert first.drawn_because == "not drawn yet" and second.drawn_because == ""


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"sources": SOURCES | {"resume.csv": "changed"}}, "changed: resume.csv"),
        ({"sources": {"apply.csv": "aa"}}, "changed: resume.csv"),
        ({"parameters": {"k": 10}}, "changed: parameters"),
        ({"redraw": True}, "asked for"),
    ],
)
def test_it_is_drawn_again_for_a_reason(tmp_path, draw, change, reason):
    gallery = Gallery(tmp_path)
    gallery.show("one", draw, sources=SOURCES, parameters={"k": 5})
    picture = gallery.show("one", draw, **({"sources": SOURCES, "parameters": {"k": 5}} | change))
    assert draw.times == 2 and picture.drawn_because == reason
    if "redraw" not in change:
        gallery.show("one", draw, **({"sources": SOURCES, "parameters": {"k": 5}} | change))
        assert draw.times == 2


def test_one_byte_of_a_source_is_enough(tmp_path, draw):
    source, gallery = tmp_path / "apply.csv", Gallery(tmp_path / "toy")
    for content, times in ((b"U1,R1\n", 1), (b"U1,R1\n", 1), (b"U1,R2\n", 2)):
        source.write_bytes(content)
        gallery.show("one", draw, sources={"apply.csv": fingerprint_of_file(source)})
        assert draw.times == times


def test_other_code_draws_again_other_line_ends_and_other_versions_do_not(tmp_path, draw, monkeypatch):
    code = tmp_path / "figures.py"
    code.write_bytes(b"a = 1\n")
    Gallery(tmp_path / "toy", code=[code]).show("one", draw, sources=SOURCES)
    code.write_bytes(b"a = 1\r\n")
    monkeypatch.setattr(module, "_versions", lambda: {"matplotlib": "99.0"})
    Gallery(tmp_path / "toy", code=[code]).show("one", draw, sources=SOURCES)
    assert draw.times == 1
    code.write_bytes(b"a = 2\n")
    assert Gallery(tmp_path / "toy", code=[code]).show("one", draw, sources=SOURCES).drawn_because == "changed: code"


def test_the_code_that_counts_exists():
    assert len(code_fingerprint(module.CODE)) == 16
    assert {"figures.py", "statistics.py", "plots.py", "splits.py", "movielens.py"} <= {path.name for path in module.CODE}


def test_a_missing_or_a_foreign_picture_is_drawn_again(tmp_path, draw):
    gallery = Gallery(tmp_path)
    gallery.show("one", draw, sources=SOURCES)
    (tmp_path / "one.png").write_bytes(b"half")
    assert "not the one" in gallery.show("one", draw, sources=SOURCES).drawn_because
    (tmp_path / "one.png").unlink()
    assert gallery.show("one", draw, sources=SOURCES).drawn_because == "not drawn yet"
    (tmp_path / "manifest.json").write_text("{ broken", encoding="utf-8")
    gallery.show("one", draw, sources=SOURCES)
    assert draw.times == 4 and list(gallery.manifest()) == ["one"]


def test_the_manifest_and_the_index_page(tmp_path, draw):
    gallery = Gallery(tmp_path, title="toy (SYNTHETIC)")
    gallery.show("two", draw, sources=SOURCES, parameters={"k": 5})
    gallery.show("one", draw, sources=SOURCES)
    content = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert content["data_set"] == "toy (SYNTHETIC)" and list(content["figures"]) == ["one", "two"]
    entry = content["figures"]["two"]
    assert entry["sources"] == SOURCES and entry["parameters"] == {"k": 5} and entry["sentence"] == "학력 3 chooses 4"
    assert {"alt_text", "code", "png", "seconds", "versions", "data_set"} <= set(entry)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert page.startswith("# toy (SYNTHETIC)\n")
    assert "## 학력 3 chooses 4\n\n![a heat map (of 4 users)](one.png)" in page
    assert not list(tmp_path.glob("*.part*")) and not list(tmp_path.glob(".*"))


def test_where_nothing_can_be_written_it_is_drawn_into_memory_and_said_once(tmp_path, draw, capsys):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    gallery = Gallery(tmp_path / "file" / "toy")
    for name in ("one", "two"):
        assert isinstance(gallery.show(name, draw, sources=SOURCES), Picture)
    assert draw.times == 2
    assert capsys.readouterr().out.count("cannot be kept in toy/") == 1


def test_a_read_only_gallery_shows_what_is_there(tmp_path, draw, monkeypatch, capsys):
    Gallery(tmp_path).show("one", draw, sources=SOURCES)

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "replacing", refuse)
    assert Gallery(tmp_path).show("one", draw, sources=SOURCES).png == png() + b"\x01"
    assert capsys.readouterr().out == ""
    assert Gallery(tmp_path).show("one", draw, sources={"apply.csv": "new"}).png == png() + b"\x02"
    assert "Permission denied" in capsys.readouterr().out


def test_nothing_to_draw_is_said_and_leaves_nothing(tmp_path):
    def draw():
        raise NothingToDraw("toy has no features of users")

    shown = Gallery(tmp_path / "toy").show("one", draw, sources=SOURCES)
    assert isinstance(shown, Skipped) and repr(shown) == "one: nothing to draw: toy has no features of users"
    assert not (tmp_path / "toy").exists()


def test_an_error_while_drawing_rises_and_leaves_the_old_picture(tmp_path, draw):
    gallery = Gallery(tmp_path)
    gallery.show("one", draw, sources=SOURCES)
    with pytest.raises(ZeroDivisionError):
        gallery.show("one", lambda: 1 / 0, sources={})
    assert gallery.show("one", draw, sources=SOURCES).drawn_because == ""


def test_a_picture_shows_itself_in_a_notebook():
    picture = Picture("one", png(1728, 806), "a sentence", "what is seen")
    data, metadata = picture._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}
    assert metadata["image/png"] == {"width": 864, "height": 403, "alt": "what is seen"}
    assert repr(picture) == "Picture(one: a sentence)"


def test_showing_imports_neither_matplotlib_nor_seaborn(tmp_path, draw):
    Gallery(tmp_path).show("one", draw, sources=SOURCES)
    code = (
        "import sys; from recsys_lib.eda import figures; from recsys_lib.eda.gallery import Gallery; "
        f"Gallery({str(tmp_path)!r}).show('one', lambda: 1 / 0, sources={SOURCES!r})._repr_mimebundle_(); "
        "print(sorted({'matplotlib', 'seaborn', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip() == "[]"
