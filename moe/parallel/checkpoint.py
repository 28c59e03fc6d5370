"""Checkpoints that another number of ranks can load, one included.

    dcp.save({"training": TrainingState(model, optimiser)}, checkpoint_id=folder)
    dcp.load({"training": TrainingState(model, optimiser)}, checkpoint_id=folder)

with `import torch.distributed.checkpoint as dcp`. All ranks call it together. A model whose experts
are all in one process has the same names and can load the same folder.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.stateful import Stateful
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard
from torch.optim import Optimizer

from moe.parallel.experts import ExpertParallel


class TrainingState(Stateful):
    """A model and its optimiser as torch.distributed.checkpoint wants them.

    The tensors are the model's own: nothing is copied before saving, and loading fills them.
    Experts, and what the optimiser keeps per expert, are split along the experts.
    """

    def __init__(self, model: nn.Module, optimiser: Optimizer | None = None) -> None:
        """Name what to save or to load into."""
        self.model, self.optimiser = model, optimiser
        modules = model.named_modules()
        self._parts = {name: part for name, part in modules if isinstance(part, ExpertParallel)}

    def state_dict(self) -> dict[str, Any]:
        """The state, experts as parts of a whole, under the names of a single process's model."""
        weights = self.model.state_dict()
        state: dict[str, Any] = {
            "model": {self._whole_name(name): self._whole(name, weights[name]) for name in weights}
        }
        if self.optimiser is not None:
            kept = get_optimizer_state_dict(self.model, self.optimiser)
            state["optimiser"] = _renamed(kept, self._whole_name, self._whole)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that was made by `state_dict` and filled."""
        names = {self._whole_name(name): name for name in self.model.state_dict()}
        weights = state_dict["model"]
        self.model.load_state_dict({names[name]: _part(name, weights[name]) for name in weights})
        if self.optimiser is not None:
            kept = _renamed(state_dict["optimiser"], names.__getitem__, _part)
            set_optimizer_state_dict(self.model, self.optimiser, kept)

    def _home(self, name: str) -> tuple[str, ExpertParallel] | None:
        for prefix, part in self._parts.items():
            start = f"{prefix}.local." if prefix else "local."
            if name.startswith(start):
                return start, part
        return None

    def _whole_name(self, name: str) -> str:
        home = self._home(name)
        if home is None:
            return name
        start = home[0]
        return start.removesuffix("local.") + name.removeprefix(start)

    def _whole(self, name: str, value: Any) -> Any:
        home = self._home(name)
        if home is None or not isinstance(value, Tensor) or value.dim() == 0:
            return value
        part = home[1]
        if value.shape[0] != part.local.num_experts:
            raise ValueError(
                f"what the optimiser keeps for {name} has the shape {list(value.shape)}, not one "
                f"entry for each of the {part.local.num_experts} experts of this rank: give biases "
                "to an optimiser that factors nothing"
            )
        mesh = DeviceMesh.from_group(part.group or _all_ranks(), value.device.type)
        size = torch.Size([part.num_experts, *value.shape[1:]])
        # All that is split holds one contiguous entry per expert.
        strides = torch.empty(size, device="meta").stride()
        return DTensor.from_local(
            value, mesh, [Shard(0)], run_check=False, shape=size, stride=strides
        )


def _all_ranks() -> dist.ProcessGroup:
    group = dist.group.WORLD
    assert group is not None
    return group


def _part(name: str, value: Any) -> Any:
    return value.to_local() if isinstance(value, DTensor) else value


def _renamed(
    kept: Any, rename: Callable[[str], str], convert: Callable[[str, Any], Any]
) -> dict[str, Any]:
    """An optimiser's state with other names for its parameters and other values for theirs."""
    return {
        "state": {
            rename(name): {key: convert(name, value) for key, value in values.items()}
            for name, values in kept["state"].items()
        },
        "param_groups": [
            {**group, "params": [rename(name) for name in group["params"]]}
            for group in kept["param_groups"]
        ],
    }
