"""How much the network counts in the median of forecasts, and what they are called without it.

The median is that of smoothing, moved by the network by a share of its correction, and mixed with
the forecasts of partners. Where that share is 0, smoothing or a partner deserves the credit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMOOTHING = "smoothing"


@dataclass(frozen=True, kw_only=True)
class Credit:
    """How much the network counts in the medians of some windows."""

    network: str
    """The name of the network, such as `LSTM`."""
    weights: Mapping[str, float]
    """By series, the share of the network's correction that is in the median."""
    parts: tuple[str, ...]
    """What the median is made of besides the network's correction: smoothing, and partners."""
    shapes_interval: bool
    """Whether the width of the interval is the network's, as a whole or in part."""
    interval: bool = True
    """Whether there is an interval."""

    @property
    def without(self) -> tuple[str, ...]:
        """The series in whose median the network has no weight."""
        return tuple(name for name, weight in self.weights.items() if not weight)

    @property
    def none(self) -> bool:
        """Whether the network has no weight in any median."""
        return bool(self.weights) and not any(self.weights.values())

    @property
    def name(self) -> str:
        """What the forecast is called: the network's name, if it has any weight in a median.

        >>> Credit(network="LSTM", weights={"a": 0.0}, parts=("smoothing", "pretrained"),
        ...        shapes_interval=True).name
        'smoothing + pretrained'
        """
        return " + ".join(self.parts) if self.none else self.network

    @property
    def sentence(self) -> str:
        """Where the network has no weight in the median, and what it is used for; else empty.

        >>> print(Credit(network="LSTM", weights={"a": 0.0}, parts=("smoothing",),
        ...              shapes_interval=True).sentence)
        The LSTM has no weight in the median here: the validation part did not show that its \
corrections help, so the median is that of smoothing. The LSTM is used for the interval alone.
        """
        none, count = len(self.without), len(self.weights)
        if not none:
            return ""
        if none < count:
            return (
                f"In {none:,} of {count:,} series the {self.network} has no weight in the median: "
                "the validation part did not show that its corrections help there."
            )
        if not self.interval:
            used = " It is not used for anything else."
        elif self.shapes_interval:
            used = f" The {self.network} is used for the interval alone."
        else:
            used = " The interval does not depend on it either."
        return (
            f"The {self.network} has no weight in the median here: the validation part did not "
            f"show that its corrections help, so the median is that of {' and '.join(self.parts)}."
            f"{used}"
        )


def credit_of(
    network: str,
    series: Sequence[str],
    weights: NDArray[np.float64],
    shares: Mapping[str, NDArray[np.float64]],
    *,
    own_width: float,
    interval: bool,
) -> Credit:
    """Return how much the network counts in some windows.

    Args:
        network: its name.
        series: `(N,)`, the series of each window.
        weights: `(N,)`, the share of its correction that is in the median.
        shares: by partner `(N,)`, and the network's own part first: how much each counts.
        own_width: of the width of the network's part of the interval, the share that is its own.
        interval: whether there is an interval.
    """
    largest: dict[str, float] = {}
    for name, weight in zip(series, weights.tolist(), strict=True):
        largest[name] = max(weight, largest.get(name, 0.0))
    (_, own), *partners = shares.items()
    counted = bool(own.any())
    parts = [SMOOTHING] if counted or not partners else []
    parts += [name for name, of in partners if of.any()]
    return Credit(
        network=network,
        weights=largest,
        parts=tuple(parts),
        shapes_interval=interval and counted and own_width > 0,
        interval=interval,
    )
