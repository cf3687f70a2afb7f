"""The real notebooks in fake environments: a Colab that is none (tests/fake_colab), a laptop, a batch, another locale.

Colab itself is not run; README.md says what to try there first. The table of environments in README.md is this file's:
    python -m tests.test_environments
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

papermill = pytest.importorskip("papermill")
from nbclient.exceptions import DeadKernelError  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

from recsys_lib.data.files import write_text  # noqa: E402
from recsys_lib.runs.batch import _this_interpreter  # noqa: E402
from recsys_lib.runs.folder import RunFolder, all_runs  # noqa: E402
from tests.test_notebooks import ROOT, _small_movielens  # noqa: E402

FAKE = Path(__file__).parent / "fake_colab"
PARTS = ("recsys_lib", "notebooks", "colab_bootstrap.py", "requirements.txt")
QUICK = {"MODEL": "multi_dae", "SPLIT": "leave_one_out_last", "TRAIN_CONFIG": {"epochs": 6, "evaluate_every": 1, "early_stopping_patience": 6}}
pytestmark = [pytest.mark.notebook, pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")]


_TABLE: dict[str, tuple[str, str, str, str]] = {}


def environment(where: str, outcome: str, where_ko: str, outcome_ko: str):
    """A row of README's table: what this test shows, in English and in Korean."""

    def keep(test):
        _TABLE[test.__name__] = (where, outcome, where_ko, outcome_ko)
        return test

    return keep


class Machine:
    """A machine with a lab on it; `run` executes a notebook there, in a kernel of its own."""

    def __init__(self, folder: Path, *, fake: dict | None, **environment: str) -> None:
        self.folder, self.content = folder, folder / "content"
        self.content.mkdir(parents=True)
        self.environment = {"PYTHONPATH": "", "RECSYS_MEMBER": "mina", "RECSYS_BATCH": "", "RECSYS_ROOT": ""} | environment
        self.environment["RECSYS_CONTENT"] = str(self.content)
        if fake is not None:
            self.environment |= {"FAKE_COLAB": json.dumps(fake), "COLAB_RELEASE_TAG": "release", "PYTHONPATH": str(FAKE)}
        self.served = self.content / "served"
        self.drive = self.content / "drive"

    def lab(self, place: Path, *, team: str = "seven") -> Path:
        """The product's files, and small data in csv/."""
        place.mkdir(parents=True)
        for name in PARTS:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile)(ROOT / name, place / name)
        if team:
            (place / ".recsys-root.json").write_text(json.dumps({"team": team}), encoding="utf-8")
        _small_movielens(place / "csv")
        return place

    def shortcut(self, name: str, *, team: str = "seven") -> Path:
        """A folder of somebody else's Drive, seen through a link of this name below MyDrive."""
        target = self.lab(self.served / ".shortcut-targets-by-id" / f"1aB{team}" / "lab", team=team)
        link = self.served / "MyDrive" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent))
        return self.drive / "MyDrive" / name

    def run(self, notebook: str = "02_train", *, cwd: Path | None = None, **parameters) -> nbformat.NotebookNode:
        """The executed notebook; raises papermill's error where a cell raised."""
        out = self.folder / f"{notebook}.ipynb"
        (self.served / "MyDrive").mkdir(parents=True, exist_ok=True) if not self.drive.exists() else None
        with _this_interpreter(self.environment) as kernel:
            papermill.execute_notebook(
                ROOT / "notebooks" / f"{notebook}.ipynb", out, parameters=QUICK | parameters if notebook == "02_train" else parameters,
                kernel_name=kernel, language="python", cwd=cwd or self.content, progress_bar=False,
            )  # fmt: skip
        return nbformat.read(out, as_version=4)


def said(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))


def only_run(folder: Path) -> RunFolder:
    (path,) = folder.iterdir()
    return RunFolder(path)


def no_path_of_this_machine(run: RunFolder) -> bool:
    texts = [path.read_text(encoding="utf-8") for path in run.path.rglob("*.json*")]
    return not [text for text in texts if "shortcut-targets" in text or "/content" in text or str(run.path.parent.parent) in text]


@pytest.fixture(scope="session")
def korean_locale(tmp_path_factory):
    """The variables of a machine whose own encoding is cp949, as a Korean Windows has it; plain ASCII where none can be made."""
    folder = tmp_path_factory.mktemp("locale")
    command = ["localedef", "-i", "ko_KR", "-f", "CP949", str(folder / "ko_KR.CP949")]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return {"LC_ALL": "C"}
    return {"LC_ALL": "ko_KR.CP949", "LOCPATH": str(folder)}


@pytest.fixture
def colab(tmp_path):
    return Machine(tmp_path, fake={})


@environment(
    "Colab, a shortcut of another name, or in a deeper folder", "found by its marker; data copied once, the run published whole",
    "Colab, 이름을 바꾼 바로가기, 더 깊은 폴더의 바로가기", "표시 파일로 찾음. 데이터는 한 번 복사, 실행은 통째로 공유 폴더에 저장",
)  # fmt: skip
@pytest.mark.parametrize("name", ["우리 팀 (renamed)", "class/lab"])
def test_a_shortcut_under_another_name_or_deeper(colab, name):
    root = colab.shortcut(name)
    text = said(colab.run())
    assert f"root   {root}" in text and "Colab" in text and "read from a copy on the local disk" in text
    assert "published to the shared folder" in text
    run = only_run(root / "runs")
    assert run.is_finished and run.kind == "training" and no_path_of_this_machine(run)
    assert "shortcut-targets" not in text
    assert (run.path / "best.safetensors").is_file() and not list((root / "runs").rglob("*.part-*"))


@environment(
    "Colab, a Shared drive", "the same",
    "Colab, 공유 드라이브", "위와 같음",
)  # fmt: skip
def test_a_shared_drive(colab):
    colab.lab(colab.served / "Shareddrives" / "연구실" / "lab")
    assert "published to the shared folder" in said(colab.run())
    assert only_run(colab.drive / "Shareddrives" / "연구실" / "lab" / "runs").is_finished


@environment(
    "Colab, two teams' folders", "both listed with their teams, a choice asked for; RECSYS_ROOT chooses",
    "Colab, 두 팀의 폴더", "두 폴더와 팀을 보여 주고 고르게 함. RECSYS_ROOT 로 선택",
)  # fmt: skip
def test_two_folders_are_listed_and_a_choice_is_asked_for(colab):
    one, two = colab.shortcut("one", team="seven"), colab.shortcut("two", team="eight")
    with pytest.raises(papermill.PapermillExecutionError) as raised:
        colab.run()
    assert raised.value.ename == "BootstrapError"
    assert all(words in raised.value.evalue for words in (str(one), str(two), "team seven", "team eight", "하나를 골라"))
    colab.environment["RECSYS_ROOT"] = str(two)
    assert f"root   {two}" in said(colab.run())
    assert only_run(two / "runs").is_finished and not (one / "runs").exists()


@environment(
    "Colab, no folder", "an error that says where to click, in both languages",
    "Colab, 폴더가 없음", "어디를 눌러야 하는지 두 언어로 알려 주는 오류",
)  # fmt: skip
def test_no_folder_says_where_to_click(colab):
    with pytest.raises(papermill.PapermillExecutionError) as raised:
        colab.run()
    assert raised.value.ename == "FileNotFoundError"
    assert "Shared with me" in raised.value.evalue and "바로가기 추가" in raised.value.evalue


@environment(
    "Colab, view-only access", "training, evaluation and submission work; outputs stay in the member's runtime",
    "Colab, 보기 전용 권한", "학습, 평가, 제출 파일 모두 동작. 결과는 본인 런타임에 남음",
)  # fmt: skip
def test_view_only_works_with_outputs_of_ones_own(tmp_path):
    colab = Machine(tmp_path, fake={"read_only": True})
    root = colab.shortcut("lab")
    text = said(colab.run())
    assert "read-only for you" in text and "보기 전용" in text and "NOT published" not in text
    assert only_run(colab.content / "recsys_out" / "runs").is_finished and not (root / "runs").exists()
    said_by_03 = said(colab.run("03_evaluate", SPLIT=QUICK["SPLIT"]))
    assert "rows written" in said_by_03 and not (root / "runs").exists()
    (evaluated,) = (run for run in all_runs([colab.content / "recsys_out" / "runs"]) if run.kind == "evaluation")
    again = said(colab.run("03_evaluate", SPLIT=QUICK["SPLIT"], COMPARE_WITH=evaluated.name))
    assert "hold the same items: no recall can tell the two files apart" in again


@environment(
    "Colab, a mount that fails once", "mounted by force at the second try",
    "Colab, 드라이브 연결이 한 번 실패", "두 번째에 강제로 연결",
)  # fmt: skip
def test_a_mount_that_raises_is_tried_again_by_force(tmp_path):
    colab = Machine(tmp_path, fake={"mount": "fails once"})
    root = colab.shortcut("lab")
    text = said(colab.run())
    assert "once more by force" not in text.split("root")[1] and "팝업을 허용" in text
    assert (colab.content / "mounts").read_text(encoding="utf-8").split() == ["False", "True"]
    assert only_run(root / "runs").is_finished


@environment(
    "Colab, a mount that always fails", "Colab's own message and the next step",
    "Colab, 드라이브 연결이 계속 실패", "Colab의 메시지와 다음에 할 일",
)  # fmt: skip
def test_a_mount_that_always_raises_ends_with_colabs_own_message_and_the_next_step(tmp_path):
    colab = Machine(tmp_path, fake={"mount": "fails"})
    colab.shortcut("lab")
    with pytest.raises(papermill.PapermillExecutionError) as raised:
        colab.run()
    assert (raised.value.ename, raised.value.evalue) == ("ValueError", "mount failed")
    assert "choose this session's account" in said(nbformat.read(colab.folder / "02_train.ipynb", as_version=4))


@environment(
    "Colab, the Drive dies in mid-training (OSError 107)", "training ends; the last line says what is not published; the next run brings it along",
    "Colab, 학습 중에 드라이브가 끊김(OSError 107)", "학습은 끝까지 감. 저장되지 않은 것을 마지막 줄에 알리고 다음 실행이 함께 저장",
)  # fmt: skip
def test_a_drive_that_dies_in_mid_training_stops_nothing_and_the_next_run_brings_the_rest(tmp_path):
    colab = Machine(tmp_path, fake={"dies_after": 3})
    root = colab.shortcut("lab")
    text = said(colab.run())
    (runs,) = (colab.content / "recsys_out").glob("*/runs")
    own = only_run(runs)
    assert own.is_finished and len(own.history()) == 6
    (line,) = [line for line in text.splitlines() if line.startswith(f"run {own.name}")]
    assert "NOT published" in line and "[Errno 107]" in line and "다시 연결하고" in text
    there = root / "runs" / own.name
    assert not (there / "run.json").is_file()
    # What was being copied at that moment cannot be removed from a dead Drive: it is left half-written.
    there.mkdir(parents=True, exist_ok=True)
    (there / ".last.state.part-12345678.pt").write_bytes(b"half")
    (colab.content / "dead").unlink()  # mounted again
    colab.environment["FAKE_COLAB"] = json.dumps({})
    colab.run(SEED=8)
    runs = sorted((root / "runs").iterdir())
    assert len(runs) == 2 and all(RunFolder(path).is_finished for path in runs)
    assert not list(root.rglob("*.part-*"))


@environment(
    "Colab, the runtime is killed; another one", "02_train goes on with the member's own run, to the same weights bit for bit",
    "Colab, 런타임이 죽고 새 런타임에서 다시", "02_train이 본인의 실행을 이어 가서 비트까지 같은 가중치",
)  # fmt: skip
def test_what_was_cut_off_on_one_machine_goes_on_on_another_to_the_same_weights(tmp_path):
    whole = Machine(tmp_path / "whole", fake={})
    whole_root = whole.shortcut("lab")
    whole.run()
    cut = Machine(tmp_path / "cut", fake={"killed_after": 3})
    root = cut.shortcut("lab")
    with pytest.raises(DeadKernelError):
        cut.run()
    left = only_run(root / "runs")
    assert left.status == "unfinished" and not left.record.get("best")
    other = Machine(tmp_path / "other", fake={})
    shutil.rmtree(other.served, ignore_errors=True)
    shutil.move(cut.drive, other.served)
    text = said(other.run())
    assert f"of {left.name}" in text and "going on from epoch" in text
    resumed, uncut = only_run(other.drive / "MyDrive" / "lab" / "runs"), only_run(whole_root / "runs")
    assert resumed.name == left.name and resumed.is_finished
    one, other = (load_file(run.path / "best.safetensors") for run in (resumed, uncut))
    assert one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


@environment(
    "a papermill batch inside Colab", "the child never mounts; runs and executed notebooks are published",
    "Colab 안의 papermill 배치", "자식 커널은 드라이브를 연결하지 않음. 실행과 노트북을 함께 저장",
)  # fmt: skip
def test_a_batch_on_colab_hands_the_root_over_and_publishes_the_notebook_too(tmp_path, monkeypatch):
    colab = Machine(tmp_path, fake={})
    root = colab.shortcut("lab")
    colab.run("01_eda", SPLIT=QUICK["SPLIT"])  # the parent's session has mounted the Drive
    calls = (colab.content / "mounts").read_text(encoding="utf-8")
    for name, value in colab.environment.items():
        monkeypatch.setenv(name, value)
    from recsys_lib.runs.batch import run_batch

    out = colab.content / "recsys_out" / "runs"
    batch = run_batch(
        root / "notebooks" / "02_train.ipynb", [QUICK, QUICK | {"MODEL": "popularity", "TRAIN_CONFIG": {}}],
        runs_dir=out, root=root, member="mina", publish_to=root / "runs", console=lambda line: None,
    )  # fmt: skip
    assert not batch.failed and (colab.content / "mounts").read_text(encoding="utf-8") == calls
    published = sorted((root / "runs").iterdir())
    assert [path.name for path in published] == sorted(run.name for run in batch.runs)
    assert all((path / "notebook.ipynb").is_file() and RunFolder(path).is_finished for path in published)


@environment(
    "a laptop, Jupyter", "all three notebooks; runs and pictures beside them",
    "노트북 컴퓨터, Jupyter", "세 노트북 모두 동작, 결과는 그 옆에",
)  # fmt: skip
def test_a_laptop(tmp_path):
    laptop = Machine(tmp_path, fake=None)
    root = laptop.lab(tmp_path / "내 컴퓨터" / "lab", team="")
    for notebook, parameters in (("01_eda", {"SPLIT": QUICK["SPLIT"]}), ("02_train", {}), ("03_evaluate", {"SPLIT": QUICK["SPLIT"]})):
        text = said(laptop.run(notebook, cwd=root / "notebooks", **parameters))
        assert "local, Jupyter" in text and "copy on the local disk" not in text
    runs = [RunFolder(path) for path in (root / "runs").iterdir()]
    assert sorted(run.kind for run in runs) == ["evaluation", "training"] and all(run.is_finished for run in runs)


@environment(
    "a member's own copy in notebooks/members/", "works as the original does",
    "notebooks/members/ 의 개인 사본", "원본과 똑같이 동작",
)  # fmt: skip
def test_a_members_copy_in_a_deeper_folder(tmp_path):
    laptop = Machine(tmp_path, fake=None)
    root = laptop.lab(tmp_path / "lab")
    (root / "notebooks" / "members" / "mina").mkdir(parents=True)
    assert f"root   {root}" in said(laptop.run(cwd=root / "notebooks" / "members" / "mina"))


@environment(
    "a machine whose encoding is cp949", "nothing is read or written in it by accident",
    "인코딩이 cp949인 컴퓨터", "실수로 cp949로 읽거나 쓰는 일이 없음",
)  # fmt: skip
def test_a_locale_that_is_not_utf8(tmp_path, korean_locale):
    laptop = Machine(tmp_path, fake=None, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", **korean_locale)
    root = laptop.lab(tmp_path / "lab")  # names of files are Unicode on Windows, whatever the encoding
    for notebook, parameters in (("02_train", {}), ("03_evaluate", {"SPLIT": QUICK["SPLIT"]})):
        laptop.run(notebook, cwd=root / "notebooks", **parameters)
    assert all(RunFolder(path).is_finished for path in (root / "runs").iterdir())


# ---- the table in README ------------------------------------------------------------------------------------------


def table(korean: bool, passed: set[str] | None = None) -> str:
    """Markdown; passed: names of the tests that did, None: all."""
    head = ("환경", "무슨 일이 일어나나", "결과") if korean else ("environment", "what happens", "test")
    rows = [(*row[2 * korean : 2 * korean + 2], "통과" if korean else "passed") for name, row in _TABLE.items() if passed is None or name in passed]
    return "\n".join(["| " + " | ".join(row) + " |" for row in (head, ("---",) * 3, *rows)])


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_the_table_in_readme_is_this_files(name):
    assert table(name == "README.ko.md") in (ROOT / name).read_text(encoding="utf-8")


class _Passed:
    def __init__(self) -> None:
        self.failed, self.names = set(), set()

    def pytest_runtest_logreport(self, report) -> None:
        name = report.nodeid.split("::")[-1].split("[")[0]
        (self.failed if report.failed else self.names).add(name)


if __name__ == "__main__":
    seen = _Passed()
    pytest.main([__file__, "-k", "not readme", "-p", "no:cacheprovider"], plugins=[seen])
    for readme in (ROOT / "README.md", ROOT / "README.ko.md"):
        text = readme.read_text(encoding="utf-8")
        begin, end = "<!-- environments -->", "<!-- end of environments -->"
        before, rest = text.split(begin)
        new = table(readme.name == "README.ko.md", seen.names - seen.failed)
        write_text(readme, f"{before}{begin}\n\n{new}\n\n{end}{rest.split(end)[1]}")
