"""A recommender lab for a small team: data, models, evaluation, training, runs, EDA.

The names below are the public ones; each is imported when it is first used, so that `import recsys_lib` prints, reads
and seeds nothing, and leaves torch alone until it is needed.
"""

from importlib import import_module

_HOMES = {
    "Catalogue": "data.catalogue",
    "Dataset": "datasets.base",
    "Evaluator": "evaluation.evaluator",
    "FoldReport": "evaluation.folds",
    "Gallery": "eda.gallery",
    "Interactions": "data.interactions",
    "RunFolder": "runs.folder",
    "Split": "data.splits",
    "Trainer": "training.trainer",
    "blend_runs": "studies.blending",
    "board_of": "runs.leaderboard",
    "build_model": "models",
    "check_submission": "runs.submission",
    "cold_start": "data.splits",
    "compare": "evaluation.compare",
    "compare_runs": "runs.compared",
    "compare_submissions": "runs.overlap",
    "contest_split": "data.splits",
    "cut_offs": "evaluation.evaluator",
    "explain": "evaluation.explain",
    "feature_worth": "studies.feature_worth",
    "finish_evaluation": "runs.compared",
    "finish_training": "runs.trained",
    "fit_recall": "evaluation.evaluator",
    "fraction_split": "data.splits",
    "host_metric": "runs.submission",
    "k_fold": "data.splits",
    "item_names": "datasets.base",
    "keep_evaluation": "runs.compared",
    "leave_k_out": "data.splits",
    "leaderboard_report": "runs.leaderboard",
    "leave_one_out": "data.splits",
    "load_model": "runs.trained",
    "log_scores": "runs.leaderboard",
    "log_submission": "runs.leaderboard",
    "make_split": "data.splits",
    "model_names": "models",
    "model_options": "models",
    "open_training": "runs.resuming",
    "read_dataset": "datasets",
    "read_leaderboard": "runs.leaderboard",
    "recommend": "evaluation.ranking",
    "refit": "runs.trained",
    "runs_to_compare": "runs.compared",
    "sample_candidates": "data.candidates",
    "template_of": "datasets.base",
    "temporal_holdout": "data.splits",
    "submission_file": "runs.overlap",
    "train_config": "training.config",
    "train_options": "training.config",
    "train_run": "runs.training_form",
    "training_form": "runs.training_form",
    "user_explorer": "runs.user_explorer",
    "user_holdout": "data.splits",
    "write_submission": "runs.submission",
}
__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'recsys_lib' has no attribute {name!r}; public: {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(f"recsys_lib.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
