"""Every combination of the choices on which the paper is silent, each trained for many seeds.

A *setting* is one system with one choice of everything that acts during training; one trajectory
serves all stop rules, which only say where it is read. Two step policies are compared: each system
at its own best step, and one common step for the four systems of Table 1.

The work is done in two passes of independent parts (step exploration, then training), each part
written when it is done, so that an interrupted call continues with the parts that are missing.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import product
from typing import Any

import pandas as pd
import torch

from experiments.run_folder import RunFolder
from experiments.runner.errors import UserError
from experiments.runner.processes import each_in_a_process
from experiments.runner.schema import plain
from experiments.runner.stopping import leave_if_asked
from experiments.vowel import data, evaluation
from experiments.vowel.settings import (
    ONE_BIT,
    Coding,
    Cost,
    MultiverseConfig,
    StopMeasure,
    StopRule,
    System,
    Unit,
    VowelConfig,
)
from experiments.vowel.study import batch_of, choose_step, explore, prepare, seeds_of
from experiments.vowel.training import Criterion, Schedule, train

Report = Callable[[str, float], None]
# Readings of the stop that are named after their error.
SWEEP = tuple(rule for rule in StopRule if rule.name.startswith("at_"))
AXES = ["coding", "unit", "cost", "init_range", "variance", "gate_step"]
# No snapshots are kept here, so that segments may be long.
SEGMENT = 100


def check(config: MultiverseConfig) -> None:
    """Reject a unit that no coding of the axes can have.

    Raises:
        UserError: naming the settings and the fix.
    """
    if Unit.softmax in config.units and set(config.codings) <= set(ONE_BIT):
        raise UserError(
            "study.units has softmax, which needs two outputs or more, and each of study.codings "
            "has one.",
            "Take study.units=[logistic], or study.codings=[one_hot].",
        )


def criterion(rule: StopRule, num_outputs: int, stop_error: float) -> Criterion:
    """The threshold on the summed squared error that a reading of the paper's stop amounts to."""
    if rule is StopRule.expected:
        return Criterion(StopMeasure.expected, stop_error)
    # 0.08 as half of the squared error is 0.16 of it; averaged over O outputs, O times 0.08.
    factor = {
        StopRule.half: 2.0,
        StopRule.per_output: float(num_outputs),
        StopRule.later: 0.875,
        **{rule: int(rule.name.removeprefix("at_")) / 8 for rule in SWEEP},
    }
    return Criterion(StopMeasure.blend, stop_error * factor.get(rule, 1.0))


def settings(config: MultiverseConfig) -> list[VowelConfig]:
    """All settings: mixtures for every combination of the axes, nets for the axes they have."""
    base = VowelConfig(
        num_seeds=config.num_seeds,
        step_grid=config.step_grid,
        num_exploration_seeds=config.num_exploration_seeds,
        exploration_epochs=config.exploration_epochs,
        exploration_patience=config.exploration_patience,
        step_share=config.step_share,
        precision=config.precision,
        max_epochs=config.max_epochs,
    )
    found = [*_mixtures(base, config), *_nets(base, config)]
    return [item for item in found if _makes_sense(item)]


def _mixtures(base: VowelConfig, config: MultiverseConfig) -> Iterator[VowelConfig]:
    for coding, unit, cost, init_range, variance, gate_step, num_experts in product(
        config.codings,
        config.units,
        config.costs,
        config.init_ranges,
        config.variances,
        config.gate_steps,
        config.num_experts,
    ):
        # Equations 1.1 and 1.2 have no variance: one value stands for all.
        if cost is not Cost.mixture_likelihood and variance != config.variances[0]:
            continue
        yield replace(
            base,
            coding=coding,
            unit=unit,
            cost=cost,
            init_range=init_range,
            variance=variance,
            gate_step=gate_step,
            num_experts=num_experts,
        )


def _nets(base: VowelConfig, config: MultiverseConfig) -> Iterator[VowelConfig]:
    for coding, unit, init_range, num_hidden in product(
        config.codings, config.units, config.init_ranges, config.num_hidden
    ):
        yield replace(
            base,
            system=System.backprop,
            coding=coding,
            unit=unit,
            init_range=init_range,
            num_hidden=num_hidden,
        )


def _makes_sense(item: VowelConfig) -> bool:
    return item.unit is not Unit.softmax or item.coding is Coding.one_hot


def columns_of(item: VowelConfig) -> dict[str, Any]:
    """The columns that name a setting in the tables."""
    size = item.num_hidden if item.system is System.backprop else item.num_experts
    values = plain(item)
    return {"system": f"{item.system.name}_{size}", **{axis: values[axis] for axis in AXES}}


def run(config: MultiverseConfig, folder: RunFolder, report: Report) -> dict[str, Any]:
    """Explore, train and measure every setting; writes exploration.csv and metrics.csv.

    Args:
        config: the axes.
        folder: a claimed run folder.
        report: called with a stage's name and the share of it that is done.

    Returns:
        Facts for the manifest: numbers of settings and of trained runs.
    """
    found = settings(config)
    jobs = {f"part_explore_{index:04d}": (item,) for index, item in enumerate(found)}
    exploration = _parts(_explore_part, jobs, folder, report, "exploring steps")
    folder.write_table("exploration", exploration)
    chosen = _chosen_steps(found, exploration, config)
    jobs_2 = {
        f"part_train_{index:04d}_{step:g}": (found[index], step, config) for index, step in chosen
    }
    metrics = _parts(_train_part, jobs_2, folder, report, "training")
    folder.write_table("metrics", metrics)
    for part in folder.path.glob("part_*.csv"):
        part.unlink()
    num_runs = len(metrics.drop_duplicates([*AXES, "system", "step_size", "seed"]))
    return {
        "num_settings": len(found),
        "num_runs": num_runs,
        "seeds": list(range(config.num_seeds)),
        "data_sha256": data.SHA256,
    }


def _parts(
    work: Callable[..., pd.DataFrame],
    jobs: dict[str, tuple[Any, ...]],
    folder: RunFolder,
    report: Report,
    stage: str,
) -> pd.DataFrame:
    missing = [name for name in jobs if not (folder.path / f"{name}.csv").exists()]
    calls = {name: (work, *jobs[name]) for name in missing}
    done = len(jobs) - len(missing)
    with closing(each_in_a_process(_on_one_thread, calls, os.cpu_count() or 1)) as parts:
        for name, frame in parts:
            if isinstance(frame, UserError):
                raise frame
            folder.write_table(name, frame)
            leave_if_asked()
            done += 1
            report(stage, done / len(jobs))
    leave_if_asked()
    frames = [pd.read_csv(folder.path / f"{name}.csv") for name in jobs]
    return pd.concat(frames, ignore_index=True)


def _on_one_thread(work: Callable[..., pd.DataFrame], *arguments: Any) -> pd.DataFrame:
    torch.set_num_threads(1)
    return work(*arguments)


def _explore_part(item: VowelConfig) -> pd.DataFrame:
    vowels, net = prepare(item)
    num_outputs = vowels.codes_VO.shape[1]
    stop_error = criterion(StopRule.per_output, num_outputs, item.stop_error).threshold
    return explore(replace(item, stop_error=stop_error), net, vowels).assign(**columns_of(item))


def _chosen_steps(
    found: list[VowelConfig], exploration: pd.DataFrame, config: MultiverseConfig
) -> list[tuple[int, float]]:
    """Index and step of every training: own best steps, then common steps, each once."""
    # Many a setting's own best step is the common one too: a set, to train it once.
    chosen = set()
    own = own_steps(exploration, config.step_share)
    common = common_steps(exploration, config.step_share) if config.common_step else {}
    for index, item in enumerate(found):
        columns = columns_of(item)
        chosen.add((index, own[tuple(columns.values())]))
        for world, step in common.items():
            if _belongs(columns, dict(zip(AXES, world, strict=True)), item.system):
                chosen.add((index, step))
    return sorted(chosen)


def _belongs(columns: dict[str, Any], world: dict[str, Any], system: System) -> bool:
    shared = ["coding", "unit", "init_range"] if system is System.backprop else AXES
    return all(columns[axis] == world[axis] for axis in shared)


def own_steps(exploration: pd.DataFrame, share: float = 1.0) -> dict[tuple[Any, ...], float]:
    """This share of the step that serves a system best, by (system, *AXES)."""
    groups = exploration.groupby(["system", *AXES], sort=False)
    return {key: choose_step(group, share) for key, group in groups}


def common_steps(exploration: pd.DataFrame, share: float = 1.0) -> dict[tuple[Any, ...], float]:
    """This share of the one step that serves a world's four systems best, by AXES of mixtures."""
    is_net = exploration["system"].str.startswith("backprop")
    nets = exploration[is_net].groupby(["coding", "unit", "init_range"])
    common = {}
    for world, group in exploration[~is_net].groupby(AXES, sort=False):
        assert isinstance(world, tuple)
        rivals = nets.get_group((world[0], world[1], world[3]))
        common[world] = choose_step(pd.concat([group, rivals]), share)
    return common


def _train_part(item: VowelConfig, step_size: float, config: MultiverseConfig) -> pd.DataFrame:
    vowels, net = prepare(item)
    num_outputs = vowels.codes_VO.shape[1]
    seeds = seeds_of(item)
    criteria = [criterion(rule, num_outputs, item.stop_error) for rule in config.stop_rules]
    progress = train(
        net,
        vowels.train.inputs_DN,
        vowels.train.targets_ON,
        batch_of(item, net, seeds, step_size),
        Schedule(criteria, item.max_epochs, SEGMENT),
    )
    frames = []
    for index, rule in enumerate(config.stop_rules):
        frame = evaluation.metrics(net, vowels, item.vowels, progress, item.max_epochs, index)
        frames.append(frame.assign(seed=seeds, stop_rule=rule.name))
    return pd.concat(frames).assign(step_size=step_size, **columns_of(item))
