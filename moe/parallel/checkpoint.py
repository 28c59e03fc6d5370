"""Checkpoints that another number of ranks can load, one included.

    state = {"model": whole_weights(model), "optimiser": whole_state(model, optimiser)}
    if dist.get_rank() == 0:
        torch.save(state, path)
    ...
    load_weights(model, state["model"])
    load_state(model, optimiser, state["optimiser"])

All ranks call these together. What is saved is the state of a model and an optimiser in one
process, with the experts of all ranks in main memory: there torch's own `load_state_dict` takes it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from moe.parallel.experts import ExpertParallel, local_experts

_HOME = "local."


def whole_weights(model: nn.Module) -> dict[str, Any]:
    """The model's state with the experts of all ranks, named as in one process."""
    homes = dict(_homes(model))
    whole = {}
    for name, value in model.state_dict().items():
        home = next((home for home in homes if name.startswith(home)), None)
        if home is None:
            whole[name] = value
        else:
            whole[home.removesuffix(_HOME) + name.removeprefix(home)] = _joined(value, homes[home])
    return whole


def load_weights(model: nn.Module, whole: dict[str, Any]) -> None:
    """Take over what `whole_weights` gave, on any number of ranks; each keeps its experts."""
    own = dict(whole)
    for home, part in _homes(model):
        for name in part.local.state_dict():
            value = own.pop(home.removesuffix(_HOME) + name)
            own[home + name] = _cut(value, part)
    model.load_state_dict(own)


def whole_state(model: nn.Module, optimiser: Optimizer) -> dict[str, Any]:
    """The optimiser's state with what it keeps for the experts of all ranks.

    Raises:
        ValueError: something kept for experts does not hold one entry per expert.
    """

    def join(value: Tensor, part: ExpertParallel) -> Tensor:
        if value.shape[0] != part.local.num_experts:
            raise ValueError(
                f"what the optimiser keeps for experts has the shape {list(value.shape)}, not one "
                f"entry for each of the {part.local.num_experts} experts of this rank: give biases "
                "to an optimiser that factors nothing"
            )
        return _joined(value, part)

    return _changed(model, optimiser, optimiser.state_dict(), join)


def load_state(model: nn.Module, optimiser: Optimizer, whole: dict[str, Any]) -> None:
    """Take over what `whole_state` gave; the optimiser has the parameters in the same order."""
    optimiser.load_state_dict(_changed(model, optimiser, whole, _cut))


def _homes(model: nn.Module) -> Iterator[tuple[str, ExpertParallel]]:
    """What the names of each rank's own experts begin with, and their module."""
    for name, part in model.named_modules():
        if isinstance(part, ExpertParallel):
            yield (f"{name}.{_HOME}" if name else _HOME), part


def _changed(
    model: nn.Module,
    optimiser: Optimizer,
    state: dict[str, Any],
    change: Callable[[Tensor, ExpertParallel], Tensor],
) -> dict[str, Any]:
    """An optimiser's state in which all that is kept for experts is joined or cut."""
    part_of = {weight: part for _, part in _homes(model) for weight in part.local.parameters()}
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]

    def changed(key: int, value: Any) -> Any:
        part = part_of.get(weights[key])
        # Scalars count steps, which are the same for all.
        if part is None or not isinstance(value, Tensor) or value.dim() == 0:
            return value
        return change(value, part)

    kept = {
        key: {name: changed(key, value) for name, value in of_weight.items()}
        for key, of_weight in state["state"].items()
    }
    return {**state, "state": kept}


def _joined(own: Tensor, part: ExpertParallel) -> Tensor:
    """The blocks of all ranks one after another, in main memory."""
    blocks: list[Any] = [None] * dist.get_world_size(part.group)
    # By way of objects: the last rank's block may be smaller, and gloo gathers equal sizes only.
    dist.all_gather_object(blocks, own.cpu(), part.group)
    return torch.cat(blocks)


def _cut(whole: Tensor, part: ExpertParallel) -> Tensor:
    mine = local_experts(len(whole), part.group)
    return whole[mine.start : mine.stop].clone()
