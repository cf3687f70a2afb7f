"""What the library reaches, measured.

    python -m benchmarks quality --data DIR --protocol NAME --models a,b --seeds N --json FILE
    python -m benchmarks speed [evaluation training loading sequences scaling] --size S,M,L --json FILE [--peers]
    python -m benchmarks eda --size S,M,L --json FILE
    python -m benchmarks side-information --data DIR --models a,b --seeds N --json FILE
    python -m benchmarks popularity --data DIR --models a,b --powers 0,0.25,0.5,1 --json FILE
    python -m benchmarks contest-validation --contests N --json FILE [--data DIR]
    python -m benchmarks feature-worth --model NAME --seeds N --minutes N --json FILE
    python -m benchmarks readme
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.contest_validation import MODELS, run_contest_validation
from benchmarks.eda import run_eda
from benchmarks.feature_worth import run_feature_worth
from benchmarks.line_up import run_line_up
from benchmarks.popularity import run_popularity
from benchmarks.quality import FITS, Experiment, run_quality
from benchmarks.readme import update_pages
from benchmarks.side_information import run_side_information
from benchmarks.speed import GROUPS, Request, run_speed


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
        help="a split by its name (fraction, leave_one_out_last, leave_10_out_random, contest_10_random, temporal, temporal_per_user, user_holdout); "
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
    speed = verbs.add_parser("speed", help="seconds and memory beside the notes' way, plain code and what the machine allows")
    speed.add_argument(
        "groups",
        nargs="*",
        metavar="GROUP",
        help=f"of {', '.join(GROUPS)}; none means the first three. Scaling curves have a file of their own: "
        "--json itself where nothing else is asked, else NAME-scaling.json beside it",
    )
    speed.add_argument("--size", default="S", help="of the synthetic data: S, M or L, or several with commas (default S)")
    speed.add_argument("--repeats", type=int, default=5, help="rounds of which the medians are taken (default 5; long rows take 3)")
    speed.add_argument("--peers", action="store_true", help="RecTools and implicit too, in an environment that is made for them")
    speed.add_argument("--json", type=Path, required=True, help="the rows; those that are measured again are replaced")
    speed.set_defaults(
        do=lambda options: run_speed(Request.of(options.groups, options.size, options.repeats, options.peers), options.json)
    )
    eda = verbs.add_parser("eda", help="seconds and memory of the whole EDA, from files to pictures, and of showing it again")
    eda.add_argument("--size", default="S", help="of the synthetic data: S, M or L, or several with commas (default S)")
    eda.add_argument("--json", type=Path, required=True, help="the rows; an older file is replaced")
    eda.set_defaults(do=lambda options: run_eda(options.size.split(","), options.json))
    side = verbs.add_parser("side-information", help="models plain, with features of items, of users and of both; known ones and newcomers")
    side.add_argument("--data", type=Path, required=True, help="folder of a data set; an empty one gives the SYNTHETIC sample")
    side.add_argument("--models", required=True, help="names that take features, with options as in quality: 'neumf,ease:regularisation=1000'")
    side.add_argument("--seeds", type=int, default=3, help="seeds 0..N-1, of the splits, the weights and the training")
    side.add_argument("--protocol", default="fraction", help="a split by its name (default fraction)")
    side.add_argument("--metric", default="ndcg@10", help="chooses the epoch on validation and leads the table")
    side.add_argument("--json", type=Path, required=True, help="the results; what is in it already is not run again")
    side.set_defaults(
        do=lambda options: run_side_information(
            options.data, options.models, options.seeds, options.json, protocol=options.protocol, metric=options.metric
        )
    )
    popularity = verbs.add_parser("popularity", help="popularity divided out of losses and scores: coverage, novelty, recall by popularity")
    popularity.add_argument("--data", type=Path, required=True, help="folder of a data set; an empty one gives the SYNTHETIC sample")
    popularity.add_argument("--models", required=True, help="names with options as in quality: 'multi_dae,ease:regularisation=1000'")
    popularity.add_argument("--powers", default="0,0.25,0.5,1", help="of popularity, in [0, 1]; 0 is always measured (default 0,0.25,0.5,1)")
    popularity.add_argument("--seeds", type=int, default=1, help="seeds 0..N-1, of the splits, the weights and the training (default 1)")
    popularity.add_argument("--protocol", default="fraction", help="a split by its name (default fraction)")
    popularity.add_argument("--metric", default="ndcg@10", help="chooses the epoch on validation and leads the table")
    popularity.add_argument("--json", type=Path, required=True, help="the results; what is in it already is not run again")
    popularity.set_defaults(
        do=lambda options: run_popularity(
            options.data,
            options.models,
            options.powers,
            options.seeds,
            options.json,
            protocol=options.protocol,
            metric=options.metric,
        )
    )
    worth = verbs.add_parser("feature-worth", help="are planted features found, and noise left alone? On the sample with strong signals")
    worth.add_argument("--model", default="neumf", help="one that takes features (default neumf)")
    worth.add_argument("--seeds", type=int, default=10, help="seeds 0..N-1, another sample each (default 10)")
    worth.add_argument("--minutes", type=float, default=2.0, help="of each study (default 2)")
    worth.add_argument("--json", type=Path, required=True, help="the results; what is in it already is not run again")
    worth.set_defaults(do=lambda options: run_feature_worth(options.model, options.seeds, options.minutes, options.json))
    contest = verbs.add_parser("contest-validation", help="how far each split's estimate lies from the hidden score of drawn contests")
    contest.add_argument("--data", type=Path, help="folder of a data set with timestamps (default: a SYNTHETIC log in which tastes drift)")
    contest.add_argument("--contests", type=int, default=20, help="contests 0..N-1, each with a hidden rule and size of its own (default 20)")
    contest.add_argument("--models", default=MODELS, help="names with options as in quality; two or more, among which validation chooses")
    contest.add_argument("--json", type=Path, required=True, help="the results; what is in it already is not run again")
    contest.set_defaults(do=lambda options: run_contest_validation(options.data, options.models, options.contests, options.json))
    line_up = verbs.add_parser("line-up", help="several models and their blend on one split: quality, cost, who is better")
    line_up.add_argument("--data", type=Path, required=True, help="folder of a data set; an empty one gives the SYNTHETIC sample")
    line_up.add_argument("--models", required=True, help="names with options as in quality; the first is what the others are held against")
    line_up.add_argument("--seeds", type=int, default=1, help="seeds 0..N-1, of the splits, the weights and the training (default 1)")
    line_up.add_argument("--protocol", default="fraction", help="a split by its name (default fraction)")
    line_up.add_argument("--metric", default="ndcg@10", help="chooses epochs and weights on validation and leads the table")
    line_up.add_argument("--runs", type=Path, required=True, help="folder for the run folders; what is trained there is taken again")
    line_up.add_argument("--json", type=Path, required=True, help="the results; what is in it already is not run again")
    line_up.set_defaults(
        do=lambda options: run_line_up(
            options.data,
            options.models,
            options.seeds,
            options.runs,
            options.json,
            protocol=options.protocol,
            metric=options.metric,
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
        print("\nstopped; what was finished is in the file", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
