"""Products of rows with one weight matrix per expert, by interchangeable backends.

A backend has three functions over rows sorted by expert (`moe.plan`): `forward`, `backward_rows`
and `backward_weight`. All give the same numbers as `moe.grouped.torch_backends.Reference`.
"""

from moe.grouped.backends import Backend, chosen_backend
from moe.grouped.linear import GradientSink, as_autocast, grouped_linear

__all__ = ["Backend", "GradientSink", "as_autocast", "chosen_backend", "grouped_linear"]
