"""Which gate or state is held, and at what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from gated.cells.cell import Cell
from gated.core.layout import Array
from gated.core.reference import HoldAt
from gated.errors import ConfigurationError, DataError

Places = int | Sequence[int] | slice | None


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
        self, cell: Cell, sizes: Mapping[str, int], lengths: NDArray[np.int64], steps: int
    ) -> HoldAt:
        """The same for a cell whose widths have so many units, and sequences of these lengths.

        Raises:
            ConfigurationError: the cell has no such gate or state, or it has no such value.
            DataError: a unit, step or sequence is not there, or none is chosen that runs.
        """
        least, most = _range(cell, self.gate)
        if self.value is not None and not least <= self.value <= most:
            raise ConfigurationError(
                f"value of {self.gate} of {cell.name} lies between {least:g} and {most:g}, "
                f"got {self.value:g}"
            )
        units = _chosen("unit", self.unit, sizes[cell.tape[cell.named[self.gate]].width])
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


class Held(TypedDict, total=False):
    """One intervention, as keywords."""

    gate: str
    value: float | None
    scale: float | None
    layer: int
    unit: Places
    step: Places
    sequence: Places


def together(interventions: tuple[Intervention, ...], one: Held) -> tuple[Intervention, ...]:
    if not one:
        return interventions
    if interventions or "gate" not in one:
        raise ConfigurationError(
            "give one intervention by keywords, gate= and value= or scale= among them, or several "
            f"as Intervention(...); got {len(interventions)} of these, and the keywords "
            f"{', '.join(one)}"
        )
    return (Intervention(**one),)


def one_after_the_other(holds: list[HoldAt]) -> HoldAt:
    def hold(time: int, running: NDArray[np.int64], name: str, value: Array) -> Array:
        for one in holds:
            value = one(time, running, name, value)
        return value

    return hold


_RANGES = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "exp": (0.0, np.inf),
    "softplus": (0.0, np.inf),
}


def _range(cell: Cell, name: str) -> tuple[float, float]:
    """The least and the most that a gate's function gives; what no function gives may be all."""
    if name not in cell.named:
        known = ", ".join(cell.named)
        raise ConfigurationError(f"gate of {cell.name} must be one of {known}, got {name!r}")
    return _RANGES.get(cell.tape[cell.named[name]].operation, (-np.inf, np.inf))


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
