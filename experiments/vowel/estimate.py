"""What runs of the vowel studies take, by their settings.

The constants were measured on one core of an AMD EPYC: see
tests/experiments/runner/test_resources.py, which holds the estimates against runs.
"""

import os
from collections.abc import Sized
from math import ceil, prod

from experiments.runner.resources import Estimate, Part
from experiments.vowel import own_table
from experiments.vowel.settings import (
    Coding,
    Execution,
    MultiverseConfig,
    Precision,
    ReferenceConfig,
    System,
    VowelConfig,
    num_speakers,
)
from experiments.vowel.training import TILE_ELEMENTS

_NUM_TOKENS = 2  # of each vowel by each speaker
# A step's calls of operators on a tile, and its work per case and unit.
_SECONDS_PER_TILE, _SECONDS_PER_ELEMENT = 2.5e-4, 8e-9
# An epoch of one seed through the layer: 2.3 ms with 4 experts and 2.8 ms with 8, where the batched
# form takes 0.012 and 0.021 ms. Nearly all of it is calls of operators, whatever the sizes.
_SECONDS_PER_LAYER = 2.5e-3
# Copies at the end: as trained, stacked, and two as they are written.
_COPIES_OF_SNAPSHOTS = 4
# Tensors of a prediction and of its measures that are there at once.
_COPIES_OF_PREDICTION = 8
_BYTES_PER_ROW = 500  # of a table, and of its text
_LEVERS = ("num_seeds", "+snapshot_every", "max_epochs", "num_experts", "num_hidden")
_EXPLORATION = ("num_exploration_seeds", "exploration_epochs")


def estimate_reference(config: ReferenceConfig) -> Estimate:
    """Four classifiers of a few hundred cases: nothing to speak of."""
    return Estimate([], [Part("classifiers", 1.0, {"classifiers": 4})], [])


def estimate(config: VowelConfig) -> Estimate:
    """Memory and time of a run whose seeds all train to the last epoch."""
    itemsize = _itemsize(config)
    # One more than intervals: the start is kept too.
    num_snapshots = ceil(config.max_epochs / config.snapshot_every) + 1
    weights = _num_weights(config)
    seeds = {"num_seeds": config.num_seeds}
    memory = [
        Part(
            "snapshots take",
            itemsize * _COPIES_OF_SNAPSHOTS,
            {**seeds, "snapshots": num_snapshots, "weights": weights},
        ),
        Part("curves take", _BYTES_PER_ROW, {**seeds, "snapshots": num_snapshots}),
        Part(
            "predictions take",
            itemsize * _COPIES_OF_PREDICTION,
            {**seeds, "numbers each": _num_predicted(config)},
        ),
        Part(
            "the step exploration takes",
            itemsize * _COPIES_OF_SNAPSHOTS,
            {"runs": _num_explored(config), "weights": weights},
        ),
    ]
    time = [
        _training("training takes", config, config.num_seeds, config.max_epochs, "max_epochs"),
        Part(
            "measuring takes",
            4 * _SECONDS_PER_ELEMENT,
            {**seeds, "snapshots": num_snapshots, "numbers each": _num_predicted(config)},
        ),
        _training(
            "the step exploration takes",
            config,
            _num_explored(config),
            config.exploration_epochs,
            "exploration_epochs",
        ),
    ]
    return Estimate(memory, time, (*_LEVERS, *_EXPLORATION))


def estimate_multiverse(config: MultiverseConfig) -> Estimate:
    """Memory and time, where every setting trains twice: at its own step and at a common one."""
    axes: tuple[Sized, ...] = (config.codings, config.units, config.init_ranges)
    of_mixtures: tuple[Sized, ...] = (
        config.costs,
        config.variances,
        config.gate_steps,
        config.num_experts,
    )
    # Every combination of the axes is one setting.
    num_mixtures = prod(map(len, (*axes, *of_mixtures)))
    num_settings = num_mixtures + prod(map(len, (*axes, config.num_hidden)))
    num_cores = os.cpu_count() or 1
    largest = VowelConfig(
        coding=max(config.codings, key=lambda coding: _num_outputs(VowelConfig(coding=coding))),
        num_experts=max(config.num_experts),
        num_hidden=max(config.num_hidden),
        num_seeds=config.num_seeds,
        step_grid=config.step_grid,
        num_exploration_seeds=config.num_exploration_seeds,
    )
    seeds = {"num_seeds": config.num_seeds}
    itemsize = _itemsize(largest)
    memory = [
        Part(
            "predictions take",
            itemsize * _COPIES_OF_PREDICTION,
            {**seeds, "numbers each": _num_predicted(largest), "processes": num_cores},
        ),
        Part(
            "tables take",
            _BYTES_PER_ROW,
            {**seeds, "settings": num_settings, "trainings of each": 2}
            | {"readings": len(config.stop_rules)},
        ),
    ]
    of_all = {"settings": num_settings}
    trained = _training("", largest, 2 * config.num_seeds, config.max_epochs, "max_epochs")
    explored = _training(
        "", largest, _num_explored(largest), config.exploration_epochs, "exploration_epochs"
    )
    time = [
        Part("training takes", trained.each / num_cores, {**of_all, **trained.factors}),
        Part(
            "the step exploration takes", explored.each / num_cores, {**of_all, **explored.factors}
        ),
    ]
    return Estimate(memory, time, ("num_seeds", "max_epochs", "num_experts", *_EXPLORATION))


def _training(what: str, config: VowelConfig, runs: int, epochs: int, name: str) -> Part:
    if config.execution is Execution.layer and config.system is System.mixture:
        return Part(what, _SECONDS_PER_LAYER, {"trainings": runs, name: epochs})
    elements = _num_elements(config)
    # A tile's calls cost the same whether it is full or not.
    num_tiles = ceil(runs / max(1, TILE_ELEMENTS // elements))
    seconds = (num_tiles * _SECONDS_PER_TILE + runs * elements * _SECONDS_PER_ELEMENT) / max(
        1, runs
    )
    return Part(what, seconds, {"trainings": runs, name: epochs})


def _num_explored(config: VowelConfig) -> int:
    return len(config.step_grid) * config.num_exploration_seeds if config.step_size is None else 0


def _itemsize(config: VowelConfig) -> int:
    return 8 if config.precision is Precision.float64 else 4


def _num_outputs(config: VowelConfig) -> int:
    return {Coding.one_hot: len(config.vowels), Coding.two_bits: 2}.get(config.coding, 1)


def _num_weights(config: VowelConfig) -> int:
    outputs = _num_outputs(config)
    if config.system is System.backprop:
        # Three features with the constant one into each hidden unit, and a bias per output.
        return 3 * config.num_hidden + outputs * (config.num_hidden + 1)
    # Each expert has a line per output, and the gate one per expert.
    return 3 * config.num_experts * (outputs + 1)


def _num_cases(config: VowelConfig) -> int:
    if config.table is not None:
        return own_table.num_lines(config.table)
    return _NUM_TOKENS * len(config.vowels) * config.num_train_speakers


def _num_elements(config: VowelConfig) -> int:
    """How many numbers the largest activation of one run has."""
    if config.system is System.backprop:
        return config.num_hidden * _num_cases(config)
    return config.num_experts * _num_outputs(config) * _num_cases(config)


def _num_predicted(config: VowelConfig) -> int:
    """Numbers of a prediction on all cases: of units, proportions, and distances to the codes."""
    outputs = _num_outputs(config)
    num_all = _NUM_TOKENS * len(config.vowels) * num_speakers(config)
    if config.table is not None:
        num_all = own_table.num_lines(config.table)
    if config.system is System.backprop:
        return num_all * (config.num_hidden + outputs * len(config.vowels)) // 2
    return num_all * outputs * (config.num_experts + len(config.vowels) // 4)
