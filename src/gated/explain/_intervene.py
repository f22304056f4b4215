"""What if a gate had been open, or shut: a model runs with gates held at values of our choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gated.core import reference
from gated.core.cells import CELLS, Taken
from gated.core.layout import Array, Weights, gate_rows, layout_of
from gated.core.variants import Regularisation, Zoneout
from gated.errors import ConfigurationError, DataError
from gated.explain._looking import as_lines, looking, refusing
from gated.explain._trace import Trace, trace
from gated.nn.backends import Result

Places = int | Sequence[int] | slice | None
_HELD: WeakSet[nn.Module] = WeakSet()
"""The layers within some `intervene`: a second one would not see what the first holds."""


@dataclass(frozen=True)
class Intervention:
    """Which gates are held, and at what.

    Of `value` and `scale` one is given: the gate's value, or what its own value is multiplied by.
    """

    gate: str
    """By its name in `gated.core.layout.LAYOUTS`."""
    value: float | None = None
    scale: float | None = None
    layer: int = 0
    """Its place in `gated.explain.Trace.layers`."""
    unit: Places = None
    """Of the H; all where None."""
    step: Places = None
    """Times; all where None."""
    sequence: Places = None
    """Of the B; all where None."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if (self.value is None) == (self.scale is None):
            raise ConfigurationError("give one of value and scale, and not both")

    def change(self, kind: str, shape: tuple[int, int, int]) -> reference.Change:
        """The same for the cell `kind`, on (T, B, H)."""
        rows = gate_rows(kind, self.gate, shape[2])
        steps, sequences, units = (
            _chosen(name, places, size)
            for name, places, size in (
                ("step", self.step, shape[0]),
                ("sequence", self.sequence, shape[1]),
                ("unit", self.unit, shape[2]),
            )
        )
        if (kind, self.gate) == ("gru_reset_before", "candidate"):
            raise ConfigurationError("the candidate of gru_reset_before cannot be held")
        least, most, sum_of = _activation(kind, self.gate)
        if self.value is not None and not least <= self.value <= most:
            raise ConfigurationError(
                f"value of {self.gate} of {kind} lies between {least:g} and {most:g}, "
                f"got {self.value:g}"
            )

        def change(time: int, running: NDArray[np.int64], taken: Taken) -> Taken:
            if not steps[time]:
                return taken
            held = np.ix_(sequences[running], units)
            value: Any = self.value
            if self.scale is not None:
                natural = CELLS[kind].forward(taken)[self.gate]
                value = np.clip(natural[held] * self.scale, least, most)
            from_input, from_hidden = taken.from_input.copy(), taken.from_hidden.copy()
            # The sum that the activation makes this value of; what else goes into it is left out.
            from_input[:, rows][held] = sum_of(value)
            from_hidden[:, rows][held] = 0
            return taken._replace(from_input=from_input, from_hidden=from_hidden)

        return change


class Effect(NamedTuple):
    """A run with an intervention beside one without."""

    plain: Trace
    changed: Trace

    @property
    def difference(self) -> Tensor:
        """What the intervention adds to the model's output, the first one where it gives several.

        Raises:
            DataError: the model's output is no tensor.
        """
        outputs = [
            of.output if isinstance(of.output, Tensor) else of.output[0]
            for of in (self.changed, self.plain)
        ]
        if not all(isinstance(output, Tensor) for output in outputs):
            raise DataError("the model's output is no tensor: compare plain and changed by hand")
        difference: Tensor = outputs[0] - outputs[1]
        return difference


@contextmanager
def intervene(model: nn.Module, *interventions: Intervention) -> Iterator[None]:
    """Within the context the model runs with gates held; afterwards it is as it was.

    The module whose gates are held runs step by step in NumPy, without gradients, everything else
    as always. The model should be in evaluation mode.

    Args:
        model: a recurrent layer, or a model with layers of `torch.nn` or `gated.nn`.
        interventions: together; of two on the same gate, unit and step the last counts.

    Raises:
        ConfigurationError: an intervention cannot be meant for its layer; the model is within
            another `intervene`; or a layer runs outside a call of the model itself, so that its
            place is not known.
        DataError: a layer, unit, step or sequence is not there.

    >>> lstm = torch.nn.LSTM(3, 4).eval()
    >>> with intervene(lstm, Intervention("output_gate", value=0.0)):
    ...     output, _ = lstm(torch.randn(5, 2, 3))
    >>> bool((output == 0).all())
    True
    """
    seen, running = [0], [False]
    ours_now: list[nn.Module] = []

    def held(name: str, module: Any, run: Callable[..., Result]) -> Callable[..., Result]:
        if module in _HELD:
            raise ConfigurationError(
                f"{name} is held already: give all interventions together, to one intervene"
            )
        ours_now.append(module)

        def changed(x: Tensor, hx: Any, lengths: Any, return_gates: bool) -> Result:
            if interventions and not running[0]:
                raise ConfigurationError(
                    f"{name} runs outside a call of the model, where its place among the layers is "
                    "not known: call the model itself, or intervene on this module"
                )
            count = module.num_layers * (2 if module.bidirectional else 1)
            first = seen[0]
            seen[0] += count
            ours = [i for i in interventions if first <= i.layer < first + count]
            if not ours:
                return run(x, hx, lengths, return_gates)
            with refusing():
                result = _by_reference(module, x, hx, lengths, ours, first)
            return result if return_gates else result._replace(gates=None)

        return changed

    def begins(*_: Any) -> None:
        seen[0], running[0] = 0, True

    def ends(*_: Any) -> None:
        running[0] = False

    with looking(model, held) as left:

        def check(*_: Any) -> None:
            for one in interventions:
                if not 0 <= one.layer < seen[0]:
                    raise DataError(
                        f"layer: {one.layer} was to be held, the model has {seen[0]}"
                        + as_lines(left)
                    )

        _HELD.update(ours_now)
        hooks = (
            model.register_forward_pre_hook(begins),
            model.register_forward_hook(ends, always_call=True),
            model.register_forward_hook(check),
        )
        try:
            yield
        finally:
            _HELD.difference_update(ours_now)
            for hook in hooks:
                hook.remove()


def effect(model: nn.Module, x: Any, *interventions: Intervention, **options: Any) -> Effect:
    """Run a model without and with interventions.

    Args:
        model: as for `intervene`; it runs in evaluation mode.
        x: its input.
        interventions: what is held.
        options: as for `gated.explain.trace`.

    Raises:
        ConfigurationError: as for `intervene`.
        DataError: as for `intervene`.
    """
    plain = trace(model, x, **options)
    with intervene(model, *interventions):
        return Effect(plain, trace(model, x, **options))


def _by_reference(
    module: Any, x: Tensor, hx: Any, lengths: Any, interventions: list[Intervention], first: int
) -> Result:
    """All layers of a module, step by step."""
    kind, ways = module._cell, 2 if module.bidirectional else 1
    names = dict.fromkeys((*layout_of(kind).gates, *layout_of(kind).states))
    states = None if hx is None else [hx] if isinstance(hx, Tensor) else list(hx)
    gates: list[dict[str, Tensor]] = []
    finals = []
    below: Array = x.detach().numpy()
    for layer, of_layer in enumerate(module._weights()):
        outputs = []
        for way, of_way in enumerate(of_layer):
            weights: Weights[Any] = Weights(
                *(None if w is None else w.detach().numpy() for w in of_way)
            )
            place = layer * ways + way
            shape = (*below.shape[:2], len(weights.weight_hh) // len(layout_of(kind).gates))
            changes = [i.change(kind, shape) for i in interventions if i.layer == first + place]
            ran = reference.forward(
                kind,
                below,
                weights,
                lengths=None if lengths is None else torch.as_tensor(lengths).numpy(),
                initial=None if states is None else [s[place].detach().numpy() for s in states],
                reverse=way == 1,
                keep=True,
                regularisation=_mixed(module),
                change=_one_after_the_other(changes),
            )
            assert ran.kept is not None  # noqa: S101 - keep=True
            gates.append({name: torch.from_numpy(ran.kept.gate(name)) for name in names})
            finals.append(ran.final)
            outputs.append(ran.output)
        below = np.concatenate(outputs, -1)
    final = tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*finals, strict=True))
    return Result(torch.from_numpy(below), final, gates)


def _one_after_the_other(changes: list[reference.Change]) -> reference.Change:
    def change(time: int, running: NDArray[np.int64], taken: Taken) -> Taken:
        for one in changes:
            taken = one(time, running, taken)
        return taken

    return change


def _mixed(module: Any) -> Regularisation:
    """Zoneout as it is in evaluation mode."""
    hidden, cell = module.variant.zoneout_hidden, module.variant.zoneout_cell
    return Regularisation(zoneout=Zoneout(hidden, cell, None) if hidden or cell else None)


def _activation(kind: str, gate: str) -> tuple[float, float, Callable[[Any], Any]]:
    """The least and the most that a gate's activation gives, and its inverse."""
    if kind == "rnn_relu":
        return 0.0, np.inf, lambda value: value
    if gate.endswith("_gate"):
        return 0.0, 1.0, _inverse_sigmoid
    return -1.0, 1.0, _inverse_tanh


def _inverse_sigmoid(value: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(value) - np.log1p(-np.asarray(value))


def _inverse_tanh(value: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.arctanh(value)


def _chosen(name: str, places: Places, size: int) -> NDArray[np.bool_]:
    """Which of so many are chosen."""
    chosen = np.zeros(size, bool)
    if places is None:
        chosen[:] = True
    elif isinstance(places, slice):
        chosen[places] = True
    else:
        wanted = np.atleast_1d(np.asarray(places, np.int64))
        if wanted.size and not -size <= wanted.min() <= wanted.max() < size:
            raise DataError(f"{name}: there are {size}, got {places}")
        chosen[wanted] = True
    return chosen
