"""Settings of the vowel study, with where the paper states them.

"Not stated" marks the paper's silences; each is a choice that the notes of the study give reasons
for. Page numbers are those of Neural Computation 3(1), 79-87.
"""

from dataclasses import dataclass
from enum import Enum

from experiments.runner.errors import UserError
from experiments.runner.schema import SECONDS, SEED, Device, Range, setting, without_effect

STEP_GRID = [2.0, 2.8, 4.0, 5.7, 8.0, 11.3, 16.0, 22.6, 32.0, 45.3, 64.0]
# Half of the fastest step. A step s in a direction of curvature c multiplies the distance to the
# minimum by 1 - s c: it shrinks below s = 2 / c and changes sign from 1 / c on. So half of the last
# stable step is the largest one at which no direction overshoots, and rounding is not magnified.
STEP_SHARE = 0.5
ALL_VOWELS = ["iy", "ih", "eh", "ae", "ah", "aa", "ao", "uh", "uw", "er"]
# Seeds from here on are kept for choosing step sizes; none of them is ever reported.
EXPLORATION_FIRST_SEED = 1_000_000
PAPER_VOWELS = ["iy", "ih", "aa", "ah"]
NUM_SPEAKERS = 76
_EPOCHS = Range(at_least=1, at_most=10_000_000)
_PATIENCE = Range(at_least=1, at_most=1e6)
_STEP = Range(above=0, at_most=1e6)
_VARIANCE = Range(at_least=1e-6, at_most=1e6)
_WEIGHT = Range(at_least=0, at_most=1e6)
_SHARE = Range(above=0, at_most=1)


class System(Enum):
    """The two kinds of network that Table 1 compares."""

    mixture = "mixture"
    backprop = "backprop"


# The core has these two by the same names. They stand here once more because the core needs torch,
# which takes a second to import, and settings are read before anything is computed.


class Cost(Enum):
    """What a mixture minimises, `moe.Cost`; equation numbers are the paper's."""

    blend_error = "1.1"
    expected_error = "1.2"
    mixture_likelihood = "1.3"


class Unit(Enum):
    """What an expert or an output applies to its linear response, `moe.Unit`."""

    logistic = "logistic"
    linear = "linear"
    softmax = "softmax"


class Coding(Enum):
    """Target outputs for [i], [I], [a], [A] (iy, ih, aa, ah); not stated in the paper."""

    bit_1001 = "bit_1001"
    bit_1010 = "bit_1010"
    two_bits = "two_bits"
    one_hot = "one_hot"


# Target vectors per vowel, O numbers each.
CODES: dict[Coding, dict[str, tuple[float, ...]]] = {
    Coding.bit_1001: {"iy": (1,), "ih": (0,), "aa": (0,), "ah": (1,)},
    Coding.bit_1010: {"iy": (1,), "ih": (0,), "aa": (1,), "ah": (0,)},
    Coding.two_bits: {"iy": (1, 1), "ih": (1, 0), "aa": (0, 1), "ah": (0, 0)},
}
ONE_BIT = (Coding.bit_1001, Coding.bit_1010)


class Split(Enum):
    """Which speakers train the nets."""

    as_published = "as_published"
    random_by_speaker = "random_by_speaker"


class InputScale(Enum):
    """Units of the formants."""

    kilohertz = "kilohertz"
    standardised = "standardised"


class StopMeasure(Enum):
    """The squared error that the stopping rule watches; not stated in the paper."""

    blend = "blend"
    expected = "expected"


class StopRule(Enum):
    """Readings of "average squared error 0.08" that the multiverse tries."""

    blend = "of the blended output, summed over outputs"
    expected = "expected over the experts, summed over outputs"
    half = "half the squared error of the blended output"
    per_output = "of the blended output, averaged over outputs"
    later = "seven eighths of the stated error: 0.07"
    at_06 = "0.06 in the place of 0.08"
    at_09 = "0.09 in the place of 0.08"
    at_10 = "0.10 in the place of 0.08"
    at_11 = "0.11 in the place of 0.08"
    at_12 = "0.12 in the place of 0.08"


# The readings of "0.08"; the other errors are a sweep around it.
READINGS = [
    StopRule.blend,
    StopRule.expected,
    StopRule.half,
    StopRule.per_output,
    StopRule.later,
]


class Precision(Enum):
    """Floating-point type of the training."""

    float32 = "float32"
    float64 = "float64"


class Execution(Enum):
    """What computes a mixture: many seeds at once by closed forms, or `moe.MoE` and autograd."""

    batched = "batched"
    layer = "layer"


@dataclass
class VowelDataConfig:
    """Which recordings are used, and how they are presented."""

    table: str | None = setting(None, "ours: CSV file of your own recordings; null: the paper's")
    vowels: list[str] = setting(PAPER_VOWELS, "section 3: [i] [I] [a] [A]")
    dropped_speaker: int | None = setting(
        76, "not stated which of 76 is missing; null keeps all", Range(at_least=1, at_most=76)
    )
    split: Split = setting(Split.as_published, "section 3: the first 50 speakers")
    split_seed: int = setting(0, "for split=random_by_speaker", SEED)
    num_train_speakers: int = setting(50, "section 3: 50", Range(at_least=1, at_most=75))
    input_scale: InputScale = setting(InputScale.kilohertz, "Figure 2's caption: kHz, not centred")
    coding: Coding = setting(Coding.bit_1001, "not stated")
    precision: Precision = setting(
        Precision.float64, "ours: no result may hang on how a processor rounds"
    )


@dataclass
class ReferenceConfig(VowelDataConfig):
    """Classifiers from scikit-learn on the same recordings and split."""

    name: str = "vowel_reference"
    num_neighbours: int = setting(5, "ours", Range(at_least=1, at_most=400))


@dataclass
class VowelConfig(VowelDataConfig):
    """One system of the vowel study, trained for many seeds."""

    name: str = "vowel"
    system: System = setting(System.mixture, "section 3: mixture of experts or back-propagation")
    num_experts: int = setting(4, "section 3: 4 and 8", Range(at_least=1, at_most=1024))
    num_hidden: int = setting(6, "section 3: 6 and 12 (backprop)", Range(at_least=1, at_most=1024))
    cost: Cost = setting(Cost.mixture_likelihood, "section 3 used equation 1.3")
    variance: float = setting(1.0, "equation 1.3: 1", _VARIANCE)
    unit: Unit = setting(Unit.logistic, "not stated; an output of 0.5 is the border")
    init_range: float = setting(0.5, "not stated: weights from U(-r, r)", _WEIGHT)
    gate_init_range: float = setting(
        0.0, "section 1: equal mixing proportions at the start", _WEIGHT
    )
    step_size: float | None = setting(
        None, "values not stated; null: chosen from step_grid by step_share", _STEP
    )
    step_grid: list[float] = setting(
        STEP_GRID, "not stated: steps on the mean gradient that are tried", _STEP
    )
    num_exploration_seeds: int = setting(
        6, "not stated: seeds of the step exploration", Range(at_least=1, at_most=1000)
    )
    exploration_epochs: int = setting(
        3000, "not stated: a step that needs more is not chosen", _EPOCHS
    )
    exploration_patience: float | None = setting(
        None, "ours: give up on steps this many times slower than the best", _PATIENCE
    )
    step_share: float = setting(
        STEP_SHARE, "not stated: share of the fastest step that is taken", _SHARE
    )
    gate_step: float = setting(1.0, "not stated: gate's step over experts' step", _WEIGHT)
    gate_temperature: float = setting(1.0, "not stated", _VARIANCE)
    stop_measure: StopMeasure = setting(StopMeasure.blend, "not stated: the error that is averaged")
    stop_error: float = setting(0.08, "section 3: average squared error of 0.08", _WEIGHT)
    max_epochs: int = setting(10_000, "not stated", _EPOCHS)
    num_seeds: int = setting(200, "Table 1: 25 simulations", Range(at_least=1, at_most=100_000))
    first_seed: int = setting(0, "seeds are first_seed, first_seed + 1, ...", SEED)
    snapshot_every: int = setting(10, "epochs between snapshots", _EPOCHS)
    num_paths: int = setting(
        50,
        "ours: seeds, the first ones, whose snapshots are kept",
        Range(at_least=1, at_most=100_000),
    )
    execution: Execution = setting(
        Execution.batched, "equal but for rounding; layer: moe.MoE, seed by seed, 100 times slower"
    )
    device: Device = setting(Device.cpu, "cuda takes the first GPU, all seeds as one batch")
    checkpoint_seconds: float = setting(10.0, "time between checkpoints", SECONDS)


@dataclass
class MultiverseConfig:
    """The axes of the multiverse: values of each choice on which the paper is silent."""

    name: str = "vowel_multiverse"
    codings: list[Coding] = setting([Coding.bit_1001, Coding.bit_1010], "not stated")
    units: list[Unit] = setting([Unit.logistic], "not stated")
    costs: list[Cost] = setting(
        [Cost.mixture_likelihood, Cost.expected_error, Cost.blend_error], "equations 1.3, 1.2, 1.1"
    )
    init_ranges: list[float] = setting([0.1, 0.5], "not stated", _WEIGHT)
    variances: list[float] = setting([1.0, 0.25, 0.1], "equation 1.3 has 1", _VARIANCE)
    # A step of 0.1 is also a temperature of 3.2: the logits' scale enters the step squared.
    gate_steps: list[float] = setting([1.0, 0.1], "not stated", _WEIGHT)
    num_experts: list[int] = setting([4, 8], "Table 1", Range(at_least=1, at_most=1024))
    num_hidden: list[int] = setting([6, 12], "Table 1", Range(at_least=1, at_most=1024))
    stop_rules: list[StopRule] = setting(READINGS, 'section 3: "0.08", read five ways')
    num_seeds: int = setting(25, "Table 1", Range(at_least=1, at_most=100_000))
    step_grid: list[float] = setting(
        [2.0, 4.0, 8.0, 11.3, 16.0, 22.6, 32.0, 45.3], "not stated", _STEP
    )
    num_exploration_seeds: int = setting(3, "not stated", Range(at_least=1, at_most=1000))
    exploration_epochs: int = setting(2500, "not stated", _EPOCHS)
    exploration_patience: float = setting(
        1.5, "ours: give up on steps this many times slower than the best", _PATIENCE
    )
    step_share: float = setting(1.0, "not stated: share of the fastest step that is taken", _SHARE)
    common_step: bool = setting(True, "ours: also one step for the four systems of a world")
    precision: Precision = setting(Precision.float32, "ours: half the time of float64")
    max_epochs: int = setting(3000, "not stated", _EPOCHS)


def num_speakers(config: VowelDataConfig) -> int:
    """How many speakers there are, training and test together."""
    return NUM_SPEAKERS - (config.dropped_speaker is not None)


def check_data(config: VowelDataConfig) -> None:
    """Reject vowels that do not exist or have no target, and a split without test speakers.

    Raises:
        UserError: naming the settings and the fix.
    """
    unknown = sorted(set(config.vowels) - set(ALL_VOWELS))
    if unknown or len(config.vowels) < 2:
        raise UserError(
            f"study.vowels={config.vowels} is not a list of two or more different vowels.",
            f"Choose from {', '.join(ALL_VOWELS)}.",
        )
    if config.coding is not Coding.one_hot and not set(config.vowels) <= set(PAPER_VOWELS):
        raise UserError(
            f"study.coding={config.coding.name} has no target for "
            f"{', '.join(sorted(set(config.vowels) - set(PAPER_VOWELS)))}.",
            "Add study.coding=one_hot.",
        )
    if len({CODES.get(config.coding, {}).get(vowel, vowel) for vowel in config.vowels}) == 1:
        raise UserError(
            f"study.coding={config.coding.name} gives all of study.vowels="
            f"[{','.join(config.vowels)}] one target.",
            "Take study.coding=one_hot, or other vowels.",
        )
    # How many speakers a table of one's own has is known when it is read.
    if config.table is None and config.num_train_speakers >= num_speakers(config):
        raise UserError(
            f"study.num_train_speakers={config.num_train_speakers} leaves no test speaker.",
            f"Take at most study.num_train_speakers={num_speakers(config) - 1}.",
        )


def check_reference(config: ReferenceConfig) -> None:
    """Reject settings that contradict each other; raises as `check`."""
    check_data(config)
    if config.num_train_speakers < 2:
        raise UserError(
            "study.num_train_speakers=1 gives two recordings of a vowel, of which no covariance "
            "can be told.",
            "Take at least study.num_train_speakers=2.",
        )
    num_cases = 2 * len(config.vowels) * config.num_train_speakers
    if config.num_neighbours > num_cases:
        raise UserError(
            f"study.num_neighbours={config.num_neighbours} is more than the {num_cases} recordings "
            f"of study.num_train_speakers={config.num_train_speakers}.",
            f"Take at most study.num_neighbours={num_cases}, or more speakers.",
        )


def is_layer(config: VowelConfig) -> bool:
    """Whether the sparse layer computes the mixture, and not the batched form."""
    return config.execution is Execution.layer


def check(config: VowelConfig) -> None:
    """Reject settings that contradict each other.

    Raises:
        UserError: naming the settings and the fix.
    """
    check_data(config)
    if config.unit is Unit.softmax and config.coding in ONE_BIT:
        raise UserError(
            "study.unit=softmax needs two outputs or more; a single bit has one.",
            "Add study.coding=one_hot, or take study.unit=logistic.",
        )
    if config.first_seed + config.num_seeds > EXPLORATION_FIRST_SEED:
        raise UserError(
            f"study.first_seed={config.first_seed} with study.num_seeds={config.num_seeds} takes "
            f"seeds from {EXPLORATION_FIRST_SEED:,} on, which are kept for choosing step sizes.",
            f"Take at most study.first_seed={EXPLORATION_FIRST_SEED - config.num_seeds}.",
        )


def _of_own_table(config: VowelDataConfig) -> tuple[bool, str, tuple[str, ...]]:
    return config.table is not None, "study.table has its own speakers", ("dropped_speaker",)


def idle(config: VowelConfig) -> dict[str, str]:
    """Settings that have no effect beside the others, and why."""
    is_backprop = config.system is System.backprop
    return without_effect(
        (
            config.split is Split.as_published,
            "study.split=as_published draws none",
            ("split_seed",),
        ),
        _of_own_table(config),
        (
            is_backprop,
            "study.system=backprop has no experts and no gate",
            (
                "num_experts",
                "execution",
                "cost",
                "gate_init_range",
                "gate_step",
                "gate_temperature",
                "stop_measure",
            ),
        ),
        (not is_backprop, "study.system=mixture has no hidden units", ("num_hidden",)),
        (
            is_backprop or config.cost is not Cost.mixture_likelihood,
            "only study.cost=mixture_likelihood of a mixture has one",
            ("variance",),
        ),
        (
            config.step_size is not None,
            "study.step_size is given",
            (
                "step_grid",
                "num_exploration_seeds",
                "exploration_epochs",
                "exploration_patience",
                "step_share",
            ),
        ),
        (
            config.snapshot_every > config.max_epochs,
            "it is past the last epoch",
            ("snapshot_every",),
        ),
    )


def idle_reference(config: VowelDataConfig) -> dict[str, str]:
    """See `idle`: targets and precision are not those of the classifiers."""
    why = "the classifiers take the vowels themselves"
    return without_effect((True, why, ("coding", "precision")), _of_own_table(config))
