"""RNNCell, GRUCell and LSTMCell: one step at a time, as in `torch.nn`, and more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gated.core.layout import Weights
from gated.errors import LayerTypeError
from gated.nn.arguments import Hidden, States, check_input, initial_states, of_each
from gated.nn.backends import Backend, RunLayer, recurrence
from gated.nn.options import Options, RecurrentInit
from gated.nn.scripting import cell_of_torch


class OneStep(Options, nn.RNNCellBase):
    """The common base of the three cells."""

    observers: tuple[RunLayer, ...] = ()
    """Functions that are called in every run; see `gated.nn.observed`."""
    num_layers = 1
    bidirectional = False

    @property
    def _cell(self) -> str:
        """The name of the cell in `gated.core.layout.LAYOUTS`."""
        raise NotImplementedError

    def _weights(self) -> Weights[Tensor]:
        return Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def __prepare_scriptable__(self) -> nn.Module:
        """What `torch.jit.script` compiles."""
        return cell_of_torch(self)

    def reset_parameters(self) -> None:
        """Initialise as `torch.nn` does, then apply the options of initialisation."""
        super().reset_parameters()
        self._initialise([self._weights()])

    def forward(self, input: Tensor, hx: Hidden | None = None) -> Hidden:
        """Compute one step.

        Args:
            input: (B, I), or unbatched (I,).
            hx: the states before the step, (B, H) or (H,); zeros by default.

        Returns:
            The states after the step, in the shape of `hx`.

        Raises:
            LayerArgumentError: an argument has another shape or dtype.
        """
        if (
            self.backend in (None, "torch") and not self.observers
        ):  # has kernels of its own for one step
            try:
                after: Hidden = super().forward(input, hx)
            except Exception:
                self._checked(input, hx)  # says it in words that name the argument
                raise
            return after
        if isinstance(input, Tensor) and input.dim() == 1:
            states = None if hx is None else of_each(hx, lambda state: state.unsqueeze(0))
            return of_each(self.forward(input.unsqueeze(0), states), lambda state: state.squeeze(0))
        before = self._checked(input, hx)
        final = recurrence(
            self._cell,
            input.unsqueeze(0),
            tuple(state.unsqueeze(0) for state in before),
            [[self._weights()]],
            backend=self.backend,
            observers=self.observers,
        ).final
        return of_each(final if len(final) > 1 else final[0], lambda state: state.squeeze(0))

    def _checked(self, input: Tensor, hx: Hidden | None) -> States:
        """The states before a step, given or zeros.

        Raises:
            LayerArgumentError: an argument does not fit the cell, or the other argument.
        """
        if not isinstance(input, Tensor) or input.dim() not in (1, 2):
            what = tuple(input.shape) if isinstance(input, Tensor) else type(input).__name__
            raise LayerTypeError(f"input must have the shape (B, I), or unbatched (I,), got {what}")
        check_input(input, self.weight_ih)
        shape = (*input.shape[:-1], self.hidden_size)
        return initial_states(self._cell, input, hx, (shape, shape))


class RNNCell(OneStep, nn.RNNCell):  # type: ignore[misc] # takes more than its base
    """One step of the plain recurrent network (Elman 1990): `torch.nn.RNNCell`.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases (default).
        nonlinearity: `tanh` (default) or `relu`.
        device: of the parameters.
        dtype: of the parameters.
        recurrent_init: as for `gated.nn.RNN`.
        backend: as for `gated.nn.RNN`; torch by default, whose kernels are as fast for one step.

    Raises:
        ConfigurationError: an option of gated has an invalid value.

    >>> import torch
    >>> RNNCell(input_size=3, hidden_size=4)(torch.zeros(2, 3)).shape
    torch.Size([2, 4])
    """

    keeping_gate = None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        recurrent_init: RecurrentInit = "default",
        backend: Backend | None = None,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            bias=bias,
            nonlinearity=nonlinearity,
            device=device,
            dtype=dtype,
            recurrent_init=recurrent_init,
            backend=backend,
        )

    @property
    def _cell(self) -> str:
        return f"rnn_{self.nonlinearity}"


class GRUCell(OneStep, nn.GRUCell):  # type: ignore[misc]
    """One step of the gated recurrent unit (Cho et al. 2014): `torch.nn.GRUCell`.

    The arguments are those of `RNNCell`, without the nonlinearity, and `chrono_init`, as for
    `gated.nn.GRU`.
    """

    keeping_gate = "update_gate"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        recurrent_init: RecurrentInit = "default",
        chrono_init: int | None = None,
        backend: Backend | None = None,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            bias=bias,
            device=device,
            dtype=dtype,
            recurrent_init=recurrent_init,
            chrono_init=chrono_init,
            backend=backend,
        )

    @property
    def _cell(self) -> str:
        return "gru"


class LSTMCell(OneStep, nn.LSTMCell):  # type: ignore[misc]
    """One step of long short-term memory: `torch.nn.LSTMCell`.

    Hochreiter and Schmidhuber 1997, with the forget gate of Gers, Schmidhuber and Cummins 2000.
    The arguments are those of `RNNCell`, without the nonlinearity, and `forget_bias` and
    `chrono_init`, as for `gated.nn.LSTM`.
    """

    keeping_gate = "forget_gate"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        recurrent_init: RecurrentInit = "default",
        forget_bias: float | None = None,
        chrono_init: int | None = None,
        backend: Backend | None = None,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            bias=bias,
            device=device,
            dtype=dtype,
            recurrent_init=recurrent_init,
            forget_bias=forget_bias,
            chrono_init=chrono_init,
            backend=backend,
        )

    @property
    def _cell(self) -> str:
        return "lstm"


def with_options(kind: type) -> Any:
    """Return the class of gated for a cell's class of `torch.nn`; None for any other."""
    return {nn.RNNCell: RNNCell, nn.GRUCell: GRUCell, nn.LSTMCell: LSTMCell}.get(kind)
