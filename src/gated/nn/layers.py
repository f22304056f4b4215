"""RNN, GRU and LSTM over whole sequences: `torch.nn`'s layers, and more.

Each has the arguments, state dict, initial values and results of the layer of its name in
`torch.nn`, and `torch.nn.RNNBase` as its base; not that layer, which `torch.compile` refuses.
Beyond it each takes `lengths` with padded batches, variants of the cell, and gives its gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gated.core.layout import Weights, layout_of, parameter_names, weight_shapes
from gated.errors import ConfigurationError, DataError
from gated.nn.arguments import Hidden, check_input, checked_lengths, initial_states, of_each
from gated.nn.backends import Result, Variant, recurrence
from gated.nn.options import Options


class _Layers(Options, nn.RNNBase):
    """What the three have in common."""

    def __init__(
        self,
        mode: str,
        *arguments: Any,
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        weight_drop: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        recompute: bool = False,
        **options: Any,
    ) -> None:
        self.layer_norm = False  # until the gains are there
        both = zoneout if isinstance(zoneout, tuple) else (zoneout, zoneout)
        if isinstance(zoneout, tuple) and self.keeping_gate != "forget_gate":
            raise ConfigurationError(
                f"zoneout is {zoneout}, but a {type(self).__name__} has one state: give one number"
            )
        self.variant = Variant(recurrent_dropout, weight_drop, *both, recompute)
        names = ("recurrent_dropout", "weight_drop", "zoneout", "zoneout")
        for name, probability in zip(names, self.variant[:4], strict=True):
            if not 0 <= probability <= 1:
                raise ConfigurationError(f"{name} is a probability, 0 to 1, got {probability}")
        if "proj_size" in options and mode != "LSTM":
            raise ConfigurationError(f"proj_size is for the LSTM, not for a {type(self).__name__}")
        super().__init__(mode, *arguments, **options)
        if layer_norm:
            self._add_gains()

    def _add_gains(self) -> None:
        """Add the parameters of layer normalisation."""
        if not layout_of(self._cell).normalised_together:
            raise ConfigurationError(f"there is no layer normalisation for the cell {self._cell}")
        self.layer_norm = True
        gains = ("gain_ih", "gain_hh") + ("gain_cell", "bias_cell") * (self.mode == "LSTM")
        shapes = weight_shapes(self._cell, self.input_size, self.hidden_size)._asdict()
        for layer in range(self.num_layers):
            for reverse in (False, True)[: 1 + self.bidirectional]:
                names = dict(zip(Weights._fields, parameter_names(layer, reverse), strict=True))
                for gain in gains:
                    value = self._weights()[0][0].weight_hh.new_ones(shapes[gain])
                    self.register_parameter(names[gain], nn.Parameter(value))
        self._reset_gains()

    def _reset_gains(self) -> None:
        for name, parameter in self.named_parameters(recurse=False):
            if name.startswith(("gain_", "bias_cell")):
                nn.init.constant_(parameter, float(name.startswith("gain_")))

    @property
    def _cell(self) -> str:
        """The name that the cell has in `gated.core.layout.LAYOUTS`."""
        return self.mode.lower()

    def reset_parameters(self) -> None:
        """Draw the initial values of `torch.nn`, then set what the options ask for."""
        super().reset_parameters()
        self._initialise(direction for layer in self._weights() for direction in layer)
        if self.layer_norm:
            self._reset_gains()

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Hidden | None = None,
        *,
        lengths: ArrayLike | Tensor | None = None,
        return_gates: bool = False,
    ) -> Any:
        """Run over whole sequences.

        Args:
            input: (T, B, I), with `batch_first` (B, T, I), unbatched (T, I), or packed.
            hx: the states to start from, (L·D, B, P), unbatched (L·D, P); zeros where not given.
            lengths: (B), the real steps of each sequence, in any order; zeros allowed. Padding
                is never read.
            return_gates: also give every gate and state at every step, with gradients: the
                backward pass keeps them anyway.

        Returns:
            The hidden states of the last layer, laid out as the input, D·P features, zeros in the
            padding; the states after each sequence's last step, in the shape of `hx`; and with
            `return_gates` a mapping of named tensors for each layer and direction, in PyTorch's
            order, each laid out as the input: (T, B, H).

        Raises:
            ConfigurationError: the backend cannot compute this.
            DataError: an argument does not fit the layer, or another argument.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise DataError("lengths came with a PackedSequence, which has its own: leave out")
            return self._forward_packed(input, hx, return_gates)
        if not isinstance(input, Tensor) or input.dim() not in (2, 3):
            what = tuple(input.shape) if isinstance(input, Tensor) else type(input).__name__
            order = "(B, T, I)" if self.batch_first else "(T, B, I)"
            raise DataError(f"input must have the shape {order}, or unbatched (T, I), got {what}")
        if input.dim() == 2:
            states = None if hx is None else of_each(hx, lambda state: state.unsqueeze(1))
            result = self._run(input.unsqueeze(1), states, lengths, return_gates)
            return self._given(result, lambda x: x.squeeze(1), lambda state: state.squeeze(1))
        x = input.transpose(0, 1) if self.batch_first else input
        result = self._run(x, hx, lengths, return_gates)
        return self._given(result, (lambda x: x.transpose(0, 1)) if self.batch_first else None)

    def _forward_packed(self, packed: PackedSequence, hx: Hidden | None, return_gates: bool) -> Any:
        x, lengths = pad_packed_sequence(packed)
        result = self._run(x, hx, lengths, return_gates)
        if packed.sorted_indices is not None:
            lengths = lengths[packed.sorted_indices.to(lengths.device)]

        def pack(output: Tensor) -> PackedSequence:
            if packed.sorted_indices is not None:
                output = output[:, packed.sorted_indices]
            return packed._replace(data=pack_padded_sequence(output, lengths).data)

        return self._given(result, pack)

    def _given(
        self,
        result: Result,
        laid_out: Callable[[Tensor], Any] | None,
        state_laid_out: Callable[[Tensor], Tensor] | None = None,
    ) -> Any:
        """What the caller gets of a result, laid out as the input was."""
        laid_out = laid_out or (lambda x: x)
        final: Hidden = result.final if len(result.final) > 1 else result.final[0]
        if state_laid_out is not None:
            final = of_each(final, state_laid_out)
        if result.gates is None:
            return laid_out(result.output), final
        gates = [{name: laid_out(gate) for name, gate in of.items()} for of in result.gates]
        return laid_out(result.output), final, gates

    def _run(
        self,
        x: Tensor,
        hx: Hidden | None,
        lengths: ArrayLike | Tensor | None,
        return_gates: bool,
    ) -> Result:
        """For x (T, B, I)."""
        B = x.shape[1]
        weights = self._weights()
        check_input(x, weights[0][0].weight_ih)
        rows = len(weights) * len(weights[0])
        shapes = (rows, B, self.proj_size or self.hidden_size), (rows, B, self.hidden_size)
        return recurrence(
            self._cell,
            x,
            initial_states(self._cell, x, hx, shapes),
            weights,
            None if lengths is None else checked_lengths(lengths, *x.shape[:2]),
            dropout=self.dropout,
            training=self.training,
            backend=self.backend,
            variant=self.variant,
            return_gates=return_gates,
        )

    def _weights(self) -> list[list[Weights[Tensor]]]:
        """The weights of each direction of each layer, as they are now (parametrised or not)."""
        directions = (False, True) if self.bidirectional else (False,)

        def weights(layer: int, reverse: bool) -> Weights[Any]:
            return Weights(*(getattr(self, n, None) for n in parameter_names(layer, reverse)))

        return [[weights(layer, d) for d in directions] for layer in range(self.num_layers)]


class RNN(_Layers):
    """Layers of plain recurrent cells (Elman 1990): `torch.nn.RNN`, with more options.

    Args:
        input_size: I.
        hidden_size: H.
        num_layers: L; each reads the hidden states of the one before. 1 by default.
        nonlinearity: `tanh` (default) or `relu`.
        bias: whether there are biases (default).
        batch_first: sequences are (B, T, I), not (T, B, I).
        dropout: probability, between layers, while training. 0 by default.
        bidirectional: each layer reads the sequence both ways, its outputs side by side.
        device: of the parameters.
        dtype: of the parameters.
        recurrent_init: `orthogonal` starts from orthogonal recurrent matrices (Saxe, McClelland
            and Ganguli 2014), `default` from `torch.nn`'s values.
        chrono_init: the longest memory to expect, in steps: biases of the gates that keep are drawn
            so that units remember for one step to so many (Tallec and Ollivier 2018). GRU and LSTM.
        layer_norm: normalise the gates' sums, and the cell state that an LSTM shows (Ba, Kiros and
            Hinton 2016).
        recurrent_dropout: probability, while training, that a unit of the hidden state is not read
            by the next steps: one mask for all of them (Gal and Ghahramani 2016).
        weight_drop: probability, while training, that a recurrent weight is left out, for a whole
            call (Merity, Keskar and Socher 2018).
        zoneout: probability that a unit keeps its value for a step (Krueger et al. 2017); of an
            LSTM also a pair, for the hidden and the cell state.
        recompute: keep the states alone for the backward pass, and compute the gates once more
            there: a third more time, and much less memory.
        backend: `native`, `torch` or `reference`; the first of these that can, by default.

    Raises:
        ConfigurationError: an option of gated has a value that cannot be meant.

    >>> import torch
    >>> rnn = RNN(input_size=3, hidden_size=4, batch_first=True)
    >>> output, hidden = rnn(torch.zeros(2, 5, 3), lengths=[5, 2])
    >>> output.shape, hidden.shape
    (torch.Size([2, 5, 4]), torch.Size([1, 2, 4]))
    """

    keeping_gate = None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *arguments: Any,
        **options: Any,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ConfigurationError(f"nonlinearity must be tanh or relu, got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(mode, input_size, hidden_size, num_layers, *arguments, **options)


class GRU(_Layers):
    """Layers of gated recurrent units (Cho et al. 2014): `torch.nn.GRU`, with more options.

    The arguments are those of `RNN`, without the nonlinearity, and:

    Args:
        reset_after: the reset gate acts after the product with the hidden state, as in PyTorch and
            cuDNN (default), or, with False, before it, as in the paper.
    """

    keeping_gate = "update_gate"

    def __init__(self, *arguments: Any, reset_after: bool = True, **options: Any) -> None:
        self.reset_after = reset_after
        super().__init__("GRU", *arguments, **options)

    @property
    def _cell(self) -> str:
        return "gru" if self.reset_after else "gru_reset_before"


class LSTM(_Layers):
    """Layers of long short-term memory: `torch.nn.LSTM`, with more options.

    Hochreiter and Schmidhuber 1997, with the forget gate of Gers, Schmidhuber and Cummins 2000.
    The arguments are those of `RNN`, without the nonlinearity, and:

    Args:
        proj_size: P, the width to which each layer's hidden state is projected (Sak, Senior and
            Beaufays 2014); 0 (default) does not project.
        forget_bias: what the forget gate's two biases add up to at the start; 1 keeps the memory
            open until training says otherwise.
    """

    keeping_gate = "forget_gate"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__("LSTM", *arguments, **options)
