"""Settings of the search for the translation models' learning rates."""

from dataclasses import dataclass, fields

from experiments.runner.schema import Range, setting, without_effect
from experiments.translation.settings import DecodingConfig, TranslationConfig, idle

_RATE = Range(above=0, at_most=1000)


@dataclass
class SearchConfig(TranslationConfig):
    """The search for one arm's learning rates."""

    name: str = "translation_search"
    max_steps: int = setting(
        400,
        "ours: of every training; the budget is the same for all",
        Range(at_least=1, at_most=10_000_000),
    )
    learning_rates: list[float] = setting([0.008, 0.016, 0.032], "ours: the grid", _RATE)
    gate_learning_rates: list[float] = setting([1.0, 4.0], "ours: shares of the rate", _RATE)
    expert_learning_rates: list[float] = setting([0.25, 1.0], "ours: shares of the rate", _RATE)


def has_gate(config: TranslationConfig) -> bool:
    """Whether there is a choice among experts."""
    return config.num_experts > config.k


def idle_search(config: SearchConfig) -> dict[str, str]:
    """Settings that have no effect beside the others, and why."""
    names = ("learning_rate", "gate_learning_rate", "expert_learning_rate")
    searched = tuple(item.name for item in fields(DecodingConfig))
    return idle(config) | without_effect(
        (True, "the search tries values of its own", (*names, "report_every")),
        (True, "nothing is translated", searched),
        (not has_gate(config), "there is no gate", ("gate_learning_rates",)),
        (config.num_experts == 0, "there are no experts", ("expert_learning_rates",)),
    )
