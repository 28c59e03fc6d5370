"""The scaling study, at toy size, from settings to the report."""

from pathlib import Path

import pytest
import torch

from experiments.execute import execute
from experiments.run_folder import read_finished
from experiments.runner.errors import UserError
from experiments.scaling.settings import ScalingConfig, check
from experiments.scaling.study import memory_row
from experiments.scaling.timing import num_groups
from experiments.suite import run_suite, suite_runs
from reproductions.page import write_page
from reproductions.report import print_report
from reproductions.runs import find_runs, in_folder
from reproductions.scaling.report import STUDY

TOY = ["study.num_tokens=64", "study.num_rounds=2", "study.num_experts=[4,16]"]
CONFIG = ScalingConfig(num_experts=[4, 16], num_tokens=64, num_rounds=2, num_threads=1)
CLAIMS = STUDY.claims


def test_every_contender_is_timed_in_every_round(tmp_path: Path) -> None:
    run = read_finished(execute(CONFIG, str(tmp_path)).path)
    times = run.table("metrics")
    counts = times.groupby(["num_experts", "contender"])["round"].apply(list)
    assert (counts.map(sorted) == counts.map(lambda _: [0, 1])).all()
    assert (times["seconds"] > 0).all()
    names = set(times[times["num_experts"] == 16]["contender"])
    assert names >= {"dense", "traffic", "ours, padded", "gate, flat", "gate, two levels"}
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("num_experts", "groups"), [(4, 2), (16, 4), (2048, 32), (6, 2), (7, 1)])
def test_groups_are_a_power_of_two_near_the_root(num_experts: int, groups: int) -> None:
    assert num_groups(num_experts) == groups


def test_what_a_token_keeps_does_not_grow_with_the_experts_but_weights_do() -> None:
    few, many = (memory_row(CONFIG, num_experts) for num_experts in (8, 64))
    assert many["weight_bytes"] == 8 * few["weight_bytes"] == 64 * 2 * 128 * 256 * 4
    # Offsets per expert are all that grows; k rows of inputs and hidden units are the bulk.
    assert many["kept_bytes_per_token"] < 1.05 * few["kept_bytes_per_token"]
    assert few["kept_bytes_per_token"] > 4 * 4 * 256
    assert many["gate_bytes_per_token"] > few["gate_bytes_per_token"] + 4 * (64 - 8)


def test_more_experts_per_token_than_experts_are_refused() -> None:
    with pytest.raises(UserError, match=r"study\.k=8 is more"):
        check(ScalingConfig(num_experts=[4], k=8))


def test_every_claim_has_evidence_and_one_group_of_the_summary() -> None:
    assert list(STUDY.evidence({})) == [claim.id for claim in CLAIMS]
    for claim in CLAIMS:
        groups = [group for group in STUDY.groups if claim.id.startswith(group.prefix)]
        assert len(groups) == 1, claim.id


def test_the_whole_path_ends_in_a_page(tmp_path: Path) -> None:
    config, studies = suite_runs(["suite=scaling", *TOY, f"runs_dir={tmp_path / 'runs'}"])
    list(run_suite(config, studies))
    found = find_runs(studies, config.runs_dir, "scaling")
    report, pictures = STUDY.build(found, in_folder(config.runs_dir), "command")
    assert {figure.id for figure, _ in pictures} == {"cost-per-token", "skew-and-gates"}
    # Sixty-four tokens are not the runs that any claim speaks of.
    assert {verdict and verdict.word for _, _, verdict in report.judged} == {"not comparable"}
    print_report(report)
    write_page(report, tmp_path / "index.html")
    assert "Constant cost" in (tmp_path / "index.html").read_text()
