"""Any log of who chose what, in any delimited or Parquet file: for a company's own data.

The file is called interactions.csv (or .tsv, .txt, .parquet; the text ones may be gzipped) and its columns have usual
names (user_id, item_id, timestamp, ...); or a log.yaml beside it says what is what:

    log: clicks_2026.csv.gz
    user: member_no
    item: goods_cd
    timestamp: clicked_at     # without this line the usual names are tried; false reads without a time
    separator: "|"            # without this line it is found by itself
    columns: [member_no, goods_cd, clicked_at]   # only for a file without a header

Ids stay as they are ("007" is not 7). There are no features and no submission template.
"""

from __future__ import annotations

from pathlib import Path

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable
from recsys_lib.data.files import fingerprint_of_file
from recsys_lib.data.names import did_you_mean
from recsys_lib.datasets.base import Dataset
from recsys_lib.datasets.log import PARQUET, read_log

DESCRIPTION = "log.yaml"
KEYS = ("log", "user", "item", "timestamp", "separator", "columns")
STEM = "interactions"
SUFFIXES = (".csv", ".tsv", ".txt", *PARQUET)
WANTS = (
    "any other log: interactions.csv (.tsv, .txt, .parquet; may be gzipped) with columns such as user_id, item_id, "
    f"timestamp; or any file and columns, with a {DESCRIPTION} beside it that says 'log: FILE', 'user: COLUMN' and "
    "'item: COLUMN'"
)


def matches(file_names: set[str]) -> bool:
    return DESCRIPTION in file_names or bool(_usual(file_names))


def _usual(file_names: set[str]) -> list[str]:
    return sorted(STEM + suffix for suffix in SUFFIXES if STEM + suffix in file_names)


def read(directory: str | Path) -> Dataset:
    """Read the log of a folder.

    Raises:
        FileNotFoundError: there is none. ValueError: the description or the log is not as wanted.
    """
    directory = Path(directory)
    names = {path.name for path in directory.iterdir() if path.is_file()}
    options = _described(directory / DESCRIPTION) if DESCRIPTION in names else {}
    name = options.pop("log", None)
    if name is None:
        usual = _usual({name.removesuffix(".gz") for name in names})
        if len(usual) != 1:
            found = f"there are {', '.join(usual)}" if usual else f"found {', '.join(sorted(names))}"
            raise (ValueError if usual else FileNotFoundError)(
                f"{directory.name}/: which file is the log? {found}. Say it in {DESCRIPTION}: 'log: FILE'"
            )
        name = usual[0]
    if Path(name).name != name or name.startswith("."):
        raise ValueError(f"{directory.name}/{DESCRIPTION}: log must be the name of a file in the same folder, not hidden; got {name!r}")
    path = directory / name
    if not path.is_file():
        path = directory / f"{name}.gz"
    if not path.is_file():
        found = ", ".join(sorted(names))
        raise FileNotFoundError(f"no {name} in {directory.name}/, of which {DESCRIPTION} speaks; found {found}")
    log = read_log(path, names=options.pop("columns", None), **options)
    sources = {path.name: fingerprint_of_file(path)}
    if DESCRIPTION in names:
        sources[DESCRIPTION] = fingerprint_of_file(directory / DESCRIPTION)
    return Dataset(
        interactions=log.interactions,
        catalogue=Catalogue(log.users, log.items, FeatureTable(len(log.users)), FeatureTable(len(log.items))),
        tables={},
        template=None,
        name=path.name.split(".")[0].replace(" ", "_"),
        sources=sources,
        notes=("every row is an interaction", *log.notes),
    )


def _described(path: Path) -> dict:
    import yaml

    where = f"{path.parent.name}/{path.name}"
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{where} is not YAML in UTF-8: {error}") from error
    if not isinstance(options, dict):
        raise ValueError(f"{where} must be lines such as 'user: member_no'; got {options!r}")
    for key, value in options.items():
        if key not in KEYS:
            raise ValueError(f"{where}: no key {key!r}{did_you_mean(key, KEYS)} There are {', '.join(KEYS)}.")
        if key == "columns":
            is_good = isinstance(value, list) and all(isinstance(name, str) for name in value)
        else:
            is_good = isinstance(value, str) or (key == "timestamp" and value is False)
        if not is_good:
            wanted = "a list of names" if key == "columns" else "a text"
            raise ValueError(f"{where}: {key} must be {wanted}; got {value!r}. A name such as no or 7 must stand in quotes.")
    if options.get("separator") == r"\t":
        options["separator"] = "\t"
    return options
