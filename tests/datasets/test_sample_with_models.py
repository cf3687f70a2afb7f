"""The sample behaves as the contest's data did, measured with the library's own models (section by section in sample.py).

One random application a résumé is held out, models are fitted on all other rows, the full catalogue is ranked.
"""

import pytest

from recsys_lib import Evaluator, Trainer, build_model, leave_one_out, read_dataset, train_config
from recsys_lib.datasets.sample import write_sample


@pytest.fixture(scope="module")
def recall(tmp_path_factory):
    dataset = read_dataset(write_sample(tmp_path_factory.mktemp("data") / "sample"))
    split = leave_one_out(dataset.interactions, held_out="random", seed=2)
    known = split.known_before_test
    evaluate = Evaluator(split.test, seen=known, ks=[5, 20]).evaluate
    found = {}
    for name, options, epochs in (("popularity", {}, 0), ("user_knn", {"k": 0}, 0), ("ease", {}, 0), ("multi_dae", {}, 12)):
        model = build_model(name, dataset.catalogue, seed=0, **options)
        Trainer(train_config(name)).repeat(model, known, [1e-3] * epochs)
        report = evaluate(model)
        found[name] = report.mean("recall@5"), report.mean("recall@20")
    return found


@pytest.mark.slow
def test_popularity_is_weak_and_collaborative_filtering_strong(recall):
    assert 0.003 <= recall["popularity"][0] <= 0.015
    for name in ("user_knn", "ease"):
        assert 0.10 <= recall[name][0] <= 0.16 and 0.23 <= recall[name][1] <= 0.33


@pytest.mark.slow
def test_an_autoencoder_stays_within_a_tenth_of_collaborative_filtering(recall):
    assert recall["multi_dae"][0] == pytest.approx(recall["user_knn"][0], rel=0.10)
