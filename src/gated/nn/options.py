"""What every layer and cell takes beyond `torch.nn`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import init

from gated.core.layout import Weights, gate_rows
from gated.errors import ConfigurationError
from gated.nn.operators import Backend, chosen_backend

RecurrentInit: TypeAlias = Literal["default", "orthogonal"]


class Options(nn.Module):
    """The options of gated, beside the arguments of the class of `torch.nn` that is extended."""

    hidden_size: int
    bias: bool

    def __init__(
        self,
        *arguments: Any,
        recurrent_init: RecurrentInit = "default",
        forget_bias: float | None = None,
        backend: Backend | None = None,
        **options: Any,
    ) -> None:
        chosen_backend(backend)
        if recurrent_init not in ("default", "orthogonal"):
            raise ConfigurationError(
                f"recurrent_init must be default or orthogonal, got {recurrent_init!r}"
            )
        if forget_bias is not None and not isinstance(self, (nn.LSTM, nn.LSTMCell)):
            raise ConfigurationError(
                f"forget_bias is {forget_bias}, but a {type(self).__name__} has no forget gate"
            )
        self.backend = backend
        self.recurrent_init = recurrent_init
        self.forget_bias = forget_bias
        super().__init__(*arguments, **options)
        if forget_bias is not None and not self.bias:
            raise ConfigurationError(
                f"forget_bias is {forget_bias}, but bias=False leaves no bias to set"
            )

    @torch.no_grad()
    def _initialise(self, weights: Iterable[Weights[Tensor]]) -> None:
        """Overwrite what the options ask for, after `torch.nn` has drawn its values.

        An orthogonal matrix neither shrinks nor stretches the hidden state (Saxe, McClelland and
        Ganguli 2014); a forget gate that starts open remembers until training says otherwise
        (Gers, Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015).

        Args:
            weights: of each layer and direction.
        """
        for direction in weights:
            if self.recurrent_init == "orthogonal":
                for gate in torch.split(direction.weight_hh, self.hidden_size):
                    init.orthogonal_(gate)
            if self.forget_bias is not None:
                forget_gate = gate_rows("lstm", "forget_gate", self.hidden_size)
                for bias, value in ((direction.bias_ih, self.forget_bias), (direction.bias_hh, 0)):
                    if bias is not None:
                        bias[forget_gate] = value
