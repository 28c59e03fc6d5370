"""Settings of the language model; sections and tables are those of Shazeer et al. (2017)."""

from dataclasses import dataclass
from enum import Enum
from math import isqrt

from experiments.runner.errors import UserError
from experiments.runner.schema import SECONDS, SEED, Device, Range, setting, without_effect

_SIZE = Range(at_least=1, at_most=2**20)
_STEPS = Range(at_least=1, at_most=10_000_000)
_WEIGHT = Range(at_least=0, at_most=1000)
_RATE = Range(above=0, at_most=1000)
_SHARE = Range(above=0, below=0.5)


class Text(Enum):
    """Where the text comes from."""

    bibles = "bibles"
    domains = "domains"
    files = "files"


class Block(Enum):
    """What stands between the two LSTMs (appendix C.1)."""

    none = "none"
    constant = "constant"
    experts = "experts"
    wide = "wide"
    deep = "deep"
    lstm = "lstm"


class Gate(Enum):
    """How subwords choose experts; the last four learn nothing and are controls."""

    noisy_top_k = "noisy_top_k"
    hierarchical = "hierarchical"
    hash_word = "hash_word"
    hash_two_words = "hash_two_words"
    random_words = "random_words"
    random_inputs = "random_inputs"


LEARNT_GATES = (Gate.noisy_top_k, Gate.hierarchical)


@dataclass
class LanguageModelConfig:
    """One model of the study, trained from several seeds."""

    name: str = "language_model"
    # Text
    text: Text = setting(Text.bibles, "section 5.1: One Billion Word")
    bibles: list[str] = setting(
        ["k", "4", "l", "5", "v", "d", "e", "r", "y", "f", "p", "7"],
        "text=bibles: their codes; see experiments.text.bible.BIBLES",
    )
    train_files: list[str] = setting([], "text=files: paths; a line is a document")
    valid_files: list[str] = setting([], "text=files")
    test_files: list[str] = setting([], "text=files")
    valid_share: float = setting(0.01, "of the documents; not stated", _SHARE)
    test_share: float = setting(0.01, "of the documents; not stated", _SHARE)
    split_seed: int = setting(0, "which documents; not stated", SEED)
    num_subwords: int = setting(
        1000, "appendix C.1: 793,471 words", Range(at_least=40, at_most=1_000_000)
    )
    # Model
    width: int = setting(32, "appendix C.1: 512 into and out of every layer", _SIZE)
    block: Block = setting(Block.experts, "table 7: what stands between the LSTMs")
    num_experts: int = setting(256, "table 7: 4, 32, 256, 1,024, 4,096", _SIZE)
    expert_units: int = setting(64, "appendix C.1: 1,024, twice the width", _SIZE)
    k: int = setting(4, "appendix C.1: 4; 2 of 2 in a hierarchy", _SIZE)
    gate: Gate = setting(Gate.noisy_top_k, "appendix C.1: hierarchical from 256 experts on")
    num_groups: int = setting(16, "appendix C.1: 16 groups in a hierarchy", _SIZE)
    sigmoid: bool = setting(True, "appendix C.1: a sigmoid after the mixture")
    dropout: float = setting(0.0, "appendix C.1: 0.1 to 0.3", Range(at_least=0, below=1))
    init_range: float = setting(0.1, "not stated: of embedding and softmax", _RATE)
    # Training
    num_seeds: int = setting(6, "ours: trainings", Range(at_least=1, at_most=10_000))
    first_seed: int = setting(0, "of weights, routing noise and order", SEED)
    num_streams: int = setting(
        128, "not stated; with num_unrolled 4,096 subwords a step, and 300,000 words in the paper",
        Range(at_least=1, at_most=1_000_000),
    )  # fmt: skip
    num_unrolled: int = setting(32, "not stated: subwords back through time", _SIZE)
    max_steps: int = setting(1000, "appendix C.1: 27,000, ten epochs", _STEPS)
    learning_rate: float = setting(0.016, "not stated: the highest", _RATE)
    gate_learning_rate: float = setting(
        1.0, "not stated: of the gate, as a share of learning_rate", _RATE
    )
    expert_learning_rate: float = setting(
        1.0, "not stated: of the experts, as a share of learning_rate", _RATE
    )
    factored: bool = setting(
        True, "appendix D: factored second moment and no first one for the experts; else Adam"
    )
    beta2: float = setting(0.98, "not stated", Range(above=0, below=1))
    warm_up_steps: int = setting(100, "appendix C.1: 1,000, then 1/sqrt", _STEPS)
    importance_weight: float = setting(0.01, "appendix C.1: 0.1", _WEIGHT)
    load_weight: float = setting(0.01, "appendix C.1: 0.1", _WEIGHT)
    clip_norm: float = setting(5.0, "not stated", Range(above=0, at_most=1e9))
    evaluate_every: int = setting(250, "steps", _STEPS)
    report_every: int = setting(25, "steps between points of the curves", _STEPS)
    num_evaluated: int = setting(
        60_000, "subwords of held-out text that curves are measured on", _STEPS
    )
    untrained: bool = setting(False, "ours: a control that is measured without training")
    checkpoint_seconds: float = setting(300.0, "time between checkpoints", SECONDS)
    device: Device = setting(Device.cpu, "cuda takes the first GPU")
    num_threads: int = setting(1, "0 takes one per core", Range(at_least=0, at_most=1024))


@dataclass
class SearchConfig(LanguageModelConfig):
    """The search for one arm's learning rates."""

    name: str = "language_model_search"
    num_seeds: int = setting(1, "ours: trainings per point", Range(at_least=1, at_most=10_000))
    max_steps: int = setting(500, "ours: of every training; the budget is the same for all", _STEPS)
    learning_rates: list[float] = setting([0.016, 0.032, 0.064], "ours: the grid", _RATE)
    gate_learning_rates: list[float] = setting([1.0, 4.0], "ours: shares of the rate", _RATE)
    expert_learning_rates: list[float] = setting([0.25, 1.0], "ours: shares of the rate", _RATE)


def has_gate(config: LanguageModelConfig) -> bool:
    """Whether there is a choice among experts."""
    return config.block is Block.experts


def check(config: LanguageModelConfig) -> None:
    """Reject settings that contradict each other.

    Raises:
        UserError: naming the settings and the fix.
    """
    if has_gate(config):
        _check_experts(config)
    _check_equal_operations(config)
    if config.text is Text.files and not (
        config.train_files and config.valid_files and config.test_files
    ):
        raise UserError(
            "study.text=files needs files of all three splits.",
            "Give study.train_files=[PATH], study.valid_files=[PATH] and study.test_files=[PATH].",
        )


def _check_experts(config: LanguageModelConfig) -> None:
    if config.k > config.num_experts:
        raise UserError(
            f"study.k={config.k} is more than study.num_experts={config.num_experts}.",
            f"Take at most study.k={config.num_experts}.",
        )
    if config.gate is not Gate.hierarchical:
        return
    each = isqrt(config.k)
    if each**2 != config.k:
        raise UserError(
            f"study.k={config.k} has no whole root: a hierarchy takes the root on either level.",
            f"Take study.k={each**2}.",
        )
    if config.num_experts % config.num_groups:
        nearest = config.num_groups * max(each, config.num_experts // config.num_groups)
        raise UserError(
            f"study.num_groups={config.num_groups} must divide study.num_experts="
            f"{config.num_experts}.",
            f"Take study.num_experts={nearest}.",
        )
    if each > min(config.num_groups, config.num_experts // config.num_groups):
        raise UserError(
            f"study.k={config.k} takes {each} groups and {each} experts of each, and "
            f"study.num_groups={config.num_groups} of study.num_experts={config.num_experts} have "
            "fewer.",
            "Take study.k=1.",
        )


def num_lstms(config: LanguageModelConfig) -> float:
    """LSTMs whose multiply-adds are those of k experts: 8 D^2 each against 2 k D H."""
    return config.k * config.expert_units / (4 * config.width)


def num_hidden_layers(config: LanguageModelConfig) -> float:
    """Hidden layers of one deep expert that costs as much as k: 2 D H + (n - 1) H^2 = 2 k D H."""
    return 1 + 2 * config.width * (config.k - 1) / config.expert_units


def _check_equal_operations(config: LanguageModelConfig) -> None:
    kinds = {Block.lstm: ("LSTMs", num_lstms), Block.deep: ("hidden layers", num_hidden_layers)}
    if config.block not in kinds:
        return
    what, number_of = kinds[config.block]
    number = number_of(config)
    if number < 1 or number % 1:
        raise UserError(
            f"study.block={config.block.name} cannot cost as much as study.k={config.k} experts of "
            f"study.expert_units={config.expert_units}: that would be {number:g} {what}.",
            f"Take study.expert_units={2 * config.width} with study.k=4.",
        )


def idle(config: LanguageModelConfig) -> dict[str, str]:
    """Settings that have no effect beside the others, and why."""
    of_files = ("train_files", "valid_files", "test_files")
    other = f"study.text={config.text.name} has its own text"
    of_learning = ("gate_learning_rate", "importance_weight", "load_weight")
    return without_effect(
        (config.text is not Text.bibles, other, ("bibles",)),
        (
            config.text is not Text.files,
            other,
            of_files,
        ),
        (
            config.text is Text.files,
            "study.text=files has its own splits",
            ("valid_share", "test_share", "split_seed"),
        ),
        (
            not has_gate(config),
            f"study.block={config.block.name} has no experts to choose from",
            ("num_experts", "gate", "num_groups", *of_learning),
        ),
        (
            config.gate is not Gate.hierarchical,
            f"study.gate={config.gate.name} has no groups",
            ("num_groups",),
        ),
        (
            config.gate not in LEARNT_GATES,
            f"study.gate={config.gate.name} learns nothing",
            of_learning,
        ),
    )


def idle_search(config: SearchConfig) -> dict[str, str]:
    """Settings that have no effect beside the others, and why."""
    names = ("learning_rate", "gate_learning_rate", "expert_learning_rate")
    return idle(config) | without_effect(
        (True, "the search tries values of its own", (*names, "report_every")),
        (not has_gate(config), "there is no gate", tuple(f"{name}s" for name in names[1:])),
    )
