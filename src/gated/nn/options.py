"""Options that all layers and cells have in addition to those of `torch.nn`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import init

from gated.core.layout import Weights, gate_rows, layout_of
from gated.errors import ConfigurationError
from gated.nn.backends import Backend, checked_backend

RecurrentInit: TypeAlias = Literal["default", "orthogonal"]


class Options(nn.Module):
    """The options of gated, in addition to the arguments of a class of `torch.nn`."""

    hidden_size: int
    bias: bool
    keeping_gate: ClassVar[str | None]
    """The gate whose bias says how long a unit remembers; the plain network has none."""

    @property
    def _cell(self) -> str:
        """The name that the cell has in `gated.core.layout.LAYOUTS`."""
        raise NotImplementedError

    def __init__(
        self,
        *arguments: Any,
        recurrent_init: RecurrentInit = "default",
        forget_bias: float | None = None,
        chrono_init: int | None = None,
        backend: Backend | None = None,
        **options: Any,
    ) -> None:
        checked_backend(backend)
        if recurrent_init not in ("default", "orthogonal"):
            raise ConfigurationError(
                f"recurrent_init must be default or orthogonal, got {recurrent_init!r}"
            )
        kind = type(self).__name__
        if forget_bias is not None and self.keeping_gate != "forget_gate":
            raise ConfigurationError(
                f"forget_bias is {forget_bias}, but a {kind} has no forget gate"
            )
        if chrono_init is not None:
            if self.keeping_gate is None:
                raise ConfigurationError(
                    f"chrono_init is {chrono_init}, but a {kind} has no gate that keeps"
                )
            if chrono_init < 3:
                raise ConfigurationError(
                    f"chrono_init is the longest memory in steps, at least 3, got {chrono_init}"
                )
            if forget_bias is not None:
                raise ConfigurationError("forget_bias and chrono_init set the same: leave one out")
        self.backend = backend
        self.recurrent_init = recurrent_init
        self.forget_bias = forget_bias
        self.chrono_init = chrono_init
        super().__init__(*arguments, **options)
        for name in ("forget_bias", "chrono_init"):
            value = getattr(self, name)
            if value is not None and not self.bias:
                raise ConfigurationError(f"{name} is {value}, but bias=False leaves no bias to set")

    @torch.no_grad()
    def _initialise(self, weights: Iterable[Weights[Tensor]]) -> None:
        """Apply the options of initialisation, after `torch.nn` has drawn its values.

        An orthogonal matrix neither shrinks nor stretches the hidden state (Saxe, McClelland and
        Ganguli 2014); a forget gate that starts open remembers until training says otherwise
        (Gers, Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015); units whose
        gates start with memories from one step to `chrono_init` steps long can learn what lies that
        far apart (Tallec and Ollivier 2018, eq. 16).

        Args:
            weights: of each layer and direction.
        """
        H = self.hidden_size
        cell = self._cell if self.keeping_gate else ""  # the plain one has no biases to set
        for direction in weights:
            if self.recurrent_init == "orthogonal":
                for gate in torch.split(direction.weight_hh, H):
                    init.orthogonal_(gate)
            if self.forget_bias is not None:
                _set_bias(direction, gate_rows(cell, "forget_gate", H), self.forget_bias)
            if self.chrono_init is not None and self.keeping_gate is not None:
                lifetimes = torch.empty_like(direction.weight_hh[:H, 0]).uniform_(
                    1, self.chrono_init - 1
                )
                _set_bias(direction, gate_rows(cell, self.keeping_gate, H), lifetimes.log())
                if "input_gate" in layout_of(cell).gates:
                    _set_bias(direction, gate_rows(cell, "input_gate", H), -lifetimes.log())


def _set_bias(direction: Weights[Tensor], rows: slice, value: Tensor | float) -> None:
    """What the two biases of a gate add up to."""
    for bias, part in ((direction.bias_ih, value), (direction.bias_hh, 0.0)):
        if bias is not None:
            bias[rows] = part
