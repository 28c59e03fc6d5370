"""Settings of the clusters study, with where the paper or the authors' code has them.

"Paper" is Chen et al. (2022), arXiv 2208.02813; "code" is the authors' repository, uclaml/MoE.
"Not stated" marks the paper's silences: the notes of the study give reasons for each choice.
"""

from dataclasses import dataclass
from enum import Enum

from experiments.runner.errors import UserError
from experiments.runner.schema import SEED, Device, Range, setting, without_effect

# Of numbers of the data and the start, and of what a training step is made of: numbers far beyond
# these are infinite once they are multiplied in float32.
_SIZE, _STEP = Range(at_least=0, at_most=1000), Range(at_least=0, at_most=1e6)


class Model(Enum):
    """A mixture with a gate, or one network of the same kind alone."""

    moe = "moe"
    single = "single"


class Activation(Enum):
    """What a filter's response goes through."""

    linear = "linear"
    cubic = "cubic"
    relu = "relu"
    celu = "celu"
    gelu = "gelu"
    tanh = "tanh"


class Init(Enum):
    """Distribution of the filters at the start."""

    normal = "normal"
    uniform = "uniform"


class Value(Enum):
    """What multiplies the chosen expert's answer."""

    probability = "probability"
    noisy_logit = "noisy_logit"


class Optimiser(Enum):
    """How the experts learn."""

    normalised = "normalised"
    adam = "adam"


class Normalisation(Enum):
    """The norm by which each expert's gradient is divided."""

    frobenius = "frobenius"
    sum_of_norms = "sum_of_norms"
    separate = "separate"
    none = "none"


class Loss(Enum):
    """Logistic loss of the margin, or of tanh of half the margin (softmax taken twice)."""

    logistic = "logistic"
    bounded = "bounded"


@dataclass
class DataConfig:
    """Definition 3.1 of the paper, with its setting 1 by default."""

    num_train: int = setting(16_000, "code: 16,000", Range(at_least=4, at_most=10_000_000))
    num_test: int = setting(16_000, "code: 16,000", Range(at_least=4, at_most=10_000_000))
    num_clusters: int = setting(4, "code: K = 4", Range(at_least=2, at_most=1000))
    num_patches: int = setting(4, "code: P = 4", Range(at_least=3, at_most=1000))
    dim: int = setting(50, "code: d = 50", Range(at_least=4, at_most=10_000))
    alpha: list[float] = setting(
        [0.5, 2.0], "feature signal, code: U(0.5, 2)", _SIZE, is_interval=True
    )
    beta: list[float] = setting([1.0, 2.0], "centre signal, code: U(1, 2)", _SIZE, is_interval=True)
    gamma: list[float] = setting(
        [0.5, 3.0],
        "feature noise: U(0.5, 3) in settings 1, 2; U(0.5, 2) in 3, 4",
        _SIZE,
        is_interval=True,
    )
    patch_noise: float = setting(1.0, "sigma_p: 1 in settings 1, 3; 2 in 2, 4", _SIZE)
    input_scale: float = setting(
        10.0, "code: all inputs times 10; the text does not have it", Range(above=0, at_most=1000)
    )
    data_seed: int = setting(0, "not stated: of the one data set", SEED)
    fresh_data: bool = setting(False, "code: one data set for all seeds; true: one per seed")


@dataclass
class ClustersConfig(DataConfig):
    """One model of the clusters study, trained for many seeds."""

    name: str = "clusters"
    array: str | None = setting(None, "ours: .npz file of your own data; null: Definition 3.1")
    model: Model = setting(Model.moe, "Table 1: MoE or a single network")
    activation: Activation = setting(Activation.cubic, "Table 1: linear, cubic")
    num_experts: int = setting(
        8, "Table 1's code: 8; Figure 1: 4, as clusters", Range(at_least=1, at_most=1024)
    )
    num_filters: int = setting(
        16, "code: 16 per expert, all heads together", Range(at_least=1, at_most=100_000)
    )
    num_heads: int = setting(
        1, "paper: one sum of filters; code: two", Range(at_least=1, at_most=2)
    )
    bias: bool = setting(False, "paper: none; code: yes")
    init: Init = setting(Init.normal, "section 3: normal; code: uniform")
    # Not stated. 8.2e-5 is the deviation of the code's uniform filters, 0.001 / sqrt(50) / sqrt(3).
    init_scale: float = setting(
        8.2e-5, "normal: sigma_0, not stated; uniform: times 1/sqrt(d)", _SIZE
    )
    gate_value: Value = setting(Value.probability, "section 3: softmax; code: noisy logit")
    gate_noise: float = setting(1.0, "section 3: U[0, 1]", _SIZE)
    fresh_noise: bool = setting(True, "section 3; the entropy curves' code draws once")
    evaluation_noise: bool = setting(False, "not stated; code: noise at test time too")
    balance_weight: float = setting(
        0.0, "none in the main tables; appendix: load balancing; code: 1e-4", _STEP
    )
    loss: Loss = setting(Loss.logistic, "section 3: logistic; code: softmax twice, so bounded")
    optimiser: Optimiser = setting(Optimiser.normalised, "algorithm 1; code, single: Adam")
    normalisation: Normalisation = setting(
        Normalisation.frobenius, "algorithm 1: Frobenius; code: sum of norms"
    )
    step_size: float = setting(0.001, "not stated; code: 0.001", Range(above=0, at_most=1e6))
    gate_step: float = setting(0.1, "theorem: about M^2 steps; code: 0.1", _STEP)
    weight_decay: float = setting(0.0, "code, single: 5e-4", _STEP)
    batch_size: int = setting(
        0, "0: full batch, as in algorithm 1", Range(at_least=0, at_most=10_000_000)
    )
    max_steps: int = setting(501, "not stated; code: 501", Range(at_least=1, at_most=1_000_000))
    early_stop: bool = setting(False, "not stated; code: yes")
    stop_rise: float = setting(0.02, "code: stop where the loss is so far above its best", _STEP)
    stop_loss: float | None = setting(0.314, "code: stop at this loss once it does not fall", _STEP)
    stop_after: int = setting(
        0, "code, single: not before step 500", Range(at_least=0, at_most=1_000_000)
    )
    decompose: bool = setting(
        True, "the exact shorter way of linear and cubic experts; false: every patch in full"
    )
    device: Device = setting(Device.cpu, "cuda takes the first GPU")
    num_seeds: int = setting(25, "Table 1: 10", Range(at_least=1, at_most=100_000))
    first_seed: int = setting(0, "seeds are first_seed, first_seed + 1, ...", SEED)
    init_seed: int | None = setting(None, "null: the seed's own filters", SEED)
    noise_seed: int | None = setting(None, "null: the seed's own routing noise", SEED)
    curve_every: int = setting(
        5, "steps between points of the curves", Range(at_least=1, at_most=1_000_000)
    )
    snapshot_every: int = setting(
        25, "steps between snapshots", Range(at_least=1, at_most=1_000_000)
    )
    keep_picture: bool = setting(False, "Figure 1: keep the first seed's choices and predictions")


def check(config: ClustersConfig) -> None:
    """Reject settings that contradict each other.

    Raises:
        UserError: naming the settings and the fix.
    """
    # Signals are drawn; data of one's own has none.
    if config.array is None and 2 * config.num_clusters > config.dim:
        raise UserError(
            f"The {2 * config.num_clusters} orthogonal signals of study.num_clusters="
            f"{config.num_clusters} do not fit into study.dim={config.dim} dimensions.",
            f"Take at least study.dim={2 * config.num_clusters}, or fewer clusters.",
        )
    if config.num_filters % config.num_heads:
        raise UserError(
            f"study.num_heads={config.num_heads} must divide "
            f"study.num_filters={config.num_filters}.",
            f"Take study.num_filters={config.num_filters + 1}, an even number.",
        )
    if config.batch_size > config.num_train:
        raise UserError(
            f"study.batch_size={config.batch_size} is more than "
            f"study.num_train={config.num_train}.",
            f"Take at most study.batch_size={config.num_train}; 0 is the full batch.",
        )
    if config.batch_size and config.keep_picture:
        raise UserError(
            f"study.keep_picture follows every example, and study.batch_size={config.batch_size} "
            "shows a step only some of them.",
            "Take study.batch_size=0 or study.keep_picture=false.",
        )
    if config.model is Model.single and config.num_experts != 1:
        raise UserError(
            f"study.model=single has one network, not study.num_experts={config.num_experts}.",
            "Take study.num_experts=1, or start from study=clusters_single.",
        )


def idle(config: ClustersConfig) -> dict[str, str]:
    """Settings that have no effect beside the others, and why."""
    return without_effect(
        (
            config.array is not None,
            "study.array has its own examples, patches and clusters",
            (
                *("num_train", "num_test", "num_clusters", "num_patches", "dim"),
                *("alpha", "beta", "gamma", "patch_noise"),
            ),
        ),
        (
            config.model is Model.single,
            "study.model=single has no gate",
            (
                "gate_value",
                "gate_noise",
                "gate_step",
                "fresh_noise",
                "evaluation_noise",
                "balance_weight",
            ),
        ),
        (
            config.optimiser is Optimiser.adam,
            "study.optimiser=adam divides by moments of its own",
            ("normalisation",),
        ),
        (
            not config.early_stop,
            "study.early_stop=false trains to the last step",
            ("stop_rise", "stop_loss", "stop_after"),
        ),
        (config.curve_every > config.max_steps, "it is past the last step", ("curve_every",)),
        (config.snapshot_every > config.max_steps, "it is past the last step", ("snapshot_every",)),
        (
            config.activation not in (Activation.linear, Activation.cubic),
            f"study.activation={config.activation.name} has no shorter way",
            ("decompose",),
        ),
        (
            config.array is not None and config.activation is Activation.cubic,
            "the shorter way of cubic experts rests on Definition 3.1",
            ("decompose",),
        ),
    )
