"""What if a gate had been open, or a memory cleared: a model runs with gates and states held."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, Unpack
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gated.core import reference
from gated.core.layout import Array, layout_of
from gated.errors import ConfigurationError, DataError
from gated.explain._equations import Ran, Way, as_arrays, by_equations, regularisation_of
from gated.explain._looking import as_lines, looking, refusing
from gated.explain._trace import Trace, trace
from gated.nn.backends import Result

Places = int | Sequence[int] | slice | None
_HELD: WeakSet[nn.Module] = WeakSet()
"""The layers within some `intervene`: a second one would not see what the first holds."""


@dataclass(frozen=True)
class Intervention:
    """Which gate or state is held, and at what.

    Of `value` and `scale` one is given: what it is to be, or what it is multiplied by. What follows
    from a gate or state in the same step and later follows from what is held. A state is held as a
    step leaves it: `cell` scaled by 0 at step 50 is a memory cleared after 50 has been read, which
    h_50 shows, too.
    """

    gate: str
    """A gate or state by the name that it has in a trace."""
    value: float | None = None
    scale: float | None = None
    layer: int = 0
    """Its place in `gated.explain.Trace.layers`."""
    unit: Places = None
    """Of the H, or of a projected hidden state's P; all where None."""
    step: Places = None
    """Times; all where None."""
    sequence: Places = None
    """Of the B; all where None."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if (self.value is None) == (self.scale is None):
            raise ConfigurationError("give one of value and scale, and not both")
        for name in ("value", "scale"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ConfigurationError(f"{name} must be a finite number, got {number}")

    def hold(
        self, kind: str, lengths: NDArray[np.int64], steps: int, width: int
    ) -> reference.HoldAt:
        """The same for the cell `kind`, sequences of these lengths and a gate of this width.

        Raises:
            ConfigurationError: the cell has no such gate or state, or it has no such value.
            DataError: a unit, step or sequence is not there, or none is chosen that runs.
        """
        least, most = _range(kind, self.gate)
        if self.value is not None and not least <= self.value <= most:
            raise ConfigurationError(
                f"value of {self.gate} of {kind} lies between {least:g} and {most:g}, "
                f"got {self.value:g}"
            )
        units = _chosen("unit", self.unit, width)
        sequences = _chosen("sequence", self.sequence, len(lengths))
        times = _chosen("step", self.step, steps)
        running = np.flatnonzero(times)[:, None] < lengths[sequences]
        if not (units.any() and running.any()):
            raise DataError(
                f"{self.gate} was to be held at step={self.step}, unit={self.unit}, "
                f"sequence={self.sequence}: no sequence has such a step, or there is no such unit"
            )

        def hold(time: int, running: NDArray[np.int64], name: str, natural: Array) -> Array:
            if name != self.gate or not times[time]:
                return natural
            held, where = natural.copy(), np.ix_(sequences[running], units)
            if self.scale is None:
                held[where] = self.value
            else:
                held[where] = np.clip(natural[where] * self.scale, least, most)
            return held

        return hold


class _Held(TypedDict, total=False):
    """One intervention, as keywords."""

    gate: str
    value: float | None
    scale: float | None
    layer: int
    unit: Places
    step: Places
    sequence: Places


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
def intervene(
    model: nn.Module, *interventions: Intervention, **one: Unpack[_Held]
) -> Iterator[None]:
    """Within the context the model runs with gates or states held; afterwards it is as it was.

    The module whose gates are held runs step by step in NumPy, without gradients, everything else
    as always. The model should be in evaluation mode.

    Args:
        model: a recurrent layer, or a model with layers of `torch.nn` or `gated.nn`.
        interventions: several together; of two on the same gate, unit and step the last counts.
        one: the fields of a single `Intervention`, in place of it.

    Raises:
        ConfigurationError: an intervention cannot be meant for its layer; the model is within
            another `intervene`; or a layer runs outside a call of the model itself, so that its
            place is not known.
        DataError: a layer, unit, step or sequence is not there. The layer raises it when it runs,
            and what no layer raised the model does.

    >>> lstm = torch.nn.LSTM(3, 4).eval()
    >>> with intervene(lstm, gate="output_gate", value=0.0):
    ...     output, _ = lstm(torch.randn(5, 2, 3))
    >>> bool((output == 0).all())
    True
    """
    interventions = _together(interventions, one)
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
                result = _run_held(module, x, hx, lengths, ours, first)
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


def effect(
    model: nn.Module,
    x: Any,
    *interventions: Intervention,
    lengths: ArrayLike | Tensor | None = None,
    initial: Any = None,
    **one: Unpack[_Held],
) -> Effect:
    """Run a model without and with interventions.

    Args:
        model: as for `intervene`; it runs in evaluation mode.
        x: its input.
        interventions: as for `intervene`.
        lengths: as for `trace`.
        initial: as for `trace`.
        one: as for `intervene`.

    Raises:
        ConfigurationError: as for `intervene`.
        DataError: as for `intervene`.
    """
    plain = trace(model, x, lengths=lengths, initial=initial)
    with intervene(model, *interventions, **one):
        return Effect(plain, trace(model, x, lengths=lengths, initial=initial))


def _together(interventions: tuple[Intervention, ...], one: _Held) -> tuple[Intervention, ...]:
    if not one:
        return interventions
    if interventions or "gate" not in one:
        raise ConfigurationError(
            "give one intervention by keywords, gate= and value= or scale= among them, or several "
            f"as Intervention(...); got {len(interventions)} of these, and the keywords "
            f"{', '.join(one)}"
        )
    return (Intervention(**one),)


def _run_held(
    module: Any, x: Tensor, hx: Any, lengths: Any, interventions: list[Intervention], first: int
) -> Result:
    """All layers of a module, step by step."""
    kind = module._cell
    names = dict.fromkeys((*layout_of(kind).gates, *layout_of(kind).states))

    def run_way(way: Way, lengths: Tensor | None) -> Ran:
        T, B, _ = way.x.shape
        real = np.full(B, T) if lengths is None else lengths.numpy()
        holds = []
        for one in interventions:
            if one.layer == first + way.place:
                width = module.proj_size if one.gate == "hidden" else 0
                holds.append(one.hold(kind, real, T, width or module.hidden_size))
        ran = reference.forward(
            kind,
            way.x.detach().numpy(),
            as_arrays(way.weights),
            lengths=real,
            initial=[state.detach().numpy() for state in way.initial],
            reverse=way.reverse,
            keep=True,
            regularisation=regularisation_of(module),
            hold=_one_after_the_other(holds),
        )
        assert ran.kept is not None  # noqa: S101 - keep=True
        return Ran(
            torch.from_numpy(ran.output),
            [torch.from_numpy(state) for state in ran.final],
            {name: torch.from_numpy(ran.kept.gate(name)) for name in names},
        )

    return by_equations(module, x, hx, lengths, run_way)


def _one_after_the_other(holds: list[reference.HoldAt]) -> reference.HoldAt:
    def hold(time: int, running: NDArray[np.int64], name: str, value: Array) -> Array:
        for one in holds:
            value = one(time, running, name, value)
        return value

    return hold


def _range(kind: str, name: str) -> tuple[float, float]:
    """The least and the most that the activation of a gate gives; a state may be anything."""
    gates, states = layout_of(kind).gates, layout_of(kind).states
    if name not in (*gates, *states):
        known = ", ".join(dict.fromkeys((*gates, *states)))
        raise ConfigurationError(f"gate of {kind} must be one of {known}, got {name!r}")
    if name.endswith("_gate"):
        return 0.0, 1.0
    if kind == "rnn_relu":
        return 0.0, np.inf
    return (-1.0, 1.0) if name in gates else (-np.inf, np.inf)


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
