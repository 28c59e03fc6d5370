"""How operators and gradients of our own are made known to torch.

Gradients are written with `setup_context`, which `torch.func` asks for, and their backward passes
are made of functions that have a gradient again: second derivatives are right.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.autograd import Function
from torch.utils.flop_counter import register_flop_formula

Kind = TypeVar("Kind", bound=type[Function])


def cheap_to_call(function: Kind) -> Kind:
    """Note the signature of a function's `forward`, which torch looks up anew on every call."""
    function.forward.__signature__ = inspect.signature(function.forward)  # type: ignore[attr-defined]
    return function


def apply(function: type[Function], *arguments: Any) -> Any:
    """Call a function, its gradient with it."""
    return function.apply(*arguments)  # type: ignore[no-untyped-call]


def call(function: type[Function], *arguments: Any) -> Any:
    """Call a function in a backward pass: recorded only where a second derivative is wanted."""
    # autograd runs backward passes without recording unless create_graph=True asks for it.
    if torch.is_grad_enabled():
        return apply(function, *arguments)
    return function.forward(*arguments)


def register(
    name: str,
    schema: str,
    kernel: Callable[..., Any],
    shape: Callable[..., Any],
    num_operations: Callable[..., int],
    gradient: type[Function] | None = None,
) -> None:
    """Define the operator `torch.ops.moe.<name>`, as torch's compiler and tools see it.

    Args:
        name: the operator's.
        schema: its arguments and results, in torch's notation.
        kernel: computes it.
        shape: takes the same arguments and gives empty results, without looking at numbers.
        num_operations: takes the same arguments and counts multiplications and additions.
        gradient: a function with `setup_context`.
    """
    torch.library.define(f"moe::{name}", schema)
    torch.library.impl(f"moe::{name}", "default", kernel)
    torch.library.register_fake(f"moe::{name}", shape)
    if gradient is not None:
        setup, backward = gradient.setup_context, gradient.backward
        torch.library.register_autograd(f"moe::{name}", backward, setup_context=setup)

    def formula(*arguments: Any, out_val: Any = None, **options: Any) -> int:
        return num_operations(*arguments, **options)

    register_flop_formula(getattr(torch.ops.moe, name), get_raw=True)(formula)
