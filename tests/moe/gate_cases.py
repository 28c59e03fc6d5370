"""Gates and batches that several tests share."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from moe import (
    Gate,
    GateValue,
    HierarchicalGate,
    NoisyTopKGate,
    Routing,
    SoftmaxGate,
    StrictlyBalancedGate,
    SwitchGate,
    UniformNoiseGate,
)
from moe.plan import token_of_assignments
from moe.routing import NO_EXPERT

FEATURES = 3
GROUPS, GROUP_SIZE = 3, 4
EXPERTS = GROUPS * GROUP_SIZE

# One of every kind; all have EXPERTS experts.
KINDS: dict[str, Callable[[], Gate]] = {
    "softmax": lambda: SoftmaxGate(FEATURES, EXPERTS),
    "softmax top 3": lambda: SoftmaxGate(FEATURES, EXPERTS, k=3),
    "uniform noise": lambda: UniformNoiseGate(FEATURES, EXPERTS),
    "uniform noise as coded": lambda: UniformNoiseGate(
        FEATURES, EXPERTS, value=GateValue.noisy_logit
    ),
    "switch": lambda: SwitchGate(FEATURES, EXPERTS, jitter=0.1),
    "noisy top 4": lambda: NoisyTopKGate(FEATURES, EXPERTS, k=4),
    "noisy top n": lambda: NoisyTopKGate(FEATURES, EXPERTS, k=EXPERTS),
    "hierarchical": lambda: HierarchicalGate(FEATURES, EXPERTS, GROUPS, 2, 3),
    "hierarchical all": lambda: HierarchicalGate(FEATURES, EXPERTS, GROUPS, GROUPS, GROUP_SIZE),
    "strictly balanced": lambda: StrictlyBalancedGate(FEATURES, EXPERTS, k=2),
}
SUM_TO_ONE = [kind for kind in KINDS if kind.split()[0] in {"softmax", "noisy", "hierarchical"}]


def trained(gate: Gate, seed: int = 0, scale: float = 1.0) -> Gate:
    """Give a gate random weights, in float64."""
    generator = torch.Generator().manual_seed(seed)
    gate = gate.double()
    with torch.no_grad():
        for name, weight in gate.named_parameters():
            if "threshold" not in name:
                weight.normal_(0, scale, generator=generator)
    return gate


def tokens(*shape: int, seed: int = 0) -> Tensor:
    """Random tokens `[*shape, D]` in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, FEATURES, generator=generator, dtype=torch.float64)


def routed(gate: Gate, inputs: Tensor, mask: Tensor | None = None, seed: int = 0) -> Routing:
    """Route with noise that depends on the seed only."""
    torch.manual_seed(seed)
    routing: Routing = gate(inputs, mask)
    return routing


def dense(routing: Routing, value_A: Tensor | None = None) -> Tensor:
    """A routing's weights as a matrix `[T, E]`, zero where an expert does not answer."""
    value_A = routing.weight_A if value_A is None else value_A
    matrix_TE = value_A.new_zeros(routing.num_tokens, routing.num_experts + 1)
    index = (token_of_assignments(routing), routing.expert_A)
    return matrix_TE.index_put(index, value_A, accumulate=True)[:, :-1]


def answers(routing: Routing) -> Tensor:
    """Which expert answers for which token, 0 or 1, `[T, E]`."""
    return dense(routing, (routing.expert_A != NO_EXPERT).double())


def same(first: Routing, second: Routing) -> None:
    """Assert that two routings, their measures and their losses are alike."""
    close(dense(first), dense(second))
    assert torch.equal(answers(first), answers(second))
    close(first.importance_E, second.importance_E)
    close(first.load_E, second.load_E)
    assert first.losses.keys() == second.losses.keys()
    for name, loss in first.losses.items():
        close(loss, second.losses[name])


def close(actual: Tensor, expected: Tensor) -> None:
    """Assert equality up to float64's rounding."""
    torch.testing.assert_close(
        actual.double(), expected.double(), rtol=1e-9, atol=1e-11, check_layout=False
    )


@dataclass(frozen=True)
class Batch:
    """Tokens, some of which may be padding."""

    inputs_TD: Tensor
    mask_T: Tensor | None

    @property
    def is_real_T(self) -> Tensor:
        if self.mask_T is None:
            return torch.ones(len(self.inputs_TD), dtype=torch.bool)
        return self.mask_T


@st.composite
def batches(draw: st.DrawFn, max_tokens: int = 12) -> Batch:
    num_tokens = draw(st.integers(0, max_tokens))
    inputs_TD = tokens(num_tokens, seed=draw(st.integers(0, 1000)))
    if draw(st.booleans()):
        return Batch(inputs_TD, None)
    flags = draw(st.lists(st.booleans(), min_size=num_tokens, max_size=num_tokens))
    return Batch(inputs_TD, torch.tensor(flags, dtype=torch.bool))
