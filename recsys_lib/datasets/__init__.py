"""Room 2: one reader a file. read_dataset(directory) finds the one whose files lie there.

A reader is a module of this folder with three things: WANTS, a sentence on the files it reads; matches(file_names),
whether a folder with these files (".gz" taken off) is meant for it; and read(directory) -> Dataset.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

from recsys_lib.data.files import fingerprint_of_file
from recsys_lib.datasets.base import Dataset, Template
from recsys_lib.datasets.vectors import add_vectors

__all__ = ["Dataset", "Template", "read_dataset", "readers", "source_files"]

# Lie in many folders and are nobody's data.
_IGNORED = {"desktop.ini", "thumbs.db", "icon\r", "readme", "readme.md", "readme.txt", "synthetic.txt"}


@cache
def readers() -> dict[str, ModuleType]:
    """Name -> module, for every reader in this folder."""
    modules = {}
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        if hasattr(module, "matches") and hasattr(module, "read"):
            modules[found.name] = module
    return modules


def read_dataset(directory: str | Path) -> Dataset:
    """Read the data in a directory with the reader whose files lie there.

    Files at the top of the directory count, and tables of vectors in its folder `vectors`; hidden files do not. An existing empty directory gives the synthetic
    sample, which is generated once into a local cache.

    Raises:
        FileNotFoundError: no such directory, or no reader knows what is in it.
        ValueError: the files of two data sets lie there, or a file is not as its reader wants it.
    """
    directory = Path(directory)
    visible = _visible(directory)
    if not visible:
        return _read_sample(directory)

    names = {path.name for path in visible if path.is_file()}
    plain_names = {name.removesuffix(".gz") for name in names}
    chosen = [name for name, reader in readers().items() if reader.matches(plain_names)]
    if len(chosen) == 1:
        return add_vectors(readers()[chosen[0]].read(directory), directory)

    found = ", ".join(sorted(names)) or "no files"
    if chosen:
        raise ValueError(
            f"{directory} holds the files of {len(chosen)} data sets ({', '.join(chosen)}): {found}. Keep one."
        )
    folders = sorted(path.name for path in visible if path.is_dir())
    beside = f", and the folders {', '.join(folders)}: is the data one level deeper?" if folders else "."
    wanted = "".join(f"\n  - {reader.WANTS}" for reader in readers().values())
    raise FileNotFoundError(f"no reader knows the data in {directory}; found {found}{beside}\nWanted is one of{wanted}")


def source_files(directory: str | Path) -> dict[str, str]:
    """File name -> fingerprint of its bytes, of the files at the top that read_dataset looks at (vectors/ is not drawn by the EDA); nothing is read as data.

    For an empty directory, the fingerprint of the synthetic sample that it gives.

    Raises:
        FileNotFoundError, NotADirectoryError: as read_dataset.
    """
    directory = Path(directory)
    visible = _visible(directory)
    if not visible:
        from recsys_lib.datasets.sample import SampleConfig, sample_fingerprint

        return {"synthetic sample": sample_fingerprint(SampleConfig())}
    marker = [path for path in (directory / "SYNTHETIC.txt",) if path.is_file()]  # it changes the data set's name
    files = sorted(path for path in [*visible, *marker] if path.is_file())
    return {path.name: fingerprint_of_file(path) for path in files}


def _visible(directory: Path) -> list[Path]:
    """The files and folders that could be data."""
    if not directory.exists():
        raise FileNotFoundError(
            f"no directory {directory}; make it and put the data there (left empty, it gives the synthetic sample)"
        )
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is a file; give the directory that holds it")
    visible = [path for path in directory.iterdir() if path.name.lower() not in _IGNORED]
    return [path for path in visible if not path.name.startswith(".")]


def _read_sample(directory: Path) -> Dataset:
    dataset = readers()["job_postings"].read(_sample_folder())
    note = (
        f"SYNTHETIC: {directory.name}/ is empty, so this is the generated sample; no row is from the contest. "
        "Put your data there."
    )
    return replace(dataset, notes=(note, *dataset.notes[1:]))  # the reader's first note says so of the cached folder


def _sample_folder() -> Path:
    """The folder of the generated sample; written once a machine, whole or not at all."""
    from recsys_lib.datasets.sample import SampleConfig, sample_fingerprint, write_sample  # late: only here is it needed

    config = SampleConfig()
    tried = []
    for cache_folder in _cache_folders():
        folder = cache_folder / f"sample-{sample_fingerprint(config)}"
        if (folder / "SYNTHETIC.txt").is_file():
            return folder
        try:
            return write_sample(folder, config)
        except OSError as error:
            if (folder / "SYNTHETIC.txt").is_file():  # somebody else wrote the same sample in the meantime
                return folder
            tried.append(f"{cache_folder} ({error})")
    raise OSError(f"the sample cannot be written; set RECSYS_CACHE to a folder that can be. Tried {'; '.join(tried)}")


def _cache_folders() -> list[Path]:
    folders = [Path(os.environ["RECSYS_CACHE"])] if os.environ.get("RECSYS_CACHE") else []
    try:
        folders.append(Path.home() / ".cache" / "recsys_lab")
    except RuntimeError:  # an account without a home
        pass
    return [*folders[:1], Path(tempfile.gettempdir()) / "recsys_lab"]
