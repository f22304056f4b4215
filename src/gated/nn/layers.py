"""RNN, GRU and LSTM over whole sequences: `torch.nn`'s layers, and more.

Each is a subclass of the layer of its name in `torch.nn`: the same arguments, state dict, initial
values and results. Beyond it each takes `lengths` with padded batches, and a backend.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gated.core.arguments import check_lengths
from gated.core.layout import Weights, parameter_names
from gated.errors import DataError
from gated.nn.arguments import Hidden, check_input, initial_states, of_each
from gated.nn.operators import recurrence
from gated.nn.options import Options


class _Layers(Options, nn.RNNBase):
    """What the three have in common."""

    def reset_parameters(self) -> None:
        """Draw the initial values of `torch.nn`, then set what the options ask for."""
        super().reset_parameters()
        self._initialise(direction for layer in self._weights() for direction in layer)

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Hidden | None = None,
        *,
        lengths: ArrayLike | Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, Hidden]:
        """Run over whole sequences.

        Args:
            input: (T, B, I), with `batch_first` (B, T, I), unbatched (T, I), or packed.
            hx: the states to start from, (L·D, B, P), unbatched (L·D, P); zeros where not given.
            lengths: (B), the real steps of each sequence, in any order; zeros allowed. Padding
                is never read.

        Returns:
            The hidden states of the last layer, laid out as the input, D·P features, zeros in the
            padding; and the states after each sequence's last step, in the shape of `hx`.

        Raises:
            DataError: an argument does not fit the layer, or another argument.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise DataError("lengths came with a PackedSequence, which has its own: leave out")
            return self._forward_packed(input, hx)
        if not isinstance(input, Tensor) or input.dim() not in (2, 3):
            what = tuple(input.shape) if isinstance(input, Tensor) else type(input).__name__
            order = "(B, T, I)" if self.batch_first else "(T, B, I)"
            raise DataError(f"input must have the shape {order}, or unbatched (T, I), got {what}")
        if input.dim() == 2:
            states = None if hx is None else of_each(hx, lambda state: state.unsqueeze(1))
            output, final = self._run(input.unsqueeze(1), states, lengths)
            return output.squeeze(1), of_each(final, lambda state: state.squeeze(1))
        x = input.transpose(0, 1) if self.batch_first else input
        output, final = self._run(x, hx, lengths)
        return (output.transpose(0, 1) if self.batch_first else output), final

    def _forward_packed(
        self, packed: PackedSequence, hx: Hidden | None
    ) -> tuple[PackedSequence, Hidden]:
        x, lengths = pad_packed_sequence(packed)
        output, final = self._run(x, hx, lengths)
        if packed.sorted_indices is not None:
            output = output[:, packed.sorted_indices]
            lengths = lengths[packed.sorted_indices.to(lengths.device)]
        return packed._replace(data=pack_padded_sequence(output, lengths).data), final

    def _run(
        self, x: Tensor, hx: Hidden | None, lengths: ArrayLike | Tensor | None
    ) -> tuple[Tensor, Hidden]:
        """The hidden states (T, B, D·P) and the final states, for x (T, B, I)."""
        T, B, _ = x.shape
        cell = self.mode.lower()
        weights = self._weights()
        check_input(x, weights[0][0].weight_ih)
        rows = len(weights) * len(weights[0])
        shapes = (rows, B, self.proj_size or self.hidden_size), (rows, B, self.hidden_size)
        if isinstance(lengths, Tensor):
            lengths = lengths.cpu().numpy()
        output, final = recurrence(
            cell,
            x,
            initial_states(cell, x, hx, shapes),
            weights,
            None if lengths is None else check_lengths(lengths, T, B),
            dropout=self.dropout,
            training=self.training,
            backend=self.backend,
        )
        return output, final if len(final) > 1 else final[0]

    def _weights(self) -> list[list[Weights[Tensor]]]:
        """The weights of each direction of each layer, as they are now (parametrised or not)."""
        directions = (False, True) if self.bidirectional else (False,)

        def weights(layer: int, reverse: bool) -> Weights[Any]:
            return Weights(*(getattr(self, n, None) for n in parameter_names(layer, reverse)))

        return [[weights(layer, d) for d in directions] for layer in range(self.num_layers)]


class RNN(_Layers, nn.RNN):  # type: ignore[misc] # takes more than its base
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
        backend: `torch`, `reference` or `native`; see `gated.nn.recurrence`.

    Raises:
        ConfigurationError: an option of gated has a value that cannot be meant.

    >>> import torch
    >>> rnn = RNN(input_size=3, hidden_size=4, batch_first=True)
    >>> output, hidden = rnn(torch.zeros(2, 5, 3), lengths=[5, 2])
    >>> output.shape, hidden.shape
    (torch.Size([2, 5, 4]), torch.Size([1, 2, 4]))
    """


class GRU(_Layers, nn.GRU):  # type: ignore[misc]
    """Layers of gated recurrent units (Cho et al. 2014): `torch.nn.GRU`, with more options.

    The reset gate acts after the product with the hidden state, as in PyTorch and cuDNN. The
    arguments are those of `RNN`, without the nonlinearity.
    """


class LSTM(_Layers, nn.LSTM):  # type: ignore[misc]
    """Layers of long short-term memory: `torch.nn.LSTM`, with more options.

    Hochreiter and Schmidhuber 1997, with the forget gate of Gers, Schmidhuber and Cummins 2000.
    The arguments are those of `RNN`, without the nonlinearity, and:

    Args:
        proj_size: P, the width to which each layer's hidden state is projected (Sak, Senior and
            Beaufays 2014); 0 (default) does not project.
        forget_bias: what the forget gate's two biases add up to at the start; 1 keeps the memory
            open until training says otherwise.
    """
