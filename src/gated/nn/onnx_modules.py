"""Recurrent nodes of ONNX as modules of PyTorch, to be trained further.

Shapes: T steps, B sequences, I input features, H hidden units, D directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gated.core.layout import LAYOUTS
from gated.core.onnx_nodes import OnnxNode
from gated.core.plans import register
from gated.errors import DataError
from gated.live.onnx_graph import from_onnx as graph_of
from gated.nn.backends import Backend, checked_backend, recurrence

_NAMED = {"rnn_tanh", "rnn_relu", "gru", "gru_reset_before", "lstm"}


class OnnxLayer(nn.Module):
    """A node LSTM, GRU or RNN of ONNX, with its options, as a module.

    Its parameters have the names and shapes of `torch.nn`'s: `weight_ih_l0`,
    `weight_ih_l0_reverse`, and so on; also where the only direction is from the end, whose names
    have no `_reverse`.

    Args:
        node: what it computes.
        weights: of each direction, by the names of its cell.
        backend: as for the layers of `gated.nn`.
    """

    def __init__(
        self,
        node: OnnxNode,
        weights: Sequence[Mapping[str, NDArray[Any]]],
        backend: Backend | None = None,
    ) -> None:
        super().__init__()
        self.node, self.backend = node, checked_backend(backend)
        self._cells = [
            of.name if of.name in _NAMED and of.name in LAYOUTS else register(of)
            for of in node.cells
        ]
        self._names = [list(of) for of in weights]
        for suffix, arrays in zip(_SUFFIXES, weights, strict=False):
            for name, array in arrays.items():
                parameter = nn.Parameter(torch.from_numpy(array.copy()))
                self.register_parameter(name + suffix, parameter)

    def forward(
        self,
        X: Tensor,
        sequence_lens: Tensor | None = None,
        initial_h: Tensor | None = None,
        initial_c: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Run over whole sequences, with the arguments and results of `gated.live.OnnxLayer`.

        Args:
            X: (T, B, I), or with `layout=1` (B, T, I).
            sequence_lens: (B,)
            initial_h: (D, B, H), or with `layout=1` (B, D, H); zeros by default.
            initial_c: likewise, of an LSTM.

        Returns:
            Y (T, D, B, H), or with `layout=1` (B, T, D, H); Y_h; and of an LSTM Y_c.

        Raises:
            DataError: X or a state has another shape.
        """
        inputs = self._width("weight_ih_l0")
        if X.dim() != 3 or X.shape[2] != inputs:
            raise DataError(
                f"X must have three dimensions, the last of {inputs}, got {tuple(X.shape)}"
            )
        first = self.node.batch_first
        x = X.transpose(0, 1) if first else X
        states = [initial_h, initial_c][: len(self.node.cells[0].states)]
        start = [self._state(of, x) for of in states]
        lengths = None if sequence_lens is None else sequence_lens.to(torch.int64)
        outputs, finals = [], []
        for at, backwards in enumerate(self.node.backwards):
            weights = {name: getattr(self, name + _SUFFIXES[at]) for name in self._names[at]}
            found = recurrence(
                self._cells[at],
                flipped(x, lengths) if backwards else x,
                tuple(of[at : at + 1] for of in start),
                [[weights]],
                lengths,
                training=self.training,
                backend=self.backend,
            )
            outputs.append(flipped(found.output, lengths) if backwards else found.output)
            finals.append([of[0] for of in found.final])
        Y = torch.stack(outputs, 2 if first else 1)
        last = [torch.stack(of, int(first)) for of in zip(*finals, strict=True)]
        return (Y.transpose(0, 1) if first else Y, *last)

    def _state(self, given: Tensor | None, x: Tensor) -> Tensor:
        """A state as (D, B, H)."""
        shape = len(self.node.cells), x.shape[1], self._width("weight_hh_l0")
        if given is None:
            return x.new_zeros(shape)
        state = given.transpose(0, 1) if self.node.batch_first and given.dim() == 3 else given
        if tuple(state.shape) != shape:
            raise DataError(f"an initial state must be D, B, H = {shape}, got {tuple(given.shape)}")
        return state.contiguous()

    def _width(self, name: str) -> int:
        return int(self.get_parameter(name).shape[1])

    def extra_repr(self) -> str:
        """Return what it computes, for `repr`."""
        cells = ", ".join(of.name for of in self.node.cells)
        return f"{self.node.operation} of {cells}, backwards={self.node.backwards}"


_SUFFIXES = ("_l0", "_l0_reverse")


def flipped(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence from its end: (T, B, …), whose padding stays where it is."""
    if lengths is None:
        return x.flip(0)
    times = torch.arange(len(x), device=x.device).unsqueeze(1)
    places = torch.where(times < lengths, lengths - 1 - times, times)
    return x.gather(0, places.unsqueeze(-1).expand_as(x))


def from_onnx(source: Path | str | bytes, backend: Backend | None = None) -> dict[str, OnnxLayer]:
    """Return the recurrent nodes of an ONNX graph as modules, by the names of the nodes.

    Only nodes whose weights are constant, and that are not within If, Loop or Scan:
    `gated.from_onnx(source).left` names others.

    Args:
        source: the path of a file, or its bytes.
        backend: as for the layers of `gated.nn`.

    Raises:
        ModelFileError: it is no ONNX graph.
        MissingExtraError: onnx is not installed.
    """
    layers = graph_of(source).layers
    return {name: OnnxLayer(of.node, of.weights, backend) for name, of in layers.items()}
