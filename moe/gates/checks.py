"""Bad arguments: the error names the argument, its value and what is allowed."""


def check_at_least(low: float, **arguments: float) -> None:
    """Raise ValueError for the first named argument that lies below `low` or is not a number."""
    for name, value in arguments.items():
        if not value >= low:
            raise ValueError(f"{name} is {value}, but must be at least {low}")


def check_above(low: float, **arguments: float) -> None:
    """Raise ValueError for the first named argument that does not lie above `low`."""
    for name, value in arguments.items():
        if not value > low:
            raise ValueError(f"{name} is {value}, but must be above {low}")


def check_k(name: str, k: int, available: int, what: str) -> None:
    """Raise ValueError unless k choices can be made among what is available.

    Args:
        name: of the argument.
        k: its value.
        available: the most that can be chosen.
        what: the name of that limit.
    """
    if not 1 <= k <= available:
        raise ValueError(f"{name} is {k}, but must be from 1 to {what} = {available}")


def check_divides(num_groups: int, num_experts: int) -> None:
    """Raise ValueError unless the experts fall into groups of the same size."""
    if num_experts % num_groups:
        raise ValueError(f"num_groups is {num_groups}, but must divide num_experts = {num_experts}")
