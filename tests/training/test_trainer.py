"""One Trainer: resumable to the bit, stops for a reason, keeps the best, survives a small memory and a stop button."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest
import torch

from recsys_lib.data.splits import leave_one_out
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model
from recsys_lib.models.gmf import GMF
from recsys_lib.runs.folder import RunFolder
from recsys_lib.training import trainer as trainer_module
from recsys_lib.training.checkpoints import load_state, load_weights
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer

QUICK = {
    "epochs": 6, "batch_size": 64, "learning_rate": 0.02, "evaluate_every": 1, "plateau_patience": 50, "early_stopping_patience": 50,
    "monitor": "recall@5", "device": "cpu", "tensorboard": False,
}  # fmt: skip


@pytest.fixture
def split(market_log):
    return leave_one_out(market_log, seed=0)


@pytest.fixture
def validate(split):
    return Evaluator(split.validation, seen=split.train, ks=[5]).evaluate


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path, kind="training", model="any", member="mina")


class Scripted:
    """A validation whose figures are given; remembers the weights that it was shown, and may raise instead."""

    def __init__(self, validate, *figures):
        self.validate, self.figures, self.weights = validate, list(figures), []

    def __call__(self, model):
        figure = self.figures[min(len(self.weights), len(self.figures) - 1)]
        if isinstance(figure, BaseException):
            raise figure
        self.weights.append({name: value.clone() for name, value in model.state_dict().items()})
        report = self.validate(model)
        report.values["recall@5"] = np.full(len(report.users), figure, dtype=np.float32)
        return report


class Interrupting:
    """A validation that raises when it is called for the n-th time."""

    def __init__(self, validate, n, error):
        self.validate, self.left, self.error = validate, n, error

    def __call__(self, model):
        self.left -= 1
        if not self.left:
            raise self.error
        return self.validate(model)


def settings(name, **changes):
    return train_config(name, **QUICK | changes)


def same(model, weights) -> bool:
    own = model.state_dict()
    return own.keys() == weights.keys() and all(torch.equal(own[name], weights[name]) for name in own)


def without_seconds(history):
    return history.drop(columns=[name for name in history if name.startswith("seconds")])


# ---- resuming


CASES = {
    "multi_dae": ({"layers": [16], "dropout": 0.5}, {}),
    "neumf": ({"resample_every": 3, "dropout": 0.3, "layers": [16, 8]}, {"evaluate_every": 2, "weight_decay": 1e-4}),
    "gmf": ({"resample_every": 2}, {"plateau_patience": 0, "precision": "float16"}),  # rate and scale of the loss change on the way
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("cut", [1, 2, 3])  # the validation at which the runtime dies
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    name, cut, split, market_catalogue, validate, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(trainer_module, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=2.0**20, growth_interval=3))
    options, changes = CASES[name]
    config = settings(name, epochs=8, **changes)

    def fit(run, validation):
        model = build_model(name, market_catalogue, seed=4, **options)
        return model, Trainer(config, run).fit(model, split.train, validation)

    whole_run, cut_run = (RunFolder.create(tmp_path, kind="training", model=name, member="mina") for _ in range(2))
    whole, record = fit(whole_run, validate)
    with pytest.raises(ConnectionError):
        fit(cut_run, Interrupting(validate, cut, ConnectionError("the runtime is gone")))
    kept_epochs = len(cut_run.history())
    capsys.readouterr()
    resumed, again = fit(RunFolder.open(cut_run.path), validate)

    if kept_epochs:
        assert f"going on from epoch {kept_epochs} of {cut_run.name}" in capsys.readouterr().out
    assert same(resumed, whole.state_dict())
    assert without_seconds(again.history).equals(without_seconds(record.history))
    assert without_seconds(cut_run.history()).equals(without_seconds(whole_run.history()))
    assert (again.best, again.best_epoch, again.epochs) == (record.best, record.best_epoch, record.epochs)
    assert (again.stopped_because, again.verdict) == (record.stopped_because, record.verdict)
    assert again.learning_rates == record.learning_rates
    states = [load_state(run.path / "last.state.pt")["scaler"] for run in (whole_run, cut_run)]
    assert states[0] == states[1] and (name != "gmf" or states[0]["scale"] != 2.0**20)
    assert np.array_equal(again.report.ranked, record.report.ranked)


def test_a_finished_training_that_is_started_again_is_only_read(split, market_catalogue, validate, run):
    models = [build_model("gmf", market_catalogue, seed=seed) for seed in (1, 2)]
    record = Trainer(settings("gmf"), run).fit(models[0], split.train, validate)
    again = Trainer(settings("gmf"), run).fit(models[1], split.train, validate)
    assert same(models[1], models[0].state_dict())
    assert again.history.equals(record.history) and again.stopped_because == record.stopped_because
    assert len((run.path / "history.jsonl").read_text(encoding="utf-8").splitlines()) == 6


@pytest.mark.parametrize(
    "what, name, changes, options, n_users",
    [
        ("model", "mlp", {}, {}, 60),
        ("model_config", "gmf", {}, {"factors": 7}, 60),
        ("train_config", "gmf", {"learning_rate": 0.01}, {}, 60),
        ("train_config", "gmf", {"seed": 1}, {}, 60),
        ("train", "gmf", {}, {}, 59),
    ],
)
def test_the_state_of_another_training_is_refused(what, name, changes, options, n_users, split, market_catalogue, validate, run):
    Trainer(settings("gmf", epochs=1), run).fit(build_model("gmf", market_catalogue, seed=0), split.train, validate)
    files = {path: path.read_bytes() for path in run.path.iterdir()}
    other = build_model(name, market_catalogue, seed=0, **options)
    message = rf"run {run.name} holds a training of another {what}: there .*, here .*use the same files, filters, seed and settings"
    with pytest.raises(ValueError, match=message):
        train = split.train.take(split.train.users < n_users)
        Trainer(settings(name, **{"epochs": 1} | changes), run).fit(other, train, validate)
    assert {path: path.read_bytes() for path in run.path.iterdir()} == files


def test_where_it_runs_is_no_other_training(split, market_catalogue, validate, run):
    for changes in ({"device": "cpu"}, {"device": "auto"}, {"tensorboard": False}):
        if changes["device" if "device" in changes else "tensorboard"] == "auto" and torch.cuda.is_available():
            continue
        Trainer(settings("gmf", epochs=1, **changes), run).fit(build_model("gmf", market_catalogue, seed=0), split.train, validate)
    assert len(run.history()) == 1


def test_in_float16_a_step_whose_gradients_overflow_is_left_out_and_the_scale_falls(split, market_catalogue, validate, monkeypatch):
    model = build_model("multi_dae", market_catalogue, seed=0, layers=[16])
    trainer = Trainer(settings("multi_dae", precision="float16"))
    model.prepare(split.train, trainer._generator(0))
    optimizer = trainer._optimizer(model)
    scale, weights = trainer._scaler.get_scale(), {name: value.clone() for name, value in model.state_dict().items()}
    model.output.weight.register_hook(lambda gradient: gradient * torch.inf)
    batch = next(iter(model.batches(split.train, trainer._generator(1), batch_size=64, epoch=1)))
    trainer._step(model, optimizer, batch)
    assert same(model, weights) and trainer._scaler.get_scale() == scale / 2


def test_in_float16_an_epoch_that_only_overflows_is_an_error(split, market_catalogue, validate, monkeypatch):
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=1e-5))
    model = build_model("multi_dae", market_catalogue, seed=0, layers=[16])
    model.output.weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(ValueError, match="gradients of multi_dae overflow at every step"):
        Trainer(settings("multi_dae", precision="float16", batch_size=5)).fit(model, split.train, validate)


def test_float16_on_a_cpu_is_warned_of():
    with pytest.warns(UserWarning, match="float16 is for GPUs"):
        Trainer(settings("gmf", precision="float16"))


def test_every_epoch_has_its_own_order_and_its_own_dropout(split, market_catalogue, validate, monkeypatch):
    dropped, orders = [], []
    original = GMF.batches

    def spy(self, train, generator, **given):
        dropped.append(torch.rand(3).tolist())  # from the generator that dropout draws from
        batches = list(original(self, train, generator, **given))
        orders.append(torch.cat([batch.users for batch in batches]).tolist())
        return iter(batches)

    monkeypatch.setattr(GMF, "batches", spy)
    for _ in range(2):
        Trainer(settings("gmf", epochs=3)).fit(build_model("gmf", market_catalogue, seed=0), split.train, validate)
    assert dropped[:3] == dropped[3:] and orders[:3] == orders[3:]  # the same in each training
    assert len(set(map(tuple, dropped))) == len(set(map(tuple, orders))) == 3  # and another in each epoch


# ---- when it ends, and what is kept


def test_the_best_epochs_weights_are_in_the_model_and_in_the_file(split, market_catalogue, validate, run):
    scripted = Scripted(validate, 0.1, 0.4, 0.3, 0.4, 0.2, 0.2)
    model = build_model("neumf", market_catalogue, seed=0)
    record = Trainer(settings("neumf"), run).fit(model, split.train, scripted)
    assert (record.best_epoch, record.epochs) == (2, 6) and record.best == pytest.approx(0.4)
    assert record.stopped_because == "all 6 epochs done" and not model.training
    assert same(model, scripted.weights[1]) and not same(model, scripted.weights[5])
    assert record.report.mean("recall@5") == pytest.approx(0.4)
    other = build_model("neumf", market_catalogue, seed=1)
    load_weights(run.path / "best.safetensors", other)
    assert same(other, scripted.weights[1])
    load_weights(run.path / "last.safetensors", other)
    assert same(other, scripted.weights[5])


def test_early_stopping_counts_evaluations(split, market_catalogue, validate):
    config = settings("gmf", epochs=50, evaluate_every=2, early_stopping_patience=3)
    record = Trainer(config).fit(build_model("gmf", market_catalogue, seed=0), split.train, Scripted(validate, 0.1, 0.3, 0.2))
    assert (record.best_epoch, record.epochs) == (4, 4 + 3 * 2)
    assert record.stopped_because == "early stopping: no better evaluation in 3 since epoch 4"
    assert record.learning_rates == [0.02] * 4


def test_the_learning_rate_falls_on_a_plateau_and_the_floor_ends_it(split, market_catalogue, validate, capsys):
    config = settings("gmf", epochs=50, plateau_patience=0, plateau_factor=0.5, min_learning_rate=0.004)
    record = Trainer(config).fit(build_model("gmf", market_catalogue, seed=0), split.train, Scripted(validate, 0.3, 0.1))
    assert record.history["learning_rate"].tolist() == [0.02, 0.02, 0.01, 0.005]
    assert record.stopped_because == "learning rate at its floor: the plateau asks for 2.5e-03, the floor is 4.0e-03"
    assert f"gmf: {record.stopped_because}; best recall@5 0.3000 in epoch 1" in capsys.readouterr().out


def test_a_learning_rate_that_fell_is_the_one_that_is_used(split, market_catalogue, validate, monkeypatch):
    used = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self, *given: used.append(self.param_groups[0]["lr"]) or step(self, *given))
    config = settings("gmf", epochs=3, plateau_patience=0, batch_size=10_000)
    Trainer(config).fit(build_model("gmf", market_catalogue, seed=0), split.train, Scripted(validate, 0.3, 0.1))
    assert used == [0.02, 0.02, 0.01]


def test_it_looks_every_so_many_epochs_and_at_the_last_one(split, market_catalogue, validate):
    config = settings("multi_dae", epochs=7, evaluate_every=3)
    record = Trainer(config).fit(build_model("multi_dae", market_catalogue, seed=0), split.train, validate)
    evaluated = record.history.dropna(subset=["recall@5"])["epoch"].tolist()
    assert evaluated == [3, 6, 7]
    assert (record.history["seconds_evaluation"] > 0).tolist() == [epoch in evaluated for epoch in range(1, 8)]


def test_it_does_not_look_while_the_loss_is_high(split, market_catalogue, validate):
    def history(**changes):
        return Trainer(settings("gmf", epochs=5, **changes)).fit(build_model("gmf", market_catalogue, seed=0), split.train, validate).history

    losses = history()["loss"].tolist()
    bar = (losses[1] + losses[2]) / 2
    assert losses[1] > bar > losses[2]  # it falls, so the bar lies after epoch 2
    evaluated = history(evaluate_below_loss=bar).dropna(subset=["recall@5"])["epoch"].tolist()
    assert evaluated == [number for number, loss in enumerate(losses, 1) if loss <= bar or number == 5] and 1 not in evaluated
    assert history(evaluate_below_loss=1e-9).dropna(subset=["recall@5"])["epoch"].tolist() == [5]  # the last one always


def test_the_stop_button_keeps_the_best(split, market_catalogue, validate, run):
    scripted = Scripted(validate, 0.1, 0.4, 0.2, KeyboardInterrupt())
    model = build_model("gmf", market_catalogue, seed=0)
    record = Trainer(settings("gmf", epochs=50), run).fit(model, split.train, scripted)
    assert record.stopped_because == "stopped by hand after epoch 3"
    assert record.best_epoch == 2 and same(model, scripted.weights[1])
    assert (run.path / "best.safetensors").is_file()


def test_the_stop_button_before_any_evaluation_stops_everything(split, market_catalogue, validate):
    with pytest.raises(KeyboardInterrupt):
        Trainer(settings("gmf")).fit(build_model("gmf", market_catalogue, seed=0), split.train, Scripted(validate, KeyboardInterrupt()))


def test_a_loss_that_is_not_finite_is_an_error_that_says_what_to_try(split, market_catalogue, validate, monkeypatch):
    monkeypatch.setattr(GMF, "loss", lambda self, batch: (self.output.bias.sum() * math.nan, 1))
    with pytest.raises(ValueError, match="the loss became nan in epoch 1; try a learning rate below 0.02"):
        Trainer(settings("gmf")).fit(build_model("gmf", market_catalogue, seed=0), split.train, validate)


def test_a_training_that_diverges_later_keeps_its_best(split, market_catalogue, validate, monkeypatch, run):
    original, epoch = GMF.loss, [0]
    monkeypatch.setattr(GMF, "on_epoch_start", lambda self, number: epoch.__setitem__(0, number))
    monkeypatch.setattr(GMF, "loss", lambda self, batch: (original(self, batch)[0] * (math.nan if epoch[0] == 4 else 1), 1))
    scripted = Scripted(validate, 0.1, 0.3, 0.2)
    model = build_model("gmf", market_catalogue, seed=0)
    record = Trainer(settings("gmf"), run).fit(model, split.train, scripted)
    assert record.stopped_because == "the loss became nan in epoch 4; try a learning rate below 0.02"
    assert (record.best_epoch, record.epochs) == (2, 3) and same(model, scripted.weights[1])


@pytest.mark.parametrize("monitor", ["recall@7"])
def test_a_monitor_that_is_not_measured_is_refused_with_those_that_are(monitor, split, market_catalogue, validate):
    for name in ("gmf", "ease"):
        with pytest.raises(ValueError, match=f"{monitor}.*there are recall@5"):
            Trainer(settings(name, monitor=monitor)).fit(build_model(name, market_catalogue, seed=0), split.train, validate)


# ---- memory


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name, options", [("gmf", {}), ("multi_dae", {"dropout": 0.0, "layers": [16]}), ("neumf", {})])
def test_short_of_memory_a_batch_is_worked_off_in_parts_to_the_same_weights(
    name, options, precision, split, market_catalogue, validate, monkeypatch, capsys
):
    def fit():
        model = build_model(name, market_catalogue, seed=0, **options)
        trainer = Trainer(settings(name, epochs=3, batch_size=200, learning_rate=1e-3, precision=precision))
        record = trainer.fit(model, split.train, validate)
        assert precision == "float32" or trainer._scaler.get_scale() == 2.0**16  # no step overflowed
        return model.state_dict(), record.history["loss"].to_numpy()

    weights, losses = fit()
    assert "out of memory" not in capsys.readouterr().out
    kind = type(build_model(name, market_catalogue, seed=0))
    original, largest = kind.loss, 60 if name == "multi_dae" else 40
    sizes = []

    def short_of_memory(self, batch):
        size = len(batch.history) if name == "multi_dae" else len(batch.users)
        if size > largest // 3:
            raise torch.OutOfMemoryError("pretended")
        sizes.append(size)
        return original(self, batch)

    monkeypatch.setattr(kind, "loss", short_of_memory)
    in_parts, losses_in_parts = fit()
    assert sizes and max(sizes) <= largest // 3
    said = capsys.readouterr().out
    assert "out of memory: a batch is now worked off in 2 parts; the effective batch stays the same" in said
    assert "worked off in 4 parts" in said and "worked off in 8 parts" not in said
    assert losses_in_parts == pytest.approx(losses, rel=1e-5 if precision == "float32" else 1e-2)
    for key, value in weights.items():
        # Adam divides by the gradient's size, so a gradient of about zero may step either way by its rounding
        near = {"rtol": 1e-3, "atol": 1e-4} if precision == "float32" else {"rtol": 1e-2, "atol": 1e-2}
        assert torch.allclose(in_parts[key], value, **near), key


def test_memory_that_is_short_for_a_single_row_is_an_error(split, market_catalogue, validate, monkeypatch):
    def never(self, batch):
        raise torch.OutOfMemoryError("pretended")

    monkeypatch.setattr(GMF, "loss", never)
    with pytest.raises(torch.OutOfMemoryError):
        Trainer(settings("gmf")).fit(build_model("gmf", market_catalogue, seed=0), split.train, validate)


# ---- what is written and said


def test_history_has_a_line_an_epoch(split, market_catalogue, validate, run):
    model = build_model("gmf", market_catalogue, seed=0, resample_every=2)
    record = Trainer(settings("gmf", epochs=5, evaluate_every=2), run).fit(model, split.train, validate)
    lines = [json.loads(line) for line in (run.path / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    always = {"epoch", "loss", "learning_rate", "negatives_resampled", "seconds_training", "seconds_evaluation"}
    metrics = {f"{metric}@5" for metric in ("recall", "truncated_recall", "ndcg", "hit_rate", "mrr", "map")}
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert [set(line) for line in lines] == [always | (metrics if epoch in (2, 4, 5) else set()) for epoch in range(1, 6)]
    assert [line["negatives_resampled"] for line in lines] == [True, False, True, False, True]
    assert without_seconds(run.history())[sorted(always - {"seconds_training", "seconds_evaluation"})].equals(
        without_seconds(record.history)[sorted(always - {"seconds_training", "seconds_evaluation"})]
    )
    assert record.seconds_training == pytest.approx(sum(line["seconds_training"] for line in lines))


def test_the_event_files_go_below_the_run(split, market_catalogue, validate, run):
    pytest.importorskip("tensorboard")
    Trainer(settings("gmf", epochs=1, tensorboard=True), run).fit(build_model("gmf", market_catalogue, seed=0), split.train, validate)
    assert list((run.path / "tensorboard").glob("events*"))


def test_without_a_run_nothing_is_written(split, market_catalogue, validate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Trainer(settings("gmf", tensorboard=True)).fit(build_model("gmf", market_catalogue, seed=0), split.train, validate)
    assert not list(tmp_path.iterdir())


def test_a_closed_form_has_one_row_and_no_epochs(split, market_catalogue, validate, run):
    model = build_model("ease", market_catalogue, seed=0)
    record = Trainer(settings("ease"), run).fit(model, split.train, validate)
    assert (record.epochs, record.best_epoch, record.learning_rates) == (0, 0, [])
    assert record.best == record.report.mean("recall@5") == validate(model).mean("recall@5")
    assert record.stopped_because == "closed form: nothing to iterate" and "closed form" in record.verdict
    assert run.history()["recall@5"].tolist() == [record.best] and run.history()["epoch"].tolist() == [0]
    assert not (run.path / "best.safetensors").exists()
    assert set(record.summary()) == {
        "epochs", "best_epoch", "monitor", "best", "stopped_because", "verdict", "seconds_training", "seconds_evaluation"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["ease", "gmf"])
def test_the_model_remembers_what_it_was_trained_on(name, split, market_catalogue, validate):
    model = build_model(name, market_catalogue, seed=0)
    Trainer(settings(name, epochs=1)).fit(model, split.train, validate)
    assert np.array_equal(model.trained_on, split.train.pair_keys)


# ---- the same again, on other rows


def test_repeat_is_the_same_training_without_validation(split, market_catalogue, validate):
    config = settings("neumf", epochs=4, plateau_patience=0)
    last = Scripted(validate, 0.1, 0.05, 0.02, 0.2)  # the last epoch is the best, after a fall of the rate
    model = build_model("neumf", market_catalogue, seed=0, dropout=0.2)
    record = Trainer(config).fit(model, split.train, last)
    assert record.learning_rates == [0.02, 0.02, 0.01, 0.005]
    again = build_model("neumf", market_catalogue, seed=0, dropout=0.2)
    torch_before = torch.get_rng_state()
    Trainer(config).repeat(again, split.train, record.learning_rates)
    assert same(again, model.state_dict()) and not again.training
    assert torch.equal(torch.get_rng_state(), torch_before)
    constant = build_model("neumf", market_catalogue, seed=0, dropout=0.2)
    Trainer(config).repeat(constant, split.train, [0.02] * 4)
    assert not same(constant, model.state_dict())  # the rates are really used


def test_repeat_trains_on_the_rows_given(market_log, market_catalogue):
    model = build_model("multi_dae", market_catalogue, seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Trainer(settings("multi_dae")).repeat(model, market_log, [0.01])
    assert np.array_equal(model.trained_on, market_log.pair_keys) and not same(model, before)


# ---- devices


def test_a_gpu_that_is_not_there_is_an_error_with_the_next_step(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device 'cuda' was asked for and torch sees no GPU; on Colab: Runtime > Change runtime type"):
        Trainer(settings("gmf", device="cuda"))
    assert Trainer(settings("gmf", device="auto")).device == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", ["multi_dae", "neumf", "ease", "user_knn"])
def test_on_a_gpu_it_learns_and_the_cpu_agrees_about_its_weights(name, split, market_catalogue, validate, tmp_path):
    run = RunFolder.create(tmp_path, kind="training", model=name, member="mina")
    before = torch.cuda.get_rng_state()
    model = build_model(name, market_catalogue, seed=0)
    record = Trainer(settings(name, epochs=30, device="cuda"), run).fit(model, split.train, validate)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert model.device.type == "cuda" and record.best > 0.4

    on_cpu = build_model(name, market_catalogue, seed=0)
    Trainer(settings(name)).repeat(on_cpu, split.train, [])
    if on_cpu.needs_training:
        load_weights(run.path / "best.safetensors", on_cpu)
    report = validate(on_cpu)
    assert report.scores == pytest.approx(record.report.scores, rel=1e-3, abs=1e-4)
    assert report.mean("recall@5") == pytest.approx(record.best, abs=1.5 / len(report.users))  # ties may fall otherwise
