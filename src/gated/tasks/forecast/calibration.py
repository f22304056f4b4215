"""Calibrated intervals: quantiles that are moved until they cover their share, and kept so.

A network is overconfident on windows that it was not trained on. As in conformalised quantile
regression (Romano, Patterson and Candès 2019), errors are measured in distances of the quantile
from the median, so that those of all steps and series are of one size; each distance is multiplied
by the quantile of these errors at the level that it should cover.

- Few errors: a distance is a mean of the network's and of a baseline's, whose errors are known over
  the whole training part. The fewer independent windows there are for validation, the more of it
  is the baseline's; and among the errors is one window that was made up.
- Drift: errors of later windows join, as soon as what they forecast is known. They fade with their
  age, and so do those of the validation part (non-exchangeable conformal prediction: Barber,
  Candès, Ramdas and Tibshirani 2023). The level follows the share that lay outside (adaptive
  conformal inference: Gibbs and Candès 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gated.configuration import demand_numbers
from gated.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

EDGES = np.geomspace(0.02, 50, 241)
"""Bounds of the bins in which errors are counted; a factor is the middle of a bin."""
FACTORS = np.sqrt(np.append(EDGES[0], EDGES) * np.append(EDGES, EDGES[-1]))
HALFWAY = 2
"""Independent validation windows with which half of a distance is the network's own."""
MOST_WINDOWS = 16
"""Independent windows that the validation part counts as at most, beside later ones."""
LIFE = 16
"""Horizons after which an error counts for a share of 1/e."""
PACE = 0.05
"""How far the level moves with the values of one horizon (the step size of Gibbs and Candès)."""
UNTRIED = 1.6
"""By what the baseline's distances are multiplied where nothing was held out: it was chosen by the
errors that they come from. Over 46 stretches of real series (16 to 30 values, horizons of 6 to 12)
an 80 % interval covered 58 % without it, 75 % with 1.5, 83 % with 2."""
TINY = np.finfo(np.float64).tiny
CHUNK = 256
"""Series whose errors are counted at once."""
FEW = 8
"""Independent validation windows below which it is a finding that an interval is borrowed."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the validation part says of the width of the intervals, for `Q` quantiles."""

    windows: float
    """Independent windows that it says it from; several series count as their square root."""
    borrowed: str
    """The baseline whose spread is mixed in."""
    counts: Floats
    """`(Q, bins)` errors by their size in `EDGES`, in windows."""
    at_least: float | tuple[float | None, ...] | None
    """The least value that a quantile can have: 0 where the target is never negative. Of several
    targets, that of each."""
    unseen: Calibration | None = None
    """The same for series that training has not seen, where static columns tell of them."""

    @classmethod
    def of(
        cls,
        errors: Floats,
        windows: float,
        borrowed: str,
        at_least: float | tuple[float | None, ...] | None,
    ) -> Self:
        """Count errors `(N, horizon, Q)` of validation windows, NaN where nothing was observed."""
        known = errors[~np.isnan(errors[..., 0])]
        counts = _counted(known) * (min(windows, MOST_WINDOWS) / max(len(known), 1))
        return cls(windows=windows, borrowed=borrowed, counts=counts, at_least=at_least)

    def check(self, quantiles: int) -> None:
        """Refuse numbers that do not fit, as after damage; raises `DataError`."""
        demand_numbers("An error of the validation", self.counts.ravel())
        if self.counts.shape != (quantiles, len(FACTORS)) or self.counts.min() < 0:
            raise DataError(f"The errors of the validation are not those of {quantiles} quantiles.")
        if self.unseen is not None:
            self.unseen.check(quantiles)
        demand_numbers("The validation windows", np.array([self.windows]), count=1)

    @property
    def own(self) -> float:
        """The share of a distance that is the network's own."""
        return self.windows / (self.windows + HALFWAY)

    @property
    def said(self) -> str:
        """How the intervals came about, as a sentence."""
        made = "Distances from the median are multiplied by what errors in the validation part ask"
        if not self.windows:
            return (
                f"Nothing was held out for validation, so the interval is that of {self.borrowed}, "
                f"{UNTRIED} times as wide."
            )
        return (
            f"{made} for ({self.windows:.1f} independent windows) and, from then on, the newest "
            f"errors that are known; {1 - self.own:.0%} of the width is that of {self.borrowed}."
        )

    def distances(self, forecast: Floats, baseline: Floats, quantiles: Sequence[float]) -> Floats:
        """Return `(…, Q)` distances from the median, of a forecast and a baseline of that shape.

        The baseline's are as wide below the median as above it: its errors are those of a point
        forecast, whose trend is not that of the time to come.
        """
        middle, mirrored = quantiles.index(0.5), _mirrored(tuple(quantiles))
        ours, theirs = (np.abs(of - of[..., middle, None]) for of in (forecast, baseline))
        mixed: Floats = self.own * ours + (1 - self.own) * (theirs + theirs[..., mirrored]) / 2
        return mixed

    def factors(self, errors: Floats, quantiles: Sequence[float], horizon: int) -> Floats:
        """Return factors on the distances, for each series and each time after the training.

        They are of the series' own later errors, and of the validation part of all: what is
        forecast of a series does not depend on which others are in the table.

        Args:
            errors: `(S, T, Q)` as `scaled_errors` returns them, by series and the step at which
                they became known; NaN where none did.
            quantiles: `(Q,)`.
            horizon: steps of a forecast.

        Returns:
            `(S, T + 1, Q)`: `[:, t]` is made with the errors `[:, :t]`.
        """
        series, steps, count = errors.shape
        places = np.empty((series, steps + 1, count), np.int16)
        for begin in range(0, series, CHUNK):
            chunk = slice(begin, begin + CHUNK)
            widths = self.widths(len(errors[chunk]), quantiles, horizon)
            places[chunk, 0] = widths.places
            for step in range(steps):
                widths.take(errors[chunk, step])
                places[chunk, step + 1] = widths.places
        return _factors(places, quantiles)

    def widths(self, series: int, quantiles: Sequence[float], horizon: int) -> Widths:
        """Return the widths of the intervals of some series when the training ends."""
        share = np.minimum(quantiles, 1 - np.array(quantiles))
        return Widths(
            quantiles=tuple(quantiles),
            horizon=horizon,
            made_up=np.repeat(self._made_up(share)[None], series, axis=0),
            counts=np.repeat(self.counts[None], series, axis=0),
            outside=np.repeat(share[None], series, axis=0),
        )

    def _made_up(self, share: Floats) -> Floats:
        """`(Q, bins)` a window of errors, twice as large as the baseline says, thrice the network.

        They have a Laplace distribution. Without any validation the baseline's word is all there
        is: `UNTRIED`.
        """
        levels = (np.arange(1000) + 0.5) / 1000
        errors = np.sign(levels - 0.5) * -np.log(2 * np.minimum(levels, 1 - levels))
        larger = 2 + self.own if self.windows else UNTRIED
        size = -np.log(2 * np.minimum(share, 0.499)) / larger
        made_up: Floats = _counted(errors[:, None] / size) / len(levels)
        return made_up


class Widths:
    """How wide the intervals of `S` series are, as their errors become known step by step.

    Args:
        quantiles: `(Q,)`.
        horizon: steps of a forecast.
        made_up: `(S, Q, bins)` errors that count always.
        counts: `(S, Q, bins)` errors so far.
        outside: `(S, Q)` share of the errors that is to lie beyond each quantile.
    """

    def __init__(
        self,
        *,
        quantiles: tuple[float, ...],
        horizon: int,
        made_up: Floats,
        counts: Floats,
        outside: Floats,
        places: Integers | None = None,
    ) -> None:
        self.quantiles, self.horizon, self.made_up = quantiles, horizon, made_up
        self.counts, self.outside = counts, outside
        self.places = _places(counts + made_up, outside) if places is None else places
        """`(S, Q)`, the bin of each factor."""

    @property
    def factors(self) -> Floats:
        """`(S, Q)` by what distances from the median are multiplied."""
        return _factors(self.places, self.quantiles)

    def take(self, errors: Floats) -> None:
        """Take the errors `(S, Q)` that became known in a step, NaN where none did."""
        horizon, share = self.horizon, _share(self.quantiles)
        self.counts *= np.exp(-1 / (LIFE * horizon))
        known = ~np.isnan(errors[:, 0])
        if not known.any():
            return
        rows = np.flatnonzero(known)
        new = slice(None) if len(rows) == len(known) else rows  # of all no copies are made
        bins = EDGES.searchsorted(errors[new])
        missed = bins > self.places[new]
        self.outside[new] += PACE / horizon * (share - missed)
        self.outside = np.minimum(np.maximum(self.outside, share / 20), 0.5)
        self.counts[rows[:, None], np.arange(len(share)), bins] += 1 / horizon
        self.places[new] = _places(self.counts[new] + self.made_up[new], self.outside[new])

    def taken(self, which: Integers) -> Widths:
        """Return those of some of the series, as copies."""
        return self._with(lambda name: getattr(self, name)[which])

    def joined(self, other: Widths) -> Widths:
        """Return those of both, one after the other."""
        return self._with(lambda name: np.concatenate([getattr(self, name), getattr(other, name)]))

    def put(self, which: Integers, other: Widths) -> None:
        """Take those of some of the series from another."""
        for name in _OF_SERIES:
            getattr(self, name)[which] = getattr(other, name)

    def _with(self, arrays: Callable[[str], Any]) -> Widths:
        given = {name: arrays(name) for name in _OF_SERIES}
        return Widths(quantiles=self.quantiles, horizon=self.horizon, **given)


_OF_SERIES = ("made_up", "counts", "outside", "places")


@lru_cache(maxsize=16)
def _side(quantiles: tuple[float, ...]) -> Floats:
    """`(Q,)` -1 of quantiles below the median, 1 of those above, 0 of itself."""
    side: Floats = np.sign(np.array(quantiles) - 0.5)
    return side


@lru_cache(maxsize=16)
def _share(quantiles: tuple[float, ...]) -> Floats:
    """`(Q,)` the share of the values that is to lie beyond each quantile."""
    share: Floats = np.minimum(quantiles, 1 - np.array(quantiles))
    return share


@lru_cache(maxsize=16)
def _mirrored(quantiles: tuple[float, ...]) -> Integers:
    """`(Q,)` which quantile is as far from 1 as each is from 0; itself where there is none."""
    levels = np.array(quantiles)
    mirrored = np.abs(levels[:, None] + levels - 1).argmin(axis=1)
    found: Integers = np.where(
        np.isclose(levels[mirrored] + levels, 1), mirrored, range(len(levels))
    )
    return found


def _factors(places: Integers, quantiles: Sequence[float]) -> Floats:
    """Factors `(…, Q)` from bins; 1 of the median."""
    factors: Floats = FACTORS[places]
    factors[..., list(quantiles).index(0.5)] = 1
    return factors


def scaled_errors(
    forecast: Floats,
    truth: Floats,
    distances: Floats,
    quantiles: Sequence[float],
    *,
    whole: bool = False,
) -> Floats:
    """Return `(N, horizon, Q)` how many distances the truth lies beyond the median.

    Below the median, errors downwards are positive. NaN where there is no truth. With `whole`,
    quantiles will be rounded: a value lies inside from half a unit before it on.

    >>> forecast, distances = np.array([[[8.0, 10.0, 14.0]]]), np.array([[[2.0, 0.0, 4.0]]])
    >>> scaled_errors(forecast, np.array([[16.0]]), distances, (0.1, 0.5, 0.9)).tolist()
    [[[-3.0, 0.0, 1.5]]]
    """
    error = truth[..., None] - forecast[..., quantiles.index(0.5), None]
    with np.errstate(over="ignore"):
        beyond = _side(tuple(quantiles)) * error - 0.5 * whole
        scaled: Floats = beyond / np.maximum(distances, TINY)
    return scaled


def spread(
    forecast: Floats,
    distances: Floats,
    factors: Floats,
    quantiles: Sequence[float],
    at_least: Floats | float | None = None,
) -> Floats:
    """Return quantiles `(…, Q)` at `factors` times `distances` from the median, in order."""
    middle = quantiles.index(0.5)
    moved = forecast[..., middle, None] + _side(tuple(quantiles)) * distances * factors
    upper = np.maximum.accumulate(moved[..., middle:], axis=-1)
    lower = np.minimum.accumulate(moved[..., middle::-1], axis=-1)[..., ::-1]
    ordered: Floats = np.concatenate([lower[..., :-1], upper], axis=-1)
    return np.maximum(ordered, -np.inf if at_least is None else at_least)


def piecewise_linear(x: Floats, knots: Floats, values: Floats) -> Floats:
    """Return `(…, L)` the lines through `values` `(…, Q)` at `knots` `(…, Q)`, at `x` `(…, L)`.

    The first and the last line go on beyond the knots, which ascend.

    >>> piecewise_linear(np.array([-1.0, 1.0, 2.5]), np.array([0.0, 1.0, 2.0]), np.array([0, 4, 6]))
    array([-4.,  4.,  7.])
    """
    width, rise = np.diff(knots), np.diff(values)
    slope = np.divide(rise, width, out=np.zeros(np.broadcast(rise, width).shape), where=width > 0)
    lines = slope.shape[-1]
    total = values[..., :1] + np.zeros(x.shape)
    for line in range(lines):
        begin, end = knots[..., line, None], knots[..., line + 1, None]
        low, high = -np.inf if line == 0 else begin, np.inf if line == lines - 1 else end
        total = total + slope[..., line, None] * (np.clip(x, low, high) - begin)
    return total


def least_value(observed: Floats) -> float | None:
    """Return 0 for values that cannot be negative, as far as can be seen; None for others.

    These are counts, and measures that reach 0 without ever falling below it, as rain does.

    >>> least_value(np.array([3.0, 7.0])), least_value(np.array([0.0, 0.7]))
    (0.0, 0.0)
    >>> least_value(np.array([3.5, 7.0])), least_value(np.array([-1.0, 7.0]))
    (None, None)
    """
    lowest = observed.min(initial=np.inf)
    counts = bool(np.all(observed == np.round(observed)))
    return 0.0 if lowest == 0 or (lowest > 0 and counts) else None


def _counted(errors: Floats) -> Floats:
    """`(Q, bins)` how many of errors `(N, Q)` are in each bin."""
    count, size = errors.shape[1], len(FACTORS)
    places = np.searchsorted(EDGES, errors) + size * np.arange(count)
    counts = np.bincount(places.ravel(), minlength=count * size)
    return counts.reshape(count, size).astype(np.float64)


def _places(counts: Floats, outside: Floats) -> Integers:
    """`(S, Q)` the bin beyond which a share `outside` of the counts `(S, Q, bins)` lies."""
    total = counts.cumsum(axis=-1)
    enough = total >= (1 - outside)[..., None] * total[..., -1:] * (1 - 1e-12)
    places: Integers = enough.argmax(axis=-1)
    return places
