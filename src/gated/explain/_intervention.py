"""A single intervention: which gate or state is held, and at what value."""

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
    """Which gate or state is held, and at what value.

    Either `value` or `scale` is given. All that is computed from the gate or state, in the same
    step and later, is computed from the held value. A state is held at the end of a step: `cell`
    scaled by 0 at step 50 clears the memory after step 50 has been read, and h_50 is computed from
    the cleared memory.
    """

    gate: str
    """Name of a gate or state, as in a trace."""
    value: float | None = None
    """The value that it is set to."""
    scale: float | None = None
    """The factor that it is multiplied by; the product is clipped to the range of the gate."""
    layer: int = 0
    """Index in `gated.explain.Trace.layers`."""
    unit: Places = None
    """Indices of units, of H (of a projected hidden state, P); all where None."""
    step: Places = None
    """Time steps, from 0; all where None. Of a layer that the model calls one part at a time they
    are counted through all calls that go on from each other, and only from the beginning."""
    sequence: Places = None
    """Indices of sequences, of B; all where None."""

    def __post_init__(self) -> None:
        """Check the values."""
        if (self.value is None) == (self.scale is None):
            raise ConfigurationError("give either value or scale")
        for name in ("value", "scale"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ConfigurationError(f"{name} must be a finite number, got {number}")

    def hold(
        self,
        cell: Cell,
        sizes: Mapping[str, int],
        lengths: NDArray[np.int64],
        steps: int,
        before: NDArray[np.int64],
    ) -> tuple[HoldAt, bool]:
        """Return the function by which `gated.core.reference.run` holds values of a cell.

        Args:
            cell: of the layer.
            sizes: number of units of each of the cell's widths.
            lengths: (B,), of the sequences in this call.
            steps: T, of this call.
            before: (B,), the steps of each sequence in the calls that this one goes on from.

        Returns:
            That function, and whether the call has a step of which it holds anything.

        Raises:
            ConfigurationError: the cell has no such gate or state, or it cannot have such a value.
            DataError: there is no such unit or sequence; or a step counts from the end, which is
                not known where a layer is called several times.
        """
        least, most = _range(cell, self.gate)
        if self.value is not None and not least <= self.value <= most:
            raise ConfigurationError(
                f"value of {self.gate} of {cell.name} must be from {least:g} to {most:g}, "
                f"got {self.value:g}"
            )
        units = _chosen("unit", self.unit, sizes[cell.tape[cell.named[self.gate]].width])
        sequences = _chosen("sequence", self.sequence, len(lengths))
        if before.any() and _counts_from_the_end(self.step):
            raise DataError(
                f"step={self.step} counts from the end, which is not known while the model calls "
                "the layer a part at a time: count from 0"
            )
        last = int(before.max(initial=0)) + steps
        every = _chosen("step", _within(self.step, last), last)
        times = np.arange(steps)[:, None] + before
        held_at = every[times] & (np.arange(steps)[:, None] < lengths) & sequences

        def hold(time: int, running: NDArray[np.int64], name: str, natural: Array) -> Array:
            rows = held_at[time, running]
            if name != self.gate or not rows.any():
                return natural
            held, where = natural.copy(), np.ix_(rows, units)
            if self.scale is None:
                held[where] = self.value
            else:
                held[where] = np.clip(natural[where] * self.scale, least, most)
            return held

        return hold, bool(units.any() and held_at.any())

    def check_held(self, held: bool, steps: int) -> None:
        """Refuse what no call of the layer has held, when all have been made.

        Args:
            held: whether a call had a step of which it held anything.
            steps: T, of all calls that went on from each other.

        Raises:
            DataError: a step does not exist, or no sequence has any.
        """
        _chosen("step", self.step, steps)
        if not held:
            raise DataError(
                f"{self.gate} cannot be held at step={self.step}, unit={self.unit}, "
                f"sequence={self.sequence}: no sequence has such a step, or there is no such unit"
            )


class Held(TypedDict, total=False):
    """The fields of `Intervention`, as keywords of a function."""

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
            "give one intervention by keywords, with gate= and either value= or scale=, or several "
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


def _counts_from_the_end(places: Places) -> bool:
    if isinstance(places, slice):
        return any(bound is not None and bound < 0 for bound in (places.start, places.stop))
    return places is not None and bool((np.asarray(places) < 0).any())


def _within(places: Places, size: int) -> Places:
    """Return the places without those that do not exist."""
    if places is None or isinstance(places, slice):
        return places
    wanted = np.atleast_1d(np.asarray(places, np.int64))
    return [int(place) for place in wanted if -size <= place < size]


_RANGES = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "exp": (0.0, np.inf),
    "softplus": (0.0, np.inf),
}


def _range(cell: Cell, name: str) -> tuple[float, float]:
    """Return the range of a gate's activation; without an activation it is not limited."""
    if name not in cell.named:
        known = ", ".join(cell.named)
        raise ConfigurationError(f"gate of {cell.name} must be one of {known}, got {name!r}")
    return _RANGES.get(cell.tape[cell.named[name]].operation, (-np.inf, np.inf))


def _chosen(name: str, places: Places, size: int) -> NDArray[np.bool_]:
    """Return the mask (size,) of the chosen indices."""
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
