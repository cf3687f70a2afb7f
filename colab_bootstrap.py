"""Where am I, where is the shared folder, where does output go; and two commands for a fresh machine.

In a notebook, locally or on Colab:

    from colab_bootstrap import bootstrap
    ws = bootstrap()                  # root, data_dir, runs_dir, eda_dir, is_colab, read_only, member ...

In a shell (the last two in Colab too, with a ! before them):

    python colab_bootstrap.py run   [--data DIR] [--out DIR] [--models a,b,...]
    python colab_bootstrap.py test  [arguments for pytest]
    python colab_bootstrap.py share [--team NAME]       the leader, once: marks the folder, prints the message to the members
    python colab_bootstrap.py copy  --member NAME       each member: copies of the notebooks that nobody else edits

Standard library only: this file runs before any package is there. Python 3.11 to 3.13.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).absolute().parent  # not resolved: a shortcut's target has no name that stays
MARKER = ".recsys-root.json"
CONTENT = Path(os.environ.get("RECSYS_CONTENT", "/content"))  # Colab's own folder; the first cell of a notebook asks the same
DRIVE_ROOT = CONTENT / "drive"
LOCAL_OUT_ON_COLAB = CONTENT / "recsys_out"
LOCAL_DATA_ON_COLAB = CONTENT / "recsys_data"
PAUSES = (0.5, 2.0)  # a Drive's EIO is mostly gone at the second or third try
DEFAULT_MODELS = ("popularity", "user_knn", "ease", "neumf", "multi_dae")
# Replacing one of these under Colab's feet asks for a restart or makes widgets vanish; they are there already.
NEVER_INSTALLED_ON_COLAB = {"torch", "numpy", "pandas", "scipy", "matplotlib", "ipywidgets", "ipykernel", "pyarrow"}


class BootstrapError(RuntimeError):
    """Something a person has to do first; the message says what, in English and in Korean."""


@dataclass(frozen=True)
class Workspace:
    """Where things are.

    Attributes:
        root: the folder that holds recsys_lib/ and notebooks/, on Colab the shared one.
        data_dir: the CSVs; an empty folder means the synthetic sample. On Colab a copy on the local disk.
        runs_dir, eda_dir: where outputs go. On Colab runs are written to the local disk.
        publish_to: the folder of a Drive that a run in runs_dir is copied to, file by file and whole; None: none.
        runs_dirs: every folder of runs that can be read: one's own first, then the team's.
        is_colab: this is Colab, in the browser or from VS Code.
        read_only: the shared folder cannot be written; outputs stay in this member's own space.
        member: who is working, for the names of runs.
    """

    root: Path
    data_dir: Path
    runs_dir: Path
    eda_dir: Path
    publish_to: Path | None
    runs_dirs: tuple[Path, ...]
    is_colab: bool
    read_only: bool
    member: str


def bootstrap(
    data_dir: str | os.PathLike = "",
    out_dir: str | os.PathLike = "",
    *,
    member: str = "",
    here: Path | None = None,
    drive_root: Path | None = None,
) -> Workspace:
    """Find everything, put the library on sys.path, and say in one short block what was found.

    Args:
        data_dir: the folder of CSVs; empty: csv/ of the shared folder, made if absent. A relative one is looked for
            in the current folder, then in the root.
        out_dir: runs/ and eda_outputs/ go below it; empty: the root. A relative one is below the root.
        member: empty: the environment variable RECSYS_MEMBER, else "me".
        here, drive_root: this file's folder and the Drive's mount point; other ones are for tests.
    Raises:
        BootstrapError: no shared folder or several, a data_dir without files, an out_dir that cannot be written.
    """
    is_colab, drive_root = on_colab(), DRIVE_ROOT if drive_root is None else drive_root
    root = find_root(is_colab, HERE if here is None else here, drive_root)
    read_only = not _can_write(root)
    code = root
    if is_colab and drive_root in root.parents:  # a Drive that goes away must not take the library along
        code = LOCAL_DATA_ON_COLAB / f"code-{_key(root)}"
        _copied_once(root / "recsys_lib", code / "recsys_lib")
    if str(code) not in sys.path:
        sys.path.insert(0, str(code))
    installed = _install_absent_on_colab(root) if is_colab else []
    if is_colab:
        _refuse_changed_packages()

    local = _local_out(is_colab)
    out = _out_dir(out_dir, root, local, read_only)
    data = _data_dir(data_dir, root, local, read_only)
    publish_to = out / "runs" if is_colab and drive_root in out.parents else None
    # A folder for each place that is published to: what was left behind must not end up with another team.
    runs_dir = out / "runs" if publish_to is None else local / _key(out) / "runs"
    workspace = Workspace(
        root=root,
        data_dir=_copied_once(data, LOCAL_DATA_ON_COLAB / _key(data)) if is_colab and drive_root in data.parents and _visible(data) else data,
        runs_dir=runs_dir,
        eda_dir=out / "eda_outputs",
        publish_to=publish_to,
        runs_dirs=tuple(dict.fromkeys([runs_dir, *filter(None, [publish_to]), *([root / "runs"] if read_only else [])])),
        is_colab=is_colab,
        read_only=read_only,
        member=member or os.environ.get("RECSYS_MEMBER", "") or "me",
    )
    for folder in (workspace.runs_dir, workspace.eda_dir, *filter(None, [workspace.publish_to])):
        folder.mkdir(parents=True, exist_ok=True)
    _print_what_the_console_can()
    if not os.environ.get("RECSYS_BATCH"):  # the parent of a batch has said it already
        print(_what_was_found(workspace, data, out, installed))
    return workspace


# -- where am I ----------------------------------------------------------------------------------------------------


def on_colab() -> bool:
    """True in a Colab runtime. A `google` package of another product is not Colab, nor is a folder /content."""
    return "google.colab" in sys.modules or any(
        os.environ.get(name) for name in ("COLAB_RELEASE_TAG", "COLAB_BACKEND_VERSION")
    )


def environment() -> str:
    """In words: Colab in the browser or from VS Code, a batch, Jupyter, VS Code, or plain Python. Never raises."""
    shell = None
    if "IPython" in sys.modules:
        shell = getattr(sys.modules["IPython"], "get_ipython", lambda: None)()
    # VS Code puts the notebook's name among the kernel's variables, in a kernel far away too.
    vs_code = "__vsc_ipynb_file__" in (getattr(shell, "user_ns", None) or {}) or bool(os.environ.get("VSCODE_PID"))
    if os.environ.get("RECSYS_BATCH"):
        front = "batch"
    elif getattr(shell, "kernel", None) is None:
        front = "" if on_colab() else "Python"
    else:
        front = "VS Code" if vs_code else "browser" if on_colab() else "Jupyter"
    return ", ".join(filter(None, ["Colab" if on_colab() else "", front]))


def _in_virtual_environment() -> bool:
    return sys.prefix != sys.base_prefix


# -- the shared folder ---------------------------------------------------------------------------------------------


def find_root(is_colab: bool, here: Path, drive_root: Path) -> Path:
    """RECSYS_ROOT, else this file's own folder, else (on Colab) the one folder of the Drive that holds the marker.

    Raises:
        BootstrapError: RECSYS_ROOT is no folder; no marker, or several.
    """
    given = os.environ.get("RECSYS_ROOT", "")
    if given:
        if is_colab and drive_root in Path(given).parents and not os.environ.get("RECSYS_BATCH"):
            mount_drive(drive_root)
        if Path(given).is_dir():
            return Path(given).absolute()
        raise BootstrapError(
            f"RECSYS_ROOT is {given!r}, which is not a folder here. Set it to the folder that holds recsys_lib/, or unset it.\n"
            f"RECSYS_ROOT 가 가리키는 폴더가 없습니다. recsys_lib/ 이 있는 폴더로 바꾸거나 지워 주세요."
        )
    if is_colab and drive_root in (here, *here.parents):
        mount_drive(drive_root)  # it may have gone away since this file was read from it
        found = marked_folders(drive_root)
        if not found:
            return here
    elif (here / MARKER).is_file() or ((here / "recsys_lib").is_dir() and (here / "notebooks").is_dir()):
        return here
    elif not is_colab:
        raise BootstrapError(
            f"{here} holds no recsys_lib/ and no {MARKER}. Keep colab_bootstrap.py beside recsys_lib/, or set RECSYS_ROOT.\n"
            f"colab_bootstrap.py 를 recsys_lib/ 옆에 두거나 RECSYS_ROOT 를 설정해 주세요."
        )
    else:
        mount_drive(drive_root)
        found = marked_folders(drive_root)
    if len(found) == 1:
        return found[0]
    if found:
        listed = "\n".join(f'  os.environ["RECSYS_ROOT"] = "{folder}"   {_team_of(folder)}' for folder in found)
        raise BootstrapError(
            f"{len(found)} folders of this Drive hold {MARKER}. Choose one: run one of these lines in a new cell above, then "
            "this cell again.\n"
            f"공유 폴더가 {len(found)}개 보입니다. 위에 새 셀을 만들고 아래 줄 중 하나를 골라 실행한 뒤 이 셀을 다시 실행해 주세요.\n"
            f"  import os\n{listed}"
        )
    raise BootstrapError(
        f"No folder of this Drive holds {MARKER} (looked in MyDrive and Shareddrives, two folders deep).\n"
        "In drive.google.com open 'Shared with me', right-click the team's folder, 'Organise', 'Add shortcut', "
        "'My Drive', 'Add'; then run this cell again. The team's leader: python colab_bootstrap.py share\n"
        "공유 폴더를 찾지 못했습니다. drive.google.com 의 '공유 문서함'에서 팀 폴더를 오른쪽 클릭하고 "
        "'정리' → '바로가기 추가' → '내 드라이브' → '추가'를 누른 뒤 이 셀을 다시 실행해 주세요."
    )


def marked_folders(drive_root: Path) -> list[Path]:
    """The folders with the marker in MyDrive and in the Shared drives, at most two deep; each once, however reached.

    Paths are as listed, through the shortcut: what a shortcut resolves to is an internal name that does not last.
    """
    found: list[Path] = []
    level = [drive_root / "MyDrive", drive_root / "Shareddrives"]
    for depth in range(3):
        below: list[Path] = []
        for folder in level:
            if depth and _is_file(folder / MARKER):
                if not any(_same_folder(folder, other) for other in found):
                    found.append(folder)
            elif depth < 2:
                below += _folders_in(folder)
        level = below
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # one folder that cannot be read must not hide the others
        return False


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            # a shortcut whose target is gone is no directory
            return sorted(folder / entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except OSError:
        return []


def _same_folder(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _team_of(folder: Path) -> str:
    try:
        content = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return f"# team {content['team']}" if isinstance(content, dict) and "team" in content else ""


def mount_drive(drive_root: Path) -> None:
    """Mount the Drive once; return at once where it is mounted, mount anew where it has gone away. Never in a batch's child.

    Raises:
        BootstrapError: the mount failed twice, or there is no front end to ask the member.
    """
    try:
        if (drive_root / "MyDrive").is_dir():
            return
        gone_away = False
    except OSError:  # 107, Transport endpoint is not connected
        gone_away = True
    if os.environ.get("RECSYS_BATCH"):
        raise BootstrapError(
            "This notebook runs in a batch, which cannot mount the Drive, and RECSYS_ROOT was not handed to it.\n"
            "배치로 실행 중인 노트북은 드라이브를 연결할 수 없습니다. RECSYS_ROOT 를 설정해 주세요."
        )
    try:
        from google.colab import drive
    except ImportError as error:
        raise BootstrapError(
            f"This looks like Colab, but google.colab.drive cannot be imported ({error}). Set RECSYS_ROOT instead.\n"
            "Colab 처럼 보이지만 google.colab.drive 를 불러올 수 없습니다. RECSYS_ROOT 를 설정해 주세요."
        ) from error
    failures = _mount_failures()
    try:
        drive.mount(str(drive_root), force_remount=gone_away)
        return
    except failures as error:
        print(f"mounting the Drive failed ({error}); once more by force / 드라이브 연결 실패, 강제로 다시 시도합니다")
    try:
        drive.mount(str(drive_root), force_remount=True)
    except failures as error:
        english, korean = next(words for part, words in _WHY_NO_MOUNT.items() if part in str(error).lower())
        if environment().endswith("VS Code"):
            english, korean = _WHY_NO_MOUNT_IN_VS_CODE
        raise BootstrapError(
            f"The Drive could not be mounted: {error}\n{english} Without a Drive: set RECSYS_ROOT to a local folder.\n"
            f"드라이브를 연결하지 못했습니다. {korean} 드라이브 없이 쓰려면 RECSYS_ROOT 를 로컬 폴더로 지정해 주세요."
        ) from error


_TOO_SLOW = (
    "It took too long, mostly because My Drive holds very many files at its top: move them into folders, then again.",
    "시간이 초과되었습니다. 내 드라이브 최상위에 파일이 아주 많으면 그렇습니다. 폴더로 옮긴 뒤 다시 실행해 주세요.",
)
# What the message says -> what helps; the last one fits every message.
_WHY_NO_MOUNT = {
    "credential propagation": (
        "The permission did not arrive: choose the account that owns this Colab session, tick every box, and allow pop-ups and "
        "third-party cookies for colab.research.google.com.",
        "권한이 전달되지 않았습니다. 이 Colab 세션과 같은 계정을 고르고 모든 항목에 체크한 뒤, 팝업과 서드파티 쿠키를 허용해 주세요.",
    ),
    "must not already contain files": (
        "Something was written below the mount point before it was mounted: Runtime > Disconnect and delete runtime, then again.",
        "연결하기 전에 그 폴더에 파일이 만들어졌습니다. 런타임 > 연결 해제 및 런타임 삭제 후 다시 실행해 주세요.",
    ),
    "timeout": _TOO_SLOW,
    "timed out": _TOO_SLOW,
    "": (
        "Allow the pop-up and choose the account that owns this Colab session.",
        "팝업을 허용하고 이 Colab 세션과 같은 계정을 선택해 주세요.",
    ),
}
_WHY_NO_MOUNT_IN_VS_CODE = (
    "VS Code mounts only with a recent Colab extension: update it, or open this session once in the browser and mount there.",
    "VS Code 에서는 최신 Colab 확장에서만 연결됩니다. 확장을 업데이트하거나 브라우저에서 이 세션을 열어 먼저 연결해 주세요.",
)


def _mount_failures() -> tuple[type[BaseException], ...]:
    """What drive.mount raises; its own error classes live in modules that only Colab has."""
    own = [
        getattr(sys.modules.get(module), name, None)
        for module, name in (("google.colab._message", "MessageError"), ("google.colab.errors", "Error"))
    ]
    return (ValueError, OSError, RuntimeError, *(kind for kind in own if isinstance(kind, type)))


# -- data and outputs ----------------------------------------------------------------------------------------------


def _data_dir(given: str | os.PathLike, root: Path, local: Path, read_only: bool) -> Path:
    if not os.fspath(given):
        folder = root / "csv"
        if not folder.is_dir():
            folder = local / "csv" if read_only else folder
            folder.mkdir(parents=True, exist_ok=True)
        return folder
    asked = Path(given).expanduser()
    tried = [asked] if asked.is_absolute() else [Path.cwd() / asked, root / asked]
    for folder in tried:
        if folder.is_dir() and _visible(folder):
            return folder.absolute()
    empty = any(folder.is_dir() for folder in tried)
    raise BootstrapError(
        f"the data folder {os.fspath(given)!r} {'is empty' if empty else 'does not exist'}; looked at "
        f"{' and '.join(str(folder) for folder in tried)}. Put the CSVs there, or leave it out to use csv/ or the sample.\n"
        f"데이터 폴더가 {'비어 있습니다' if empty else '없습니다'}. CSV 파일을 넣거나, 지정하지 않으면 csv/ 또는 합성 표본을 씁니다."
    )


def _key(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:8]


def _copied_once(folder: Path, local: Path) -> Path:
    """`local`, a copy of a Drive's folder on the local disk, made once: reading a Drive again and again is slow and counted.

    A file is copied again when its size or its time there has changed; each copy is checked by size and hash.

    Raises:
        BootstrapError: a file could not be read; says which, and what to do.
    """
    local.mkdir(parents=True, exist_ok=True)
    index_path = local.with_suffix(".json")
    try:
        index = json.loads(index_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        index = {}
    now = {}
    for source in _retried(lambda: _all_files(folder), f"{folder.name}/"):
        name, facts = source.relative_to(folder).as_posix(), source.stat()
        now[name] = [facts.st_size, facts.st_mtime_ns, *index.get(name, [0, 0, ""])[2:]]
        target = local / name
        if index.get(name) == now[name] and target.is_file() and _sha256(target) == now[name][2]:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        now[name][2] = _copy_checked(source, target, facts.st_size)
    for path in _all_files(local):
        if path.relative_to(local).as_posix() not in now:
            path.unlink()
    part = index_path.with_name(f"{index_path.name}.part-{uuid.uuid4().hex[:8]}")
    part.write_text(json.dumps(now), encoding="utf-8")
    os.replace(part, index_path)
    return local


def _copy_checked(source: Path, target: Path, size: int) -> str:
    """The SHA-256 of what was copied."""
    part = target.with_name(f"{target.name}.part-{uuid.uuid4().hex[:8]}")

    def copy() -> str:
        shutil.copyfile(source, part)
        came = _sha256(part)
        if came != _sha256(source) or part.stat().st_size != size:
            raise OSError(errno.EIO, "the copy differs from the file")
        os.replace(part, target)
        return came

    try:
        return _retried(copy, source.name)
    finally:
        part.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _all_files(folder: Path) -> list[Path]:
    """Every file below, but hidden and compiled ones. Raises: OSError, where pathlib would take a folder that fails for an empty one."""

    def fail(error: OSError) -> None:
        raise error

    walk = [(place, names) for place, _, names in os.walk(folder, onerror=fail) if not place.endswith("__pycache__")]
    return sorted(Path(place, name) for place, names in walk for name in names if not name.startswith("."))


def _retried(work, what: str):
    """What `work` returns, at the third try at the latest where a Drive answers with EIO.

    Raises:
        BootstrapError: says what could not be read, and what to do.
    """
    for pause in (*PAUSES, None):
        try:
            return work()
        except OSError as error:
            if pause is None or error.errno != errno.EIO:
                raise BootstrapError(
                    f"{what} could not be read from the Drive ({error.strerror}). Run this cell again; if it stays so, make a copy of "
                    "the files in your own Drive (a shared file has a limit of downloads a day) and give their folder as DATA_DIR.\n"
                    f"{what} 을(를) 드라이브에서 읽지 못했습니다. 이 셀을 다시 실행해 주세요. 계속되면 파일의 사본을 본인 드라이브에 만들고 "
                    "그 폴더를 DATA_DIR 로 지정해 주세요."
                ) from error
            time.sleep(pause)
    raise AssertionError("unreachable")


def _out_dir(given: str | os.PathLike, root: Path, local: Path, read_only: bool) -> Path:
    if not os.fspath(given):
        out = local if read_only else root
    else:
        asked = Path(given).expanduser()
        out = asked if asked.is_absolute() else root / asked
    try:
        out.mkdir(parents=True, exist_ok=True)
        writable = _can_write(out)
    except OSError:
        writable = False
    if not writable:
        raise BootstrapError(
            f"outputs cannot be written to {out}. Give a folder of your own as OUT_DIR (or --out).\n"
            "결과를 쓸 수 없는 폴더입니다. OUT_DIR(또는 --out)에 본인의 폴더를 지정해 주세요."
        )
    return out


def _local_out(is_colab: bool) -> Path:
    return LOCAL_OUT_ON_COLAB if is_colab else Path.home() / "recsys_out"


def _can_write(folder: Path) -> bool:
    """Only writing tells: a content manager's rights look like a reader's, and root's like everybody's.

    A Drive that is full or shaky is not view-only: what it does not take is told when it is published.
    """
    probe = folder / f".probe.part-{uuid.uuid4().hex[:8]}"
    try:
        probe.write_text("", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        return error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ENOTCONN)
    return True


def _visible(folder: Path) -> list[str]:
    return _retried(lambda: [name for name in os.listdir(folder) if not name.startswith(".")], f"{folder.name}/")


def _what_was_found(workspace: Workspace, read_from: Path, out: Path, installed: list[str]) -> str:
    where = environment() if workspace.is_colab else f"local, {environment()}, {platform.system()}"
    data = "csv/" if read_from == workspace.root / "csv" else str(read_from)
    copied = "" if read_from == workspace.data_dir else ", read from a copy on the local disk"
    lines = [
        f"Recommender lab | 추천 실험실: {where}, Python {platform.python_version()}",
        f"  root   {workspace.root}",
        f"  data   {data}: {len(_visible(workspace.data_dir))} files{copied}"
        if _visible(workspace.data_dir)
        else f"  data   {data} is empty: the SYNTHETIC sample is used. Put the CSVs there to use your own."
        f"\n         {data} 가 비어 있어 합성 표본을 씁니다. 실제 데이터는 그 폴더에 CSV 로 넣어 주세요.",
        f"  output {'runs/, eda_outputs/' if out == workspace.root else out}"
        + (f"; a run is written in {workspace.runs_dir}, then published" if workspace.publish_to else ""),
        f"  member {workspace.member}"
        + ("" if workspace.member != "me" else "  (set RECSYS_MEMBER to your name | RECSYS_MEMBER 에 이름을 넣어 주세요)"),
    ]
    if workspace.read_only:
        lines.append(
            f"  The shared folder is read-only for you; everything works, outputs go to {out}.\n"
            f"  공유 폴더는 보기 전용입니다. 모두 정상 동작하며 결과는 위 폴더에 저장됩니다."
        )
    if installed:
        lines.append(f"  installed | 설치함: {', '.join(installed)}")
    return "\n".join(lines)


# -- packages ------------------------------------------------------------------------------------------------------


def _requirements(root: Path, *, tests: bool = True) -> dict[str, str]:
    """name -> the whole requirement, from requirements.txt; tests: with its section of test packages."""
    path = root / "requirements.txt"
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    lines = [line.split("#")[0].strip() for line in (text if tests else text.split("# Tests")[0]).splitlines()]
    return {re.match(r"[A-Za-z0-9_.\-]+", line)[0]: line for line in lines if line and not line.startswith("-")}


def _absent(requirements: dict[str, str]) -> list[str]:
    """The requirements whose package is not installed in this interpreter."""
    absent = []
    for name, requirement in requirements.items():
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(requirement)
    return absent


def _outdated(requirements: dict[str, str]) -> list[str]:
    """The requirements whose package is installed in too old a version."""
    outdated = []
    for name, requirement in requirements.items():
        try:
            have = _numbers(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
        # Newer than tested is left alone: a member's own CUDA build of torch must not be replaced.
        if any(have < _numbers(bound) for bound in re.findall(r"(?:>=|==)\s*([0-9.]+)", requirement)):
            outdated.append(requirement)
    return outdated


def _numbers(version: str) -> tuple[int, ...]:
    """(1, 2) of "1.2.0+cpu": the release, without the zeros at its end."""
    numbers = [int(part) for part in re.match(r"[0-9]+(\.[0-9]+)*", version)[0].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _install_absent_on_colab(root: Path) -> list[str]:
    """Install only what Colab lacks, without dependencies, so that nothing it ships is replaced; return the names."""
    wanted = _requirements(root, tests=False)  # pytest is there; what else the tests want, they skip without
    wanted = {name: line for name, line in wanted.items() if name.lower() not in NEVER_INSTALLED_ON_COLAB}
    absent = _absent(wanted)
    if not absent:
        return []
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *absent]
    if subprocess.run(command, check=False).returncode:
        print(f"could not install {', '.join(absent)}; going on without | 설치하지 못했습니다. 없이 계속합니다.")
        return []
    importlib.invalidate_caches()
    return absent


def _refuse_changed_packages() -> None:
    """A package that was replaced after it had been loaded is two versions at once, and fails later, far from here.

    Raises:
        BootstrapError: asks for a restart, and names the package with both versions.
    """
    for name in sorted(NEVER_INSTALLED_ON_COLAB):
        loaded = getattr(sys.modules.get(name), "__version__", None)
        try:
            there = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if loaded is not None and loaded.split("+")[0] != there.split("+")[0]:
            raise BootstrapError(
                f"{name} {loaded} is loaded, but {there} was installed since. Runtime > Restart session, then run from the top.\n"
                f"{name} 이(가) 실행 중에 바뀌었습니다. 런타임 > 세션 다시 시작을 누른 뒤 처음부터 실행해 주세요."
            )


def ensure_environment(root: Path) -> str:
    """The interpreter that has the packages: this one inside a virtual environment (or Colab), else that of .venv.

    A second call is instant: the stamp in .venv holds the hash of requirements.txt. An interrupted installation is
    begun anew.

    Raises:
        BootstrapError: the environment cannot be made, or pip failed.
    """
    if on_colab():
        _install_absent_on_colab(root)
        return sys.executable
    requirements = root / "requirements.txt"
    if _in_virtual_environment():
        needed = _absent(_requirements(root)) + _outdated(_requirements(root))
        if needed:
            _say(f"installing into the active environment: {', '.join(needed)}")
            _pip_install(sys.executable, needed)
        return sys.executable

    folder = root / ".venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, begun = folder / "requirements.sha256", folder / "installing"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if python.is_file() and not begun.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return str(python)
    somebody_elses = python.is_file() and not begun.is_file() and not stamp.is_file()
    if begun.is_file() or not python.is_file():
        _say("making .venv" + (" anew: its installation was interrupted" if begun.is_file() else ""))
        if subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=False).returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise BootstrapError(
                "python -m venv failed. On Debian and Ubuntu: sudo apt install python3-venv; or activate an environment "
                "of your own and run the same command in it.\n"
                "가상 환경을 만들지 못했습니다. python3-venv 를 설치하거나, 가상 환경을 활성화한 뒤 다시 실행해 주세요."
            )
    if not somebody_elses:  # what a person made by hand is added to, never cleared
        begun.write_text("", encoding="utf-8")
    _say("installing requirements.txt into .venv; the first time this takes some minutes")
    _pip_install(str(python), ["-r", str(requirements)])
    stamp.write_text(digest, encoding="utf-8")
    begun.unlink(missing_ok=True)
    return str(python)


def _pip_install(python: str, what: list[str]) -> None:
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", *quiet, *what]
    if subprocess.run(command, check=False).returncode:
        raise BootstrapError(
            "pip could not install the packages; its message stands above. Is there a network? Run the same command again.\n"
            "패키지를 설치하지 못했습니다. 네트워크를 확인하고 같은 명령을 다시 실행해 주세요."
        )


# -- sharing -------------------------------------------------------------------------------------------------------


def share(root: Path, team: str = "") -> dict[str, str]:
    """Mark the folder as the team's, once, and print the message that its leader sends to the members.

    Returns:
        what the marker holds: {"team": its id}. A second call keeps it.
    """
    path = root / MARKER
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not content.get("team"):
            raise ValueError("no team")
    except (FileNotFoundError, ValueError):
        content = {"team": f"{re.sub(r'[^0-9A-Za-z가-힣]+', '-', team).strip('-') or 'team'}-{uuid.uuid4().hex[:6]}"}
        part = path.with_name(f"{path.name}.part-{uuid.uuid4().hex[:8]}")
        part.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    print(
        f"This folder is marked as {content['team']}. Share it in drive.google.com (right-click, Share; 'Editor' for those who "
        "leave their runs here, 'Viewer' for those who only look), and send this:\n"
        f"이 폴더를 {content['team']} 으로 표시했습니다. drive.google.com 에서 공유한 뒤 아래 글을 보내 주세요.\n\n"
        "----------------------------------------------------------------------\n"
        f"추천 실험실에 초대합니다 (팀 {content['team']})\n"
        "1. drive.google.com 의 '공유 문서함'에서 팀 폴더를 오른쪽 클릭 > '정리' > '바로가기 추가' > '내 드라이브' > '추가'\n"
        "2. 내 드라이브에서 그 폴더의 notebooks/02_train.ipynb 를 열고 '연결 앱' > Google Colaboratory\n"
        "3. 첫 코드 셀을 실행하고 드라이브 연결을 허용하면 됩니다. 바로가기 이름과 위치는 자유입니다.\n\n"
        f"You are invited to our recommender lab (team {content['team']})\n"
        "1. drive.google.com, 'Shared with me': right-click the team's folder, 'Organise', 'Add shortcut', 'My Drive', 'Add'\n"
        "2. In My Drive open its notebooks/02_train.ipynb with Google Colaboratory\n"
        "3. Run the first code cell and allow the Drive. The shortcut may have any name and lie in any folder.\n"
        "----------------------------------------------------------------------"
    )
    return content


def copy_notebooks(root: Path, member: str) -> list[Path]:
    """notebooks/members/<member>/: the notebooks for one member to edit, so that two people never edit one file.

    A copy that is there already stays as it is.

    Raises:
        BootstrapError: no name of a member.
    """
    name = re.sub(r"[^0-9A-Za-z_.가-힣]+", "_", member).strip("._")
    if not name or name == "me":
        raise BootstrapError(
            "Say whose copies these are: python colab_bootstrap.py copy --member mina\n누구의 사본인지 --member 로 이름을 알려 주세요."
        )
    folder = root / "notebooks" / "members" / name
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for source in sorted((root / "notebooks").glob("*.ipynb")):
        target = folder / source.name
        if target.exists():
            print(f"kept    {target.relative_to(root)} (yours, as it is | 그대로 둡니다)")
            continue
        part = target.with_name(f"{target.name}.part-{uuid.uuid4().hex[:8]}")
        shutil.copyfile(source, part)
        os.replace(part, target)
        made.append(target)
        print(f"copied  {target.relative_to(root)}")
    return made


# -- the commands ----------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 well, 1 something failed, 2 wrong arguments or environment."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _print_what_the_console_can()
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.command != "test":
        _parser().error(f"unknown arguments {rest}; see python colab_bootstrap.py {options.command} --help")
    if sys.version_info < (3, 11):  # before anything that an older Python does not know
        print(f"Python 3.11 or newer is needed; this is {platform.python_version()}. | Python 3.11 이상이 필요합니다.")
        return 2
    try:
        if options.command == "share":
            share(HERE, options.team)
            return 0
        if options.command == "copy":
            copy_notebooks(HERE, options.member or os.environ.get("RECSYS_MEMBER", ""))
            return 0
        python = ensure_environment(HERE)
        if options.command == "test":
            return subprocess.run([python, "-m", "pytest", *rest], cwd=HERE, check=False).returncode
        if python != sys.executable:
            return subprocess.run([python, str(HERE / "colab_bootstrap.py"), *arguments], check=False).returncode
        return run(options)
    except BootstrapError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    except OSError as error:
        if options.command not in ("share", "copy"):
            raise
        print(f"\n{error}: is this folder view-only for you? | 보기 전용 폴더인가요?", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped | 중단했습니다", file=sys.stderr)
        return 130


def _print_what_the_console_can() -> None:
    """A console of Windows (cp949, cp1252) shows ? for a letter that it lacks, instead of ending the run."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="colab_bootstrap.py", description="A recommender lab on a fresh machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", help="EDA, a training per model, evaluation and a submission file")
    run_parser.add_argument("--data", default="", help="folder of CSVs (default: csv/; empty: the synthetic sample)")
    run_parser.add_argument("--out", default="", help="where runs/ and eda_outputs/ go (default: here)")
    run_parser.add_argument("--models", default=",".join(DEFAULT_MODELS), help="names, with commas (default: %(default)s)")
    run_parser.add_argument("--split", default="", help="how to split (default: what the notebooks say)")
    run_parser.add_argument("--k", type=int, default=None, help="length of the lists (default: what the notebooks say)")
    share_parser = commands.add_parser("share", help="mark this folder as the team's, and print the message to its members")
    share_parser.add_argument("--team", default="", help="a name that becomes part of the team's id")
    copy_parser = commands.add_parser("copy", help="copies of the notebooks for one member, in notebooks/members/")
    copy_parser.add_argument("--member", default="", help="whose (default: the environment variable RECSYS_MEMBER)")
    commands.add_parser("test", help="run the tests; further arguments go to pytest", add_help=False)
    return parser


def run(options: argparse.Namespace) -> int:
    """EDA, one training per model, evaluation: each a notebook executed through papermill in a run folder of its own."""
    began = time.monotonic()
    # Paths of a command line are the shell's, those of a notebook the root's; so they are made absolute here.
    data, out = (str(Path(given).expanduser().absolute()) if given else "" for given in (options.data, options.out))
    workspace = bootstrap(data, out)
    from recsys_lib.runs.batch import BatchError, check_parameters, parameters_of, run_batch

    shared = {
        "DATA_DIR": data,
        "OUT_DIR": out or (str(workspace.runs_dir.parent) if workspace.read_only else ""),
        "SPLIT": options.split,
        "K": options.k,
    }
    shared = {name: value for name, value in shared.items() if value not in ("", None)}
    notebooks = {name: workspace.root / "notebooks" / f"{name}.ipynb" for name in ("01_eda", "02_train", "03_evaluate")}

    def with_shared(notebook: str, **own: object) -> dict:
        known = parameters_of(notebooks[notebook])
        return {name: value for name, value in shared.items() if name in known} | own

    models = list(dict.fromkeys(name.strip() for name in options.models.split(",") if name.strip()))
    trainings = [with_shared("02_train", MODEL=name) for name in models]
    try:
        if not models:
            raise BatchError("--models names no model; e.g. --models popularity,ease")
        # Everything is checked before anything runs: an hour of training must not end at a misspelt name.
        check_parameters(notebooks["01_eda"], [with_shared("01_eda")])
        check_parameters(notebooks["02_train"], trainings)
        check_parameters(notebooks["03_evaluate"], [with_shared("03_evaluate", RUNS=[])])
    except BatchError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2

    common = {"runs_dir": workspace.runs_dir, "root": workspace.root, "member": workspace.member, "publish_to": workspace.publish_to}
    _say("1/3 EDA")
    eda = run_batch(notebooks["01_eda"], [with_shared("01_eda")], kind="eda", **common)
    _say(f"2/3 training: {', '.join(models)}")
    trained = run_batch(notebooks["02_train"], trainings, kind="training", **common)
    if not trained.finished:
        print("\nno training finished, so there is nothing to evaluate | 끝난 학습이 없어 평가하지 않습니다", file=sys.stderr)
        return 1
    _say("3/3 evaluation of the whole catalogue, and the submission")
    names = [one.name for one in trained.finished]
    evaluated = run_batch(notebooks["03_evaluate"], [with_shared("03_evaluate", RUNS=names)], kind="evaluation", **common)
    failed = eda.failed + trained.failed + evaluated.failed
    _tell_results(workspace, eda.runs + trained.runs + evaluated.runs, evaluated.runs[0], failed)
    _say(f"done in {time.monotonic() - began:.0f} s" + (f"; {len(failed)} notebook(s) FAILED" if failed else ""))
    return 1 if failed else 0


def _tell_results(workspace: Workspace, runs: list, evaluation: object, failed: list) -> None:
    import pandas as pd

    results = evaluation.metrics
    if results.get("table"):
        print("\n" + pd.DataFrame(results["table"]).to_string(index=False, float_format="{:.4f}".format))
    print()
    if results.get("submission"):
        print(f"submission  {_from_here(evaluation.path / results['submission'])}")
    print(f"figures     {_from_here(workspace.eda_dir)} and the figures/ of the runs below")
    print("notebooks   as executed:")
    for one in runs:
        mark = "  FAILED" if one in failed else ""
        print(f"            {_from_here(one.path / 'notebook.ipynb')}{mark}")


def _from_here(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
