"""What a run of the clusters study takes, by its settings; see `experiments.vowel.estimate`."""

from math import log2

from experiments.clusters.model import NUM_SIGNAL_PATCHES, Form, form_of
from experiments.clusters.own_array import sized
from experiments.clusters.settings import ClustersConfig, Model
from experiments.runner.resources import Estimate, Part

_FLOAT = 4
# Bytes per number of a patch while a sample is drawn in float64, and of one that is kept.
_DRAWN, _KEPT = 18, 4
# Tensors of one size that are alive at once during a step.
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
_OF_FILES = ("num_train", "num_test", "num_patches", "dim", "num_clusters")


def estimate(config: ClustersConfig) -> Estimate:
    """Memory and time of a run whose seeds all train to the last step."""
    # A file of one's own says how large it is, and cannot be made smaller by a setting.
    own = sized(config)
    levers = tuple(name for name in _LEVERS if config.array is None or name not in _OF_FILES)
    return Estimate(_memory(own), _time(own), levers)


def _memory(config: ClustersConfig) -> list[Part]:
    examples = {"examples": config.num_train + config.num_test}
    drawn = {"examples at once": max(config.num_train, config.num_test)}
    largest = {"examples at once": max(config.batch_size, *drawn.values())}
    patches = {"num_patches": config.num_patches, "dim": config.dim}
    experts = {"num_experts": config.num_experts}
    seeds = {"num_seeds": config.num_seeds}
    num_gates = 0 if config.model is Model.single else config.num_experts
    snapshots = {"snapshots": config.max_steps // config.snapshot_every + 2}
    points = {"points": config.max_steps // config.curve_every + 2}
    weights = {**experts, "dim": config.dim, "num_filters": config.num_filters}
    signals = {"dim": config.dim, "signals": 2 * config.num_clusters}
    of_snapshots = {**seeds, **snapshots, **experts, "num_clusters": config.num_clusters}
    responses = {**largest, "responses": _num_responses(config)}
    rows = {**examples, "numbers": _row_length(config)}
    memory = [
        Part("examples take", _KEPT, {**examples, **patches}),
        Part("drawing them takes", _DRAWN, {**drawn, **patches}),
        Part("what the experts see takes", _FLOAT * _COPIES_OF_ROWS, rows),
        Part("filters' responses take", _FLOAT * _COPIES_OF_RESPONSES, responses),
        Part("gates take", _FLOAT * _COPIES_OF_LOGITS, {**largest, "experts": num_gates}),
        Part("weights take", 8 * _FLOAT, weights),
        Part("signals take", 40, signals),
        Part("snapshots take", 80, of_snapshots),
        Part("curves take", _BYTES_PER_POINT, {**seeds, **points}),
    ]
    if config.keep_picture:
        kept = {"num_train": config.num_train}
        memory.append(Part("the picture takes", 24, {**kept, **snapshots}))
        memory.append(Part("the plane takes", 4000, kept))
    return memory


def _time(config: ClustersConfig) -> list[Part]:
    num_batch = {"examples": config.batch_size or config.num_train}
    examples = {"examples": config.num_train + config.num_test}
    seeds, experts = {"num_seeds": config.num_seeds}, {"num_experts": config.num_experts}
    steps = {**seeds, "max_steps": config.max_steps}
    length = _row_length(config)
    work = length * (1 + _heads_or_filters(config))
    num_summed = 3 * length + 4 * _num_responses(config) + 3 * config.num_experts
    samples = {"samples": config.num_seeds if config.fresh_data else 1}
    patches = {"num_patches": config.num_patches, "dim": config.dim}
    # A product forward and two backward, a multiplication and an addition each.
    products = {**steps, **num_batch, "operations each": 6 * work}
    pairs = {**seeds, "pairs of experts": config.num_experts**2}
    evaluated = {**seeds, **experts, **examples, "operations each": work}
    time = [
        Part("steps take", _SECONDS_PER_STEP, steps),
        Part("calls of experts take", _SECONDS_PER_CALL, {**steps, **experts}),
        Part("calls in evaluation take", _SECONDS_PER_CALL, pairs),
        Part("products take", _SECONDS_PER_OPERATION, products),
        Part("sums take", _SECONDS_PER_NUMBER, {**steps, **num_batch, "numbers each": num_summed}),
        Part("evaluation takes", 2 * _SECONDS_PER_OPERATION, evaluated),
        Part("drawing takes", 1e-7, {**samples, **examples, **patches}),
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
