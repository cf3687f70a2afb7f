"""python -m recsys_lib batch NOTEBOOK YAML | check-submission FILE"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 well, 1 a run failed or a file has problems, 2 wrong arguments."""
    for stream in (sys.stdout, sys.stderr):  # a console of Windows shows ? for a letter that it lacks
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        return options.do(options)
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    root = Path(os.environ.get("RECSYS_ROOT") or Path(__file__).absolute().parents[1])
    parser = argparse.ArgumentParser(prog="python -m recsys_lib", description="A recommender lab for a small team.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    batch = verbs.add_parser("batch", help="execute a notebook once per parameter set, each in its own run folder")
    batch.add_argument("notebook", type=Path, help="e.g. notebooks/02_train.ipynb")
    batch.add_argument("yaml", type=Path, help="e.g. notebooks/batches/models.yaml")
    batch.add_argument("--runs", type=Path, default=root / "runs", help="where the run folders go (default: runs/)")
    batch.add_argument("--data", type=Path, help="folder of CSVs, for every run (default: what the parameters say)")
    batch.set_defaults(do=_batch)

    check = verbs.add_parser("check-submission", help="say everything for which the host would refuse the file")
    check.add_argument("file", type=Path)
    check.add_argument("--data", type=Path, default=root / "csv", help="folder of CSVs with the template (default: csv/)")
    check.set_defaults(do=_check_submission)
    return parser


def _batch(options: argparse.Namespace) -> int:
    from recsys_lib.runs.batch import read_batch, run_batch

    parameter_sets = read_batch(options.yaml)
    if options.data:
        # The child works in the notebook's folder, so a path of this shell is made absolute.
        parameter_sets = [parameters | {"DATA_DIR": str(options.data.absolute())} for parameters in parameter_sets]
    done = run_batch(options.notebook, parameter_sets, runs_dir=options.runs)
    print("\n" + done.table().to_string(float_format="{:.4f}".format))
    for run in done.failed:
        print(f"FAILED {run.name}: {run.record['error'][-1]}; see {options.runs.name}/{run.name}/notebook.ipynb")
    return 1 if done.failed else 0


def _check_submission(options: argparse.Namespace) -> int:
    from recsys_lib.datasets import read_dataset
    from recsys_lib.runs.submission import check_submission

    dataset = read_dataset(options.data)
    if dataset.template is None:
        raise ValueError(f"{dataset.title} has no submission template, so there is nothing to check against")
    problems = check_submission(options.file, dataset.template, seen=dataset.interactions, catalogue=dataset.catalogue)
    for problem in problems:
        print(problem)
    asked = f"{len(dataset.template.users):,} users x {dataset.template.k} items"
    print(f"{options.file.name}: {len(problems)} problem(s) against {dataset.title}, {asked}" if problems
          else f"{options.file.name}: acceptable to {dataset.title}, {asked}")  # fmt: skip
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
