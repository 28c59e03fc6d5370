"""Sizes of the model; "section" is of Shazeer et al. (2017)."""

from dataclasses import dataclass
from enum import Enum

from experiments.schema import Range, setting

# Of a width or a number of units, experts and so on: far beyond what any machine holds.
LARGEST = 2**20
_WIDTH, _UNITS = Range(at_least=2, at_most=LARGEST), Range(at_least=1, at_most=LARGEST)


class GateName(Enum):
    """How words choose experts."""

    noisy_top_k = "noisy_top_k"
    hierarchical = "hierarchical"
    balanced = "balanced"


class Attention(Enum):
    """The score of a source position for a query."""

    multiplicative = "multiplicative"
    additive = "additive"


class Precision(Enum):
    """Numbers of the experts and of the other layers' products; gates always have float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"


@dataclass
class ModelConfig:
    """LSTM, mixture of experts, LSTM, on both sides."""

    width: int = setting(128, "appendix E: 512 into and out of every layer", _WIDTH)
    num_units: int = setting(256, "appendix E: 2,048 LSTM units", _WIDTH)
    bidirectional: bool = setting(True, "not stated: 3 layers with a bidirectional pair, or not")
    num_experts: int = setting(
        0, "appendix E: 0, 32, 512, 2,048", Range(at_least=0, at_most=LARGEST)
    )
    num_groups: int = setting(16, "hierarchical gate, not stated", _UNITS)
    expert_units: int = setting(256, "appendix E: 2,048", _UNITS)
    k: int = setting(4, "appendix E: 4 experts per word; 2 of 2 by a hierarchy", _UNITS)
    gate: GateName = setting(GateName.noisy_top_k, "appendix E: strictly balanced")
    attention: Attention = setting(Attention.multiplicative, "appendix G; GNMT: additive")
    attention_units: int = setting(128, "not stated", _UNITS)
    dropout: float = setting(0.2, "appendix E: 0.4", Range(at_least=0, below=1))
    precision: Precision = setting(
        Precision.float32, "not stated; bfloat16: mixed, experts rounded stochastically"
    )
    init_range: float = setting(0.04, "not stated; GNMT: 0.04", Range(above=0, at_most=1000))
