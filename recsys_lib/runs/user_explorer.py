"""What one user chose, what a model recommends, and who is like that user: typed in, looked at."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.datasets.base import Dataset, item_names
from recsys_lib.display.widgets import N_EXAMPLES, explorer
from recsys_lib.evaluation.explain import Explanation, explain
from recsys_lib.models.base import Recommender

N_HISTORY = 20  # rows shown of a history that may have thousands
_FORMATS = {"score": "{:.4g}", "cosine": "{:.3f}", "chosen_by": "{:,}", "timestamp": "{:%Y-%m-%d}"}
_LOOK = [
    {"selector": "caption", "props": "caption-side: top; text-align: left; font-weight: bold; padding: 10px 0 4px 0; white-space: nowrap"},
    {"selector": "th", "props": "text-align: left; vertical-align: bottom"},
    {"selector": "td", "props": "text-align: left; vertical-align: top; white-space: normal; max-width: 480px; overflow-wrap: anywhere"},
]


def user_explorer(model: Recommender, dataset: Dataset, k: int) -> None:
    """A field for a user id; shows the history, the k recommendations with their reasons, and the nearest users.

    Nothing is drawn in a batch; explain() and explanation_tables() give the same without clicks.

    Args:
        model: fitted on dataset.interactions, as the one that wrote the submission: its lists are the file's.
    """
    names = item_names(dataset)

    def show(user: str) -> None:
        from IPython.display import HTML, display

        found = explain(model, dataset.interactions, user, k, item_names=names)
        if found.about:
            display(HTML(_about(found)))
        display(*explanation_tables(found))

    explorer(
        example_users(dataset.interactions, dataset.catalogue.users),
        show,
        title=f"What {model.name} recommends to a user, and why · {model.name} 모델이 추천하는 이유",
        instead="explain(model, dataset.interactions, user, K)",
    )


def explanation_tables(explanation: Explanation) -> list[Styler]:
    """History (the first 20 rows), recommendations, nearest users; each with a caption in English and Korean."""
    n_chosen, user = len(explanation.history), explanation.user_id
    part = f", the first {N_HISTORY} · 처음 {N_HISTORY}개" if n_chosen > N_HISTORY else ""
    nearest = f"Users most like {user}, and what they chose of the list · 가장 비슷한 사용자와 그들이 선택한 추천 아이템"
    return [
        _styled(explanation.history.head(N_HISTORY), f"What {user} chose: {n_chosen:,} · {user} 사용자가 선택한 아이템 {n_chosen:,}개{part}"),
        _styled(explanation.recommendations, f"Recommended to {user} · {user} 사용자에게 추천하는 아이템"),
        _styled(explanation.nearest_users, nearest),
    ]


def example_users(interactions: Interactions, users: IdMap) -> list[Any]:
    """20 external ids from the most active user to the least: a model is not equally good at both."""
    order = np.argsort(-interactions.user_counts, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(N_EXAMPLES, len(order))).round().astype(int))
    return list(users.ids_of(order[places]))


def _styled(frame: pd.DataFrame, caption: str) -> Styler:
    formats = {name: how for name, how in _FORMATS.items() if name in frame}
    return frame.style.format(formats, escape="html").set_caption(caption).set_table_styles(_LOOK).hide(axis="index")


def _about(explanation: Explanation) -> str:
    return f"<b>{html.escape(str(explanation.user_id))}</b> {html.escape(explanation.about)}"
