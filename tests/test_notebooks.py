"""Each notebook's .py is its source: the .ipynb mirrors it, and both keep the conventions that papermill and Colab need.

After a change of a .py, build the .ipynb files anew:
    python tests/test_notebooks.py               every one of them; 01_eda is executed, so that it carries its pictures
    python tests/test_notebooks.py 02_train      only this one
"""

import ast
import copy
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
WITH_PICTURES = {"01_eda"}
MOST_BYTES = 2_000_000
MOST_LINES = 16  # of code in a cell, without imports, comments and blank lines

every_notebook = pytest.mark.parametrize("source", SOURCES, ids=[path.stem for path in SOURCES])


def text_of(source: Path):
    return jupytext.read(source)


def committed(source: Path):
    path = source.with_suffix(".ipynb")
    assert path.is_file(), f"{path.name} is missing; build it: python tests/test_notebooks.py {source.stem}"
    return nbformat.read(path, as_version=4)


def test_there_are_notebooks():
    assert SOURCES, "notebooks/ holds no .py"


@every_notebook
def test_the_ipynb_mirrors_the_py(source):
    def content(notebook):
        return [(cell.cell_type, cell.source.rstrip(), cell.metadata.get("tags", [])) for cell in notebook.cells]

    ours, theirs = content(text_of(source)), content(committed(source))
    differ = [place for place, (one, other) in enumerate(zip(ours, theirs)) if one != other]
    assert ours == theirs, (
        f"{source.stem}: cells {differ or 'at the end'} differ; build it anew: python tests/test_notebooks.py {source.stem}"
    )


@every_notebook
def test_metadata_is_what_papermill_and_github_need(source):
    for notebook in (text_of(source), committed(source)):
        assert notebook.metadata["kernelspec"]["name"] == "python3"
        assert notebook.metadata["kernelspec"]["language"] == "python"
        assert notebook.metadata["kernelspec"]["display_name"]
        assert notebook.metadata["jupytext"]["formats"] == "ipynb,py:percent"
        assert "widgets" not in notebook.metadata  # GitHub calls a notebook with half a widget state invalid
    assert set(committed(source).metadata) <= {"kernelspec", "jupytext", "language_info", "accelerator"}
    nbformat.validate(committed(source))


@every_notebook
def test_outputs_are_pictures_or_nothing(source):
    path, cells = source.with_suffix(".ipynb"), [cell for cell in committed(source).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert path.stat().st_size < MOST_BYTES
    if source.stem not in WITH_PICTURES:
        assert not outputs and all(cell.execution_count is None for cell in cells), (
            f"clear the outputs: python tests/test_notebooks.py {source.stem}"
        )
        return
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 13
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if any("widget" in kind for kind in output.get("data", {}))]


@every_notebook
def test_no_path_of_a_machine_is_committed(source):
    cells = [cell for cell in committed(source).cells]
    texts = [cell.source for cell in cells]
    for output in (output for cell in cells if cell.cell_type == "code" for output in cell.outputs):
        texts += [
            output.get("text", ""),
            *(value for kind, value in output.get("data", {}).items() if kind.startswith("text/")),
        ]
    text = "\n".join(map(str, texts))
    assert f"{ROOT}{os.sep}" not in text
    assert not re.findall(r"(?:/home/|/Users/|/tmp/|[A-Z]:\\\\Users)\S*", text)


@every_notebook
def test_parameters_are_literals_with_a_comment_each(source):
    cells = text_of(source).cells
    tagged = [place for place, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1 and tagged[0] <= 2, "one early cell is tagged parameters"
    lines = cells[tagged[0]].source.splitlines()
    for statement in ast.parse("\n".join(lines)).body:
        assert isinstance(statement, ast.Assign | ast.AnnAssign), f"not an assignment: {ast.unparse(statement)}"
        ast.literal_eval(statement.value)  # raises for anything but a literal
        assert statement.lineno == statement.end_lineno and re.search(r"  # \S", lines[statement.lineno - 1]), (
            f"a parameter stands on one line with a comment: {ast.unparse(statement)}"
        )


def test_the_first_cell_is_the_same_in_all_notebooks():
    cells = {source.stem: [cell for cell in text_of(source).cells if cell.cell_type == "code"][1].source for source in SOURCES}
    assert len(set(cells.values())) == 1, f"the first cells of {', '.join(cells)} differ"
    assert "bootstrap(DATA_DIR, OUT_DIR)" in cells["02_train"]


@every_notebook
def test_cells_call_the_library(source):
    for cell in text_of(source).cells:
        if cell.cell_type == "code":
            tree = ast.parse(re.sub(r"^[%!].*$", "pass", cell.source, flags=re.MULTILINE))
            kinds = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.AsyncFunctionDef)
            assert not [node for node in ast.walk(tree) if isinstance(node, kinds)], (
                f"a verb is missing in the library:\n{cell.source}"
            )
            lines = [
                line
                for line in cell.source.splitlines()
                if line.strip() and not re.match(r"\s*(#|import |from )", line)
            ]
            assert len(lines) <= MOST_LINES, f"{len(lines)} lines in one cell:\n{cell.source}"


@every_notebook
def test_headings_and_sentences_are_in_english_and_korean(source):
    for cell in text_of(source).cells:
        if cell.cell_type == "markdown":
            assert re.search(r"[가-힣]", cell.source) and re.search(r"[A-Za-z]{3}", cell.source), cell.source


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_committed_pictures_are_those_of_this_code(language, tmp_path):
    """Every call of 01_eda, on a copy of what is committed."""
    from recsys_lib.eda import figures
    from recsys_lib.eda.gallery import Gallery

    (tmp_path / "csv").mkdir()
    out = shutil.copytree(ROOT / "eda_outputs", tmp_path / "eda_outputs")
    gallery = Gallery(tmp_path / "csv", out, language=language)
    code = {cell.source for cell in text_of(ROOT / "notebooks" / "01_eda.py").cells if cell.cell_type == "code"}
    names = {"show": gallery.show, "figures": figures}
    for source in code:
        if 'PAIR = []' in source:
            exec(source, names)
    calls = [source for source in sorted(code) if source.startswith("show(")]
    for call in calls:
        exec(call, names)
    assert len(calls) == 13 and gallery.drawn == [], "build them anew: python tests/test_notebooks.py 01_eda"
    assert not gallery.has_read and (out / ("README.md" if language == "en" else "README.ko.md")).is_file()


@pytest.mark.notebook
@pytest.mark.slow
def test_01_eda_runs_and_its_second_run_draws_nothing(tmp_path, monkeypatch):
    papermill = pytest.importorskip("papermill")
    monkeypatch.setenv("RECSYS_BATCH", "1")
    monkeypatch.setenv("RECSYS_ROOT", str(ROOT))
    parameters = {"OUT_DIR": str(tmp_path / "out"), "DATA_DIR": str(_small_movielens(tmp_path / "csv"))}
    said = []
    for run in ("first", "second"):
        notebook = papermill.execute_notebook(
            ROOT / "notebooks" / "01_eda.ipynb",
            tmp_path / f"{run}.ipynb",
            parameters=parameters,
            progress_bar=False,
            cwd=tmp_path,
        )
        said.append(notebook.cells[-1].outputs[0]["data"]["text/plain"])
    assert said[0].endswith("09_cold_start, 10_split") and said[1].endswith("drawn just now: none")
    index = tmp_path / "out" / "eda_outputs" / "README.md"
    pictures = re.findall(r"\]\((\S+\.png)\)", index.read_text(encoding="utf-8"))
    # thirteen figures, and no word in forty films that would separate anything
    assert len(pictures) == 12 and all((index.parent / picture).is_file() for picture in pictures)


def _small_movielens(directory: Path) -> Path:
    """A folder in the form of MovieLens 100K: 40 users, 30 films; nothing in it is GroupLens' data."""
    directory.mkdir()
    genres = 19
    rows = [f"{u}\t{i}\t4\t{880000000 + 100 * u + i}" for u in range(1, 41) for i in range(1, 31) if (u + i * i) % 7 < 3]
    users = [f"{u}|{20 + u}|{'FM'[u % 2]}|{('artist', 'doctor', 'writer')[u % 3]}|0000{u % 10}" for u in range(1, 41)]
    items = [
        f"{i}|Film {i} ({1970 + i})|01-Jan-{1970 + i}||http://x|"
        + "|".join("1" if g in (i % genres, 3) else "0" for g in range(genres))
        for i in range(1, 31)
    ]
    kinds = [f"genre{g}|{g}" for g in range(genres)]
    for name, lines in (("u.data", rows), ("u.user", users), ("u.item", items), ("u.genre", kinds)):
        (directory / name).write_text("\n".join(lines) + "\n", encoding="iso-8859-1")
    return directory


def build(source: Path) -> None:
    """Write the .ipynb of a .py: no noise in the metadata, outputs only where the pictures belong to the notebook."""
    notebook = text_of(source)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "jupytext": {"formats": "ipynb,py:percent"},
        "language_info": {"name": "python"},
    } | {name: notebook.metadata[name] for name in ("accelerator",) if name in notebook.metadata}
    for place, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{place:02d}"  # at random otherwise, and then in every diff
    if source.stem in WITH_PICTURES:
        from nbclient import NotebookClient

        os.environ["RECSYS_BATCH"] = "1"  # neither bars nor the paths of this machine
        kept = dict(notebook.metadata)
        korean = copy.deepcopy(notebook)
        for cell in korean.cells:
            cell.source = cell.source.replace('LANGUAGE = "en"', 'LANGUAGE = "ko"')
        # The pictures in Korean; those in English; and a run that shows what the one before has drawn.
        for drawn in (korean, notebook, notebook):
            NotebookClient(
                drawn,
                kernel_name="python3",
                record_timing=False,
                resources={"metadata": {"path": str(source.parent)}},
            ).execute()
        notebook.metadata = kept
    nbformat.validate(notebook)
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    print(f"{source.stem}: {source.with_suffix('.ipynb').stat().st_size:,} bytes")


if __name__ == "__main__":
    for path in SOURCES:
        if not sys.argv[1:] or path.stem in sys.argv[1:]:
            build(path)
