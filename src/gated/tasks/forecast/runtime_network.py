"""The forecast network on the native core, without torch: what a live forecaster runs.

Shapes are those of `network`: `(steps, B, features)`, B windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gated.core.plans import named_cell
from gated.live.recurrence import Stack
from gated.tasks.forecast.windows import Windows

Singles = NDArray[np.float32]
FARTHEST_LEVEL = np.float32(3.0)
"""See `network.FARTHEST_LEVEL`."""
FEW = 16
"""Windows at most that one thread computes: another saves no time, and keeps a processor busy
while it waits for the next call."""
CELLS = {"rnn": "rnn_tanh", "gru": "gru", "lstm": "lstm"}


class RuntimeNetwork:
    """What `ForecastNetwork.quantiles` of the distribution `quantiles` computes, up to rounding.

    Args:
        weights: the network's state dict as arrays.
        cell: `rnn`, `gru` or `lstm`.
        layers: of encoder and decoder.
        middle: the place of the median among the quantiles.
    """

    def __init__(self, weights: Mapping[str, Singles], cell: str, layers: int, middle: int) -> None:
        self._encoder, self._decoder = (
            stack(weights, f"{part}.", cell, layers) for part in ("encoder", "decoder")
        )
        self._head = weights["head.weight"].T, weights["head.bias"]
        series = weights["series.weight"]
        self._series = np.concatenate([series, series.mean(0, keepdims=True)])
        """The last one is that of a series which training has not seen."""
        count = sum(name.startswith("categories.") for name in weights)
        self._categories = [weights[f"categories.{k}.weight"] for k in range(count)]
        trust = weights["trust"]
        self._trust = np.array([trust, weights.get("trust_unseen", trust)], np.float32)
        self._middle = middle
        self.trusted = bool((self._trust > 0).any())
        """Whether its corrections of smoothing count."""

    def quantiles(self, windows: Windows) -> Singles:
        """Return scaled quantiles `(horizon, B, Q)`, ascending."""
        threads = 1 if len(windows.last) <= FEW else None
        _, state = self._encoder.run(self._encoder_inputs(windows), None, (), threads=threads)
        hidden, _ = self._decoder.run(self._decoder_inputs(windows), None, state, threads=threads)
        weight, bias = self._head
        steps, middle, typical = hidden @ weight + bias, self._middle, windows.remainder[:, None]
        trust = self._trust[(windows.series < 0).astype(np.int64)]
        median = windows.smooth + trust * windows.remainder * steps[..., middle]
        away = typical * np.logaddexp(steps, np.float32(0))  # softplus
        found = np.empty_like(steps)
        found[..., middle] = median
        below = np.cumsum(away[..., :middle][..., ::-1], -1)[..., ::-1]
        found[..., :middle] = median[..., None] - below
        found[..., middle + 1 :] = median[..., None] + np.cumsum(away[..., middle + 1 :], -1)
        return found

    def _encoder_inputs(self, windows: Windows) -> Singles:
        last = windows.last[:, None]
        own = windows.inputs.copy()
        own[..., 0] -= windows.last
        parts = [own, windows.lags - last, *self._embedded(windows.categories)]
        return np.concatenate([*parts, self._constant(windows, len(own))], -1)

    def _decoder_inputs(self, windows: Windows) -> Singles:
        smooth = (windows.smooth - windows.last)[..., None]
        parts = [windows.future, windows.future_lags - windows.last[:, None], smooth]
        parts += self._embedded(windows.future_categories)
        return np.concatenate([*parts, self._constant(windows, len(smooth))], -1)

    def _embedded(self, codes: NDArray[np.int64]) -> list[Singles]:
        return [self._categories[k][codes[..., k]] for k in range(codes.shape[-1])]

    def _constant(self, windows: Windows, steps: int) -> Singles:
        """What is the same at each step: which series it is, and its level."""
        level = np.clip(windows.last, -FARTHEST_LEVEL, FARTHEST_LEVEL)[:, None]
        constant = np.concatenate([self._series[windows.series], level], -1)
        return np.broadcast_to(constant, (steps, *constant.shape))


class Network(Protocol):
    """One network, or the mean of several."""

    trusted: bool

    def quantiles(self, windows: Windows) -> Any:
        """Return scaled quantiles `(horizon, B, Q)`, ascending."""


class MeanNetwork:
    """The mean of several networks."""

    def __init__(self, members: list[RuntimeNetwork]) -> None:
        self._members = members
        self.trusted = any(of.trusted for of in members)

    def quantiles(self, windows: Windows) -> Singles:
        """Return the mean of their quantiles `(horizon, B, Q)`."""
        found: Singles = np.mean([of.quantiles(windows) for of in self._members], axis=0)
        return found


def runtime_network(weights: Mapping[str, Singles], cell: str, layers: int, middle: int) -> Network:
    """Return the network of a state dict, which is that of one network or of several."""
    if "trust" in weights:
        return RuntimeNetwork(weights, cell, layers, middle)
    members: dict[int, dict[str, Singles]] = {}
    for name, array in weights.items():
        _, place, rest = name.split(".", 2)
        members.setdefault(int(place), {})[rest] = array
    ordered = [members[place] for place in sorted(members)]
    return MeanNetwork([RuntimeNetwork(of, cell, layers, middle) for of in ordered])


def stack(weights: Mapping[str, Singles], prefix: str, cell: str, layers: int) -> Stack:
    """Return the layers whose weights have names that begin with `prefix`."""
    given = []
    for layer in range(layers):
        end = f"_l{layer}"
        own = {of for of in weights if of.startswith(prefix) and of.endswith(end)}
        given.append({of[len(prefix) : -len(end)]: weights[of] for of in own})
    return Stack(named_cell(CELLS[cell], dict.fromkeys(given[0])), given)
