"""The gradient's way back in time: how far a network learns from.

Recurrent networks multiply the gradient by one Jacobian matrix a step, so it vanishes or explodes
with the distance (Hochreiter 1991; Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio
2013). The LSTM's cell state is the path on which it need not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gated.errors import ConfigurationError, DataError

Floats = NDArray[np.float64]
State = Tensor | tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Flow:
    """Norms of the gradient of a loss with respect to the states after each step, oldest first.

    Over the sequences and units of the topmost layer. An LSTM has two paths: `hidden` is what goes
    through `h_t` and on, `cell` what goes on from `c_t` past the output gate of its own step.
    """

    hidden: Floats
    """`(T,)` of `h_t`."""
    cell: Floats | None = None
    """`(T,)` of `c_t`, for an LSTM."""

    @property
    def strongest(self) -> Floats:
        """`(T,)` share of its largest norm that the gradient has at each step, on either path."""
        paths = [self.hidden] if self.cell is None else [self.hidden, self.cell]
        shares = [path / path.max() if path.max() > 0 else path for path in paths]
        strongest: Floats = np.maximum.reduce(shares)
        return strongest

    def reach(self, share: float = 0.01) -> int:
        """How many steps the gradient spans: from the oldest with at least `share` to the last.

        >>> Flow(np.array([0.001, 0.02, 0.5, 1.0])).reach()
        3
        """
        strong = np.flatnonzero(self.strongest >= share)
        return len(self.hidden) - int(strong[0]) if len(strong) and self.hidden.any() else 0


def flow(
    layer: nn.RNNBase,
    x: Tensor,
    loss: Callable[[Tensor, State], Tensor],
    initial: State | None = None,
) -> Flow:
    """Measure the gradient's norm at each step of `layer`, by running it one step at a time.

    Neither the parameters' gradients nor the layer's mode are changed.

    Args:
        layer: an RNN, GRU or LSTM of `torch.nn` or `gated.nn`, one direction, any layers.
        x: `(T, B, I)`; `(B, T, I)` where the layer has `batch_first`.
        loss: from the outputs, laid out as `x`, and the final states, a scalar.
        initial: the states to start from; zeros by default.

    Raises:
        ConfigurationError: the layer has two directions or a projection.
        DataError: `x` is not three-dimensional, or has no step.
    """
    if layer.bidirectional or layer.proj_size:
        raise ConfigurationError(
            "flow follows one direction without projection; this layer has "
            f"bidirectional={layer.bidirectional}, proj_size={layer.proj_size}."
        )
    time = 1 if layer.batch_first else 0
    if x.dim() != 3 or x.shape[time] == 0:
        raise DataError(
            f"x must have the shape (T, B, I) with T of 1 or more, got {tuple(x.shape)}"
        )
    states: list[State] = []
    outputs = []
    state = initial
    with torch.enable_grad():
        for step in torch.split(x.detach(), 1, dim=time):
            output, state = layer(step, state)
            # Copies of the states, so that the gradient of each is its own.
            state = _each(state, lambda tensor: tensor.clone().requires_grad_())
            for tensor in _tensors(state):
                tensor.retain_grad()
            states.append(state)
            # The output is the hidden state: take it from there, or the loss's own gradient of
            # this step would go around it.
            hidden = _tensors(state)[0][-1]
            outputs.append(hidden.unsqueeze(time) if output.dim() == 3 else hidden)
        value = loss(torch.cat(outputs, dim=time), states[-1])
        tensors = [tensor for state in states for tensor in _tensors(state)]
        gradients = torch.autograd.grad(value, tensors, allow_unused=True)
    per_step = len(_tensors(states[0]))
    norms = [
        0.0 if gradient is None else float(gradient[-1].double().norm()) for gradient in gradients
    ]
    columns = np.array(norms).reshape(len(states), per_step).T
    return Flow(columns[0], columns[1] if per_step > 1 else None)


def _tensors(state: State) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def _each(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    return tuple(change(part) for part in state) if isinstance(state, tuple) else change(state)
