"""Options that all layers and cells have in addition to those of `torch.nn`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, TypeAlias

from torch import Tensor, nn

from gated.cells import Cell, library
from gated.core.layout import Weights
from gated.errors import ConfigurationError
from gated.nn import init
from gated.nn.backends import Backend, checked_backend

RecurrentInit: TypeAlias = Literal["default", "orthogonal"]


class Options(nn.Module):
    """The options of gated, in addition to the arguments of a class of `torch.nn`."""

    hidden_size: int
    bias: bool
    backend: Backend | None = None
    keeping_gate: ClassVar[str | None]
    """The gate whose bias controls how long a unit remembers; the plain RNN has none."""

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

    def _initialise(self, weights: Iterable[Weights[Tensor]]) -> None:
        """Apply the options of initialisation, after `torch.nn` has drawn its values.

        Args:
            weights: of each layer and direction.
        """
        H = self.hidden_size
        for name in ("forget_bias", "chrono_init"):
            value = getattr(self, name)
            if value is not None and not self.bias:
                raise ConfigurationError(f"{name} is {value}, but bias=False leaves no bias to set")
        for direction in weights:
            if self.recurrent_init == "orthogonal":
                init.set_orthogonal(direction.weight_hh, H)
            if self.forget_bias is not None:
                init.set_forget_bias(self._definition, direction._asdict(), H, self.forget_bias)
            if self.chrono_init is not None:
                init.set_chrono(self._definition, direction._asdict(), H, self.chrono_init)

    @property
    def _definition(self) -> Cell:
        of: Cell = getattr(library, self._cell)
        return of
