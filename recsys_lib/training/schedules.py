"""When the learning rate falls, and when training is over. Both watch the validation metric, counted in evaluations."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass
class Plateau:
    """ReduceLROnPlateau with a floor that ends the training, and early stopping.

    The training loss is not watched: it jumps whenever negatives are drawn anew. And a learning rate below the floor
    is never used: training at 1e-8 for hundreds of epochs is waiting, not learning.
    """

    learning_rate: float
    factor: float
    patience: int
    floor: float
    early_stopping_patience: int
    best: float = float("-inf")
    best_epoch: int = 0
    since_best: int = 0  # evaluations since the best one
    since_change: int = 0  # evaluations since the best one or the last fall of the learning rate
    stopped_because: str = ""

    def step(self, metric: float, epoch: int) -> bool:
        """Take in one evaluation; True where it is the best so far. Sets `learning_rate` and `stopped_because`."""
        if metric > self.best:
            self.best, self.best_epoch = metric, epoch
            self.since_best = self.since_change = 0
            return True
        self.since_best += 1
        self.since_change += 1
        if self.since_best >= self.early_stopping_patience:
            self.stopped_because = f"early stopping: no better evaluation in {self.since_best} since epoch {self.best_epoch}"
        elif self.since_change > self.patience:
            lower = self.learning_rate * self.factor
            if lower < self.floor:
                self.stopped_because = (
                    f"learning rate at its floor: the plateau asks for {lower:.1e}, the floor is {self.floor:.1e}"
                )
            else:
                self.learning_rate, self.since_change = lower, 0
        return False

    def state_dict(self) -> dict:
        return asdict(self)

    def load_state_dict(self, state: dict) -> None:
        for name, value in state.items():
            setattr(self, name, value)
