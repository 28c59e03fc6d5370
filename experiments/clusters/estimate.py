"""What a run of the clusters study takes, by its settings; see `experiments.vowel.estimate`."""

from math import log2

from experiments.clusters.model import Form, form_of
from experiments.clusters.polynomial import NUM_SIGNAL_PATCHES
from experiments.clusters.settings import ClustersConfig, Model
from experiments.resources import Estimate, Part

_FLOAT = 4
# Bytes per number of a patch while a sample is drawn in float64, and of one that is kept.
_DRAWN, _KEPT = 18, 4
_COPIES_OF_ROWS = 2
_COPIES_OF_RESPONSES = 5
_COPIES_OF_LOGITS = 8
_BYTES_PER_POINT = 600
_SECONDS_PER_OPERATION, _SECONDS_PER_NUMBER, _SECONDS_PER_STEP = 1.2e-10, 4e-9, 1.5e-3
# Of an expert, and of all of them for the accuracy of one.
_SECONDS_PER_CALL = 5e-5
_SECONDS_PER_NEIGHBOUR = 4e-4
_LEVERS = (
    "num_seeds",
    "num_train",
    "num_test",
    "max_steps",
    "num_filters",
    "num_experts",
    "num_patches",
    "dim",
    "+snapshot_every",
    "+curve_every",
    "num_clusters",
)


def estimate(config: ClustersConfig) -> Estimate:
    """See the module; the time is that of seeds that train to the last step."""
    examples = config.num_train + config.num_test
    patches = {"num_patches": config.num_patches, "dim": config.dim}
    length, num_responses = _row_length(config), _num_responses(config)
    num_batch = config.batch_size or config.num_train
    largest = max(num_batch, config.num_train, config.num_test)
    seeds = {"num_seeds": config.num_seeds}
    num_snapshots = config.max_steps // config.snapshot_every + 2
    num_points = config.max_steps // config.curve_every + 2
    gates = 0 if config.model is Model.single else config.num_experts
    memory = [
        Part("examples take", _KEPT, {"examples": examples, **patches}),
        Part(
            "drawing them takes",
            _DRAWN,
            {"examples at once": max(config.num_train, config.num_test), **patches},
        ),
        Part(
            "what the experts see takes",
            _FLOAT * _COPIES_OF_ROWS,
            {"examples": examples, "numbers": length},
        ),
        Part(
            "filters' responses take",
            _FLOAT * _COPIES_OF_RESPONSES,
            {"examples at once": largest, "responses": num_responses},
        ),
        Part(
            "gates take",
            _FLOAT * _COPIES_OF_LOGITS,
            {"examples at once": largest, "experts": gates},
        ),
        Part(
            "weights take",
            8 * _FLOAT,
            {
                "num_experts": config.num_experts,
                "dim": config.dim,
                "num_filters": config.num_filters,
            },
        ),
        Part("signals take", 40, {"dim": config.dim, "signals": 2 * config.num_clusters}),
        Part(
            "snapshots take",
            80,
            {
                **seeds,
                "snapshots": num_snapshots,
                "num_experts": config.num_experts,
                "num_clusters": config.num_clusters,
            },
        ),
        Part("curves take", _BYTES_PER_POINT, {**seeds, "points": num_points}),
    ]
    if config.keep_picture:
        memory.append(
            Part(
                "the picture takes", 24, {"num_train": config.num_train, "snapshots": num_snapshots}
            )
        )
        memory.append(Part("the plane takes", 4000, {"num_train": config.num_train}))
    return Estimate(memory, _time(config, examples), _LEVERS)


def _time(config: ClustersConfig, examples: int) -> list[Part]:
    num_batch = config.batch_size or config.num_train
    steps = {"num_seeds": config.num_seeds, "max_steps": config.max_steps}
    work = _row_length(config) * (1 + _heads_or_filters(config))
    num_samples = config.num_seeds if config.fresh_data else 1
    time = [
        Part("steps take", _SECONDS_PER_STEP, steps),
        Part(
            "calls of experts take", _SECONDS_PER_CALL, {**steps, "num_experts": config.num_experts}
        ),
        Part(
            "calls in evaluation take",
            _SECONDS_PER_CALL,
            {"num_seeds": config.num_seeds, "pairs of experts": config.num_experts**2},
        ),
        Part(
            "products take",
            _SECONDS_PER_OPERATION,
            {**steps, "examples": num_batch, "operations each": 6 * work},
        ),
        Part(
            "sums take",
            _SECONDS_PER_NUMBER,
            {
                **steps,
                "examples": num_batch,
                "numbers each": 3 * _row_length(config)
                + 4 * _num_responses(config)
                + 3 * config.num_experts,
            },
        ),
        Part(
            "evaluation takes",
            2 * _SECONDS_PER_OPERATION,
            {
                "num_seeds": config.num_seeds,
                "num_experts": config.num_experts,
                "examples": examples,
                "operations each": work,
            },
        ),
        Part(
            "drawing takes",
            1e-7,
            {
                "samples": num_samples,
                "examples": examples,
                "num_patches": config.num_patches,
                "dim": config.dim,
            },
        ),
    ]
    if config.keep_picture:
        neighbours = config.num_train * log2(config.num_train + 1)
        time.append(Part("the plane takes", _SECONDS_PER_NEIGHBOUR, {"neighbours": neighbours}))
    return time


def _row_length(config: ClustersConfig) -> int:
    size = config.dim + config.bias
    form = form_of(config)
    if form is Form.summed:
        return size
    if form is Form.powers:
        num_powers = 2 * config.num_clusters * (3 if config.bias else 1)
        return num_powers + size * (config.num_patches - NUM_SIGNAL_PATCHES)
    return size * config.num_patches


def _heads_or_filters(config: ClustersConfig) -> int:
    return config.num_heads if form_of(config) is Form.summed else config.num_filters


def _num_responses(config: ClustersConfig) -> int:
    form = form_of(config)
    if form is Form.summed:
        return config.num_heads
    num_patches = config.num_patches - (NUM_SIGNAL_PATCHES if form is Form.powers else 0)
    return num_patches * config.num_filters
