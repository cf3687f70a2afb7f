"""Figures drawn once, then shown: a picture is drawn again only if its data, its code or its parameters changed.

    <directory>/
      manifest.json   for each figure: its sentence, alt text, what it was drawn from, parameters, seconds, versions
      README.md       all pictures with their sentences, for a preview on the Drive or on GitHub
      <name>.png

This file imports neither matplotlib nor seaborn: showing a picture that is there takes no drawing code at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from recsys_lib.data.files import replacing, write_text

LIBRARY = Path(__file__).parents[1]
# All code between the file and the picture. Not sample.py: what it writes is a source, and counts by its bytes.
CODE = (
    *(LIBRARY / "eda" / name for name in ("figures.py", "statistics.py")),
    LIBRARY / "display" / "plots.py",
    *sorted((LIBRARY / "data").glob("*.py")),
    *sorted(path for path in (LIBRARY / "datasets").glob("*.py") if path.name != "sample.py"),
)
WIDTH_ON_PAGE = 864  # pixels; the files carry about twice as many


class NothingToDraw(Exception):
    """A figure has nothing to show for this data set; the message is the reason, fit for a notebook."""


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
        self.name, self.png, self.sentence, self.alt_text, self.drawn_because = (
            name,
            png,
            sentence,
            alt_text,
            drawn_because,
        )

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
    """The pictures of one data set in one folder.

    Args:
        directory: e.g. eda_outputs/<dataset.name>; made when the first picture is kept.
        title: of the data set, for the index page, e.g. dataset.title.
        code: the files whose text decides how pictures look.
    Attributes:
        drawn: the names of the figures drawn by this object, in order (the others were shown).
    """

    def __init__(self, directory: str | Path, *, title: str = "", code: Sequence[Path] = CODE) -> None:
        self.directory = Path(directory)
        self.title = title or self.directory.name
        self.drawn: list[str] = []
        self._code = code_fingerprint(code)
        self._told_read_only = False

    def __repr__(self) -> str:
        drawn = ", ".join(self.drawn) or "none"
        return f"Gallery of {self.title}: {len(self.manifest())} pictures kept, drawn just now: {drawn}"

    def show(
        self,
        name: str,
        draw: Callable[[], Drawing],
        *,
        sources: Mapping[str, str],
        parameters: Mapping[str, Any] | None = None,
        redraw: bool = False,
    ) -> Picture | Skipped:
        """The picture `name`, drawn by `draw()` only if it must be.

        Args:
            sources: file name -> fingerprint of its bytes, of the tables that the figure reads (Dataset.sources).
            parameters: what else decides the figure: JSON-able values.
            redraw: draw in any case.
        Returns:
            a Picture; where `draw` raises NothingToDraw, a Skipped with its reason.
        """
        wanted = {"sources": dict(sorted(sources.items())), "code": self._code, "parameters": _plain(parameters or {})}
        entry, png = self.manifest().get(name), self._read(name)
        reason = "asked for" if redraw else _why_draw(entry, png, wanted)
        if not reason:
            return Picture(name, png, entry["sentence"], entry["alt_text"])
        start = time.perf_counter()
        try:
            drawing = draw()
        except NothingToDraw as nothing:
            return Skipped(name, str(nothing))
        png = drawing.png()
        self.drawn.append(name)
        self._keep(name, png, drawing, wanted, time.perf_counter() - start)
        return Picture(name, png, drawing.sentence, drawing.alt_text, reason)

    def manifest(self) -> dict[str, dict]:
        """Figure name -> what is known of it; empty where there is no manifest or it cannot be read."""
        try:
            return json.loads((self.directory / "manifest.json").read_text(encoding="utf-8"))["figures"]
        except (OSError, ValueError, KeyError):
            return {}  # then the pictures are drawn anew

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.directory / f"{name}.png").read_bytes()
        except OSError:
            return None

    def _keep(self, name: str, png: bytes, drawing: Drawing, wanted: dict, seconds: float) -> None:
        entry = {
            "sentence": drawing.sentence,
            "alt_text": drawing.alt_text,
            "data_set": self.title,
            **wanted,
            "png": hashlib.sha256(png).hexdigest()[:16],
            "seconds": round(seconds, 2),
            "versions": _versions(),  # for the record: another version does not make a picture stale
        }
        try:
            with replacing(self.directory / f"{name}.png") as part:
                part.write_bytes(png)
            # Read again just before writing: somebody else may have drawn another figure meanwhile.
            figures = dict(sorted((self.manifest() | {name: entry}).items()))
            text = json.dumps({"data_set": self.title, "figures": figures}, ensure_ascii=False, indent=1)
            write_text(self.directory / "manifest.json", text + "\n")
            write_text(self.directory / "README.md", index_page(self.title, figures))
        except OSError as error:
            if not self._told_read_only:
                print(
                    f"The pictures cannot be kept in {self.directory.name}/ ({error.strerror or error}); "
                    "shown from memory only."
                )
                self._told_read_only = True


def index_page(title: str, figures: Mapping[str, Mapping]) -> str:
    """All pictures with their sentences, as Markdown."""
    lines = [
        f"# {title}",
        "",
        "Made by `notebooks/01_eda`, each picture drawn once; see `manifest.json` for what each was drawn from.",
        "",
    ]
    for name, entry in figures.items():
        lines += [f"## {entry['sentence']}", "", f"![{_one_line(entry['alt_text'])}]({name}.png)", ""]
    return "\n".join(lines)


def code_fingerprint(paths: Sequence[Path]) -> str:
    """16 hexadecimal digits of the files' text; line ends do not count, since git may change them."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


def _why_draw(entry: Mapping | None, png: bytes | None, wanted: Mapping) -> str:
    if entry is None or png is None:
        return "not drawn yet"
    if hashlib.sha256(png).hexdigest()[:16] != entry.get("png"):
        return "the picture is not the one in the manifest"
    changed = [part for part in ("sources", "code", "parameters") if entry.get(part) != wanted[part]]
    if "sources" in changed:
        before, now = entry.get("sources") or {}, wanted["sources"]
        files = sorted(file for file in {*before, *now} if before.get(file) != now.get(file))
        changed[changed.index("sources")] = ", ".join(files)
    return f"changed: {', '.join(changed)}" if changed else ""


def _plain(parameters: Mapping[str, Any]) -> dict:
    # through JSON, so that (1, 2) compares equal to the [1, 2] that comes back from the manifest
    return json.loads(json.dumps(dict(parameters)))


def _one_line(text: str) -> str:
    return " ".join(text.replace("[", "(").replace("]", ")").split())


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
