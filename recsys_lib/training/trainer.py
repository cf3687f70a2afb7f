"""One loop for every model: feed, learn, look at validation, remember the best, stop in time, and be resumable.

The Trainer is handed `validate` and never holds the test part. Everything random in an epoch comes from (seed, epoch),
so a training that was cut off goes on to the same weights; the global generators are left as they were.
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch

from recsys_lib.data.interactions import Interactions
from recsys_lib.display.progress import progress
from recsys_lib.evaluation.evaluator import Report, fit_recall
from recsys_lib.models.base import Batch, Recommender
from recsys_lib.training.checkpoints import load_state, save_state, save_weights
from recsys_lib.training.config import TrainConfig
from recsys_lib.training.schedules import Plateau
from recsys_lib.training.verdict import overfit_verdict


_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
SECONDS_BETWEEN_CHECKPOINTS = 10.0  # what a killed runtime may lose; writing after each short epoch would cost as much as it


class Run(Protocol):
    """Where a training leaves its files; runs.folder.RunFolder is one."""

    path: Path

    def append_history(self, row: dict[str, Any]) -> None: ...

    def checkpointed(self) -> None: ...


@dataclass(frozen=True)
class TrainRecord:
    """How a training went.

    Attributes:
        epochs: run through. best_epoch: whose weights the model has now (0 for a closed form).
        monitor, best: the metric that chose, and its value. report: the best epoch's whole Report on validation.
        stopped_because: in words. verdict: learned or learned by heart, in words.
        seconds_training, seconds_evaluation: apart.
        history: a row an epoch. learning_rates: of epochs 1..best_epoch, for refit.
    """

    epochs: int
    best_epoch: int
    monitor: str
    best: float
    report: Report
    stopped_because: str
    verdict: str
    seconds_training: float
    seconds_evaluation: float
    history: pd.DataFrame
    learning_rates: list[float]

    def summary(self) -> dict[str, Any]:
        """For run.json."""
        left_out = ("report", "history", "learning_rates")
        return {name: value for name, value in vars(self).items() if name not in left_out}


class Trainer:
    """Trains any model of the contract.

    Args:
        config: see TrainConfig; train_config(name, ...) fills in what suits the model.
        run: where history and checkpoints go; None keeps everything in memory.
    """

    def __init__(self, config: TrainConfig, run: Run | None = None) -> None:
        self.config = config
        self.run = run
        self.device = choose_device(config.device)
        if config.precision == "float16" and self.device.type == "cpu":
            warnings.warn("precision float16 is for GPUs; on a CPU it is several times slower than float32", stacklevel=2)
        self._n_parts = 1  # a batch is worked off in so many parts; doubled when memory runs out
        self._kept_at = -math.inf

    def fit(self, model: Recommender, train: Interactions, validate: Callable[[Recommender], Report]) -> TrainRecord:
        """Train, and leave the best epoch's weights in the model.

        If the run folder holds the state of an unfinished training of the same settings and rows, goes on from there.
        An interrupt (the notebook's stop button) ends the training as early stopping does: the best epoch is kept.

        Args:
            train: what the model may learn from: split.train, and nothing else.
            validate: Evaluator(split.validation, seen=split.known_before_validation, ks=...).evaluate
        Raises:
            ValueError: the loss is not finite before any evaluation, `monitor` is not in the reports, or the run
                folder holds the state of another training.
        """
        with _private_randomness(self.device):
            model.to(self.device)
            started = time.perf_counter()
            model.prepare(train, self._generator(0))
            if not model.needs_training:
                return self._closed_form(model, train, validate, time.perf_counter() - started)
            return self._train(model, train, validate)

    def repeat(self, model: Recommender, interactions: Interactions, learning_rates: Sequence[float]) -> None:
        """The same training on other rows, without validation: an epoch for each learning rate (see refit)."""
        with _private_randomness(self.device):
            model.to(self.device)
            model.prepare(interactions, self._generator(0))
            if not model.needs_training or not learning_rates:
                return
            optimizer = self._optimizer(model)
            with progress(len(learning_rates), f"{model.name} refit") as bar:
                for epoch, learning_rate in enumerate(learning_rates, start=1):
                    bar.update(1, loss=self._epoch(model, interactions, optimizer, epoch, learning_rate))
            model.eval()

    # ---- the story of fit

    def _train(self, model: Recommender, train: Interactions, validate: Callable[[Recommender], Report]) -> TrainRecord:
        config = self.config
        optimizer = self._optimizer(model)
        plateau = Plateau(
            config.learning_rate, config.plateau_factor, config.plateau_patience, config.min_learning_rate,
            config.early_stopping_patience,
        )  # fmt: skip
        rows: list[dict[str, Any]] = []
        best_weights: dict[str, torch.Tensor] = {}
        best_report: Report | None = None
        identity = self._identity(model, train)
        first = 1
        if self._state_path and self._state_path.is_file():
            rows, best_weights = self._resume(model, optimizer, plateau, identity)
            first = len(rows) + 1
        writer = _event_writer(self.run) if config.tensorboard else None
        stopped = plateau.stopped_because
        with progress(config.epochs, f"{model.name} training") as bar:
            if first > 1:
                bar.say(f"going on from epoch {first - 1} of {self.run.path.name}")
                bar.update(first - 1)
            try:
                for epoch in range(first, config.epochs + 1) if not stopped else ():
                    learning_rate = plateau.learning_rate
                    started = time.perf_counter()
                    loss = self._epoch(model, train, optimizer, epoch, learning_rate)
                    seconds_training = time.perf_counter() - started
                    if not math.isfinite(loss):
                        stopped = f"the loss became {loss} in epoch {epoch}; try a learning rate below {learning_rate:g}"
                        if best_weights:
                            break
                        raise ValueError(stopped)
                    row = {
                        "epoch": epoch,
                        "loss": loss,
                        "learning_rate": learning_rate,
                        "negatives_resampled": model.draws_negatives(epoch),
                        "seconds_training": seconds_training,
                        "seconds_evaluation": 0.0,
                    }
                    due = epoch % config.evaluate_every == 0
                    near = config.evaluate_below_loss is None or loss <= config.evaluate_below_loss
                    if (due and near) or epoch == config.epochs:
                        started = time.perf_counter()
                        report = validate(model)
                        self._check_monitored(report)
                        row["seconds_evaluation"] = time.perf_counter() - started
                        row |= {name: report.mean(name) for name in report.values}
                        if plateau.step(report.mean(config.monitor), epoch):
                            best_weights = {name: value.clone() for name, value in model.state_dict().items()}
                            best_report = report
                    rows.append(row)
                    if self.run is not None:
                        self.run.append_history(row)
                    if time.monotonic() - self._kept_at >= SECONDS_BETWEEN_CHECKPOINTS:
                        self._keep(model, optimizer, plateau, identity, rows, best_weights)
                    _log(writer, row)
                    figures = {"loss": loss}
                    if config.monitor in row:  # stays beside the bar until the next evaluation, so it says when it was
                        figures[config.monitor] = f"{row[config.monitor]:.4f} (epoch {epoch})"
                    bar.update(1, **figures)
                    if plateau.stopped_because:
                        stopped = plateau.stopped_because
                        break
                else:
                    stopped = stopped or f"all {config.epochs} epochs done"
                self._keep(model, optimizer, plateau, identity, rows, best_weights)
            except KeyboardInterrupt:
                if not best_weights:
                    raise
                stopped = f"stopped by hand after epoch {len(rows)}"
            finally:
                if writer is not None:
                    writer.close()
            bar.say(f"{model.name}: {stopped}; best {config.monitor} {plateau.best:.4f} in epoch {plateau.best_epoch}")

        model.load_state_dict(best_weights)
        model.eval()
        if self.run is not None:
            save_weights(self.run.path / "best.safetensors", model, epoch=plateau.best_epoch, weights=best_weights)
        started = time.perf_counter()
        if best_report is None:  # the best epoch was before the interruption
            best_report = validate(model)
        history = pd.DataFrame(rows)
        verdict = self._verdict(model, train, best_report, history)
        return TrainRecord(
            epochs=len(rows),
            best_epoch=plateau.best_epoch,
            monitor=config.monitor,
            best=plateau.best,
            report=best_report,
            stopped_because=stopped,
            verdict=verdict,
            seconds_training=float(history["seconds_training"].sum()),
            seconds_evaluation=float(history["seconds_evaluation"].sum() + time.perf_counter() - started),
            history=history,
            learning_rates=history["learning_rate"].tolist()[: plateau.best_epoch],
        )

    def _closed_form(
        self, model: Recommender, train: Interactions, validate: Callable[[Recommender], Report], seconds: float
    ) -> TrainRecord:
        report = validate(model)
        self._check_monitored(report)
        row = {"epoch": 0, "loss": None, "seconds_training": seconds, "seconds_evaluation": report.seconds}
        row |= {name: report.mean(name) for name in report.values}
        if self.run is not None:
            self.run.append_history(row)
        return TrainRecord(
            epochs=0,
            best_epoch=0,
            monitor=self.config.monitor,
            best=report.mean(self.config.monitor),
            report=report,
            stopped_because="closed form: nothing to iterate",
            verdict="A closed form: no epochs, so nothing to stop early. Its options are its only regularisation.",
            seconds_training=seconds,
            seconds_evaluation=report.seconds,
            history=pd.DataFrame([row]),
            learning_rates=[],
        )

    def _epoch(
        self, model: Recommender, train: Interactions, optimizer: torch.optim.Optimizer, epoch: int, learning_rate: float
    ) -> float:
        """One pass; the mean loss. The host asks the device for one number, at the end."""
        # Dropout draws from the device's own default generator; torch.manual_seed would reseed those of all others too.
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(_mixed(self.config.seed, epoch))
        else:
            torch.default_generator.manual_seed(_mixed(self.config.seed, epoch))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        model.train()
        model.on_epoch_start(epoch)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        count = 0
        batches = model.batches(train, self._generator(epoch), batch_size=self.config.batch_size, epoch=epoch)
        for batch in batches:
            batch_sum, batch_count = self._step(model, optimizer, batch)
            total += batch_sum
            count += batch_count
        if not count:
            raise ValueError(f"{model.name} got no batches in epoch {epoch}; is train empty?")
        if self._scaler.is_enabled() and self._scaler.get_scale() < 1e-6:
            raise ValueError(f"in float16 the gradients of {model.name} overflow at every step, so nothing is learned; use float32")
        return float(total / count)

    def _step(self, model: Recommender, optimizer: torch.optim.Optimizer, batch: Batch) -> tuple[torch.Tensor, int]:
        """One step of the optimiser; when memory runs out the batch is worked off in twice as many parts.

        The gradient is that of the whole batch's mean either way: the effective batch stays.
        """
        dtype = _DTYPES.get(self.config.precision)
        while True:
            try:
                parts = batch.split(self._n_parts) if self._n_parts > 1 else [batch]
                optimizer.zero_grad(set_to_none=True)
                batch_sum, batch_count, first_count = torch.zeros((), device=self.device), 0, 0
                for part in parts:
                    with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
                        part_sum, part_count = model.loss(part)
                    # About the batch's mean at once, so that float16 can hold it; exactly once all counts are known.
                    first_count = first_count or part_count
                    self._scaler.scale(part_sum / first_count).backward()
                    batch_sum, batch_count = batch_sum + part_sum.detach(), batch_count + part_count
            except torch.OutOfMemoryError:
                if self._n_parts >= 1024:
                    raise
                parts = part_sum = None
            else:
                break
            # Outside the except block: inside, the traceback still holds the tensors.
            self._n_parts *= 2
            print(f"out of memory: a batch is now worked off in {self._n_parts} parts; the effective batch stays the same")
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        if len(parts) > 1:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.mul_(first_count / batch_count)
        self._scaler.step(optimizer)
        self._scaler.update()
        return batch_sum, batch_count

    # ---- state

    @property
    def _state_path(self) -> Path | None:
        return None if self.run is None else self.run.path / "last.state.pt"

    def _identity(self, model: Recommender, train: Interactions) -> dict[str, str]:
        # Where it runs and how long it may go on does not change what the epochs so far were; all else does.
        settings = {k: v for k, v in asdict(self.config).items() if k not in ("device", "tensorboard", "epochs")}
        if settings["precision"] == "float32":  # the only one there was: older trainings can go on
            del settings["precision"]
        features = [model.catalogue.user_features, model.catalogue.item_features] if model.uses_features else []
        return {
            "model": model.name,
            "model_config": repr(model.config),
            "train_config": repr(settings),
            "train": train.fingerprint,
            "features": ",".join(table.fingerprint() for table in features),
        }

    def _keep(self, model, optimizer, plateau: Plateau, identity: dict, rows: list[dict], best_weights: dict) -> None:
        """One file holds all that going on needs, so that a kill cannot leave parts of two epochs."""
        if self.run is None or not rows:
            return
        state = {
            "identity": identity,
            "weights": model.state_dict(),
            "best_weights": best_weights,
            "optimizer": optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "plateau": plateau.state_dict(),
            "rows": rows,
        }
        save_state(self._state_path, state)
        save_weights(self.run.path / "last.safetensors", model, epoch=rows[-1]["epoch"])
        if best_weights:
            save_weights(self.run.path / "best.safetensors", model, epoch=plateau.best_epoch, weights=best_weights)
        self._kept_at = time.monotonic()
        self.run.checkpointed()

    def _resume(self, model, optimizer, plateau: Plateau, identity: dict) -> tuple[list[dict], dict[str, torch.Tensor]]:
        state = load_state(self._state_path)
        for what, wanted in identity.items():
            came = state["identity"][what]
            if came != wanted:
                raise ValueError(
                    f"run {self.run.path.name} holds a training of another {what}: there {came}, here {wanted}. "
                    "To go on, use the same files, filters, seed and settings; to start anew, use a new run folder (RESUME = False in 02_train)."
                )
        model.load_state_dict(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state.get("scaler", {}))  # older states have none, and need none
        plateau.load_state_dict(state["plateau"])
        return list(state["rows"]), {name: value.to(self.device) for name, value in state["best_weights"].items()}

    # ---- small parts

    def _check_monitored(self, report: Report) -> None:
        if self.config.monitor not in report.values:
            raise ValueError(f"monitor {self.config.monitor!r} is not in the reports; there are {', '.join(report.values)}")

    def _optimizer(self, model: Recommender) -> torch.optim.Optimizer:
        # Small gradients would be zero in float16, so the loss is scaled up; a fused optimiser need not ask whether too far.
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.config.precision == "float16")
        return torch.optim.Adam(
            model.parameter_groups(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay, fused=True
        )

    def _generator(self, epoch: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(_mixed(self.config.seed, epoch))

    def _verdict(self, model: Recommender, train: Interactions, report: Report, history: pd.DataFrame) -> str:
        held = np.zeros(train.n_users, dtype=np.int64)
        held[report.users] = report.n_held_out
        if not held[train.users].any():  # validation asks other users than train has: as many rows of each as it asks
            held[:] = max(1, round(report.n_held_out.mean()))
        name, k = self.config.monitor.split("@")
        probe = fit_recall(model, train, held_per_user=held, ks=[int(k)])
        return overfit_verdict(history, self.config.monitor, fit=probe.mean(self.config.monitor), validation=report.mean(self.config.monitor))


def choose_device(device: str) -> torch.device:
    """auto: the GPU where there is one. Raises: ValueError when a GPU is asked for and there is none."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for and torch sees no GPU; on Colab: Runtime > Change runtime type > GPU")
    return torch.device(device)


def _mixed(seed: int, epoch: int) -> int:
    # Neighbouring seeds and epochs must not give neighbouring streams.
    return int.from_bytes(hashlib.sha256(f"{seed},{epoch}".encode()).digest()[:7], "big")


@contextmanager
def _private_randomness(device: torch.device) -> Iterator[None]:
    """Dropout draws from torch's global generator; it is put back afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _event_writer(run: Run | None):
    if run is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(run.path / "tensorboard")
    except (ImportError, OSError, ValueError):  # not there, or not with such a path
        return None  # the curves are drawn from history.jsonl all the same


def _log(writer, row: dict[str, Any]) -> None:
    if writer is None:
        return
    for name, value in row.items():
        if name != "epoch" and not isinstance(value, bool):
            writer.add_scalar(name, value, row["epoch"])
