"""Full-batch gradient descent on many runs at once, each to its own stop.

Runs are processed in tiles small enough for the processor's cache, each tile for one segment of
epochs; between segments, runs that have ended leave the batch. A run's result does not depend on
its company beyond rounding, and the same batch gives the same bits, also when it was interrupted.

Shapes: R runs, C stop criteria, `...` parameter dimensions.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from experiments.runner.stopping import is_asked, leave_if_asked
from experiments.vowel.settings import StopMeasure
from experiments.vowel.systems import Net, Params, Prediction, mean_squared_error

NEVER = -1
# Elements of a tile's largest activation. Smaller tiles pay more for each call of an operator,
# larger ones leave the processor's cache; measured best of 16 to 128 thousand.
TILE_ELEMENTS = 96_000


@dataclass(frozen=True)
class Criterion:
    """Stop as soon as a mean squared error is at or below a threshold.

    Source: Jacobs et al. (1991), section 3: an average squared error of 0.08.
    """

    measure: StopMeasure
    threshold: float


@dataclass(frozen=True)
class Batch:
    """Runs to train together: same system and cases, own initial weights and step sizes.

    Attributes:
        params: initial weights, each `[R, ...]`.
        rates: step size per parameter and run, `[R]` each.
    """

    params: Params
    rates: dict[str, Tensor]


@dataclass
class Progress:
    """Where every run of a batch stands; also what a checkpoint holds.

    Attributes:
        epoch: updates done by the runs that are still going.
        params: weights now, `[R, ...]`.
        stopped: weights at each criterion, `[C, R, ...]` (NaN before it is met).
        epochs: updates at each criterion, `[C, R]`, or NEVER.
        diverged: epoch at which a run was found not finite, `[R]`, or NEVER.
        snapshot_epochs: epochs at which snapshots were taken.
        snapshots: weights then, `[R, ...]` each; NaN for runs that had ended.
    """

    epoch: int
    params: Params
    stopped: Params
    epochs: Tensor
    diverged: Tensor
    snapshot_epochs: list[int] = field(default_factory=list)
    snapshots: list[Params] = field(default_factory=list)

    def to(self, device: str) -> "Progress":
        """The same on another device."""
        params, stopped, *snapshots = (
            {name: value.to(device) for name, value in each.items()}
            for each in (self.params, self.stopped, *self.snapshots)
        )
        epochs, diverged = self.epochs.to(device), self.diverged.to(device)
        places = list(self.snapshot_epochs)
        return Progress(self.epoch, params, stopped, epochs, diverged, places, snapshots)


@dataclass(frozen=True)
class Schedule:
    """How long and by which criteria to train."""

    criteria: Sequence[Criterion]
    max_epochs: int
    segment_epochs: int
    keep_snapshots: bool = False
    checkpoint_seconds: float = float("inf")


def initial_progress(batch: Batch, num_criteria: int) -> Progress:
    """The state before the first update."""
    first = next(iter(batch.params.values()))
    stopped = {
        name: value.new_full((num_criteria, *value.shape), torch.nan)
        for name, value in batch.params.items()
    }
    diverged = first.new_full((first.shape[0],), NEVER, dtype=torch.int64)
    return Progress(
        0,
        {name: value.clone() for name, value in batch.params.items()},
        stopped,
        diverged.repeat(num_criteria, 1),
        diverged,
    )


def train(
    net: Net,
    inputs_DN: Tensor,
    targets_ON: Tensor,
    batch: Batch,
    schedule: Schedule,
    progress: Progress | None = None,
    on_segment: Callable[[Progress], object] = lambda progress: None,
    enough: Callable[[Progress], bool] = lambda progress: False,
    on_checkpoint: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train all runs of a batch until each meets every criterion, diverges or runs out of epochs.

    Args:
        net: the system.
        inputs_DN: training inputs `[D, N]`.
        targets_ON: desired outputs `[O, N]`.
        batch: the runs.
        schedule: criteria and limits.
        progress: where an interrupted training stood; None starts.
        on_segment: called after every segment, for progress displays.
        enough: called after every segment; ends the training when it returns true.
        on_checkpoint: called after a segment when `schedule.checkpoint_seconds` have passed, or the
            process is asked to stop, which it then does.

    Returns:
        The final state.
    """
    progress = progress or initial_progress(batch, len(schedule.criteria))
    saved = time.monotonic()
    if schedule.keep_snapshots and not progress.snapshots:
        _keep_snapshot(progress, torch.ones_like(progress.diverged, dtype=torch.bool))
    # Ended runs are left out between segments only: an index into a batch costs a copy of it.
    going = _going(progress)
    while going.numel() and progress.epoch < schedule.max_epochs and not enough(progress):
        num_epochs = min(schedule.segment_epochs, schedule.max_epochs - progress.epoch)
        for tile in torch.split(going, _runs_per_tile(net, batch, inputs_DN)):
            _advance(net, inputs_DN, targets_ON, batch, schedule, progress, tile, num_epochs)
        progress.epoch += num_epochs
        _mark_diverged(progress, going)
        going = _going(progress)
        if schedule.keep_snapshots:
            kept = torch.zeros_like(progress.diverged, dtype=torch.bool)
            _keep_snapshot(progress, kept.index_fill_(0, going, True))
        on_segment(progress)
        if time.monotonic() - saved >= schedule.checkpoint_seconds or is_asked():
            on_checkpoint(progress)
            leave_if_asked()
            saved = time.monotonic()
    return progress


def _going(progress: Progress) -> Tensor:
    unmet = (progress.epochs == NEVER).any(dim=0)
    return torch.nonzero(unmet & (progress.diverged == NEVER)).squeeze(-1)


def _runs_per_tile(net: Net, batch: Batch, inputs_DN: Tensor) -> int:
    if inputs_DN.device.type != "cpu":
        # A GPU has no cache to stay in, and many cores to keep busy.
        return len(next(iter(batch.rates.values())))
    first = {name: value[:1] for name, value in batch.params.items()}
    prediction = net.predict(first, inputs_DN)
    if prediction.mixture is not None:
        widest = prediction.mixture.outputs_EON.numel()
    else:
        assert prediction.hidden_HN is not None
        widest = prediction.hidden_HN.numel()
    return max(1, TILE_ELEMENTS // widest)


def _advance(
    net: Net,
    inputs_DN: Tensor,
    targets_ON: Tensor,
    batch: Batch,
    schedule: Schedule,
    progress: Progress,
    tile: Tensor,
    num_epochs: int,
) -> None:
    """Take a tile of runs through a segment, noting in `progress` where criteria are met."""
    params = {name: value[tile] for name, value in progress.params.items()}
    rates = {
        name: rate[tile].view(-1, *[1] * (params[name].dim() - 1))
        for name, rate in batch.rates.items()
    }
    unmet = progress.epochs[:, tile] == NEVER
    # Full batch: one update per epoch, so that epochs are updates (section 3).
    for epoch in range(progress.epoch, progress.epoch + num_epochs):
        prediction = net.predict(params, inputs_DN)
        # Before the update: the weights that meet a criterion are those it was measured with.
        met = _criteria_met(prediction, targets_ON, schedule.criteria) & unmet
        if met.any():
            _note_stops(progress, params, met, tile, epoch)
            unmet &= ~met
            if not unmet.any():
                break
        # Jacobs et al. (1991), section 3: steepest descent, w := w - step * dE/dw, no momentum.
        # In place, and all runs of the tile at once.
        for name, gradient in net.gradients(params, prediction, inputs_DN, targets_ON).items():
            params[name].addcmul_(gradient, rates[name], value=-1)
    for name, value in params.items():
        progress.params[name][tile] = value


def _criteria_met(
    prediction: Prediction, targets_ON: Tensor, criteria: Sequence[Criterion]
) -> Tensor:
    errors: dict[StopMeasure, Tensor] = {}
    for criterion in criteria:
        if criterion.measure not in errors:
            errors[criterion.measure] = mean_squared_error(
                prediction, targets_ON, criterion.measure
            )
    return torch.stack([errors[item.measure] <= item.threshold for item in criteria])


def _note_stops(progress: Progress, params: Params, met: Tensor, tile: Tensor, epoch: int) -> None:
    criterion, position = torch.nonzero(met, as_tuple=True)
    runs = tile[position]
    progress.epochs[criterion, runs] = epoch
    for name, value in params.items():
        progress.stopped[name][criterion, runs] = value[position]


def _mark_diverged(progress: Progress, going: Tensor) -> None:
    for value in progress.params.values():
        # Asked between segments only: a run that has left the finite numbers never comes back.
        finite = value[going].flatten(start_dim=1).isfinite().all(dim=1)
        progress.diverged[going[~finite]] = progress.epoch


def _keep_snapshot(progress: Progress, going: Tensor) -> None:
    snapshot = {name: value.clone() for name, value in progress.params.items()}
    for value in snapshot.values():
        # Ended runs have no weights of this epoch; zeros would look like weights.
        value[~going] = torch.nan
    progress.snapshot_epochs.append(progress.epoch)
    progress.snapshots.append(snapshot)
