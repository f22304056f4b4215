"""Weights rounded to what a format of fewer bits holds, with gradients as if they were not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gated.core.arguments import StoredAs
from gated.core.layout import Weights
from gated.errors import ConfigurationError
from gated.nn.arguments import is_traced

_MOST = 127
"""The largest whole number that a weight in eight bits is."""


def rounded(weight: Tensor, stored_as: StoredAs) -> Tensor:
    """A matrix as a format holds it, in its own dtype; its gradient is that of the matrix.

    Args:
        weight: float32, (rows, columns).
        stored_as: "bfloat16" rounds each weight to nearest, by at most 2^-8 of it; "int8" to a
            whole number from -127 to 127 times 1/127 of the largest weight of its row;
            "bfloat16x3" keeps them, and so does "float32".

    >>> rounded(torch.tensor([[1.0, 0.004]]), "int8")
    tensor([[1.0000, 0.0079]])
    """
    found: Tensor
    if stored_as not in ("bfloat16", "int8"):
        found = weight
    elif is_traced() or torch.compiler.is_compiling():  # which write no function of autograd's down
        found = weight + (_values(weight, stored_as) - weight).detach()
    elif torch.is_grad_enabled() and weight.requires_grad:
        found = _Rounded.apply(weight, stored_as)  # type: ignore[no-untyped-call]
    else:
        found = _values(weight, stored_as)
    return found


def rounded_matrices(
    weights: Weights[Tensor] | Mapping[str, Tensor], matrices: Sequence[str], stored_as: StoredAs
) -> Any:
    """The weights of a layer and direction, of which `matrices` are rounded.

    Raises:
        ConfigurationError: they are not float32.
    """
    named = dict(weights._asdict() if isinstance(weights, Weights) else weights)
    for name in matrices:
        if named[name].dtype != torch.float32:
            raise ConfigurationError(
                f"stored_as is {stored_as!r}, which is for float32 weights: {name} is "
                f"{named[name].dtype}"
            )
        named[name] = rounded(named[name], stored_as)
    return Weights(**named) if isinstance(weights, Weights) else named


def _values(weight: Tensor, stored_as: StoredAs) -> Tensor:
    if stored_as == "bfloat16":
        return weight.to(torch.bfloat16).to(weight.dtype)
    scale = weight.abs().amax(1, keepdim=True) / _MOST
    whole = weight / torch.where(scale > 0, scale, 1)
    # Halves away from zero, as the core rounds them.
    return (whole.abs() + 0.5).floor() * whole.sign() * scale


class _Rounded(torch.autograd.Function):
    """Straight through (Bengio, Léonard and Courville 2013)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, stored_as: StoredAs) -> Tensor:
        return _values(weight, stored_as)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, StoredAs], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return tangent.view_as(tangent)
