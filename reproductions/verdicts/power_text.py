"""What `make power` found for each claim, as the reports say it."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("power.json")
ENOUGH = 0.8


@cache
def powers() -> Mapping[str, Mapping[str, Any]]:
    """By the claim's id: chances to match if right and differ if wrong, or why there are none."""
    if not FILE.exists():
        return {}
    found: Mapping[str, Mapping[str, Any]] = json.loads(FILE.read_text("utf-8"))["claims"]
    return found


def is_low(power: Mapping[str, Any]) -> bool:
    """Whether the runs of this size would often leave the claim open, right or wrong."""
    return "matches" in power and min(power["matches"], power["differs"]) < ENOUGH


def power_text(claim_id: str) -> str:
    """A warning where a claim's runs are too few to decide it; empty where they are enough."""
    power = powers().get(claim_id, {})
    if not is_low(power):
        return ""
    return (
        f" Low power: runs of this size match in {100 * power['matches']:.0f} % of cases if it is "
        f"right, and differ in {100 * power['differs']:.0f} % if it is wrong by twice the margin."
    )
