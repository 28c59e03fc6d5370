"""What a user of the layer gets from `import moe`: documented names and a model that trains."""

import inspect
import re
from enum import Enum
from importlib.resources import files

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import moe
from moe import FeedForwardExperts, MoE, NoisyTopKGate


class Model(nn.Module):
    """A user's own model: the layer between an embedding and a readout, with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.readout = nn.Embedding(50, 16), nn.Linear(16, 50)
        self.layer = MoE(NoisyTopKGate(16, 8, k=2), FeedForwardExperts(8, 16, 32))

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.embedding(words)
        output = self.layer(tokens)
        return self.readout(tokens + output.outputs), sum(output.routing.losses.values())


def test_a_users_own_model_trains_with_its_balance_losses() -> None:
    torch.manual_seed(0)
    model, words = Model(), torch.randint(50, (8, 12))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    history = []
    for _ in range(30):
        logits, balance = model(words)
        loss = F.cross_entropy(logits.flatten(0, 1), (words.flatten() + 1) % 50)
        optimiser.zero_grad()
        (loss + 0.1 * balance).backward()
        optimiser.step()
        history.append((loss.item(), balance.item()))
    assert history[-1][0] < history[0][0] / 4
    load_E = model.eval().layer(model.embedding(words)).routing.load_E
    assert moe.utilisation(load_E) == 1


@pytest.mark.parametrize("name", moe.__all__)
def test_every_public_name_is_documented_with_shapes_units_or_errors(name: str) -> None:
    value = getattr(moe, name)
    if isinstance(value, int):
        return
    parts = [value]
    if inspect.isclass(value):
        parts += [vars(value).get(method) for method in ("__init__", "forward", "__call__")]
    text = "\n".join(inspect.getdoc(part) or "" for part in parts if part is not None)
    assert inspect.getdoc(value)
    is_choice = inspect.isclass(value) and issubclass(value, Enum)
    assert is_choice or re.search(r"`\[|a scalar|Raises:|Attributes:|Returns:", text)


def test_all_that_is_imported_by_name_is_public() -> None:
    tree = inspect.getsource(moe)
    imported = {
        name
        for names in re.findall(r"^from moe\S* import (?:\(([^)]*)\)|(.*))$", tree, re.MULTILINE)
        for name in re.findall(r"\w+", "".join(names))
    }
    assert imported == set(moe.__all__)
    assert {"MoE", "MoEOutput", "Plan", "dispatch", "combine", "Backend"} <= imported


@pytest.mark.parametrize("package", ["moe", "experiments", "reproductions"])
def test_types_are_for_users_too(package: str) -> None:
    assert (files(package) / "py.typed").is_file()
