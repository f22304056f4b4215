"""RNN, GRU and LSTM over whole sequences: `torch.nn`'s layers, and more.

Each has the arguments, state dict, initial values and results of the layer of its name in
`torch.nn`, and `torch.nn.RNNBase` as its base; not that layer, which `torch.compile` refuses.
In addition each takes `lengths` of padded sequences, has variants of its cell, and returns gates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gated.core.arguments import StoredAs
from gated.core.layout import Weights, layout_of, parameter_names, weight_shapes
from gated.errors import ConfigurationError
from gated.nn.backends import Backend, Variant, check_probabilities, rates_of, stored_format
from gated.nn.options import Options, RecurrentInit
from gated.nn.scripting import layer_of_torch
from gated.nn.sequences import SequencesOfTorch


class _Layers(SequencesOfTorch, Options, nn.RNNBase):
    """The common base of the three layers."""

    def __init__(
        self,
        mode: str,
        *arguments: Any,
        proj_size: int | None = 0,
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        weight_drop: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        recompute: bool = False,
        stored_as: StoredAs = "float32",
        **options: Any,
    ) -> None:
        if mode != "LSTM" and proj_size is not None:
            raise ConfigurationError(
                "proj_size argument is only supported for LSTM, not RNN or GRU: leave it out"
            )
        self.layer_norm = False  # until the gains are there
        if isinstance(zoneout, tuple) and self.keeping_gate != "forget_gate":
            raise ConfigurationError(
                f"zoneout is {zoneout}, but a {type(self).__name__} has one state: give one number"
            )
        states = ("hidden", "cell") if self.keeping_gate == "forget_gate" else ("hidden",)
        check_probabilities(recurrent_dropout=recurrent_dropout, weight_drop=weight_drop)
        rates = rates_of(zoneout, states)
        self.variant = Variant(
            recurrent_dropout, weight_drop, rates, recompute, stored_format(stored_as)
        )
        width = proj_size if mode == "LSTM" else 0
        super().__init__(mode, *arguments, proj_size=width, **options)
        if layer_norm:
            self._add_gains()

    def _add_gains(self) -> None:
        """Add the parameters of layer normalisation."""
        if not layout_of(self._cell).normalised_together:
            raise ConfigurationError(f"there is no layer normalisation for the cell {self._cell}")
        self.layer_norm = True
        self._add(("gain_ih", "gain_hh") + ("gain_cell", "bias_cell") * (self.mode == "LSTM"))
        self._reset_gains()

    def _add(self, weights: tuple[str, ...]) -> None:
        """Add some of `Weights` to every layer and direction, for the cell as it is."""
        self._all_of_weights = True
        shapes = weight_shapes(self._cell, self.input_size, self.hidden_size)._asdict()
        for layer in range(self.num_layers):
            for reverse in (False, True)[: 1 + self.bidirectional]:
                names = dict(zip(Weights._fields, parameter_names(layer, reverse), strict=True))
                for weight in weights:
                    value = self._weights()[0][0].weight_hh.new_ones(shapes[weight])
                    self.register_parameter(names[weight], nn.Parameter(value))

    def _reset_gains(self) -> None:
        for name, parameter in self.named_parameters(recurse=False):
            if name.startswith(("gain_", "bias_cell")):
                nn.init.constant_(parameter, float(name.startswith("gain_")))

    def __prepare_scriptable__(self) -> nn.Module:
        """What `torch.jit.script` compiles."""
        return layer_of_torch(self)

    def reset_parameters(self) -> None:
        """Initialise as `torch.nn` does, then apply the options of initialisation."""
        super().reset_parameters()
        self._initialise(direction for layer in self._weights() for direction in layer)
        if self.layer_norm:
            self._reset_gains()


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
        bidirectional: each layer also reads the sequence backwards; both outputs are concatenated.
        device: of the parameters.
        dtype: of the parameters.
        recurrent_init: `orthogonal` starts from orthogonal recurrent matrices (Saxe, McClelland
            and Ganguli 2014), `default` from `torch.nn`'s values.
        layer_norm: normalise the products of input and hidden state with the weights, and an LSTM's
            cell state where its output reads it (Ba, Kiros and Hinton 2016).
        recurrent_dropout: probability, while training, that a unit of the hidden state is not read
            by the next steps: one mask for all of them (Gal and Ghahramani 2016).
        weight_drop: probability, while training, that a recurrent weight is left out, for a whole
            call (Merity, Keskar and Socher 2018).
        zoneout: probability that a unit keeps its value for a step (Krueger et al. 2017); of an
            LSTM also a pair, for the hidden and the cell state.
        recompute: store only the states for the backward pass, which recomputes the gates: a third
            more time, and much less memory.
        stored_as: how the matrices are stored while they are multiplied: "bfloat16" rounds each
            weight to nearest, by at most 2^-8 of it, as autocast does; "int8" to a 127th of the
            largest weight of its row, and inputs and states by at most 1/4094 of their largest.
            Sums and states stay float32. The parameters stay as they are, and gradients are theirs
            ("straight through", Bengio, Léonard and Courville 2013). "bfloat16x3" rounds nothing:
            where the processor has AMX, three products of bfloat16 stand for one of float32, off
            by at most 2^-14 of it; elsewhere it is as "float32". May be set later too.
        backend: `native`, `triton`, `torch` or `reference`; by default the first that can.
        proj_size: of `LSTM` alone; any value is refused, as `torch.nn` does.

    Raises:
        ConfigurationError: an option of gated has an invalid value.

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
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        recurrent_init: RecurrentInit = "default",
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        weight_drop: float = 0.0,
        zoneout: float = 0.0,
        recompute: bool = False,
        stored_as: StoredAs = "float32",
        backend: Backend | None = None,
        proj_size: None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ConfigurationError(f"nonlinearity must be tanh or relu, got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
            recurrent_init=recurrent_init,
            layer_norm=layer_norm,
            recurrent_dropout=recurrent_dropout,
            weight_drop=weight_drop,
            zoneout=zoneout,
            recompute=recompute,
            stored_as=stored_as,
            backend=backend,
            proj_size=proj_size,
        )


class GRU(_Layers):
    """Layers of gated recurrent units (Cho et al. 2014): `torch.nn.GRU`, with more options.

    The arguments are those of `RNN`, without the nonlinearity, and:

    Args:
        reset_after: the reset gate acts after the product with the hidden state, as in PyTorch and
            cuDNN (default), or, with False, before it, as in the paper.
        chrono_init: the longest memory to expect, in steps: biases of the gates that keep are drawn
            so that units remember for 1 up to that many steps (Tallec and Ollivier 2018).
    """

    keeping_gate = "update_gate"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        reset_after: bool = True,
        recurrent_init: RecurrentInit = "default",
        chrono_init: int | None = None,
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        weight_drop: float = 0.0,
        zoneout: float = 0.0,
        recompute: bool = False,
        stored_as: StoredAs = "float32",
        backend: Backend | None = None,
        proj_size: None = None,
    ) -> None:
        self.reset_after = reset_after
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
            recurrent_init=recurrent_init,
            chrono_init=chrono_init,
            layer_norm=layer_norm,
            recurrent_dropout=recurrent_dropout,
            weight_drop=weight_drop,
            zoneout=zoneout,
            recompute=recompute,
            stored_as=stored_as,
            backend=backend,
            proj_size=proj_size,
        )

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
        coupled: an LSTM of three gates that writes what it forgets, i = 1 - f (Greff et al. 2017).
        peepholes: let the gates see the cell state, with weights (3, H) in the order input, forget
            and output gate (Gers and Schmidhuber 2000).
        forget_bias: the initial sum of the forget gate's two biases; with 1 the gate starts mostly
            open, so that the cell state is kept.
        chrono_init: as of `GRU`.
    """

    keeping_gate = "forget_gate"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        coupled: bool = False,
        peepholes: bool = False,
        forget_bias: float | None = None,
        recurrent_init: RecurrentInit = "default",
        chrono_init: int | None = None,
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        weight_drop: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        recompute: bool = False,
        stored_as: StoredAs = "float32",
        backend: Backend | None = None,
    ) -> None:
        if coupled and peepholes:
            raise ConfigurationError("peepholes are for the LSTM whose gates are not coupled")
        self.coupled = self.peepholes = False  # until their weights are there
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            proj_size=proj_size,
            device=device,
            dtype=dtype,
            recurrent_init=recurrent_init,
            forget_bias=forget_bias,
            chrono_init=chrono_init,
            layer_norm=layer_norm,
            recurrent_dropout=recurrent_dropout,
            weight_drop=weight_drop,
            zoneout=zoneout,
            recompute=recompute,
            stored_as=stored_as,
            backend=backend,
        )
        self.coupled, self.peepholes = coupled, peepholes
        if coupled:
            self._drop_the_input_gate()
        if peepholes:
            self._add(("peepholes",))
        if coupled or peepholes:
            self.reset_parameters()

    def _drop_the_input_gate(self) -> None:
        """Reduce every weight and bias to the rows of three gates, and initialise them again."""
        for name, parameter in list(self.named_parameters(recurse=False)):
            if name.startswith(("weight_ih", "weight_hh", "bias_")) and "cell" not in name:
                rows = len(parameter) // 4 * 3
                setattr(self, name, nn.Parameter(parameter.new_empty(rows, *parameter.shape[1:])))

    @property
    def _cell(self) -> str:
        return "lstm_coupled" if self.coupled else "lstm"
