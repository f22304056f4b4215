"""Initial values beyond those of `torch.nn`."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import init

from gated.core.layout import Weights, gate_rows
from gated.errors import ConfigurationError

RecurrentInit: TypeAlias = Literal["default", "orthogonal"]


def check_options(recurrent_init: str, forget_bias: float | None, bias: bool) -> None:
    """Refuse options that cannot be meant.

    Raises:
        ConfigurationError: there is no such initialisation, or no bias to set.
    """
    if recurrent_init not in ("default", "orthogonal"):
        raise ConfigurationError(
            f"recurrent_init must be default or orthogonal, got {recurrent_init!r}"
        )
    if forget_bias is not None and not bias:
        raise ConfigurationError(
            f"forget_bias is {forget_bias}, but the layer has no biases: leave out bias=False"
        )


@torch.no_grad()
def initialise(
    weights: Weights[Tensor], units: int, recurrent_init: RecurrentInit, forget_bias: float | None
) -> None:
    """Overwrite what the options ask for, after the default values have been drawn.

    Args:
        weights: of one layer and direction.
        units: H.
        recurrent_init: `orthogonal` makes each gate's square of weight_hh an orthogonal matrix,
            which neither shrinks nor stretches the hidden state (Saxe, McClelland and Ganguli
            2014).
        forget_bias: the sum of both biases of an LSTM's forget gate; 1 lets it remember from the
            start (Gers, Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015).
    """
    if recurrent_init == "orthogonal":
        for gate in torch.split(weights.weight_hh, units):
            init.orthogonal_(gate)
    if forget_bias is not None and weights.bias_ih is not None and weights.bias_hh is not None:
        forget_gate = gate_rows("lstm", "forget_gate", units)
        weights.bias_ih[forget_gate] = forget_bias
        weights.bias_hh[forget_gate] = 0
