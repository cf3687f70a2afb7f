"""Figures drawn once, then shown: a picture is drawn again only if its data, its code or its parameters changed.

    <eda_dir>/
      README.md             all pictures with their sentences, for a preview on the Drive or on GitHub; README.ko.md likewise
      <data set>/
        manifest.json       what the data set holds; for each figure its sentence, alt text, what it was drawn from,
                            parameters, seconds, versions
        <name>.png          in English; <name>.ko.png in Korean

Whether a picture may be shown is decided in two steps. Are the bytes of all files, the code of the readers, the code of the
figure and its parameters the same? Then it is shown: nothing is read as data, and no drawing code is imported. Has a file
changed? Then the data set is read, and the figure is drawn if one of the parts that it reads (parts.PARTS) has another
content now: a salary in resume.csv redraws what features tell, and leaves the popularity of the items alone. That there is
nothing to draw is kept too.
What a figure of one's own takes from outside its own text, other than its parameters, is not seen.
This file imports neither matplotlib nor seaborn.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import inspect
import json
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from recsys_lib.data.files import replacing, write_text
from recsys_lib.datasets import Dataset, read_dataset, source_files
from recsys_lib.eda.figures.shared import NothingToDraw
from recsys_lib.eda.parts import PARTS, fingerprints
from recsys_lib.eda.words import LANGUAGES, words

if TYPE_CHECKING:
    import pandas as pd

LIBRARY = Path(__file__).parents[1]
WIDTH_ON_PAGE = 864  # pixels; the files carry about twice as many


class Drawing(Protocol):
    """What `draw` returns: display.plots.Plot, or anything with these."""

    sentence: str
    alt_text: str

    def png(self) -> bytes: ...


class Picture:
    """A PNG that shows itself in a notebook, and is a short text elsewhere.

    Attributes:
        png: the bytes. sentence: the finding. alt_text: for those who cannot see it.
        drawn_because: why it was drawn just now, or "" where the picture on disk was shown.
    """

    def __init__(self, name: str, png: bytes, sentence: str, alt_text: str, drawn_because: str = "") -> None:
        self.name, self.png, self.sentence, self.alt_text = name, png, sentence, alt_text
        self.drawn_because = drawn_because

    def __repr__(self) -> str:
        return f"Picture({self.name}: {self.sentence})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        width, height = _size(self.png)
        shown = min(WIDTH_ON_PAGE, width)
        data = {"image/png": base64.b64encode(self.png).decode("ascii"), "text/plain": repr(self)}
        return data, {"image/png": {"width": shown, "height": round(height * shown / width), "alt": self.alt_text}}


class Skipped:
    """Says in a notebook why there is no picture."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason

    def __repr__(self) -> str:
        return f"{self.name}: nothing to draw: {self.reason}"


class Gallery:
    """The pictures of the data set in a folder.

    Args:
        data_dir: as for read_dataset.
        eda_dir: the pictures go to <eda_dir>/<name of the data set>/; made when the first picture is kept.
        language: of titles and labels, "en" or "ko"; each language keeps its own pictures.
        redraw: draw in any case.
    Attributes:
        drawn: the names of the figures drawn by this object, in order (the others were shown).
    Raises:
        ValueError: an unknown language. FileNotFoundError: no such data_dir.
    """

    def __init__(self, data_dir: str | Path, eda_dir: str | Path, *, language: str = "en", redraw: bool = False) -> None:
        words(language)
        self.data_dir, self.eda_dir = Path(data_dir), Path(eda_dir)
        self.language, self.redraw = language, redraw
        self.drawn: list[str] = []
        self._told: set[str] = set()
        self._dataset: Dataset | None = None
        self._look()

    def __repr__(self) -> str:
        drawn = ", ".join(self.drawn) or "none"
        kept = sum("png" in entry for entry in self.manifest()["figures"].values())
        return f"Gallery of {self.title}: {kept} pictures kept, drawn just now: {drawn}"

    @property
    def dataset(self) -> Dataset:
        """The data set; read when it is first asked for, and again if its files have changed since."""
        self._look()
        if self._dataset is None:
            self._dataset = read_dataset(self.data_dir)
            self._look()  # somebody may have put other files there while it was read
            if self._dataset is None:
                raise RuntimeError(f"the files in {self.data_dir.name}/ change while they are read; try again in a moment")
        return self._dataset

    @property
    def has_read(self) -> bool:
        """Whether the data had to be read."""
        return self._dataset is not None

    def _look(self) -> None:
        """Fingerprint the files, unless their sizes and times are those of the last look; forget data of other files."""
        stamp = _stamp(self.data_dir)
        if stamp != self.__dict__.get("_seen"):
            sources = {"files": source_files(self.data_dir), "readers": code_fingerprint(reader_files())}
            if sources != self.__dict__.get("_sources"):
                self._dataset = None
                self.__dict__.pop("directory", None)
            self._seen, self._sources = stamp, sources

    @cached_property
    def directory(self) -> Path:
        """Where the pictures are: found by the files that they were drawn from, or by the name of the data set."""
        for path in sorted(self.eda_dir.glob("*/manifest.json")):
            manifest = _read_manifest(path)
            if any(kept.get("sources") == self._sources for kept in (manifest, *manifest.get("figures", {}).values())):
                return path.parent
        return self.eda_dir / self.dataset.name

    @property
    def title(self) -> str:
        """Of the data set, e.g. "job_postings_sample (SYNTHETIC)"."""
        return self.manifest()["data_set"] or self.dataset.title

    def describe(self) -> pd.DataFrame:
        """Dataset.describe(), from the manifest where the files have not changed."""
        import pandas as pd

        self._look()
        manifest = self.manifest()
        described = manifest["description"]
        if not described or manifest["sources"] != self._sources or self.redraw:
            described = [list(map(str, row)) for row in self.dataset.describe().itertuples(index=False)]
            self._keep({"description": described, "sources": self._sources})
        return pd.DataFrame(described, columns=["what", "value"])

    def show(self, name: str, draw: Callable[..., Drawing], **parameters: Any) -> Picture | Skipped:
        """The picture `name`, drawn by draw(dataset, **parameters) only if it must be.

        Args:
            name: of the file, e.g. "05_information".
            draw: a function of `figures`, or one of your own that takes a Dataset and returns a display.plots.Plot. What it
                reads is said by parts.reads; without that, a change in any file draws it again. `language` is handed to
                it where it takes one.
            parameters: what else decides the figure: JSON-able values.
        Returns:
            a Picture; where `draw` raises NothingToDraw, a Skipped with its reason.
        """
        self._look()
        key = name if self.language == "en" else f"{name}.{self.language}"
        draw, parameters = _without_partial(draw, parameters)
        wanted = {"code": code_of(draw), "parameters": _plain(parameters)}
        entry, png = self.manifest()["figures"].get(key), self._read(key)
        reason = "asked for" if self.redraw else _why_draw(entry, png, wanted)
        if not reason and entry["sources"] == self._sources:
            return _shown(name, entry, png)
        parts = fingerprints(self.dataset, getattr(draw, "reads", PARTS)) | {"title": self.dataset.title}
        if not reason:
            changed = [part for part in parts if entry["reads"].get(part) != parts[part]]
            if not changed and set(parts) == set(entry["reads"]):
                self._keep_figure(key, entry | {"sources": self._sources})  # next time the bytes will do
                return _shown(name, entry, png)
            reason = f"changed: {', '.join(changed) or 'what it reads'}"
        start = time.perf_counter()
        entry = {"language": self.language, "reads": parts, **wanted, "sources": self._sources}
        try:
            spoken = {"language": self.language} if _takes_language(draw) else {}
            drawing = draw(self.dataset, **parameters, **spoken)
        except NothingToDraw as nothing:
            self._keep_figure(key, entry | {"nothing": str(nothing)})
            return Skipped(name, str(nothing))
        png = drawing.png()
        self.drawn.append(name)
        entry |= {
            "sentence": drawing.sentence,
            "alt_text": drawing.alt_text,
            "png": _fingerprint(png),
            "seconds": round(time.perf_counter() - start, 2),
            "versions": _versions(),  # for the record: another version does not make a picture stale
        }
        self._keep_figure(key, entry, png)
        return Picture(name, png, drawing.sentence, drawing.alt_text, reason)

    def manifest(self) -> dict[str, Any]:
        """data_set, sources, description, figures (name -> what is known of it); empty where it cannot be read."""
        return {"data_set": "", "sources": {}, "description": [], "figures": {}} | _read_manifest(
            self.directory / "manifest.json"
        )

    def _read(self, key: str) -> bytes | None:
        try:
            return (self.directory / f"{key}.png").read_bytes()
        except OSError:
            return None

    def _keep_figure(self, key: str, entry: dict, png: bytes | None = None) -> None:
        if changed := changed_since_import():
            self._tell(
                f"{', '.join(changed)} changed after this kernel began: pictures are shown and not kept. Restart the kernel."
            )
            return
        try:
            if png is not None:
                with replacing(self.directory / f"{key}.png") as part:
                    part.write_bytes(png)
            elif "nothing" in entry:
                (self.directory / f"{key}.png").unlink(missing_ok=True)
        except OSError as error:
            self._tell_read_only(error)
            return
        self._keep({"figures": self.manifest()["figures"] | {key: entry}})

    def _keep(self, known: dict) -> None:
        """Write the manifest with what is known now, and the index pages."""
        # Read again just before writing: somebody else may have drawn another figure meanwhile.
        manifest = self.manifest() | {"data_set": self.dataset.title}
        figures = dict(sorted((manifest["figures"] | known.get("figures", {})).items()))
        text = json.dumps(manifest | known | {"figures": figures}, ensure_ascii=False, indent=1) + "\n"
        try:
            write_text(self.directory / "manifest.json", text)
            for language in LANGUAGES:
                page = self.eda_dir / ("README.md" if language == "en" else f"README.{language}.md")
                text = index_page(self.eda_dir, language)
                if text or page.is_file():
                    write_text(page, text)
        except OSError as error:
            self._tell_read_only(error)

    def _tell_read_only(self, error: OSError) -> None:
        self._tell(f"The pictures cannot be kept in {self.directory.name}/ ({error.strerror or error}); shown from memory only.")

    def _tell(self, message: str) -> None:
        if message not in self._told:
            print(message)
            self._told.add(message)


_PAGE = {
    "en": "Made by `notebooks/01_eda`: each picture is drawn once, and again only if its data, its code or a parameter changed "
    "(`manifest.json` of each folder).",
    "ko": "`notebooks/01_eda`가 만든 페이지입니다. 그림은 한 번만 그리고, 데이터·코드·설정이 바뀐 그림만 다시 그립니다(폴더마다 `manifest.json`).",
}


def index_page(eda_dir: Path, language: str) -> str:
    """All pictures of all data sets in one language, with their sentences, as Markdown; "" where there is none."""
    lines = []
    for path in sorted(eda_dir.glob("*/manifest.json")):
        manifest = _read_manifest(path)
        figures = {
            key: entry
            for key, entry in manifest.get("figures", {}).items()
            if entry.get("language") == language and "png" in entry
        }
        if figures:
            lines += [f"# {_one_line(manifest['data_set'])}", ""]
        for key, entry in figures.items():
            source = f"{path.parent.name}/{key}.png".replace(" ", "%20")
            lines += [f"## {_one_line(entry['sentence'])}", "", f"![{_one_line(entry['alt_text'])}]({source})", ""]
    return "\n".join([_PAGE[language], "", *lines]) if lines else ""


# ---- what changed?


def code_of(draw: Callable) -> str:
    """Fingerprint of the code that draws: the file of a library's figure and all that it imports, or a function's own text.

    "" where there is no text (typed at a prompt without IPython, made by exec): such a figure is always drawn.
    """
    try:
        file = Path(inspect.getsourcefile(draw) or "")
        if LIBRARY in file.parents:
            return code_fingerprint(imported_files(file))
        return _fingerprint(inspect.getsource(draw).encode())
    except (OSError, TypeError):
        return ""


def _without_partial(draw: Callable, parameters: dict[str, Any]) -> tuple[Callable, dict[str, Any]]:
    """What functools.partial has fixed is a parameter like any other."""
    while isinstance(draw, partial):
        if draw.args:
            raise TypeError("a figure takes the data set alone by its place; give partial() the others by name")
        draw, parameters = draw.func, {**draw.keywords, **parameters}
    return draw, parameters


def reader_files() -> tuple[Path, ...]:
    """All code between the files and the data set. Not sample.py: what it writes counts by its own fingerprint."""
    readers = [path for path in (LIBRARY / "datasets").glob("*.py") if path.name != "sample.py"]
    return tuple(sorted({file for reader in readers for file in imported_files(reader) if file.name != "sample.py"}))


def changed_since_import() -> list[str]:
    """The library's files for reading and drawing whose text is another than when this module was imported.

    A kernel goes on with the old code; a picture of it must not be kept beside the fingerprint of the new.
    """
    return [path.name for path, before in _AT_IMPORT.items() if not path.is_file() or code_fingerprint([path]) != before]


def code_fingerprint(paths: Iterable[Path]) -> str:
    """16 hexadecimal digits of the files' text; line ends do not count, since git may change them."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


@cache
def imported_files(file: Path) -> tuple[Path, ...]:
    """The file, and the library's files that it imports, directly or through others; sorted."""
    found, waiting = set(), [file]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports_of(path)
    return tuple(sorted(found))


@cache
def _imports_of(file: Path) -> tuple[Path, ...]:
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(LIBRARY.name):
            base = LIBRARY.parent.joinpath(*node.module.split("."))
            # `from package import name` is the module package/name.py where there is one, else package.py
            candidates = [base / f"{alias.name}.py" for alias in node.names] + [base.with_suffix(".py")]
            found += [path for path in candidates if path.is_file()]
    return tuple(found)


def _why_draw(entry: Mapping | None, png: bytes | None, wanted: Mapping) -> str:
    """What can be said without reading the data."""
    if entry is None or (png is None and "nothing" not in entry):
        return "not drawn yet"
    if "nothing" not in entry and _fingerprint(png) != entry["png"]:
        return "the picture is not the one in the manifest"
    if not wanted["code"]:
        return "its code has no text"
    changed = [part for part in ("code", "parameters") if entry.get(part) != wanted[part]]
    return f"changed: {', '.join(changed)}" if changed else ""


def _takes_language(draw: Callable) -> bool:
    return "language" in inspect.signature(draw).parameters


def _shown(name: str, entry: Mapping, png: bytes | None) -> Picture | Skipped:
    return Skipped(name, entry["nothing"]) if "nothing" in entry else Picture(name, png, entry["sentence"], entry["alt_text"])


def _read_manifest(path: Path) -> dict[str, Any]:
    """Without entries that are not as this version writes them; empty where it cannot be read: then all is drawn anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        figures = {key: entry for key, entry in found["figures"].items() if _is_entry(entry)}
        return {
            "data_set": str(found["data_set"]),
            "sources": found["sources"],
            "description": list(found["description"]),
            "figures": figures,
        }
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return {}


def _is_entry(entry: Any) -> bool:
    needed = {"language", "reads", "code", "parameters", "sources"}
    return (
        isinstance(entry, dict) and needed <= set(entry) and ("nothing" in entry or {"png", "sentence", "alt_text"} <= set(entry))
    )


def _plain(parameters: Mapping[str, Any]) -> dict:
    # through JSON, so that (1, 2) compares equal to the [1, 2] that comes back from the manifest
    return json.loads(json.dumps(dict(parameters)))


def _one_line(text: str) -> str:
    return " ".join(text.replace("[", "(").replace("]", ")").split())


def _stamp(directory: Path) -> list[tuple]:
    """Sizes and times of the files: whether they are worth another look."""
    return sorted((path.name, *_stamp_of(path)) for path in directory.iterdir()) if directory.is_dir() else []


def _stamp_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _fingerprint(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the PNG's header."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("numpy", "pandas", "scipy", "matplotlib"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


_AT_IMPORT = {
    path: code_fingerprint([path])
    for room in ("data", "datasets", "display", "eda")
    for path in sorted((LIBRARY / room).rglob("*.py"))
}
