"""Gates: which experts answer for which token, and with what weight.

A gate takes tokens of any leading shape and an optional mask of the real ones, and returns a
`moe.routing.Routing`.
"""

from moe.gates.balanced import MaskInTraining, StrictlyBalancedGate, TieBreak
from moe.gates.base import Gate
from moe.gates.hierarchical import HierarchicalGate
from moe.gates.noisy_top_k import NoisyTopKGate
from moe.gates.softmax import SoftmaxGate
from moe.gates.switch import SwitchGate
from moe.gates.uniform_noise import GateValue, UniformNoiseGate

__all__ = [
    "Gate",
    "GateValue",
    "HierarchicalGate",
    "MaskInTraining",
    "NoisyTopKGate",
    "SoftmaxGate",
    "StrictlyBalancedGate",
    "SwitchGate",
    "TieBreak",
    "UniformNoiseGate",
]
