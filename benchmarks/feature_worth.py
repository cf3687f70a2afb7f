"""Does feature_worth find what is planted, and leave alone what is noise?

The sample with strong signals (datasets.sample.strong_signals) is drawn under seeds 0..N-1, and each draw has its own split,
weights and deals. A planted feature is found where retraining shows that it helps somebody, or permutation that it is
relied on; either of a noise feature is a false alarm. A noise feature that "hurts" is counted apart: a network may well be better off without it.
Every study goes into the JSON file at once, so that a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch

from recsys_lib.data.files import write_text
from recsys_lib.datasets import read_dataset
from recsys_lib.datasets.sample import STRONG_NOISE, STRONG_PLANTED, sample_fingerprint, strong_signals, write_sample
from recsys_lib.studies.feature_worth import feature_worth
from recsys_lib.studies.findings import HELPS, HURTS, RELIED_ON, RETRAINING

# Small tables and little patience: histories of two or three rows are soon learned by heart.
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "neumf": {
        "model_options": {"factors": 8, "embedding_size": 8, "layers": [32, 16], "dropout": 0.2},
        "train_options": {
            "batch_size": 1024,
            "learning_rate": 5e-3,
            "epochs": 40,
            "evaluate_every": 2,
            "early_stopping_patience": 5,
            "plateau_patience": 3,
        },
    }
}


def run_feature_worth(model: str, n_seeds: int, minutes: float, file: Path) -> pd.DataFrame:
    """Run the seeds that the file does not hold yet; write the file and its table; return the table.

    Raises:
        ValueError: the file holds something else, or the model takes no features.
    """
    if n_seeds < 1:
        raise ValueError(f"--seeds must be 1 or more; got {n_seeds}")
    results = _kept(file)
    for seed in range(n_seeds):
        config = strong_signals(seed)
        key = {"model": model, "seed": seed, "minutes": minutes, "sample": sample_fingerprint(config), **OPTIONS.get(model, {})}
        if any(result["key"] == key for result in results):
            continue
        with TemporaryDirectory() as folder:
            dataset = read_dataset(write_sample(Path(folder) / "csv", config))
        print(f"{model} · seed {seed} · {minutes:g} minutes", flush=True)
        say = lambda line: print(f"    {line}", flush=True)  # noqa: E731
        found = feature_worth(model, dataset, seed=seed, minutes=minutes, say=say, **OPTIONS.get(model, {}))
        table = found.table()
        alarms = table[table["verdict"].isin([HELPS, HURTS, RELIED_ON])][
            ["feature", "kind", "slice", "verdict", "difference", "p_corrected"]
        ]
        results.append(
            {
                "key": key,
                "verdicts": found.verdicts().set_index("feature")["verdict"].to_dict(),
                "retrained": sorted(
                    table.loc[(table["kind"] == RETRAINING) & (table["verdict"] != "not judged"), "feature"].unique()
                ),
                "shown": alarms.to_dict("records"),
                "left_out": list(found.left_out),
                "seconds": found.about["seconds"],
                "trainings": found.about["trainings"],
                "machine": {"python": platform.python_version(), "torch": torch.__version__},
            }
        )
        write_text(file, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        print(f"    {found.headline()}", flush=True)
    table = summary(results)
    write_text(file.with_suffix(".md"), markdown(results))
    print("\n" + markdown(results))
    return table


def summary(results: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a model and feature, and "any noise feature": in how many studies.

    Columns: model, feature, planted, studies, retrained, found (either of the next two), helps (by retraining), relied on (by
    permutation), hurts (by retraining).
    """
    rows = []
    for model in dict.fromkeys(result["key"]["model"] for result in results):
        of_model = [result for result in results if result["key"]["model"] == model]
        for name, members in [*((name, {name}) for name in STRONG_PLANTED), ("any noise feature", set(STRONG_NOISE))]:
            shown = [{row["verdict"] for row in result["shown"] if row["feature"] in members} for result in of_model]
            rows.append(
                {
                    "model": model,
                    "feature": name,
                    "planted": name in STRONG_PLANTED,
                    "studies": len(of_model),
                    "retrained": sum(bool(members & set(result["retrained"])) for result in of_model),
                    "found": sum(bool(of_study & {HELPS, RELIED_ON}) for of_study in shown),
                    HELPS: sum(HELPS in of_study for of_study in shown),
                    RELIED_ON: sum(RELIED_ON in of_study for of_study in shown),
                    HURTS: sum(HURTS in of_study for of_study in shown),
                }
            )
    return pd.DataFrame(rows)


def markdown(results: list[dict[str, Any]]) -> str:
    """The table, under what it rests on."""
    minutes = sorted({result["key"]["minutes"] for result in results})
    table = summary(results).drop(columns="planted")
    lines = [
        f"SYNTHETIC sample with strong signals, another draw a seed; {' or '.join(f'{m:g}' for m in minutes)} minutes a study; "
        "in how many studies. Level .05 for the whole of a kind's tests of single features.",
        "",
        "| " + " | ".join(table.columns) + " |",
        "|" + "---|" * len(table.columns),
    ]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False, name=None)]
    return "\n".join(lines) + "\n"


def _kept(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        for result in results:
            result["key"]["model"], result["shown"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file.name} does not hold results of this benchmark ({error!r}); give another --json") from error
    return results
