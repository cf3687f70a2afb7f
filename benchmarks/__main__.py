"""python -m benchmarks quality --data DIR --protocol NAME --models a,b --seeds N --json FILE | readme"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.quality import FITS, Experiment, run_quality
from benchmarks.readme import update_pages


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 well, 2 wrong arguments or data."""
    for stream in (sys.stdout, sys.stderr):  # a console of Windows shows ? for a letter that it lacks
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the library reaches, measured.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    quality = verbs.add_parser("quality", help="models under one protocol: every metric, mean and deviation, a table and a figure")
    quality.add_argument("--data", type=Path, required=True, help="folder of a data set; an empty one gives the SYNTHETIC sample")
    quality.add_argument(
        "--protocol",
        default="fraction",
        help="a split by its name (fraction, leave_one_out_last, leave_10_out_random, temporal, temporal_per_user, user_holdout); "
        "k_fold (five folds a seed); published (the data set's own split, with its candidates); "
        "NAME+99 ranks among 99 sampled candidates",
    )
    quality.add_argument(
        "--models",
        required=True,
        help="names, with options where they are not the defaults: 'ease:regularisation=1000,user_knn:k=0,neumf:layers=[64,32]'",
    )
    quality.add_argument("--seeds", type=int, default=1, help="seeds 0..N-1, of the split, the weights and the training")
    quality.add_argument(
        "--fit",
        default="train",
        help=f"rows that the model judged on test was fitted on: {' or '.join(FITS)}, or both with a comma; "
        "options and epochs are chosen on train and validation in either case",
    )
    quality.add_argument("--metric", default="ndcg@10", help="chooses the epoch on validation and leads the table")
    quality.add_argument("--json", type=Path, required=True, help="the results; what is in it already is not run again")
    quality.set_defaults(
        do=lambda options: run_quality(
            Experiment.of(options.protocol, options.models, options.seeds, options.fit, options.metric), options.data, options.json
        )
    )
    readme = verbs.add_parser("readme", help="put the tables of benchmarks/results into the README pages")
    readme.set_defaults(do=lambda _: update_pages())
    options = parser.parse_args(arguments)
    try:
        options.do(options)
    except (ValueError, FileNotFoundError, NotADirectoryError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; what was finished is in the file, and the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
