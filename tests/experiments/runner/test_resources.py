"""What a run takes, estimated before it starts, against what is there and what it then took."""

import logging
import multiprocessing
import re
import resource
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.clusters.settings import Activation, ClustersConfig
from experiments.execute import execute
from experiments.runner import resources
from experiments.runner.errors import UserError
from experiments.runner.resources import Estimate, Part, num_at_once, refuse_what_cannot_run
from experiments.runner.schema import Device, plain
from experiments.scaling.settings import ScalingConfig
from experiments.starts.settings import TranslationStartConfig
from experiments.studies import STUDIES
from experiments.text.settings import CorpusName
from experiments.translation.settings import GateName, TranslationConfig
from experiments.vowel.settings import MultiverseConfig, VowelConfig

GIB = 2**30
VOWEL = VowelConfig(step_size=16.0, num_seeds=2, max_epochs=20)


def refuse(study: Any, **options: Any) -> None:
    entry = STUDIES[study.name]
    refuse_what_cannot_run(study, entry.estimate, entry.check, **options)


@pytest.fixture(autouse=True)
def eight_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "present_memory", lambda: 8.0 * GIB)


TOO_LARGE = [
    replace(VOWEL, num_seeds=100_000, snapshot_every=1, max_epochs=10_000),
    replace(VOWEL, num_seeds=100_000, num_experts=1024),
    replace(VOWEL, max_epochs=10_000_000, num_experts=1024),
    MultiverseConfig(num_seeds=100_000, num_experts=[4, 1024]),
    ClustersConfig(num_train=10_000_000),
    ClustersConfig(num_train=10_000_000, num_patches=1000, dim=10_000, num_seeds=100_000),
    ClustersConfig(max_steps=1_000_000, num_seeds=100_000),
    ScalingConfig(num_experts=[16, 2**20], num_tokens=10_000_000),
    ScalingConfig(num_experts=[16], num_features=2**20, num_hidden=2**20),
    TranslationConfig(num_experts=2048, width=512, num_units=2048, expert_units=2048),
    TranslationConfig(num_experts=2**20, k=4, gate=GateName.hierarchical, num_groups=2**10),
    TranslationConfig(tokens_per_batch=10_000_000, max_steps=10_000_000),
    TranslationConfig(beam_width=1000, sentences_per_batch=10_000, num_subwords=1_000_000),
    TranslationStartConfig(num_experts=2**20, num_seeds=100, max_steps=10_000_000),
]


@pytest.mark.parametrize("study", TOO_LARGE, ids=lambda study: str(study.name))
def test_what_does_not_fit_is_refused_and_each_way_out_fits(study: Any) -> None:
    with pytest.raises(UserError) as caught:
        refuse(study)
    assert re.search(r"needs about [\d,.]+ \wiB|may take about [\d,]+ \w+", caught.value.problem)
    assert " x " in caught.value.problem
    ways = caught.value.fix.partition(";")[0].split(", or ")
    for way in ways:
        change = {
            name: _value(getattr(study, name), text)
            for name, text in re.findall(r"study\.(\w+)=(\S+)", way)
        }
        assert change
        refuse(replace(study, **change))


def _value(now: Any, text: str) -> Any:
    if isinstance(now, list):
        return [int(each) for each in text.strip("[],").split(",")]
    return float(text) if isinstance(now, float) else int(text)


def test_a_refusal_names_the_settings_and_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"this machine has 8\.0 GiB free: .*study\.num_seeds=100000 x "
    ):
        execute(TOO_LARGE[0], str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_would_be_refused_can_be_started_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refuse(TOO_LARGE[0], any_size=True)
    assert "needs about" in caplog.text


def test_a_long_run_is_told_and_a_short_one_is_not(caplog: pytest.LogCaptureFixture) -> None:
    refuse(VOWEL)
    assert not caplog.text
    refuse(replace(VOWEL, max_epochs=10_000_000, snapshot_every=100_000, num_experts=64))
    assert re.search(r"may take about \d+ minutes: .*study\.max_epochs=10000000", caplog.text)


def test_a_finished_run_is_done_whatever_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(VOWEL, str(tmp_path))
    monkeypatch.setattr(resources, "present_memory", lambda: 1.0)
    assert execute(VOWEL, str(tmp_path)).was_done
    with pytest.raises(UserError, match="larger machine"):
        execute(VOWEL, str(tmp_path), force=True)


@pytest.mark.parametrize("config", [ClustersConfig, TranslationConfig, TranslationStartConfig])
def test_a_gpu_that_is_not_there_is_named_before_anything_is_read(
    config: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"study\.device=cuda, but torch finds no GPU"):
        refuse(config(device=Device.cuda, num_experts=8))


def test_every_study_with_a_device_is_asked_for_its_gpu() -> None:
    with_device = {name for name, each in STUDIES.items() if "device" in plain(each.schema())}
    # A linear classifier and a measure of time have nothing to train.
    assert set(STUDIES) - with_device == {"vowel_reference", "vowel_multiverse", "scaling"}


def test_far_more_threads_than_cores_are_refused() -> None:
    refuse(ScalingConfig(num_threads=16))
    with pytest.raises(UserError, match=r"study\.num_threads=1024"):
        refuse(ScalingConfig(num_threads=1024))


def test_runs_side_by_side_share_the_memory() -> None:
    def taking(gib: float) -> Estimate:
        return Estimate([Part("it takes", gib * GIB, {})], [], [])

    assert num_at_once(4, [taking(1.0)] * 4) == 4
    assert num_at_once(4, [taking(1.0), taking(3.0)]) == 2
    assert num_at_once(4, [taking(30.0)]) == 1
    assert num_at_once(4, []) == 4


def test_memory_is_what_machine_group_and_limit_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/meminfo": "MemTotal: 64 kB\nMemAvailable:   16777216 kB",
        "/proc/self/cgroup": "0::/user/job",
        "/sys/fs/cgroup/user/job/memory.max": "max",
        "/sys/fs/cgroup/user/job/memory.current": "0",
        "/sys/fs/cgroup/user/memory.max": str(5 * GIB),
        "/sys/fs/cgroup/user/memory.current": str(3 * GIB),
        "/sys/fs/cgroup/user/memory.stat": f"anon 5\ninactive_file {GIB}",
    }
    monkeypatch.undo()
    monkeypatch.setattr(resources, "_lines", lambda path: files.get(path, "").splitlines())
    monkeypatch.setattr(resource, "getrlimit", lambda what: (resource.RLIM_INFINITY,) * 2)
    assert resources.present_memory() == 3 * GIB
    files |= {
        "/proc/self/cgroup": "4:cpu:/\n3:memory:/job",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": str(2 * GIB),
        "/sys/fs/cgroup/memory/memory.usage_in_bytes": str(GIB),
    }
    assert resources.present_memory() == GIB
    files["/proc/self/cgroup"] = ""
    assert resources.present_memory() == 16 * GIB
    monkeypatch.setattr(resource, "getrlimit", lambda what: (GIB // 2, GIB))
    assert resources.present_memory() == GIB // 2


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _measure(study: Any, send: Callable[[int], None]) -> None:
    logging.disable()
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    with tempfile.TemporaryDirectory() as runs_dir:
        execute(study, runs_dir)
    send(_peak() - before)


MEASURED = [
    replace(VOWEL, num_seeds=1500, snapshot_every=5),
    replace(VOWEL, num_seeds=200, num_experts=64, max_epochs=10),
    ClustersConfig(
        num_train=40_000, num_test=1000, activation=Activation.linear, num_seeds=1, max_steps=2
    ),
    ClustersConfig(
        num_test=1000, activation=Activation.gelu, num_filters=64, num_seeds=1, max_steps=2
    ),
    ScalingConfig(num_experts=[512], num_tokens=2048, num_hidden=64, num_rounds=1, num_threads=1),
    ScalingConfig(num_experts=[16], num_tokens=3_000, num_rounds=1, num_threads=1),
]
PAIRS = 40
TEXT = TranslationConfig(
    corpus=CorpusName.files,
    num_subwords=40,
    max_steps=2,
    num_translated=2,
    num_threads=1,
    num_experts=512,
    expert_units=256,
    tokens_per_batch=4096,
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TranslationConfig:
    paths = {}
    for split in ("train", "valid", "test"):
        for side in ("source", "target"):
            path = tmp_path_factory.mktemp("text") / f"{split}.{side}"
            lines = (f"{split} {side} says {n * 7 % 10} and then {n % 10}" for n in range(PAIRS))
            path.write_text("\n".join(lines) + "\n")
            paths[f"{split}_{side}"] = str(path)
    return replace(TEXT, **paths)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a peak")
def test_the_estimate_is_near_the_peak(text: TranslationConfig) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["experiments.execute"])
    for study in [*MEASURED, text]:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_measure, args=(study, theirs.send))
        process.start()
        theirs.close()
        peak = ours.recv()
        process.join()
        taken = STUDIES[study.name].estimate(study).num_bytes
        assert 0.5 < taken / peak < 2, (study, taken, peak)


def test_experts_that_see_too_few_words_are_refused_on_a_gpu_with_the_arithmetic(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(resources, "_present_on_gpu", lambda: 80e9)
    study = TranslationConfig(num_experts=2048, device=Device.cuda, tokens_per_batch=8192)
    with pytest.raises(UserError) as caught:
        refuse(study)
    assert "sees 16 words a step (study.tokens_per_batch=8192 x " in caught.value.problem
    assert "/ 16,384 weights" in caught.value.problem
    assert "study.num_experts=256, or study.tokens_per_batch=65536" in caught.value.fix
    for mended in ({"num_experts": 256}, {"tokens_per_batch": 65536}):
        refuse(replace(study, **mended))
    with caplog.at_level("INFO", logger="experiments"):
        refuse(study, any_size=True)
        refuse(replace(study, device=Device.cpu))
    assert caplog.text.count("An expert sees 16 words a step") == 2
