"""One notebook, several parameter sets: each executed through papermill in a run folder of its own.

Names and types are compared with the notebook's parameters cell before anything runs, because papermill itself runs a
misspelt parameter with its default and says so only in a log.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import yaml

from recsys_lib.data.files import replacing
from recsys_lib.data.names import did_you_mean
from recsys_lib.data.splits import split_named
from recsys_lib.runs.folder import RunFolder, runs_table

ROOT = Path(__file__).absolute().parents[2]  # the folder that holds recsys_lib/
KERNEL = "recsys-lab"
_EXECUTING = ".notebook.part-executing.ipynb"  # papermill writes it again and again, with this machine's paths: not published


class BatchError(ValueError):
    """A batch that may not start: every wrong run and parameter, named."""


@dataclass
class Batch:
    """What a batch did.

    Attributes:
        runs: one folder a parameter set, in order.
        failed: those whose notebook ended with an error.
        seconds: wall time of each run, by name.
    """

    runs: list[RunFolder] = field(default_factory=list)
    failed: list[RunFolder] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> list[RunFolder]:
        return [run for run in self.runs if run not in self.failed]

    def table(self) -> pd.DataFrame:
        """`runs_table` of all, failed ones too, with the wall time of the notebook."""
        frame = runs_table(self.runs)
        frame["seconds_notebook"] = pd.Series(self.seconds, dtype="float64").round(1)
        return frame


# -- what a notebook takes -----------------------------------------------------------------------------------------


def parameters_of(notebook: str | Path) -> dict[str, Any]:
    """name -> default, from the one cell tagged `parameters`.

    Raises:
        BatchError: no such notebook or cell, several cells, or a line that is not `NAME = literal`.
    """
    notebook = Path(notebook)
    if not notebook.is_file():
        there = sorted(path.name for path in notebook.parent.glob("*.ipynb"))
        raise BatchError(f"no notebook {notebook}; there are {there}")
    content = nbformat.read(notebook, as_version=4)
    cells = [cell for cell in content.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise BatchError(f"{notebook.name} must have one cell tagged 'parameters'; it has {len(cells)}")
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise BatchError(f"the parameters cell of {notebook.name} is no plain Python: {error}") from None
    defaults = {}
    for statement in statements:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        try:
            defaults[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            line = ast.unparse(statement).splitlines()[0]
            raise BatchError(
                f"the parameters cell of {notebook.name} holds literals only, a name a line; got {line!r}. "
                "What is computed comes in the next cell."
            ) from None
    return defaults


def read_batch(path: str | Path) -> list[dict[str, Any]]:
    """The parameter sets of a YAML file: `runs`, a list of mappings, each over the mapping `defaults`.

    Raises:
        BatchError: no such file, not that form, a name given twice.
    """
    path = Path(path)
    if not path.is_file():
        raise BatchError(f"no batch file {path}; see notebooks/batches/")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Yaml)  # a SafeLoader
    except yaml.YAMLError as error:
        raise BatchError(f"{path.name} is no YAML: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("runs"), list) or not content["runs"]:
        raise BatchError(f"{path.name} needs `runs:`, a list of mappings like `- MODEL: ease`, and may have `defaults:`")
    for key in content:
        if key not in ("defaults", "runs"):
            raise BatchError(f"{path.name}: no entry {key!r}{did_you_mean(key, ['defaults', 'runs'])}")
    defaults = content.get("defaults") or {}
    wrong = [entry for entry in [defaults, *content["runs"]] if not isinstance(entry, dict)]
    if wrong:
        raise BatchError(f"{path.name}: `defaults` and every run are mappings of parameters; got {wrong[0]!r}")
    return [defaults | own for own in content["runs"]]


class _Yaml(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as a string and keeps the last of two equal keys; neither is what a person means."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def check_parameters(notebook: str | Path, parameter_sets: Sequence[Mapping[str, Any]]) -> None:
    """Compare every parameter set with the notebook, and model configurations with the model; run nothing.

    Raises:
        BatchError: all that is wrong, each with its run and its parameter.
    """
    defaults = parameters_of(notebook)
    wrong = []
    for number, parameters in enumerate(parameter_sets, 1):
        label = f"run {number} ({parameters['MODEL']})" if "MODEL" in parameters else f"run {number}"
        problems = list(_parameter_problems(defaults, parameters)) or list(_config_problems({**defaults, **parameters}))
        wrong += [f"{label}: {problem}" for problem in problems]
    if wrong:
        raise BatchError(f"{Path(notebook).name} was not run; {len(wrong)} parameter(s) are wrong:\n  " + "\n  ".join(wrong))


def _parameter_problems(defaults: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[str]:
    for name, value in parameters.items():
        if name not in defaults:
            yield f"no parameter {name!r}{did_you_mean(name, defaults)} Known: {', '.join(defaults)}."
        elif not _same_type(defaults[name], value):
            wanted, came = type(defaults[name]).__name__, type(value).__name__
            yield f"{name} must be {wanted} like {defaults[name]!r}; got {came} {value!r}"


def _same_type(default: Any, value: Any) -> bool:
    if default is None:
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    if isinstance(default, (list, tuple)):
        # an empty default says nothing of its elements
        return isinstance(value, (list, tuple)) and (not default or all(_same_type(default[0], one) for one in value))
    return isinstance(value, type(default))


def _config_problems(parameters: Mapping[str, Any]) -> Iterator[str]:
    """What the model and the trainer say of MODEL, MODEL_CONFIG and TRAIN_CONFIG, where a notebook has them."""
    try:
        split_named(parameters.get("SPLIT", "fraction"))
    except ValueError as error:
        yield f"SPLIT: {error}"
    if isinstance(parameters.get("K"), int) and parameters["K"] < 1:
        yield f"K: lists have 1 item or more; got {parameters['K']}"
    if "MODEL" not in parameters:
        return
    from recsys_lib.models import model_config  # late: it loads torch

    model = parameters["MODEL"]
    try:
        model_config(model, **parameters.get("MODEL_CONFIG", {}))
    except (TypeError, ValueError) as error:
        yield f"MODEL/MODEL_CONFIG: {error}"
        return
    if "TRAIN_CONFIG" in parameters:
        from recsys_lib.training.config import train_config

        try:
            train_config(model, **parameters["TRAIN_CONFIG"])
        except (TypeError, ValueError) as error:
            yield f"TRAIN_CONFIG: {error}"


# -- running -------------------------------------------------------------------------------------------------------


def run_batch(
    notebook: str | Path,
    parameter_sets: Sequence[Mapping[str, Any]],
    *,
    runs_dir: str | Path,
    kind: str = "training",
    member: str = "",
    root: str | Path | None = None,
    publish_to: str | Path | None = None,
    console: Callable[[str], None] | None = None,
) -> Batch:
    """Execute the notebook once per parameter set, one after the other; a failing one leaves the others intact.

    The parent makes the run folder and hands it over as RUN_DIR (where the notebook has that parameter); the notebook
    writes into it and finishes it; the parent adds the executed notebook, without this machine's paths. A notebook
    that does not finish its run has it finished here.

    Args:
        kind: of the run folders: "training", "evaluation", "eda".
        root: the folder that holds recsys_lib/, handed to the child as RECSYS_ROOT and on its PYTHONPATH.
        publish_to: the runs' folder on a Drive; each run is published when its notebook has ended.
        console: takes a line of text; default: print.
    Raises:
        BatchError: a parameter is misspelt or mistyped; nothing has run.
    """
    notebook, runs_dir = Path(notebook).absolute(), Path(runs_dir).absolute()
    root = Path(root or os.environ.get("RECSYS_ROOT") or ROOT).absolute()
    console = console or _print
    member = member or os.environ.get("RECSYS_MEMBER", "") or "me"
    check_parameters(notebook, parameter_sets)
    defaults = parameters_of(notebook)

    batch = Batch()
    for number, given in enumerate(parameter_sets, 1):
        label = str(given.get("MODEL", defaults.get("MODEL", kind)))
        run = RunFolder.create(runs_dir, kind=kind, model=label, member=member, publish_to=publish_to)
        batch.runs.append(run)
        parameters = dict(given)
        if "RUN_DIR" in defaults:
            parameters["RUN_DIR"] = str(run.path)
        console(f"[{number}/{len(parameter_sets)}] {notebook.stem} {label} -> {runs_dir.name}/{run.name}")
        places = _Places(notebook, parameters, runs_dir, root)
        began = time.monotonic()
        try:
            error = _execute(notebook, parameters, run, root=root, member=member, lines=_Lines(label, console))
        except KeyboardInterrupt:
            _leave_notebook(run, places)
            run.fail("KeyboardInterrupt: stopped by hand", parameters=parameters)
            raise
        batch.seconds[run.name] = time.monotonic() - began
        _leave_notebook(run, places)
        if error:
            batch.failed.append(run)
            run.fail(places.named(error), parameters=parameters)
            console(f"[{label}] FAILED after {batch.seconds[run.name]:.0f} s: {run.record['error'][-1]}")
        else:
            if not run.is_finished:
                run.finish(parameters=parameters, seconds_notebook=round(batch.seconds[run.name], 1))
            console(f"[{label}] done in {batch.seconds[run.name]:.1f} s")
        published = run.publish()
        if published is not None and not published.complete:
            console(f"[{label}] {published}")
    return batch


def _execute(
    notebook: Path, parameters: dict, run: RunFolder, *, root: Path, member: str, lines: _Lines
) -> str | None:
    """Run the notebook; None when it went well, else the error's text. The executed notebook stays either way."""
    import papermill  # late: reading a batch file needs none of it
    from papermill.exceptions import PapermillExecutionError

    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    environment = {"RECSYS_ROOT": str(root), "RECSYS_BATCH": "1", "RECSYS_MEMBER": member, "PYTHONPATH": path}
    try:
        with _this_interpreter(environment) as kernel:
            papermill.execute_notebook(
                str(notebook),
                str(run.path / _EXECUTING),
                parameters=parameters,
                kernel_name=kernel,
                language="python",
                cwd=str(notebook.parent),
                progress_bar=False,
                stdout_file=lines,
                stderr_file=lines,
                start_timeout=180,
                autosave_cell_every=0,
            )
    except PapermillExecutionError as error:
        return f"{_plain_traceback(error.traceback)}\n{error.ename}: {error.evalue}"
    except Exception as error:  # whatever befalls one run (a dead kernel, a full disk), the next one starts
        return f"{type(error).__name__}: {error}"
    finally:
        lines.close()
    return None


@contextlib.contextmanager
def _this_interpreter(environment: Mapping[str, str]) -> Iterator[str]:
    """The name of a kernel that is this very interpreter, with these environment variables.

    The kernelspec "python3" may be missing, or be another Python's that a user once registered; so we bring our own.
    """
    from ipykernel.kernelspec import get_kernel_dict

    spec = get_kernel_dict()
    spec["argv"][0] = sys.executable
    # only this process talks to the kernel, so its warning of TCP would frighten for nothing
    spec["argv"].append("--IPKernelApp.log_level=CRITICAL")
    spec["env"] = {
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # a debugger's warning that helps nobody here
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # the parent's may be Agg, which shows nothing
        **environment,
    }
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory(prefix="recsys-kernel-", ignore_cleanup_errors=True) as folder:
        place = Path(folder) / "kernels" / KERNEL
        place.mkdir(parents=True)
        (place / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))
        try:
            yield KERNEL
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before


def _leave_notebook(run: RunFolder, places: _Places) -> None:
    """Rewrite the executed notebook without this machine's paths, and with the kernel's usual name."""
    executed = run.path / _EXECUTING
    if not executed.is_file():
        return
    content = nbformat.read(executed, as_version=4)
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    content = nbformat.from_dict(places.named(content))
    with replacing(run.path / "notebook.ipynb") as part:
        part.write_text(nbformat.writes(content) + "\n", encoding="utf-8", newline="\n")
    executed.unlink()


class _Places:
    """This machine's folders, and what stands for them in what is kept and shared."""

    def __init__(self, notebook: Path, parameters: Mapping[str, Any], runs_dir: Path, root: Path) -> None:
        names = {os.path.expanduser("~"): "~", sys.base_prefix: "<python>", sys.prefix: "<python>"}
        names |= {str(notebook.parent): "<notebooks>", str(root): "<root>"}
        names |= {one: Path(one).name for one in parameters.values() if isinstance(one, str) and Path(one).is_absolute()}
        names[str(runs_dir)] = "<runs>"
        names |= {place.replace("\\", "\\\\"): name for place, name in names.items()}  # as Python and JSON quote them
        self._names = {place: name for place, name in names.items() if len(place) > 1}
        longest_first = "|".join(map(re.escape, sorted(self._names, key=len, reverse=True)))
        # whole parts of a path only: /usr is not in http://host/users
        self._pattern = re.compile(rf"(?<![\w.])(?:{longest_first})(?![\w\-]|\.\w)")

    def named(self, value: Any) -> Any:
        """`value` (a notebook, a list, a text ...) with every such folder replaced; pictures stay as they are."""
        if isinstance(value, dict):
            return {key: inner if str(key).startswith("image/") else self.named(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.named(inner) for inner in value]
        return self._pattern.sub(lambda found: self._names[found[0]], value) if isinstance(value, str) else value


def _plain_traceback(traceback: Sequence[str]) -> str:
    """The last lines of a notebook's traceback, without colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(traceback))
    return "\n".join(text.splitlines()[-15:-1])


class _Lines:
    """Takes a child's output as it comes; gives the console whole lines with a prefix, and not too many of them.

    More than `burst` lines within `seconds` are counted instead of shown; the executed notebook has them all.
    """

    def __init__(self, label: str, console: Callable[[str], None], *, burst: int = 20, seconds: float = 5.0) -> None:
        self._label, self._console, self._burst, self._seconds = label, console, burst, seconds
        self._rest, self._held, self._last_held = "", 0, ""
        self._shown: list[float] = []

    def write(self, text: str) -> int:
        *whole, self._rest = re.split(r"\r\n|\n|\r", self._rest + text)
        for line in whole:
            self._show(line)
        return len(text)

    def flush(self) -> None:
        """Half a line waits for its other half."""

    def close(self) -> None:
        self._show(self._rest)
        self._rest = ""
        self._tell_held()

    def _show(self, line: str) -> None:
        if not line.strip():
            return
        now = time.monotonic()
        self._shown = [moment for moment in self._shown if now - moment < self._seconds]
        if len(self._shown) >= self._burst:
            self._held, self._last_held = self._held + 1, line
            return
        self._tell_held()
        self._shown.append(now)
        self._console(f"[{self._label}] {line.rstrip()}")

    def _tell_held(self) -> None:
        if self._held:
            if self._held > 1:
                self._console(f"[{self._label}] ... {self._held - 1} more line(s), all in notebook.ipynb")
            self._console(f"[{self._label}] {self._last_held.rstrip()}")  # the newest says how far it is
            self._held = 0


def _print(line: str) -> None:
    print(line, flush=True)
