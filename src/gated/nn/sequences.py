"""Running recurrent layers over whole sequences, in every form of input that callers may use."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gated.cells.cell import Cell
from gated.core.arguments import StoredAs
from gated.core.layout import Weights, parameter_names
from gated.core.stream import Stream
from gated.core.variants import Zoneout
from gated.errors import ConfigurationError, DataError, LayerTypeError
from gated.nn.arguments import (
    Hidden,
    check_input,
    check_steps,
    checked_lengths,
    initial_states,
    of_each,
    states_in,
)
from gated.nn.backends import (
    Backend,
    Layer,
    Result,
    RunLayer,
    States,
    Variant,
    recurrence,
    stored_format,
)
from gated.nn.compiled import run_compiled
from gated.nn.plain import (
    Batch,
    PlainLayers,
    is_memory,
    is_plain,
    layers_of,
    plain_layers,
    run_plainly,
)


class Asked(NamedTuple):
    """The checked arguments of a layer's run."""

    x: Tensor
    """(T, B, I)"""
    initial: States
    """(L·D, B, ·) each."""
    lengths: Tensor | None
    per_step: Mapping[str, Tensor]
    """(T, B) each."""
    laid_out: Callable[[Tensor], Any]
    """Gives a tensor (T, B, ·) the layout of the input: batch first, unbatched or packed."""
    state_laid_out: Callable[[Tensor], Tensor]


class Sequences:
    """Base class of recurrent layers over sequences; listed before `torch.nn.Module`."""

    input_size: int
    hidden_size: int
    num_layers: int
    proj_size: int
    batch_first: bool
    bidirectional: bool
    dropout: float
    training: bool
    backend: Backend | None = None
    variant: Variant = Variant()
    observers: tuple[RunLayer, ...] = ()
    """Functions that are called in every run; see `gated.nn.observed`."""

    @property
    def stored_as(self) -> StoredAs:
        """How the matrices are stored for the products: see `gated.nn.LSTM`."""
        return self.variant.stored_as or "float32"

    @stored_as.setter
    def stored_as(self, stored_as: StoredAs) -> None:
        self.variant = self.variant._replace(stored_as=stored_format(stored_as))

    @abstractmethod
    def _cell_for(self, per_step: Mapping[str, Tensor]) -> str:
        """The name by which `gated.core.plans.named_cell` knows the cell that takes these."""

    @abstractmethod
    def _weight_names(self) -> Sequence[str]:
        """What weights a layer and direction may have, without their suffix."""

    @abstractmethod
    def _weights(self) -> Sequence[Layer]:
        """The weights of each direction of each layer, as they are now (parametrised or not)."""

    @abstractmethod
    def _check_input(self, x: Tensor) -> None:
        """Refuse an input (T, B, I) that does not fit."""

    @abstractmethod
    def _initial(self, x: Tensor, hx: Hidden | None) -> States:
        """Return the initial states: those given, checked, or zeros."""

    def _forward(
        self,
        input: Any,
        hx: Hidden | None,
        lengths: ArrayLike | Tensor | None,
        return_gates: bool = False,
        per_step: Mapping[str, Tensor] | None = None,
    ) -> Any:
        if not return_gates and not per_step:
            found = self._run_at_once(input, hx, lengths)
            if found is not None:
                return found
        return self._computed(self._asked(input, hx, lengths, per_step or {}), return_gates)

    def _run_at_once(
        self, input: Any, hx: Hidden | None, lengths: ArrayLike | Tensor | None = None
    ) -> Any:
        """The caller's results, if all layers can be run in one call; else None."""
        return self._run_plainly(input, hx, lengths)

    def _run_plainly(
        self, input: Any, hx: Hidden | None, lengths: ArrayLike | Tensor | None = None
    ) -> Any:
        """The caller's results by the fast path, `gated.nn.plain`; None if a call is not plain."""
        packed = isinstance(input, PackedSequence)
        x = input.data if packed else input
        if (
            not is_plain(x)
            or not x.numel()
            or self.observers
            or self.backend not in (None, "native")
            or any(self.variant[:4])
        ):
            return None
        layers = plain_layers(self)
        if layers is None:
            return None
        dropout = self.dropout if self.training and self.num_layers > 1 else 0.0
        if packed:
            return None if lengths is not None else _run_packed(layers, input, hx, dropout)
        if x.dim() == 2:
            if hx is not None and not _have_dimensions(hx, 2):
                return None
            states = None if hx is None else of_each(hx, lambda state: state.unsqueeze(1))
            laid_out, state_laid_out, x = _alone, _alone, x.unsqueeze(1)
        elif x.dim() == 3:
            states = hx
            laid_out, state_laid_out = _batch_first if self.batch_first else _as_it_is, _as_it_is
            x = laid_out(x)
        else:
            return None
        spans = None if lengths is None else checked_lengths(lengths, *x.shape[:2])
        found = run_plainly(layers, x, states, Batch.padded(x, spans), dropout)
        if found is None:
            return None
        output, final = found
        return laid_out(output), of_each(final, state_laid_out)

    def _plain_layers(self) -> PlainLayers | None:
        """The layers for the fast path, if it can use all of the module's weights."""
        ways = ("", "_reverse")[: 1 + self.bidirectional]
        suffixes = [[f"_l{layer}{way}" for way in ways] for layer in range(self.num_layers)]
        return layers_of(
            self, self._cell_for({}), self._weight_names(), suffixes, self.variant.stored_as
        )

    def _asked(
        self,
        input: Any,
        hx: Hidden | None,
        lengths: ArrayLike | Tensor | None,
        per_step: Mapping[str, Tensor],
    ) -> Asked:
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise DataError("lengths came with a PackedSequence, which has its own: leave out")
            if per_step:
                raise DataError(
                    f"{', '.join(per_step)} came with a PackedSequence: give the padded batch and "
                    "its lengths, see torch.nn.utils.rnn.pad_packed_sequence"
                )
            if is_memory(input.batch_sizes) and not torch.compiler.is_compiling():
                batch = Batch.of_sizes(input.batch_sizes)
                if batch is None or batch.rows != len(input.data):
                    raise LayerTypeError(
                        f"input is a PackedSequence of {len(input.data)} rows whose batch_sizes do "
                        "not fit them: they are positive integers that never rise, and their sum "
                        "is the number of rows; use torch.nn.utils.rnn.pack_padded_sequence"
                    )
            x, lengths = pad_packed_sequence(input)
            return self._checked(x, hx, lengths, {}, lambda value: _packed(value, input, lengths))
        if not isinstance(input, Tensor) or input.dim() not in (2, 3):
            what = tuple(input.shape) if isinstance(input, Tensor) else type(input).__name__
            order = "(B, T, I)" if self.batch_first else "(T, B, I)"
            raise LayerTypeError(
                f"input must have the shape {order}, or unbatched (T, I), got {what}"
            )
        if input.dim() == 2:
            states = None if hx is None else of_each(hx, lambda state: state.unsqueeze(1))
            steps = {name: of.unsqueeze(1) for name, of in per_step.items()}
            asked = self._checked(input.unsqueeze(1), states, lengths, steps, _alone)
            return asked._replace(state_laid_out=_alone)
        if self.batch_first:
            steps = {name: of.transpose(0, 1) for name, of in per_step.items()}
            return self._checked(input.transpose(0, 1), hx, lengths, steps, _batch_first)
        return self._checked(input, hx, lengths, per_step, _as_it_is)

    def _checked(
        self,
        x: Tensor,
        hx: Hidden | None,
        lengths: ArrayLike | Tensor | None,
        per_step: Mapping[str, Tensor],
        laid_out: Callable[[Tensor], Any],
    ) -> Asked:
        self._check_input(x)
        initial = self._initial(x, hx)
        spans = None if lengths is None else checked_lengths(lengths, *x.shape[:2])
        return Asked(x, initial, spans, per_step, laid_out, _as_it_is)

    def _computed(self, asked: Asked, return_gates: bool = False) -> Any:
        """Compute the results, in the form that the caller's input has."""
        result: Result = recurrence(
            self._cell_for(asked.per_step),
            asked.x,
            asked.initial,
            self._weights(),
            asked.lengths,
            dropout=self.dropout,
            training=self.training,
            backend=self.backend,
            variant=self.variant,
            return_gates=return_gates,
            per_step=asked.per_step,
            observers=self.observers,
        )
        final: Hidden = result.final if len(result.final) > 1 else result.final[0]
        final = of_each(final, asked.state_laid_out)
        output = asked.laid_out(result.output)
        if result.gates is None:
            return output, final
        gates = [{name: asked.laid_out(of) for name, of in one.items()} for one in result.gates]
        return output, final, gates

    def stream(
        self,
        sequences: int | None = None,
        threads: int = 1,
        stored_as: StoredAs | None = None,
    ) -> Stream:
        """Return the layers as they are now, ready to take one step at a time.

        The weights are copied and packed once, so that a step costs little more than reading them.
        There is no dropout; zoneout is as in evaluation.

        Args:
            sequences: how many sequences take each step together; None for one, unbatched.
            threads: of each step, see `gated.core.stream.Stream`.
            stored_as: how the stream's copy of the weights is stored: "bfloat16" and "int8" take
                half and a quarter of the bytes, see `gated.core.stream.Stream`. By default as the
                layers' own.

        Raises:
            ConfigurationError: the layers are bidirectional, or their cell cannot be streamed.
            DataError: the weights are not float32.
            MissingNativeError: the native core is not built.

        >>> import torch, gated
        >>> layer = gated.nn.GRU(2, 3)
        >>> hidden = layer.stream().step(torch.ones(2).numpy())
        >>> torch.allclose(torch.from_numpy(hidden), layer(torch.ones(1, 2))[1][0])
        True
        """
        if self.bidirectional:
            raise ConfigurationError(
                "bidirectional layers cannot be streamed: they read from the end too"
            )

        def array(weight: Tensor | None) -> Any:
            return None if weight is None else np.ascontiguousarray(weight.detach().cpu().numpy())

        layers: list[Any] = [
            Weights(*map(array, weights))
            if isinstance(weights, Weights)
            else {name: array(weight) for name, weight in weights.items()}
            for (weights,) in self._weights()
        ]
        zoneout = Zoneout(self.variant.zoneout)
        cell = self._streamed_cell()
        return Stream(
            cell,
            layers,
            sequences=sequences,
            threads=threads,
            zoneout=zoneout,
            stored_as=stored_as or self.stored_as,
        )

    def _streamed_cell(self) -> str | Cell:
        return self._cell_for({})


class SequencesOfTorch(Sequences):
    """Base class of `RNN`, `GRU` and `LSTM`, listed before `torch.nn.RNNBase`."""

    mode: str
    layer_norm: bool = False
    _all_weights: list[list[str]]
    _all_of_weights: bool = False
    """Whether layers may have other weights than those of `torch.nn`."""

    @property
    def _cell(self) -> str:
        """The name that the cell has in `gated.core.layout.LAYOUTS`."""
        return self.mode.lower()

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Hidden | None = None,
        lengths: ArrayLike | Tensor | None = None,
        return_gates: bool = False,
    ) -> Any:
        """Run over whole sequences.

        Args:
            input: (T, B, I), with `batch_first` (B, T, I), unbatched (T, I), or packed; T may be 0
                with `lengths` alone.
            hx: the initial states, (L·D, B, P), unbatched (L·D, P); zeros where not given.
            lengths: (B), the real steps of each sequence, in any order; zeros allowed. Padding
                is never read.
            return_gates: also return every gate and state at every step, with gradients; these
                are stored for the backward pass anyway.

        Returns:
            The hidden states of the last layer, laid out as the input, D·P features, zeros in the
            padding; the states after each sequence's last step, in the shape of `hx`; and with
            `return_gates` a mapping of named tensors for each layer and direction, in PyTorch's
            order, each laid out as the input: (T, B, H).

        Raises:
            ConfigurationError: the backend cannot compute this.
            DataError: an argument does not fit the layer, or another argument.
        """
        return self._forward(input, hx, lengths, return_gates)

    def _checked(
        self,
        x: Tensor,
        hx: Hidden | None,
        lengths: ArrayLike | Tensor | None,
        per_step: Mapping[str, Tensor],
        laid_out: Callable[[Tensor], Any],
    ) -> Asked:
        asked = super()._checked(x, hx, lengths, per_step, laid_out)
        if lengths is None:
            check_steps(x)
        return asked

    def _run_at_once(
        self, input: Any, hx: Hidden | None, lengths: ArrayLike | Tensor | None = None
    ) -> Any:
        if torch.compiler.is_dynamo_compiling():
            return run_compiled(self, input, hx, lengths)
        return self._run_plainly(input, hx, lengths)

    def _cell_for(self, per_step: Mapping[str, Tensor]) -> str:
        return self._cell

    def _check_input(self, x: Tensor) -> None:
        check_input(x, self._weights()[0][0].weight_ih)

    def _initial(self, x: Tensor, hx: Hidden | None) -> States:
        rows = self.num_layers * (1 + self.bidirectional)
        widths = self.proj_size or self.hidden_size, self.hidden_size
        shapes = tuple((rows, x.shape[1], width) for width in widths)
        return initial_states(self._cell, x, hx, shapes)

    def _weight_names(self) -> Sequence[str]:
        return Weights._fields

    def _weights(self) -> list[list[Weights[Tensor]]]:
        directions = (False, True) if self.bidirectional else (False,)

        def weights(layer: int, reverse: bool) -> Weights[Any]:
            # Looking up an attribute that a module lacks is slow.
            there = self._all_weights[layer * len(directions) + reverse]
            names = parameter_names(layer, reverse)
            return Weights(
                *(
                    getattr(self, name, None) if self._all_of_weights or name in there else None
                    for name in names
                )
            )

        return [[weights(layer, d) for d in directions] for layer in range(self.num_layers)]


def _have_dimensions(hx: Hidden, count: int) -> bool:
    states = (hx,) if isinstance(hx, Tensor) else states_in(hx)
    return len(states) > 0 and all(
        isinstance(state, Tensor) and state.dim() == count for state in states
    )


def _as_it_is(value: Tensor) -> Tensor:
    return value


def _batch_first(value: Tensor) -> Tensor:
    return value.transpose(0, 1)


def _alone(value: Tensor) -> Tensor:
    return value.squeeze(1)


def _run_packed(
    layers: PlainLayers, input: PackedSequence, hx: Hidden | None, dropout: float
) -> Any:
    """The results of a PackedSequence, whose rows are read and written where they are."""
    batch = Batch.of_sizes(input.batch_sizes)
    if input.data.dim() != 2 or batch is None or batch.rows != len(input.data):
        return None
    order, back = input.sorted_indices, input.unsorted_indices
    if hx is not None and order is not None:
        if not _have_dimensions(hx, 3):
            return None
        hx = of_each(hx, lambda state: state.index_select(1, order))
    found = run_plainly(layers, input.data.unsqueeze(1), hx, batch, dropout)
    if found is None:
        return None
    output, final = found
    if back is not None:
        final = of_each(final, lambda state: state.index_select(1, back))
    return input._replace(data=output.squeeze(1)), final


def _packed(value: Tensor, like: PackedSequence, lengths: Tensor) -> PackedSequence:
    if like.sorted_indices is not None:
        value = value[:, like.sorted_indices]
        lengths = lengths[like.sorted_indices.to(lengths.device)]
    return like._replace(data=pack_padded_sequence(value, lengths).data)
