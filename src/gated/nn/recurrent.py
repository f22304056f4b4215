"""Layers of any cell: one that `gated.cells` defines, or one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import init
from torch.nn.utils.rnn import PackedSequence

from gated.cells import options
from gated.cells.cell import Cell
from gated.core.arguments import StoredAs
from gated.core.plans import parameter_shapes, register
from gated.errors import ConfigurationError, DataError, LayerTypeError
from gated.nn.arguments import Hidden, check_input, check_state, is_traced, states_in
from gated.nn.backends import (
    Backend,
    States,
    Variant,
    check_probabilities,
    checked_backend,
    rates_of,
    stored_format,
)
from gated.nn.plain import PlainLayers
from gated.nn.scripting import refusal
from gated.nn.sequences import Asked, Sequences

RESETS = "resets"


class Recurrent(Sequences, nn.Module):
    """Layers of a cell over whole sequences, with the signature and the results of `nn.LSTM`.

    Parameters are named as in `torch.nn`: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`,
    `bias_hh_l0`, the gates' rows in the order in which the definition first names them, and the
    cell's own, such as `p_l0` (gates, H); names of the second direction end in `_reverse`.

    Args:
        cell: made by `gated.cells.cell`.
        input_size: I.
        hidden_size: H.
        num_layers: L; each reads the outputs of the one before.
        bias: whether products have biases.
        batch_first: sequences are (B, T, I), not (T, B, I).
        dropout: probability, between layers, while training.
        bidirectional: each layer also reads the sequence backwards; both outputs are concatenated.
        proj_size: P, the width to which the hidden state is projected; 0 does not project.
        heads: each gate's recurrent weights are block-diagonal with this many squares, stored as
            (G·H, H / heads).
        layer_norm: normalise the products with the weights (Ba, Kiros and Hinton 2016).
        recurrent_dropout: as for `gated.nn.RNN`; so are the three below.
        weight_drop: probability, while training, that a recurrent weight is left out.
        zoneout: probability that a unit keeps its value for a step, of every state; or one for each
            state.
        recompute: store only the states for the backward pass.
        stored_as: as for `gated.nn.RNN`.
        backend: as for `gated.nn.RNN`.
        device: of the parameters.
        dtype: of the parameters.
        constants: other values of the cell's constants, by name.

    Raises:
        ConfigurationError: an option has an invalid value, or does not apply to the cell.

    >>> import torch
    >>> from gated.cells import cell, tanh
    >>> @cell
    ... def leaky(x, h, *, rate=0.1):
    ...     return (1 - rate) * h + rate * tanh(x.n + h.n)
    >>> layer = Recurrent(leaky, 3, 4, batch_first=True, rate=0.5)
    >>> output, h = layer(torch.zeros(2, 5, 3), lengths=[5, 2])
    >>> output.shape, h.shape
    (torch.Size([2, 5, 4]), torch.Size([1, 2, 4]))
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        heads: int = 1,
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        weight_drop: float = 0.0,
        zoneout: float | tuple[float, ...] = 0.0,
        recompute: bool = False,
        stored_as: StoredAs = "float32",
        backend: Backend | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **constants: float,
    ) -> None:
        super().__init__()
        if not isinstance(cell, Cell):
            raise ConfigurationError(
                f"cell must be made by the decorator gated.cells.cell, got {type(cell).__name__}"
            )
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {size}")
        per_feature = [name for name, width in cell.per_step_widths.items() if width == "I"]
        if num_layers > 1 and per_feature:
            raise ConfigurationError(
                f"num_layers is {num_layers}, but {', '.join(per_feature)} is as wide as the input "
                "of the first layer: stack layers of one layer each"
            )
        if num_layers < 1:
            raise ConfigurationError(f"num_layers must be at least 1, got {num_layers}")
        if heads < 1 or hidden_size % heads:
            raise ConfigurationError(f"heads must divide hidden_size {hidden_size}, got {heads}")
        check_probabilities(
            recurrent_dropout=recurrent_dropout, weight_drop=weight_drop, dropout=dropout
        )
        if constants:
            cell = cell.with_constants(**constants)
        rates = rates_of(zoneout, cell.state_names)
        self.variant = Variant(
            recurrent_dropout, weight_drop, rates, recompute, stored_format(stored_as)
        )
        if layer_norm:
            cell = options.layer_norm(cell)
        if proj_size:
            if heads > 1:
                raise ConfigurationError("heads are groups of hidden units: leave out proj_size")
            cell = options.projected(cell)
        if cell.heads != heads:
            cell = options.heads(cell, heads)
        self.cell = cell
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self.heads = heads
        self.backend = checked_backend(backend)
        biases = {matrix.bias for matrix in cell.matrices}
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else self.output_size
            sizes = {"H": hidden_size, "I": inputs, "P": proj_size or hidden_size, "1": 1}
            for name, shape in parameter_shapes(cell, sizes).items():
                if name in biases and not bias:
                    continue
                for suffix in self._suffixes(layer):
                    value = torch.empty(shape, device=device, dtype=dtype)
                    self.register_parameter(name + suffix, nn.Parameter(value))
        self.reset_parameters()

    @property
    def output_size(self) -> int:
        """The number of features of the output, of both directions together."""
        return (self.proj_size or self.hidden_size) * (1 + self.bidirectional)

    def reset_parameters(self) -> None:
        """Draw initial values as `torch.nn` does: uniform within ±1/√H; gains are 1."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters(recurse=False):
            if name.startswith("gain_"):
                init.ones_(parameter)
            else:
                init.uniform_(parameter, -bound, bound)

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Hidden | None = None,
        lengths: ArrayLike | Tensor | None = None,
        resets: Tensor | None = None,
        return_gates: bool = False,
        **per_step: Tensor,
    ) -> Any:
        """Run over whole sequences.

        Args:
            input: (T, B, I), with `batch_first` (B, T, I), unbatched (T, I), or packed.
            hx: the initial states, (L·D, B, H) each; zeros where not given.
            lengths: (B), the real steps of each sequence, in any order. Padding is never read.
            resets: true at steps before which the states are set to zeros: bool or number, shaped
                as the input, without features.
            return_gates: also return every gate and state at every step.
            per_step: the cell's per-step inputs, by name, shaped as `resets`; those annotated
                `PerStepFeature` or `PerStepUnit` with I or H features.

        Returns:
            As `gated.nn.LSTM`; a single state is not in a tuple, as with a GRU.

        Raises:
            ConfigurationError: the backend cannot compute this.
            DataError: an argument does not fit the layer, or another argument.
        """
        given = per_step if resets is None else {RESETS: resets, **per_step}
        return self._forward(input, hx, lengths, return_gates, given)

    def __prepare_scriptable__(self) -> nn.Module:
        """What `torch.jit.script` compiles: nothing.

        Raises:
            ConfigurationError: always.
        """
        raise refusal(f"the cell {self.cell.name}", "torch.jit.script")

    def _checked(
        self,
        x: Tensor,
        hx: Hidden | None,
        lengths: ArrayLike | Tensor | None,
        per_step: Mapping[str, Tensor],
        laid_out: Callable[[Tensor], Any],
    ) -> Asked:
        cell = self._resetting if RESETS in per_step else self.cell
        if sorted(per_step) != sorted(cell.per_step):
            raise DataError(
                f"the cell {cell.name} takes for each step: {', '.join(cell.per_step) or 'nothing'}"
                f"; got {', '.join(per_step) or 'nothing'}"
            )
        sizes = {"I": self.input_size, "H": self.hidden_size}
        for name, width in cell.per_step_widths.items():
            of = per_step[name]
            wide = () if width == "1" else (sizes[width],)
            if of.shape != (*x.shape[:2], *wide):
                features = f", and {sizes[width]} features" if wide else ""
                raise DataError(
                    f"{name} must have the steps and sequences of the input{features}, "
                    f"{(*x.shape[:2], *wide)}, got {tuple(of.shape)}"
                )
        dtype = next(self.parameters()).dtype
        steps = {name: per_step[name].to(dtype).contiguous() for name in cell.per_step}
        return super()._checked(x, hx, lengths, steps, laid_out)

    def _cell_for(self, per_step: Mapping[str, Tensor]) -> str:
        return register(self._resetting if RESETS in per_step else self.cell)

    @cached_property
    def _resetting(self) -> Cell:
        return options.resets(self.cell)

    def _streamed_cell(self) -> Cell:
        return self.cell

    def _check_input(self, x: Tensor) -> None:
        first = self._weights()[0][0]
        if "weight_ih" in first:
            check_input(x, first["weight_ih"])

    def _initial(self, x: Tensor, hx: Hidden | None) -> States:
        rows = self.num_layers * (1 + self.bidirectional)
        sizes = {"H": self.hidden_size, "P": self.proj_size or self.hidden_size}
        shapes = [(rows, x.shape[1], sizes[state.width]) for state in self.cell.states]
        if hx is None:
            return tuple(x.new_zeros(shape) for shape in shapes)
        states = (hx,) if isinstance(hx, Tensor) else states_in(hx)
        names = ", ".join(self.cell.state_names)
        if len(states) != len(shapes) or not all(isinstance(state, Tensor) for state in states):
            raise LayerTypeError(f"hx must be the states ({names}), got {len(states)} of them")
        for name, state, shape in zip(self.cell.state_names, states, shapes, strict=True):
            if not is_traced():
                check_state(name, state, shape)
        return states

    def _weights(self) -> list[list[dict[str, Tensor]]]:
        """The weights of each direction of each layer by name, as they are now."""
        return [
            [self._named(suffix) for suffix in self._suffixes(layer)]
            for layer in range(self.num_layers)
        ]

    def _weight_names(self) -> Sequence[str]:
        return tuple(parameter_shapes(self.cell, {"H": 1, "I": 1, "P": 1, "1": 1}))

    def _plain_layers(self) -> PlainLayers | None:
        return None if self.heads > 1 else super()._plain_layers()

    def _named(self, suffix: str) -> dict[str, Tensor]:
        found = {}
        for name in self._weight_names():
            weight = getattr(self, name + suffix, None)
            if weight is not None:
                found[name] = weight
        return found

    def _suffixes(self, layer: int) -> tuple[str, ...]:
        return (f"_l{layer}", f"_l{layer}_reverse")[: 1 + self.bidirectional]

    def extra_repr(self) -> str:
        """Return the arguments of the constructor, for `repr`."""
        text = f"{self.cell.name}, {self.input_size}, {self.hidden_size}"
        return f"{text}, num_layers={self.num_layers}, bidirectional={self.bidirectional}"
