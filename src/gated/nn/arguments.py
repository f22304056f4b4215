"""Checks of the modules' arguments; messages name the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gated.core.arguments import check_lengths
from gated.core.layout import layout_of
from gated.errors import LayerArgumentError, LayerTypeError

States: TypeAlias = tuple[Tensor, ...]
Hidden: TypeAlias = Tensor | States
"""The hidden state, or an LSTM's pair of hidden and cell state."""


def of_each(hidden: Hidden, change: Callable[[Tensor], Tensor]) -> Hidden:
    """Apply a function to each state; what is none is left as it is, to be refused later."""
    if isinstance(hidden, (tuple, list)):
        return tuple(of_each(state, change) for state in hidden)  # type: ignore[misc]
    return change(hidden) if isinstance(hidden, Tensor) else hidden


def is_traced() -> bool:
    """Whether `torch.jit.trace`, or the ONNX exporter that uses it, is tracing.

    Sizes are tensors then: comparing them gives a warning, and the kernels check them anyway.
    """
    return torch._C._get_tracing_state() is not None


def check_input(x: Tensor, weight_ih: Tensor) -> None:
    """Refuse an input (…, I) that does not fit the weights (G·H, I).

    Raises:
        LayerArgumentError: another number of features, another dtype, or another device.
    """
    features = weight_ih.shape[1]
    if is_traced():
        return
    if x.shape[-1] != features:
        raise LayerArgumentError(
            f"input must have {features} features (input_size), got {x.shape[-1]} in the shape "
            f"{tuple(x.shape)}"
        )
    _check_place("input", x, "the weights", weight_ih)
    _check_dtype("input", x, weight_ih.dtype)


def check_steps(x: Tensor) -> None:
    """Refuse an input (T, B, I) of no steps, as torch does.

    Raises:
        LayerArgumentError: T is 0.
    """
    if not is_traced() and x.shape[0] == 0:
        raise LayerArgumentError(
            "Expected sequence length to be larger than 0 in RNN: give an input of one step or "
            "more, or lengths=, of which each may be 0"
        )


def checked_lengths(lengths: ArrayLike | Tensor, steps: int, sequences: int) -> Tensor:
    """Return the number of real steps of each sequence, (B,), int64 on the CPU.

    While torch traces, compiles or maps (`vmap`), they have no values yet; the kernels check them.

    Raises:
        DataError: it is not one integer for each sequence, or one is not from 0 to `steps`.
    """
    if is_traced():
        return torch.as_tensor(lengths).to("cpu", torch.int64)
    if torch.compiler.is_compiling() or (
        isinstance(lengths, Tensor) and torch._C._functorch.is_functorch_wrapped_tensor(lengths)
    ):
        given = torch.as_tensor(lengths).to("cpu")
        return given if given.is_floating_point() else given.to(torch.int64)
    if isinstance(lengths, Tensor):
        lengths = lengths.cpu().numpy()
    return torch.from_numpy(check_lengths(lengths, steps, sequences))


def initial_states(
    cell: str, x: Tensor, hx: Hidden | None, shapes: tuple[tuple[int, ...], ...]
) -> States:
    """Return the initial states: `hx`, or zeros.

    Args:
        cell: one of `gated.core.layout.LAYOUTS`.
        x: the input; zeros get its dtype and device.
        hx: the states that the caller gave, or None.
        shapes: of the hidden state and of the cell state.

    Raises:
        LayerArgumentError: these are not the states of the cell, or one has another shape, dtype
            or device.
    """
    names = layout_of(cell).states
    if hx is None:
        return tuple(x.new_zeros(shape) for _, shape in zip(names, shapes, strict=False))
    states = (hx,) if isinstance(hx, Tensor) else states_in(hx)
    alone = len(names) == 1
    fits = len(states) == len(names) and all(isinstance(state, Tensor) for state in states)
    alone_given = isinstance(hx, Tensor)
    if not fits or alone_given != alone:
        wanted = "one tensor, the hidden state" if alone else "a pair of tensors (hidden, cell)"
        got = "one tensor" if alone_given else f"a {type(hx).__name__} of {len(states)}"
        raise LayerTypeError(f"hx must be {wanted}, got {got}")
    if is_traced():
        return states
    for name, state, shape in zip(names, states, shapes, strict=False):
        check_state(name, state, shape)
        _check_place(f"hx ({name})", state, "the input", x)
        _check_dtype(f"hx ({name})", state, x.dtype)
    return states


def check_state(name: str, state: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse an initial state of another shape.

    Args:
        name: of the state.
        state: as it was given.
        shape: that it must have.

    Raises:
        LayerArgumentError: it has another.
    """
    if tuple(state.shape) != tuple(shape):
        kind = LayerArgumentError if state.dim() == len(shape) else LayerTypeError
        raise kind(f"hx ({name}) must have the shape {tuple(shape)}, got {tuple(state.shape)}")


def states_in(hx: object) -> States:
    """Return the states in a tuple or a list; an empty tuple for anything else.

    Args:
        hx: as the caller gave it.
    """
    return tuple(hx) if isinstance(hx, (tuple, list)) else ()


def _check_place(name: str, tensor: Tensor, other: str, of: Tensor) -> None:
    if tensor.device != of.device:
        raise LayerArgumentError(
            f"{name} is on {tensor.device}, {other} on {of.device}: move one of them with .to"
        )


def _check_dtype(name: str, tensor: Tensor, dtype: torch.dtype) -> None:
    if tensor.dtype != dtype and not torch.is_autocast_enabled(tensor.device.type):
        raise LayerArgumentError(
            f"{name} must have the dtype {dtype}, got {tensor.dtype}: convert it with "
            f".to({dtype}), or the module"
        )
