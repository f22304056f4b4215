"""Whole sequences through recurrent layers, in every form in which callers bring them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gated.core.layout import Weights, parameter_names
from gated.core.stream import Stream
from gated.core.variants import Zoneout
from gated.errors import ConfigurationError, DataError
from gated.nn.arguments import Hidden, check_input, checked_lengths, initial_states, of_each
from gated.nn.backends import Backend, Result, Variant, recurrence


class Sequences:
    """What layers do with sequences, for a `torch.nn.RNNBase` that has this class before it."""

    mode: str
    hidden_size: int
    num_layers: int
    proj_size: int
    batch_first: bool
    bidirectional: bool
    dropout: float
    training: bool
    layer_norm: bool = False
    _all_weights: list[list[str]]
    backend: Backend | None = None
    variant: Variant = Variant()

    @property
    def _cell(self) -> str:
        """The name that the cell has in `gated.core.layout.LAYOUTS`."""
        return self.mode.lower()

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

    def stream(self, sequences: int | None = None, threads: int = 1) -> Stream:
        """Return the layers as they are now, ready to take one step at a time.

        The weights are packed once: a step costs reading them. Dropout takes no part, zoneout as in
        evaluation.

        Args:
            sequences: how many sequences take each step side by side; None for one alone.
            threads: of each step, see `gated.core.stream.Stream`.

        Raises:
            ConfigurationError: the layers read both ways, or their cell cannot be streamed.
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
        variant = self.variant
        layers: list[Any] = [
            Weights(*(None if of is None else of.detach().cpu().numpy() for of in weights))
            for (weights,) in self._weights()
        ]
        zoneout = Zoneout(variant.zoneout_hidden, variant.zoneout_cell)
        return Stream(self._cell, layers, sequences=sequences, threads=threads, zoneout=zoneout)

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
            # Asking a module for what it lacks is slow.
            there = self._all_weights[layer * len(directions) + reverse]
            names = parameter_names(layer, reverse)
            return Weights(
                *(
                    getattr(self, name, None) if self.layer_norm or name in there else None
                    for name in names
                )
            )

        return [[weights(layer, d) for d in directions] for layer in range(self.num_layers)]
