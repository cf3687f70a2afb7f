"""python -m recsys_lib batch NOTEBOOK YAML | check-submission | compare-submissions | leaderboard | feature-worth | blend ..."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory


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

    change = verbs.add_parser("compare-submissions", help="what changed between two files: overlap, for whom, to what")
    change.add_argument("first", help="a file, or the name of the run that wrote it")
    change.add_argument("second", help="likewise")
    change.add_argument("--runs", type=Path, default=root / "runs", help="where runs are looked for (default: runs/)")
    change.add_argument("--data", type=Path, default=root / "csv", help="folder of CSVs that both are of (default: csv/)")
    change.set_defaults(do=_compare_submissions)

    board = verbs.add_parser("leaderboard", help="which split's validation predicts the leaderboard, by leaderboard.csv of the team")
    board.add_argument("--runs", type=Path, default=root / "runs", help="the folder where leaderboard.csv is (default: runs/)")
    board.add_argument("--figure", type=Path, help="a PNG")
    board.set_defaults(do=_leaderboard)

    worth = verbs.add_parser("feature-worth", help="which features help a model, by how much, and for whom")
    worth.add_argument("--data", type=Path, help="folder of a data set (default: csv/, and the SYNTHETIC sample where there is none)")
    worth.add_argument("--model", required=True, help="one that takes features, e.g. neumf")
    worth.add_argument("--features", help="names with commas (default: all)")
    worth.add_argument("--minutes", type=float, default=10.0, help="of wall time; what they do not allow is said (default 10)")
    worth.add_argument("--split", default="leave_one_out_random", help="a split by its name; its test part is not touched")
    worth.add_argument("--seed", type=int, default=0, help="of the split and the first model (default 0)")
    worth.add_argument("--seeds", type=int, default=3, help="trainings of each model (default 3; 1 cannot tell worth from luck)")
    worth.add_argument("--k", type=int, default=10, help="cut-off of recall (default 10)")
    worth.add_argument("--json", type=Path, required=True, help="the results; an older file is replaced")
    worth.add_argument("--figure", type=Path, help="a PNG")
    worth.set_defaults(do=_feature_worth, root=root)

    blend = verbs.add_parser("blend", help="weigh the lists of trained runs against one another, and write the blend as a run")
    blend.add_argument("runs", nargs="*", help="names of run folders (default: the newest finished training of every model)")
    blend.add_argument("--data", type=Path, help="folder of a data set (default: csv/, and the SYNTHETIC sample where there is none)")
    blend.add_argument("--runs-dir", type=Path, default=root / "runs", help="where the run folders are (default: runs/)")
    blend.add_argument("--split", default="leave_one_out_random", help="the split that the runs were trained with, by its name")
    blend.add_argument("--seed", type=int, default=7, help="of that split (default 7, as in the notebooks)")
    blend.add_argument("--metric", default="recall@5", help="that chooses the weights (default recall@5)")
    blend.add_argument("--scaling", default="", help="of a user's list: min-max, rank or softmax (default: what is best)")
    blend.set_defaults(do=_blend, root=root)
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


def _compare_submissions(options: argparse.Namespace) -> int:
    from recsys_lib.datasets import read_dataset
    from recsys_lib.runs.overlap import compare_submissions

    print(compare_submissions(options.first, options.second, read_dataset(options.data), [options.runs]))
    return 0


def _leaderboard(options: argparse.Namespace) -> int:
    from recsys_lib.data.files import replacing
    from recsys_lib.runs.leaderboard import FILE, leaderboard_report, read_leaderboard

    log = read_leaderboard(options.runs)
    if not len(log):
        raise FileNotFoundError(f"no submission is logged in {options.runs.name}/{FILE}; log_submission(folder, ...) writes the first")
    report = leaderboard_report(log)
    print(report)
    if options.figure:
        with replacing(options.figure) as part:
            part.write_bytes(report.figure().png())
    return 0


def _feature_worth(options: argparse.Namespace) -> int:
    from recsys_lib.data.files import replacing
    from recsys_lib.studies.feature_worth import feature_worth

    for path in filter(None, (options.json, options.figure)):  # said now, not when all minutes are spent
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name the file to write")
    found = feature_worth(
        options.model,
        _data_or_sample(options.data, options.root / "csv"),
        split=options.split,
        seed=options.seed,
        n_seeds=options.seeds,
        minutes=options.minutes,
        k=options.k,
        features=[name.strip() for name in options.features.split(",")] if options.features else "all",
        say=lambda line: print(line, flush=True),
    )
    found.save(options.json)
    if options.figure and found.can_be_drawn:
        with replacing(options.figure) as part:
            part.write_bytes(found.figure().png())
    columns = ["kind", "feature", "slice", "users", "seeds", "recall", "difference", "low", "high", "p_corrected", "verdict"]
    print("\n" + found.table()[columns].to_string(index=False, float_format="{:.4f}".format) + "\n")
    print("\n".join(found.verdicts()["sentence"]))
    print(f"\n{found.headline()}.")
    return 0


def _blend(options: argparse.Namespace) -> int:
    from recsys_lib.data.splits import make_split
    from recsys_lib.runs.compared import compare_runs, runs_to_compare
    from recsys_lib.studies.blending import blend_runs

    dataset = _data_or_sample(options.data, options.root / "csv")
    split = make_split(options.split, dataset.interactions, seed=options.seed)
    runs = runs_to_compare(options.runs_dir, dataset, split, options.runs)
    found = blend_runs(
        runs, dataset, split, metric=options.metric, runs_dir=options.runs_dir, scaling=options.scaling, seed=options.seed
    )
    print(found.table().to_string(float_format="{:.4f}".format) + f"\n\n{found.sentence()}\n", flush=True)
    comparison = compare_runs([*(run for run in runs if run.model != found.run.model), found.run], dataset, split, metric=options.metric)
    pairs = comparison.differences()
    of_blend = pairs[(pairs["model"] == found.run.model) | (pairs["other"] == found.run.model)]
    columns = ["model", "other", "value", "other_value", "difference", "low", "high", "p", "verdict"]
    print(f"On test. {comparison.caption}\n" + of_blend[columns].to_string(index=False, float_format="{:.4f}".format))
    print(f"\nrun {found.run.name}; to submit it, name it in RUNS of 03_evaluate")
    return 0


def _data_or_sample(given: Path | None, usual: Path):
    """The data set in `given`, else in `usual`, else the sample."""
    from recsys_lib.datasets import read_dataset

    if given is not None or usual.is_dir():
        return read_dataset(given or usual)
    with TemporaryDirectory() as folder:
        empty = Path(folder) / usual.name
        empty.mkdir()
        return read_dataset(empty)


if __name__ == "__main__":
    sys.exit(main())
