"""The house keeps its plan: who may import whom, and what an import does."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import recsys_lib

HOUSE = Path(recsys_lib.__file__).parent
ROOMS = {"data": 1, "display": 1, "datasets": 2, "models": 3, "evaluation": 4, "training": 5, "runs": 6, "eda": 6, "studies": 7}
FILES = sorted(HOUSE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imported(path: Path, *, late: bool = True, source: str | None = None) -> set[str]:
    """Full names of what a file imports; late: inside functions and under TYPE_CHECKING too.

    `from package import name` counts as the module package.name where there is one, else as package.
    """
    found = set()
    for node in _nodes(ast.parse(source or path.read_text(encoding="utf-8")), late):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_of(path).split(".")
                package = package if path.name == "__init__.py" else package[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names}
    return found


def _nodes(node: ast.AST, late: bool):
    for child in ast.iter_child_nodes(node):
        if not late and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if not late and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _nodes(child, late)


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "recsys_lib" and parts[1] in ROOMS else ""


def test_every_folder_is_a_room_of_the_plan():
    folders = {path.name for path in HOUSE.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))}
    assert folders and folders <= set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_room_imports_only_rooms_before_it(path):
    own = room_of(module_of(path))
    if not own:
        return  # __init__ and __main__ stand at the door
    for module in imported(path):
        if not module.startswith("recsys_lib"):
            continue
        other = room_of(module)
        assert other, f"{module_of(path)} imports {module}, which is no room"
        assert other == own or ROOMS[other] < ROOMS[own], f"{own} ({ROOMS[own]}) imports {module} ({ROOMS[other]})"


def test_the_reader_of_imports_sees_late_and_relative_ones():
    """The check of the check: what it must find, it finds."""
    path = HOUSE / "data" / "ids.py"
    source = "from __future__ import annotations\ndef f():\n    from recsys_lib.models import ncf\n    import recsys_lib.runs\nfrom . import files\n"
    assert imported(path, source=source) == {"__future__", "recsys_lib.models.ncf", "recsys_lib.runs", "recsys_lib.data.files"}
    assert imported(path, source=source, late=False) == {"__future__", "recsys_lib.data.files"}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_nothing_knows_colab(path):
    roots = {".".join(module.split(".")[:2]) for module in imported(path)}
    assert not roots & {"colab_bootstrap", "google.colab", "google"}
    assert "google.colab" not in path.read_text(encoding="utf-8")


def test_no_module_imports_itself_round_a_corner():
    """Late imports are left out here: they are how a circle would be hidden, and the rooms forbid those between rooms."""
    graph = {name: {other for other in imported(path, late=False) if other in MODULES and other != name} for name, path in MODULES.items()}
    assert sum(map(len, graph.values())) > 50
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name in done:
            return
        for other in sorted(graph[name]):
            visit(other, (*way, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_importing_the_library_prints_nothing_and_loads_nothing_heavy():
    code = (
        "import sys, random; state = random.getstate(); import recsys_lib; "
        "heavy = {'torch', 'pandas', 'numpy', 'matplotlib', 'scipy', 'sklearn'} & set(sys.modules); "
        "sys.exit(f'loaded {heavy}' if heavy else 0 if random.getstate() == state else 'seeded')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HOUSE.parent, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_readers_and_the_eda_work_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None; import recsys_lib.datasets, recsys_lib.eda.gallery, recsys_lib.data.splits, "
        "recsys_lib.display.plots; recsys_lib.read_dataset"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HOUSE.parent, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("name", recsys_lib.__all__)
def test_every_public_name_resolves_and_has_a_docstring(name):
    value = getattr(recsys_lib, name)
    home = importlib.import_module(f"recsys_lib.{recsys_lib._HOMES[name]}")
    assert value is getattr(home, name)
    assert (value.__doc__ or "").strip() and name in dir(recsys_lib)


def test_an_unknown_public_name_lists_those_there_are():
    with pytest.raises(AttributeError, match="no attribute 'build_modle'; public: .*build_model"):
        recsys_lib.build_modle  # noqa: B018


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_says_what_it_is(path):
    assert path.stem not in ("utils", "util", "helpers", "common", "misc")
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path.name} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_open_names_its_encoding(path):
    """A Korean Windows reads cp949 where nobody says otherwise."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and _is_text_file(node):
            assert any(k.arg == "encoding" for k in node.keywords), f"{path.name}:{node.lineno} opens a text file without encoding"


def _is_text_file(call: ast.Call) -> bool:
    """open(...), x.open() or x.open("a"), x.read_text(), x.write_text(...); not x.open(other) such as RunFolder.open(path)."""
    modes = [value.value for value in call.args if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    binary = any("b" in mode for mode in modes)
    if isinstance(call.func, ast.Name):
        return call.func.id == "open" and not binary
    if not isinstance(call.func, ast.Attribute):
        return False
    if call.func.attr == "open":
        return not binary and (not call.args or any(set(mode) <= set("rwaxt+") for mode in modes))
    return call.func.attr in ("read_text", "write_text")
