"""The optimiser that lets thousands of experts fit into memory.

Source: Shazeer et al. (2017), appendix D: beta1 is zero, and "instead of maintaining a full matrix
of second-moment estimators, we maintain vectors of row-wise and column-wise averages of that
matrix"; the estimate is their outer product divided by the mean of either. With t updates done:

    r <- beta2 r + (1 - beta2) mean_columns(g^2)
    c <- beta2 c + (1 - beta2) mean_rows(g^2)
    V = r c^T / mean(r)
    w <- w - lr g / (sqrt(V / (1 - beta2^t)) + eps)

Shapes: E experts with one D x H matrix each.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from moe.grouped import native_factored
from moe.grouped.backends import Backend, refusal
from moe.grouped.linear import expert_blocks
from moe.stacked import StackedLinear

WEIGHT_DTYPES = (torch.float32, torch.float64, torch.bfloat16)


class FactoredAdam(torch.optim.Optimizer):
    """Adam with beta1 = 0 and the second moment of a matrix kept as row and column averages.

    The module states the formula. A parameter of three or more dimensions is a stack of
    matrices (the last two dimensions), each with its own averages; one of fewer than two keeps its
    second moment in full. Averages and arithmetic are float32 (float64 for float64 weights).

    The paper names neither beta2 nor eps nor a bias correction. The defaults here are those of the
    optimiser that its first author published afterwards (tensor2tensor, utils/diet.py).

    In the backward pass: after `attach(layer)` the layer's weights are updated as soon as their
    gradient is known, block by block, so that it is never stored. The price: nothing that needs
    all gradients before the first update, such as clipping by their global norm, is possible, and
    every attached layer runs once per `step()` (no accumulation over batches). Learning rates are
    those in force during the backward pass, so schedulers step after `step()`, as always.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        beta2: float = 0.98,
        eps: float = 1e-10,
        bias_correction: bool = True,
        stochastic_rounding: bool = False,
        seed: int = 0,
    ) -> None:
        """Make the optimiser and its averages.

        Args:
            params: parameters or groups of them, as for any optimiser.
            lr: the step size.
            beta2: decay of the averages, at least 0 and below 1.
            eps: added to the root of the second moment, above 0.
            bias_correction: divide the second moment by 1 - beta2^t.
            stochastic_rounding: how bfloat16 weights are rounded, see `round_stochastically`; no
                effect on other dtypes.
            seed: of the rounding. Ranks that hold different experts may share it.

        Raises:
            ValueError: an argument out of range, or weights of a dtype or layout not supported.
        """
        if not (lr >= 0 and 0 <= beta2 < 1 and eps > 0):
            raise ValueError(
                f"lr {lr}, beta2 {beta2}, eps {eps}: needed are lr >= 0, 0 <= beta2 < 1, eps > 0"
            )
        self._sinks: dict[Tensor, _Sink] = {}
        self._seed = seed
        rounding = {"bias_correction": bias_correction, "stochastic_rounding": stochastic_rounding}
        super().__init__(params, {"lr": lr, "beta2": beta2, "eps": eps, **rounding})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with zero averages; see `torch.optim.Optimizer`."""
        super().add_param_group(param_group)
        for weight in self.param_groups[-1]["params"]:
            _check_weight(weight)
            self.state[weight] = {"step": 0, **zero_averages(weight)}

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update the parameters that have a gradient; attached ones have had their update.

        Raises:
            RuntimeError: an attached parameter has a gradient of another origin as well.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for number, group in enumerate(self.param_groups):
            for place, weight in enumerate(group["params"]):
                updated = self._step_one(weight, number, place)
                self.state[weight]["step"] += updated
        return loss

    def attach(self, layer: StackedLinear) -> None:
        """Update a layer's weights during the backward pass, without storing their gradient.

        Raises:
            ValueError: the weights are not among this optimiser's parameters.
        """
        for number, group in enumerate(self.param_groups):
            for place, weight in enumerate(group["params"]):
                if weight is layer.weight:
                    layer.sink = self._sinks[weight] = _Sink(self, weight, number, place)
                    return
        raise ValueError("the layer's weights are not among the optimiser's parameters")

    def detach(self, layer: StackedLinear) -> None:
        """Give the layer ordinary gradients again."""
        layer.sink = None
        self._sinks.pop(layer.weight, None)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over another optimiser's groups, averages and time."""
        super().load_state_dict(state_dict)
        # torch casts averages to the weights' dtype, in which bfloat16 averages would stand still.
        keys = [key for group in state_dict["param_groups"] for key in group["params"]]
        weights = [weight for group in self.param_groups for weight in group["params"]]
        for key, weight in zip(keys, weights, strict=True):
            for name, value in state_dict["state"].get(key, {}).items():
                if isinstance(value, Tensor):
                    self.state[weight][name] = value.to(weight.device, arithmetic_dtype(weight))

    def _step_one(self, weight: Tensor, number: int, place: int) -> bool:
        sink = self._sinks.get(weight)
        if sink is not None and weight.grad is not None:
            raise RuntimeError(
                "a parameter that is updated in the backward pass also has a gradient from "
                "elsewhere; detach its layer to add both up"
            )
        if sink is not None:
            return sink.finish()
        if weight.grad is None:
            return False
        gradient = in_matrices(weight.grad)
        for experts in expert_blocks(gradient) if gradient.dim() == 3 else [slice(None)]:
            self._update_block(weight, gradient[experts], number, place, experts)
        return True

    def _update_block(
        self, weight: Tensor, gradient: Tensor, number: int, place: int, experts: slice
    ) -> None:
        group, state = self.param_groups[number], self.state[weight]
        time = state["step"] + 1
        # Kingma & Ba (2015): averages that began at zero are too small by 1 - beta2^t.
        correction = 1 - group["beta2"] ** time if group["bias_correction"] else 1.0
        rule = Rule(float(group["lr"]), group["beta2"], group["eps"], correction)
        averages = {name: value[experts] for name, value in state.items() if name != "step"}
        # `.data`: autograd's own complaint about changed weights would come before a clearer one.
        stored = in_matrices(weight.data)[experts]
        seed = None
        if weight.dtype is torch.bfloat16 and group["stochastic_rounding"]:
            # By block and time, not by order: blocks may come in any order, and after a restart.
            seed = seed_of(self._seed, number, place, time, experts.start or 0)
        if "row" in averages and _has_kernel(weight):
            from moe.triton_factored import factored_update

            rows_and_columns = averages["row"], averages["column"]
            factored_update(stored, gradient, *rows_and_columns, rule, seed)
        else:
            update_and_round(stored, gradient, averages, rule, seed)


class _Sink:
    """Updates the blocks of one layer's weights as the backward pass hands them over."""

    def __init__(self, optimiser: FactoredAdam, weight: Tensor, number: int, place: int) -> None:
        self._optimiser, self._weight, self._where = optimiser, weight, (number, place)
        self._taken: set[int] = set()

    @torch.no_grad()
    def __call__(self, first: int, gradient_BDH: Tensor) -> None:
        if first in self._taken:
            raise RuntimeError(
                f"the gradient of experts from {first} on came twice before step(): a layer that "
                "is updated in the backward pass can neither be used twice in one graph nor "
                "accumulate gradients over batches; detach it for that"
            )
        self._taken.add(first)
        experts = slice(first, first + gradient_BDH.shape[0])
        self._optimiser._update_block(self._weight, gradient_BDH, *self._where, experts)

    def finish(self) -> bool:
        """Forget the blocks; tells whether any came."""
        came = bool(self._taken)
        self._taken.clear()
        return came


def _check_weight(weight: Tensor) -> None:
    if weight.dtype not in WEIGHT_DTYPES:
        raise ValueError(f"weights of {weight.dtype}; supported are {WEIGHT_DTYPES}")
    if not weight.is_contiguous():
        raise ValueError(f"weights of shape {list(weight.shape)} must be contiguous")


class Rule(NamedTuple):
    """The numbers of one update.

    Attributes:
        lr: the step size.
        beta2: decay of the averages.
        eps: added to the root.
        correction: 1 - beta2^t, or 1 without bias correction.
    """

    lr: float
    beta2: float
    eps: float
    correction: float


def in_matrices(weight: Tensor) -> Tensor:
    """A parameter or its gradient as a stack of matrices `[E, D, H]`, or as a vector."""
    return weight.reshape(-1) if weight.dim() < 2 else weight.reshape(-1, *weight.shape[-2:])


def zero_averages(weight: Tensor) -> dict[str, Tensor]:
    """Averages of squared gradients before the first update.

    Returns:
        `row` `[E, D]` and `column` `[E, H]` of matrices, or `square` of a vector.
    """
    zeros = torch.zeros((), dtype=arithmetic_dtype(weight), device=weight.device)
    size = in_matrices(weight).shape
    if len(size) == 1:
        return {"square": zeros.repeat(size)}
    return {"row": zeros.repeat(size[0], size[1]), "column": zeros.repeat(size[0], size[2])}


def arithmetic_dtype(weight: Tensor) -> torch.dtype:
    """What averages and arithmetic of a parameter are in: float32 at least."""
    return torch.promote_types(weight.dtype, torch.float32)


def _has_kernel(weight: Tensor) -> bool:
    """Whether Triton updates these weights, in one pass instead of twelve."""
    can_be_taken = weight.dtype in (torch.float32, torch.bfloat16)
    return can_be_taken and not refusal(Backend.triton, weight.device.type, torch.float32)


def update_and_round(
    stored: Tensor, gradient: Tensor, averages: dict[str, Tensor], rule: Rule, seed: int | None
) -> None:
    """Update weights of any dtype in place, by torch's operators: what a kernel must equal.

    Args:
        stored: matrices or a vector.
        gradient: of the same shape.
        averages: see `zero_averages`.
        rule: the numbers.
        seed: of stochastic rounding, for bfloat16; None rounds to the nearest.
    """
    exact = stored.to(arithmetic_dtype(stored))
    update(exact, gradient.to(exact.dtype), averages, rule)
    if seed is not None:
        generator = torch.Generator(stored.device).manual_seed(seed)
        exact = round_stochastically(exact, generator)
    # float32 weights were updated where they lie.
    if exact is not stored:
        stored.copy_(exact)


def update(weight: Tensor, gradient: Tensor, averages: dict[str, Tensor], rule: Rule) -> None:
    """Update matrices or a vector, and their averages, in place; all tensors of one dtype."""
    if "square" in averages:
        _full_update(weight, gradient, averages["square"], rule)
    else:
        _factored_update(weight, gradient, averages["row"], averages["column"], rule)


def _factored_update(
    weight_EDH: Tensor, gradient_EDH: Tensor, row_ED: Tensor, column_EH: Tensor, rule: Rule
) -> None:
    gradient_EDH = gradient_EDH.contiguous()
    if native_factored.can_update(weight_EDH, gradient_EDH, row_ED, column_EH):
        native_factored.update(weight_EDH, gradient_EDH, row_ED, column_EH, rule)
        return
    # r <- beta2 r + (1 - beta2) mean_columns(g^2), and c alike; a.lerp_(x, w) is a + w (x - a).
    scratch_EDH = gradient_EDH.square()
    row_ED.lerp_(scratch_EDH.mean(dim=2), 1 - rule.beta2)
    column_EH.lerp_(scratch_EDH.mean(dim=1), 1 - rule.beta2)
    # An expert without a token so far has zero averages, and must stay as it is.
    tiny = torch.finfo(row_ED.dtype).tiny
    mean_E1 = row_ED.mean(dim=1, keepdim=True).clamp_min_(tiny)
    # sqrt(V / (1 - beta2^t)) with V = r c^T / mean(r).
    # Roots of the factors, not of the product: D + H roots per matrix in place of D H.
    root_ED = row_ED.div(mean_E1).div_(rule.correction).sqrt_()
    root_EH = column_EH.sqrt()
    torch.mul(root_ED.unsqueeze(2), root_EH.unsqueeze(1), out=scratch_EDH)
    weight_EDH.addcdiv_(gradient_EDH, scratch_EDH.add_(rule.eps), value=-rule.lr)


def _full_update(weight: Tensor, gradient: Tensor, square: Tensor, rule: Rule) -> None:
    # Adam with beta1 = 0: v <- beta2 v + (1 - beta2) g^2, w <- w - lr g / (sqrt(v) + eps).
    square.lerp_(gradient.square(), 1 - rule.beta2)
    root = square.div(rule.correction).sqrt_().add_(rule.eps)
    weight.addcdiv_(gradient, root, value=-rule.lr)


# A bfloat16 is the upper half of a float32.
DROPPED_BITS = 16


def round_stochastically(value: Tensor, generator: torch.Generator) -> Tensor:
    """Round to a neighbour, with the probability that makes the mean exact.

    Rounding to the nearest loses an update of less than half the spacing, which is 1/256 of the
    weight, for good. Source: the method is used by the first author's published optimiser
    (tensor2tensor, utils/diet.py); the paper itself does not say how weights are stored.

    Args:
        value: float32, of any shape, contiguous. What bfloat16 holds exactly stays as it is.
        generator: on the value's device.

    Returns:
        bfloat16, same shape.
    """
    num_draws = -(-value.numel() // 4)
    # One draw of 64 bits serves four elements.
    noise = torch.empty(num_draws, dtype=torch.int64, device=value.device)
    noise.random_(-(2**63), None, generator=generator)
    bits = noise.view(torch.int16)[: value.numel()].to(torch.int32)
    # Adding uniform noise to the bits that are dropped carries into those that stay with the
    # probability that the value lies so far above the lower neighbour.
    bits.bitwise_and_(2**DROPPED_BITS - 1).add_(value.view(-1).view(torch.int32))
    bits.bitwise_and_(-(2**DROPPED_BITS))
    return bits.view(torch.float32).to(torch.bfloat16).view(value.shape)


def reproducible_generator(device: torch.device, *key: int) -> torch.Generator:
    """A generator whose numbers depend on the key alone, not on what ran before.

    Weights that are updated in another order, or after a restart, are rounded alike.
    """
    return torch.Generator(device).manual_seed(seed_of(*key))


def seed_of(*key: int) -> int:
    """A seed of 56 bits that depends on the key alone."""
    digest = blake2b(",".join(map(str, key)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")
