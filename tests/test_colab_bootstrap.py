"""The environment layer against fakes: a fake google.colab, a fake Drive tree, a fake pip. Colab itself is not run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import colab_bootstrap
from colab_bootstrap import MARKER, BootstrapError, bootstrap, find_root, marked_folders, on_colab

pytestmark = pytest.mark.filterwarnings("error")
links = pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in ("RECSYS_ROOT", "RECSYS_MEMBER", "RECSYS_BATCH", "COLAB_RELEASE_TAG", "COLAB_BACKEND_VERSION"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in sys.modules if name == "google" or name.startswith("google.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(colab_bootstrap, "LOCAL_OUT_ON_COLAB", tmp_path / "content" / "recsys_out")
    monkeypatch.setattr(colab_bootstrap, "LOCAL_DATA_ON_COLAB", tmp_path / "content" / "recsys_data")
    monkeypatch.setattr(colab_bootstrap, "PAUSES", (0.0, 0.0))


def make_tree(folder: Path, *, marker: str | None = None) -> Path:
    for name in ("recsys_lib", "notebooks"):
        (folder / name).mkdir(parents=True)
    if marker is not None:
        (folder / MARKER).write_text(json.dumps({"team": marker}), encoding="utf-8")
    return folder


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "lab")


class FakeDrive(types.ModuleType):
    """google.colab.drive whose mount raises the errors in turn, then makes MyDrive appear."""

    def __init__(self, root: Path, errors=()):
        super().__init__("google.colab.drive")
        self.root, self.errors, self.calls = root, list(errors), []

    def mount(self, mountpoint, force_remount=False):
        self.calls.append((mountpoint, force_remount))
        assert not self.root.exists() or not list(self.root.iterdir()), "Mountpoint must not already contain files"
        if self.errors:
            raise self.errors.pop(0)
        (self.root.parent / "served").rename(self.root)


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """A Colab whose Drive is not mounted yet; fill colab.served (MyDrive and Shareddrives) before bootstrap."""
    drive_root, served = tmp_path / "content" / "drive", tmp_path / "content" / "served"
    (served / "MyDrive").mkdir(parents=True)
    (served / "Shareddrives").mkdir()
    drive = FakeDrive(drive_root)
    google, inner = types.ModuleType("google"), types.ModuleType("google.colab")
    google.colab, inner.drive = inner, drive
    for name, module in (("google", google), ("google.colab", inner), ("google.colab.drive", drive)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(colab_bootstrap.subprocess, "run", lambda *_, **__: pytest.fail("nothing is to be installed here"))
    here = tmp_path / "content" / "elsewhere"
    here.mkdir()
    return types.SimpleNamespace(drive=drive, served=served, drive_root=drive_root, here=here)


# -- where am I ----------------------------------------------------------------------------------------------------


def test_a_laptop_is_not_colab_nor_is_a_google_namespace(monkeypatch):
    assert not on_colab()
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.protobuf", types.ModuleType("google.protobuf"))
    assert not on_colab()


@pytest.mark.parametrize("name", ["COLAB_RELEASE_TAG", "COLAB_BACKEND_VERSION"])
def test_colab_is_told_by_its_variables(monkeypatch, name):
    monkeypatch.setenv(name, "")
    assert not on_colab()
    monkeypatch.setenv(name, "release-colab-20260819")
    assert on_colab()


def test_colab_is_told_by_its_module(colab):
    assert on_colab()


# -- local ---------------------------------------------------------------------------------------------------------


def test_local_everything_lies_in_the_root_and_csv_is_made(tree, capsys, monkeypatch):
    monkeypatch.setenv("RECSYS_MEMBER", "mina")
    ws = bootstrap(here=tree)
    assert (ws.root, ws.data_dir, ws.runs_dir, ws.eda_dir) == (tree, tree / "csv", tree / "runs", tree / "eda_outputs")
    assert (ws.is_colab, ws.read_only, ws.member) == (False, False, "mina")
    assert ws.data_dir.is_dir() and ws.runs_dir.is_dir() and ws.eda_dir.is_dir() and sys.path[0] == str(tree)
    said = capsys.readouterr().out
    assert "SYNTHETIC" in said and "합성 표본" in said and len(said.splitlines()) <= 8
    with pytest.raises(AttributeError):
        ws.root = "elsewhere"


def test_a_second_bootstrap_changes_nothing(tree):
    first = bootstrap(here=tree)
    before = list(sys.path)
    assert bootstrap(here=tree) == first and sys.path == before


def test_the_member_is_me_unless_said(tree):
    assert bootstrap(here=tree).member == "me"
    assert bootstrap(here=tree, member="jun").member == "jun"


def test_a_batch_child_gets_the_root_and_prints_nothing(tree, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RECSYS_ROOT", str(tree))
    monkeypatch.setenv("RECSYS_BATCH", "1")
    assert bootstrap(here=tmp_path).root == tree and capsys.readouterr().out == ""


def test_a_root_that_is_not_there_is_an_error(tree, monkeypatch):
    monkeypatch.setenv("RECSYS_ROOT", str(tree / "nowhere"))
    with pytest.raises(BootstrapError, match="RECSYS_ROOT"):
        bootstrap(here=tree)


def test_without_the_library_beside_it_says_so(tmp_path):
    with pytest.raises(BootstrapError, match="beside recsys_lib"):
        bootstrap(here=tmp_path)


def test_a_data_folder_is_found_from_here_or_from_the_root(tree, tmp_path, monkeypatch):
    for folder in (tree / "ml-1m", tmp_path / "shell" / "ml-100k"):
        folder.mkdir(parents=True)
        (folder / "u.data").write_text("x", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "shell")
    assert bootstrap("ml-1m", here=tree).data_dir == tree / "ml-1m"
    assert bootstrap("ml-100k", here=tree).data_dir == tmp_path / "shell" / "ml-100k"
    assert bootstrap(tree / "ml-1m", here=tree).data_dir == tree / "ml-1m"


def test_a_data_folder_that_is_missing_or_empty_is_an_error_with_the_next_step(tree):
    with pytest.raises(BootstrapError, match="does not exist.*leave it out"):
        bootstrap("nowhere", here=tree)
    (tree / "empty").mkdir()
    (tree / "empty" / ".DS_Store").write_text("", encoding="utf-8")
    with pytest.raises(BootstrapError, match="is empty.*leave it out"):
        bootstrap("empty", here=tree)


def test_outputs_go_where_they_are_asked_to_go(tree, tmp_path):
    assert bootstrap(out_dir="out", here=tree).runs_dir == tree / "out" / "runs"
    assert bootstrap(out_dir=tmp_path / "o", here=tree).eda_dir == tmp_path / "o" / "eda_outputs"
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(BootstrapError, match="cannot be written"):
        bootstrap(out_dir=tmp_path / "file", here=tree)


def test_a_read_only_root_works_with_outputs_at_home(tree, tmp_path, monkeypatch, capsys):
    can_write = colab_bootstrap._can_write
    monkeypatch.setattr(colab_bootstrap, "_can_write", lambda folder: folder != tree and can_write(folder))
    ws = bootstrap(here=tree)
    assert ws.read_only and ws.runs_dir == tmp_path / "home" / "recsys_out" / "runs"
    assert ws.data_dir == tmp_path / "home" / "recsys_out" / "csv" and not (tree / "csv").exists()
    said = capsys.readouterr().out
    assert said.count("read-only") == 1 and "보기 전용" in said
    assert bootstrap(here=tree, out_dir=tmp_path / "mine").runs_dir == tmp_path / "mine" / "runs"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="rights do not bind this user")
def test_the_probe_sees_a_folder_without_rights(tmp_path):
    tmp_path.chmod(0o500)
    assert not colab_bootstrap._can_write(tmp_path)


def test_the_probe_leaves_nothing(tmp_path):
    assert colab_bootstrap._can_write(tmp_path) and not list(tmp_path.iterdir())
    assert not colab_bootstrap._can_write(tmp_path / "nowhere")


@pytest.fixture
def notebook(monkeypatch):
    """The variables of a kernel that this process now seems to be."""
    shell = types.SimpleNamespace(kernel=object(), user_ns={})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    for name in ("VSCODE_PID",):
        monkeypatch.delenv(name, raising=False)
    return shell.user_ns


def test_the_environment_has_a_name(notebook, monkeypatch):
    assert colab_bootstrap.environment() == "Jupyter"
    notebook["__vsc_ipynb_file__"] = "x.ipynb"
    assert colab_bootstrap.environment() == "VS Code"
    monkeypatch.setenv("COLAB_RELEASE_TAG", "x")
    assert colab_bootstrap.environment() == "Colab, VS Code"
    notebook.clear()
    assert colab_bootstrap.environment() == "Colab, browser"
    monkeypatch.setenv("RECSYS_BATCH", "1")
    assert colab_bootstrap.environment() == "Colab, batch"
    monkeypatch.delenv("COLAB_RELEASE_TAG")
    assert colab_bootstrap.environment() == "batch"


def test_outside_a_notebook_it_is_plain_python(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    assert colab_bootstrap.environment() == "Python"


# -- Colab: mounting -----------------------------------------------------------------------------------------------


def test_colab_mounts_once_and_finds_the_shared_folder(colab, capsys):
    make_tree(colab.served / "MyDrive" / "추천 팀", marker="seven")
    for _ in range(2):
        ws = bootstrap(here=colab.here, drive_root=colab.drive_root)
    assert ws.root == colab.drive_root / "MyDrive" / "추천 팀" and ws.is_colab
    assert colab.drive.calls == [(str(colab.drive_root), False)]
    assert "Colab" in capsys.readouterr().out


def test_a_mount_that_fails_once_is_forced(colab):
    colab.drive.errors = [ValueError("mount failed")]
    make_tree(colab.served / "MyDrive" / "team", marker="seven")
    bootstrap(here=colab.here, drive_root=colab.drive_root)
    assert [forced for _, forced in colab.drive.calls] == [False, True]


def test_a_mount_that_fails_twice_is_explained(colab, monkeypatch):
    class MessageError(Exception):
        """As in google.colab._message: no ValueError, no OSError."""

    monkeypatch.setitem(sys.modules, "google.colab._message", types.SimpleNamespace(MessageError=MessageError))
    colab.drive.errors = [MessageError("credential propagation was unsuccessful"), MessageError("again")]
    with pytest.raises(BootstrapError, match="could not be mounted: again\n.*account") as raised:
        bootstrap(here=colab.here, drive_root=colab.drive_root)
    assert "드라이브를 연결하지 못했습니다" in str(raised.value) and not colab.drive_root.exists()


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("Error: credential propagation was unsuccessful", "third-party cookies"),
        ("Mountpoint must not already contain files", "delete runtime"),
        ("Google Drive for desktop: timed out", "very many files"),
        ("mount failed", "Allow the pop-up"),
    ],
)
def test_the_advice_depends_on_the_cause(message, advice, colab):
    colab.drive.errors = [ValueError(message), ValueError(message)]
    with pytest.raises(BootstrapError, match=advice) as raised:
        bootstrap(here=colab.here, drive_root=colab.drive_root)
    assert message in str(raised.value) and "드라이브를 연결하지 못했습니다" in str(raised.value)


def test_from_vs_code_the_advice_is_about_vs_code(colab, notebook):
    notebook["__vsc_ipynb_file__"] = "x.ipynb"
    colab.drive.errors = [ValueError("mount failed"), ValueError("mount failed")]
    with pytest.raises(BootstrapError, match="Colab extension"):
        bootstrap(here=colab.here, drive_root=colab.drive_root)


def test_a_drive_that_went_away_is_mounted_anew_by_force(colab, monkeypatch):
    root = make_tree(colab.served / "MyDrive" / "team", marker="seven")
    bootstrap(here=colab.here, drive_root=colab.drive_root)
    is_dir, gone = Path.is_dir, [True]

    def away(path):
        if gone[0] and path == colab.drive_root / "MyDrive":
            raise OSError(107, "Transport endpoint is not connected")
        return is_dir(path)

    def remount(mountpoint, force_remount=False):
        colab.drive.calls.append((mountpoint, force_remount))
        gone[0] = False

    monkeypatch.setattr(Path, "is_dir", away)
    monkeypatch.setattr(colab.drive, "mount", remount)
    found = colab.drive_root / root.relative_to(colab.served)
    assert bootstrap(here=found, drive_root=colab.drive_root).root == found
    assert [forced for _, forced in colab.drive.calls] == [False, True]


def test_an_error_that_is_no_mount_failure_rises(colab):
    colab.drive.errors = [KeyError("a bug")]
    with pytest.raises(KeyError):
        bootstrap(here=colab.here, drive_root=colab.drive_root)


def test_a_child_on_colab_never_mounts(colab, tree, monkeypatch):
    monkeypatch.setenv("RECSYS_BATCH", "1")
    with pytest.raises(BootstrapError, match="RECSYS_ROOT was not handed"):
        bootstrap(here=colab.here, drive_root=colab.drive_root)
    monkeypatch.setenv("RECSYS_ROOT", str(tree))
    assert bootstrap(here=colab.here, drive_root=colab.drive_root).root == tree and colab.drive.calls == []


def test_colab_without_its_module_is_explained(monkeypatch, tmp_path):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "x")
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    with pytest.raises(BootstrapError, match="cannot be imported"):
        bootstrap(here=tmp_path, drive_root=tmp_path / "drive")


# -- Colab: the shared folder --------------------------------------------------------------------------------------


def found(colab) -> list[str]:
    return [folder.relative_to(colab.served).as_posix() for folder in marked_folders(colab.served)]


@links
def test_a_shortcut_is_found_under_any_title_and_kept_as_listed(colab):
    make_tree(colab.served / ".shortcut-targets-by-id" / "1aB" / "팀 폴더", marker="seven")
    (colab.served / "MyDrive" / "renamed by me").symlink_to(Path("..", ".shortcut-targets-by-id", "1aB", "팀 폴더"))
    assert bootstrap(here=colab.here, drive_root=colab.drive_root).root == colab.drive_root / "MyDrive" / "renamed by me"


@links
def test_a_shortcut_one_folder_deeper_is_found_and_a_dangling_one_ignored(colab):
    target = make_tree(colab.served / ".shortcut-targets-by-id" / "1aB" / "x", marker="seven")
    (colab.served / "MyDrive" / "class").mkdir()
    (colab.served / "MyDrive" / "class" / "x").symlink_to(target)
    (colab.served / "MyDrive" / "gone").symlink_to(colab.served / "nothing")
    assert found(colab) == ["MyDrive/class/x"]


@links
def test_two_shortcuts_to_one_folder_are_one_folder(colab):
    target = make_tree(colab.served / ".shortcut-targets-by-id" / "1aB" / "x", marker="seven")
    for name in ("a", "b"):
        (colab.served / "MyDrive" / name).symlink_to(target)
    assert found(colab) == ["MyDrive/a"]


def test_a_shared_drive_is_searched_and_three_deep_is_not(colab):
    make_tree(colab.served / "Shareddrives" / "team drive" / "lab", marker="seven")
    make_tree(colab.served / "MyDrive" / "a" / "b" / "c", marker="deep")
    make_tree(colab.served / "MyDrive" / "no marker")
    assert found(colab) == ["Shareddrives/team drive/lab"]


def test_several_hits_are_listed_and_a_choice_is_asked_for(colab):
    for name, team in (("one", "seven"), ("two", "eight")):
        make_tree(colab.served / "MyDrive" / name, marker=team)
    with pytest.raises(BootstrapError, match="2 folders") as raised:
        bootstrap(here=colab.here, drive_root=colab.drive_root)
    message = str(raised.value)
    assert all(words in message for words in ("MyDrive/one", "team seven", "team eight", "RECSYS_ROOT", "하나를 골라"))


def test_no_hit_says_how_to_add_the_shortcut(colab):
    with pytest.raises(BootstrapError, match="Add shortcut") as raised:
        bootstrap(here=colab.here, drive_root=colab.drive_root)
    assert "바로가기 추가" in str(raised.value)


def test_the_folder_of_this_file_comes_before_the_drive(colab, tree):
    assert bootstrap(here=tree, drive_root=colab.drive_root).root == tree and colab.drive.calls == []


def test_two_marked_folders_are_a_question_also_for_the_notebook_of_one(colab):
    for name, team in (("one", "seven"), ("two", "eight")):
        make_tree(colab.served / "MyDrive" / name, marker=team)
    with pytest.raises(BootstrapError, match="2 folders"):
        bootstrap(here=colab.drive_root / "MyDrive" / "one", drive_root=colab.drive_root)


def test_an_unmarked_folder_on_the_drive_works_where_it_is_the_only_one(colab):
    make_tree(colab.served / "MyDrive" / "mine")
    assert bootstrap(here=colab.drive_root / "MyDrive" / "mine", drive_root=colab.drive_root).root.name == "mine"


# -- Colab: data and runs on the local disk ------------------------------------------------------------------------


@pytest.fixture
def team(colab):
    """A shared folder with data; team() is a member's first cell."""
    csv = make_tree(colab.served / "MyDrive" / "team", marker="seven") / "csv"
    (csv / "more").mkdir(parents=True)
    (csv / "a.csv").write_text("x\n1\n", encoding="utf-8")
    (csv / "more" / "b.csv").write_text("한글", encoding="cp949")
    return lambda **named: bootstrap(here=colab.here, drive_root=colab.drive_root, **named)


def test_the_library_is_copied_too_so_that_it_outlives_the_drive(team, colab):
    library = colab.served / "MyDrive" / "team" / "recsys_lib"
    (library / "models").mkdir()
    (library / "models" / "ease.py").write_text("x = 1", encoding="utf-8")
    (library / "__pycache__").mkdir()
    (library / "__pycache__" / "ease.pyc").write_bytes(b"")
    ws = team()
    copy = Path(sys.path[0]) / "recsys_lib"
    assert files_in(copy) == {"models/ease.py": b"x = 1"} and colab.drive_root not in copy.parents
    (ws.root / "recsys_lib" / "models" / "ease.py").write_text("x = 22", encoding="utf-8")
    team()
    assert files_in(copy) == {"models/ease.py": b"x = 22"}


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_data_is_copied_to_the_local_disk_once_and_again_where_it_changed(team, colab, monkeypatch):
    copies = []
    copy = colab_bootstrap.shutil.copyfile
    monkeypatch.setattr(colab_bootstrap.shutil, "copyfile", lambda source, target: copies.append(source.name) or copy(source, target))
    ws = team()
    csv = ws.root / "csv"
    assert colab.drive_root not in ws.data_dir.parents and files_in(ws.data_dir) == files_in(csv)
    team()
    assert copies == ["a.csv", "b.csv"]
    (csv / "a.csv").write_text("x\n2\n", encoding="utf-8")
    os.utime(csv / "a.csv", ns=(1, 1))
    (csv / "more" / "b.csv").unlink()
    (csv / "c.csv").write_text("new", encoding="utf-8")
    assert files_in(team().data_dir) == files_in(csv) and copies[2:] == ["a.csv", "c.csv"]


def test_a_local_copy_that_was_damaged_is_made_again(team):
    copied = team().data_dir / "a.csv"
    copied.write_text("x", encoding="utf-8")
    assert (team().data_dir / "a.csv").read_text(encoding="utf-8") == "x\n1\n"


@pytest.mark.parametrize(("failures", "number"), [(2, 5), (3, 5), (1, 122)])
def test_a_file_that_cannot_be_read_is_tried_again_then_explained(failures, number, team, monkeypatch):
    copy, tries = colab_bootstrap.shutil.copyfile, []

    def failing(source, target):
        tries.append(source.name)
        if tries.count("b.csv") <= failures and source.name == "b.csv":
            raise OSError(number, os.strerror(number))
        return copy(source, target)

    monkeypatch.setattr(colab_bootstrap.shutil, "copyfile", failing)
    if (failures, number) == (2, 5):
        assert len(files_in(team().data_dir)) == 2
    else:
        with pytest.raises(BootstrapError, match=f"b.csv could not be read.*{os.strerror(number)}"):
            team()
        assert not list((colab_bootstrap.LOCAL_DATA_ON_COLAB).rglob("*.part-*"))


def test_runs_are_written_locally_and_published_to_the_team(team, capsys):
    ws = team()
    assert colab_bootstrap.LOCAL_OUT_ON_COLAB in ws.runs_dir.parents and ws.runs_dir.name == "runs"
    assert ws.publish_to == ws.root / "runs" and ws.runs_dirs == (ws.runs_dir, ws.root / "runs")
    assert "then published" in capsys.readouterr().out
    other = team(out_dir="experiments")
    assert other.publish_to == ws.root / "experiments" / "runs" and other.runs_dir != ws.runs_dir  # nothing goes astray


def test_a_viewer_may_publish_to_a_folder_of_the_own_drive(team, colab, monkeypatch):
    can_write, shared = colab_bootstrap._can_write, colab.drive_root / "MyDrive" / "team"
    monkeypatch.setattr(colab_bootstrap, "_can_write", lambda folder: shared not in (folder, *folder.parents) and can_write(folder))
    mine = colab.served / "MyDrive" / "mine"
    mine.mkdir()
    ws = team(out_dir=colab.drive_root / "MyDrive" / "mine")
    assert ws.publish_to == colab.drive_root / "MyDrive" / "mine" / "runs"
    assert ws.runs_dirs == (ws.runs_dir, ws.publish_to, shared / "runs")


def test_a_drive_that_answers_with_an_error_is_neither_empty_nor_view_only(team, monkeypatch):
    ws = team()
    listdir, write_text = os.listdir, Path.write_text
    monkeypatch.setattr(os, "listdir", lambda path: (_ for _ in ()).throw(OSError(5, "Input/output error")) if str(path).endswith("csv") else listdir(path))
    with pytest.raises(BootstrapError, match="csv/ could not be read"):
        team()
    monkeypatch.setattr(os, "listdir", listdir)

    def full(path, *arguments, **named):
        if ".probe.part-" in path.name:
            raise OSError(122, "Disk quota exceeded")
        return write_text(path, *arguments, **named)

    monkeypatch.setattr(Path, "write_text", full)
    assert not team().read_only and files_in(ws.data_dir)


def test_a_root_on_a_drive_that_is_not_mounted_is_mounted(team, colab, monkeypatch):
    monkeypatch.setenv("RECSYS_ROOT", str(colab.drive_root / "MyDrive" / "team"))
    assert team().root == colab.drive_root / "MyDrive" / "team" and len(colab.drive.calls) == 1


def test_a_viewer_reads_the_teams_runs_and_publishes_nothing(team, colab, monkeypatch):
    can_write = colab_bootstrap._can_write
    monkeypatch.setattr(colab_bootstrap, "_can_write", lambda folder: colab.drive_root not in folder.parents and can_write(folder))
    ws = team()
    assert ws.publish_to is None and ws.runs_dirs == (colab_bootstrap.LOCAL_OUT_ON_COLAB / "runs", ws.root / "runs")


def test_locally_there_is_one_folder_of_runs(tree):
    ws = bootstrap(here=tree)
    assert ws.publish_to is None and ws.runs_dirs == (tree / "runs",)


def test_a_package_that_changed_after_it_was_loaded_asks_for_a_restart(team, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", types.SimpleNamespace(__version__="0.0.1"))
    with pytest.raises(BootstrapError, match="pyarrow 0.0.1 is loaded, but .* Restart session"):
        team()


def test_a_view_only_share_works_on_colab(colab, tmp_path, monkeypatch):
    make_tree(colab.served / "MyDrive" / "team", marker="seven")
    can_write = colab_bootstrap._can_write
    monkeypatch.setattr(colab_bootstrap, "_can_write", lambda folder: colab.drive_root not in folder.parents and can_write(folder))
    ws = bootstrap(here=colab.here, drive_root=colab.drive_root)
    assert ws.read_only and ws.runs_dir == tmp_path / "content" / "recsys_out" / "runs"


# -- packages ------------------------------------------------------------------------------------------------------

REQUIREMENTS = "# runtime\ntorch>=2.4\nnumpy>=2.0\nabsent-one>=1  # why\npytest>=8.0\n\n# Tests\n"


@pytest.fixture
def pip(monkeypatch):
    """Records commands instead of running them; .returncode is what they return; .effect what they do."""

    class Pip:
        returncode, commands = 0, []

        def effect(self, command):
            """Nothing."""

        def __call__(self, command, **_):
            self.commands.append([str(part) for part in command])
            self.effect(self.commands[-1])
            return subprocess.CompletedProcess(command, self.returncode)

    pip = Pip()
    pip.commands = []
    monkeypatch.setattr(colab_bootstrap.subprocess, "run", pip)
    return pip


@pytest.fixture
def installed(monkeypatch):
    versions = {"torch": "2.11.0+cu128", "numpy": "2.1.3", "pytest": "8.4.0"}

    def version(name):
        if name not in versions:
            raise colab_bootstrap.importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(colab_bootstrap.importlib.metadata, "version", version)
    monkeypatch.setattr(colab_bootstrap, "_refuse_changed_packages", lambda: None)  # what is really loaded is none of these
    return versions


def test_colab_installs_only_what_is_absent_and_never_its_own_stack(colab, pip, installed, tree):
    (tree / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
    del installed["torch"], installed["numpy"]
    bootstrap(here=tree, drive_root=colab.drive_root)
    assert [command[1:] for command in pip.commands] == [["-m", "pip", "install", "--quiet", "--no-deps", "absent-one>=1"]]
    installed["absent-one"] = "1.0"
    bootstrap(here=tree, drive_root=colab.drive_root)
    assert len(pip.commands) == 1


def test_colab_without_a_network_goes_on(colab, pip, installed, tree, capsys):
    (tree / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
    pip.returncode = 1
    bootstrap(here=tree, drive_root=colab.drive_root)
    assert "could not install absent-one" in capsys.readouterr().out


@pytest.fixture
def no_environment(monkeypatch):
    monkeypatch.setattr(colab_bootstrap, "_in_virtual_environment", lambda: False)


@pytest.fixture
def lab(tree, pip):
    """A tree with requirements, where `python -m venv` makes the interpreter's file."""
    (tree / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")

    def effect(command):
        if "venv" in command and not pip.returncode:
            python = Path(command[-1]) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            python.parent.mkdir(parents=True, exist_ok=True)
            python.write_text("", encoding="utf-8")

    pip.effect = effect
    return tree


def verbs(pip):
    return ["venv" if "venv" in command[1:3] else "pip" for command in pip.commands]


def test_outside_an_environment_it_makes_one_and_the_second_call_is_instant(lab, pip, no_environment):
    python = colab_bootstrap.ensure_environment(lab)
    assert Path(python).parts[-3] == ".venv" and verbs(pip) == ["venv", "pip"]
    assert pip.commands[1][0] == python and str(lab / "requirements.txt") in pip.commands[1]
    assert colab_bootstrap.ensure_environment(lab) == python and len(pip.commands) == 2


def test_changed_requirements_are_installed_into_the_same_environment(lab, pip, no_environment):
    colab_bootstrap.ensure_environment(lab)
    (lab / "requirements.txt").write_text(REQUIREMENTS + "more\n", encoding="utf-8")
    colab_bootstrap.ensure_environment(lab)
    assert verbs(pip) == ["venv", "pip", "pip"]


def test_an_interrupted_installation_is_begun_anew(lab, pip, no_environment):
    effect = pip.effect

    def interrupted(command):
        effect(command)
        if "pip" in command:
            raise KeyboardInterrupt

    pip.effect = interrupted
    with pytest.raises(KeyboardInterrupt):
        colab_bootstrap.ensure_environment(lab)
    pip.effect = effect
    colab_bootstrap.ensure_environment(lab)
    assert verbs(pip) == ["venv", "pip", "venv", "pip"] and "--clear" in pip.commands[2]
    colab_bootstrap.ensure_environment(lab)
    assert len(pip.commands) == 4


def test_an_environment_that_a_person_made_is_never_cleared(lab, pip, no_environment):
    pip.effect(["venv", str(lab / ".venv")])
    pip.returncode = 1
    with pytest.raises(BootstrapError, match="pip could not install"):
        colab_bootstrap.ensure_environment(lab)
    pip.returncode = 0
    colab_bootstrap.ensure_environment(lab)
    assert verbs(pip) == ["pip", "pip"]


def test_a_python_without_venv_is_explained(lab, pip, no_environment):
    pip.returncode = 1
    with pytest.raises(BootstrapError, match="python3-venv"):
        colab_bootstrap.ensure_environment(lab)


def test_inside_an_environment_only_what_is_missing_is_installed(lab, pip, installed, monkeypatch):
    monkeypatch.setattr(colab_bootstrap, "_in_virtual_environment", lambda: True)
    installed["numpy"] = "1.26.4"
    assert colab_bootstrap.ensure_environment(lab) == sys.executable
    assert len(pip.commands) == 1 and pip.commands[0][-2:] == ["absent-one>=1", "numpy>=2.0"]
    installed.update({"numpy": "2.0", "absent-one": "1.0"})
    colab_bootstrap.ensure_environment(lab)
    assert len(pip.commands) == 1 and not (lab / ".venv").exists()


@pytest.mark.parametrize(
    ("requirement", "version", "outside"),
    [
        ("a>=2.4,<2.14", "2.13.0+cpu", False),
        ("a>=2.4,<2.14", "2.14.0", False),  # newer than tested is left alone
        ("a>=2.4,<2.14", "2.4", False),
        ("a>=0.4.5", "0.4.4", True),
        ("a==0.1.1", "0.1.1", False),
        ("a>=2.0", "2.0.0rc1", False),
        ("a", "0", False),
    ],
)
def test_versions_are_compared_by_number(installed, requirement, version, outside):
    installed["a"] = version
    assert bool(colab_bootstrap._outdated({"a": requirement})) is outside


# -- the commands --------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch, lab):
    monkeypatch.setattr(colab_bootstrap, "HERE", lab)
    return colab_bootstrap.main


def test_test_hands_its_arguments_to_pytest_in_the_environment(command, lab, pip, no_environment):
    pip.returncode = 0
    assert command(["test", "-k", "splits", "--durations=3"]) == 0
    assert pip.commands[-1][1:] == ["-m", "pytest", "-k", "splits", "--durations=3"] and ".venv" in pip.commands[-1][0]


def test_run_outside_an_environment_starts_itself_again_inside(command, lab, pip, no_environment):
    assert command(["run", "--models", "ease"]) == 0
    assert ".venv" in pip.commands[-1][0] and pip.commands[-1][1:] == [str(lab / "colab_bootstrap.py"), "run", "--models", "ease"]


def test_an_error_of_the_environment_is_a_message_and_2(command, pip, no_environment, capsys):
    pip.returncode = 1
    assert command(["test"]) == 2
    assert "python3-venv" in capsys.readouterr().err


def test_an_unknown_argument_of_run_is_an_error(command, capsys):
    with pytest.raises(SystemExit) as raised:
        command(["run", "--model", "ease", "--modells"])
    assert raised.value.code == 2


@pytest.fixture
def stages(monkeypatch, lab):
    """`run` with notebooks of parameters only and a run_batch that executes nothing; .said is what each stage was given."""
    import nbformat

    from recsys_lib.runs import batch
    from recsys_lib.runs.folder import RunFolder

    paths = 'DATA_DIR = ""\nOUT_DIR = ""\nSPLIT = "leave_one_out_random"'
    sources = {"01_eda": 'DATA_DIR = ""\nOUT_DIR = ""', "02_train": f'{paths}\nMODEL = "neumf"', "03_evaluate": f"{paths}\nRUNS = []\nK = 5"}
    for name, source in sources.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})])
        (lab / "notebooks" / f"{name}.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
    stages = types.SimpleNamespace(said=[], failing=())

    def run_batch(notebook, parameter_sets, *, runs_dir, kind, root, member, publish_to):
        stages.said.append((kind, parameter_sets))
        done = batch.Batch()
        for parameters in parameter_sets:
            run = RunFolder.create(runs_dir, kind=kind, model=parameters.get("MODEL", kind), member=member)
            done.runs.append(run)
            if run.model in stages.failing:
                done.failed.append(run)
            if kind == "evaluation":
                run.write_metrics({"table": [{"model": "ease", "recall@5": 0.25}], "submission": "submission.csv"})
        return done

    monkeypatch.setattr(batch, "run_batch", run_batch)
    monkeypatch.setattr(colab_bootstrap, "_in_virtual_environment", lambda: True)
    monkeypatch.setattr(colab_bootstrap, "ensure_environment", lambda root: sys.executable)
    return stages


def test_run_explores_trains_each_model_and_evaluates_those_runs(command, lab, stages, capsys):
    assert command(["run", "--models", "popularity, ease,ease"]) == 0
    (eda, _), (training, trained), (evaluation, evaluated) = stages.said
    assert (eda, training, evaluation) == ("eda", "training", "evaluation")
    assert trained == [{"MODEL": "popularity"}, {"MODEL": "ease"}]
    assert [name.split("-")[2] for name in evaluated[0]["RUNS"]] == ["popularity", "ease"]
    said = capsys.readouterr().out
    assert "0.2500" in said and "submission.csv" in said and said.count("notebook.ipynb") == 4 and "1/3 EDA" in said


def test_run_hands_each_notebook_only_the_parameters_that_it_has(command, lab, stages, tmp_path, monkeypatch):
    (tmp_path / "ml-1m").mkdir()
    (tmp_path / "ml-1m" / "ratings.dat").write_text("x", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert command(["run", "--data", "ml-1m", "--out", "o", "--models", "ease", "--split", "fraction", "--k", "10"]) == 0
    both = {"DATA_DIR": str(tmp_path / "ml-1m"), "OUT_DIR": str(tmp_path / "o")}
    (_, [eda]), (_, [training]), (_, [evaluation]) = stages.said
    assert eda == both and training == both | {"SPLIT": "fraction", "MODEL": "ease"}
    assert {**evaluation, "RUNS": []} == both | {"SPLIT": "fraction", "K": 10, "RUNS": []}


def test_a_misspelt_model_ends_the_run_before_anything_runs(command, stages, capsys):
    assert command(["run", "--models", "popularity,neumff"]) == 2
    assert stages.said == [] and "did you mean 'neumf'?" in capsys.readouterr().err
    assert command(["run", "--models", " , "]) == 2


def test_a_failed_training_leaves_the_others_evaluated_and_exits_with_1(command, stages, capsys):
    stages.failing = ("ease",)
    assert command(["run", "--models", "popularity,ease"]) == 1
    assert len(stages.said[2][1][0]["RUNS"]) == 1 and "FAILED" in capsys.readouterr().out
    assert command(["run", "--models", "ease"]) == 1
    assert [kind for kind, _ in stages.said[3:]] == ["eda", "training"]


def test_this_file_needs_no_package():
    code = "import sys; sys.modules['numpy'] = sys.modules['recsys_lib'] = None; import colab_bootstrap; print('ok')"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(colab_bootstrap.HERE)!r}); {code}"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.stdout == "ok\n", done.stderr


# -- sharing -------------------------------------------------------------------------------------------------------


def test_share_marks_the_folder_once_and_prints_the_message(tree, capsys):
    first = colab_bootstrap.share(tree, "추천 7조")
    assert first["team"].startswith("추천-7조-") and json.loads((tree / MARKER).read_text(encoding="utf-8")) == first
    assert colab_bootstrap.share(tree, "another name") == first
    said = capsys.readouterr().out
    assert said.count(first["team"]) >= 4 and "바로가기 추가" in said and "Add shortcut" in said and str(tree) not in said


def test_a_broken_marker_is_made_anew(tree):
    for text in ("{", "[]", "{}"):
        (tree / MARKER).write_text(text, encoding="utf-8")
        assert colab_bootstrap.share(tree)["team"].startswith("team-")


def test_a_members_copies_are_made_once_and_never_replaced(tree, capsys):
    for name in ("01_eda.ipynb", "02_train.ipynb"):
        (tree / "notebooks" / name).write_text("{}", encoding="utf-8")
    made = colab_bootstrap.copy_notebooks(tree, "김 미나")
    assert [path.relative_to(tree).as_posix() for path in made] == [f"notebooks/members/김_미나/{n}.ipynb" for n in ("01_eda", "02_train")]
    made[0].write_text("mine", encoding="utf-8")
    made[1].unlink()
    assert colab_bootstrap.copy_notebooks(tree, "김 미나") == made[1:] and made[0].read_text(encoding="utf-8") == "mine"
    assert "그대로 둡니다" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "me", "../.."])
def test_copies_need_a_name(name, tree):
    with pytest.raises(BootstrapError, match="--member"):
        colab_bootstrap.copy_notebooks(tree, name)
    assert not (tree / "notebooks" / "members").exists()


def test_share_and_copy_are_commands_that_install_nothing(tree, monkeypatch, capsys):
    monkeypatch.setattr(colab_bootstrap, "HERE", tree)
    monkeypatch.setattr(colab_bootstrap, "ensure_environment", lambda root: pytest.fail("installs"))
    assert colab_bootstrap.main(["share", "--team", "seven"]) == 0 and (tree / MARKER).is_file()
    assert colab_bootstrap.main(["copy", "--member", "mina"]) == 0 and (tree / "notebooks" / "members" / "mina").is_dir()
    assert colab_bootstrap.main(["copy"]) == 2 and "--member" in capsys.readouterr().err
