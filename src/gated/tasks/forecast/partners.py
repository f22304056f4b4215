"""Whose forecasts a network's are averaged with, by name.

A partner forecasts `(N, horizon, Q)` in the unit of the target from the rows `origins` `(N,)` of
prepared data, reads the target alone, and sees no row after the origin. Where it has no forecast it
returns NaN. A new one is an entry of `PARTNERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial

import numpy as np

from gated.errors import require
from gated.tasks.forecast.calibration import Floats
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.statistical import MODELS, statistical_forecast

Partner = Callable[[Prepared, Integers], Floats]

MOST_READ, LEAST_CYCLES = 1000, 3
"""Steps, and cycles of the longest season, that a refitted partner reads; the more of the two."""
MOST_REFITTED = 64
"""Validation windows that shares and intervals are chosen by, where a partner is refitted for each:
a bound on time."""
REMEMBERED = 4096
"""Forecasts of refitted partners that are kept: a score needs those of most windows twice."""


def pretrained(prepared: Prepared, origins: Integers) -> Floats:
    """Forecast by the network that comes with the package."""
    from gated.tasks.forecast.pretrained.zero_shot import steps_read, two_seasons, zero_shot

    config = prepared.preprocessing.config
    seasons = two_seasons(config.seasons)
    pairs = np.tile(seasons, (len(origins), 1))
    histories = [history(prepared, origin, steps_read(seasons)) for origin in origins]
    return zero_shot(histories, pairs, config.horizon, config.quantiles)


def refitted(name: str, prepared: Prepared, origins: Integers) -> Floats:
    """Forecast by a statistical method, fitted anew to what precedes each window."""
    config = prepared.preprocessing.config
    most = steps_before([name], config.seasons)
    found = np.full((len(origins), config.horizon, len(config.quantiles)), np.nan)
    for place, origin in enumerate(origins):
        values = history(prepared, int(origin), most).tobytes()
        found[place] = _once(name, values, config.seasons, config.horizon, config.quantiles)
    return found


@lru_cache(maxsize=REMEMBERED)
def _once(
    name: str, values: bytes, seasons: tuple[int, ...], horizon: int, quantiles: tuple[float, ...]
) -> Floats:
    return statistical_forecast(name, np.frombuffer(values), seasons, horizon, quantiles)


def history(prepared: Prepared, origin: int, most: int) -> Floats:
    """Return the `most` latest values of a series up to row `origin`, NaN where one is missing."""
    panel = prepared.panel
    begin = panel.starts[panel.series_of[origin]]
    values: Floats = panel.target[max(begin, origin + 1 - most) : origin + 1]
    return values


PARTNERS: dict[str, Partner] = {
    "pretrained": pretrained,
    **{name: partial(refitted, name) for name in MODELS},
}

COUNTS = {"pretrained": 0.25}
"""How much a partner counts beside the network where no window tells; others count as it does. On
57 short stretches before the bench's test parts, without validation, equal shares were 7 % worse
than a fifth for the pretrained network."""


def usual_shares(names: Iterable[str]) -> Floats:
    """Return `(M,)` the shares of the network and its partners where no window tells.

    >>> usual_shares(["pretrained"])
    array([0.8, 0.2])
    """
    counts = np.array([1.0, *(COUNTS.get(name, 1.0) for name in names)])
    shares: Floats = counts / counts.sum()
    return shares


def beside(
    own: Floats, names: Iterable[str], prepared: Prepared, origins: Integers
) -> dict[str, Floats]:
    """Return forecasts `(N, horizon, Q)` of partners by name, beside the network's `own`.

    Where a partner has none, the network's stands in its place.
    """
    forecasts = {}
    for name in names:
        theirs = PARTNERS[name](prepared, origins)
        given = np.isfinite(theirs).all(axis=(1, 2), keepdims=True)
        forecasts[name] = np.where(given, theirs, own)
    return forecasts


def steps_before(names: Iterable[str], seasons: tuple[int, ...]) -> int:
    """Return how many of the latest steps the partners read at most."""
    most = 0
    for name in names:
        if name == "pretrained":
            # Loading a forecaster without it does not wait for it.
            from gated.tasks.forecast.pretrained.zero_shot import steps_read, two_seasons

            most = max(most, steps_read(two_seasons(seasons)))
        else:
            most = max(most, MOST_READ, LEAST_CYCLES * max(seasons, default=1))
    return most


def are_refitted(names: Iterable[str]) -> bool:
    """Whether one of the partners takes its time for each window."""
    return not set(MODELS).isdisjoint(names)


def demand_partners(names: Iterable[str]) -> None:
    """Check that what partners need is installed.

    Raises:
        MissingExtraError: it is not; the message names the extra.
    """
    if are_refitted(names):
        require("statsforecast", extra="statistics")
