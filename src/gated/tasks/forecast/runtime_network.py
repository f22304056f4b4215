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
from gated.live.repeated import RepeatedStack
from gated.tasks.forecast.windows import NetworkInputs

Singles = NDArray[np.float32]
FARTHEST_LEVEL = np.float32(3.0)
"""See `network.FARTHEST_LEVEL`."""
FEW = 16
"""Windows at most that one thread computes: another saves no time, and keeps a processor busy
while it waits for the next call."""
MOST_SHAPES = 16
"""Shapes of windows for which memory is kept."""
ZERO = np.float32(0)
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
        self._head = np.ascontiguousarray(weights["head.weight"].T), weights["head.bias"]
        series = weights["series.weight"]
        self._series = np.concatenate([series, series.mean(0, keepdims=True)])
        """The last one is that of a series which training has not seen."""
        count = sum(name.startswith("categories.") for name in weights)
        self._categories = [weights[f"categories.{k}.weight"] for k in range(count)]
        trust = weights["trust"]
        self._trust = np.array([trust, weights.get("trust_unseen", trust)], np.float32)
        self._middle = middle
        self._free: dict[tuple[int, ...], list[tuple[RepeatedStack, RepeatedStack]]] = {}
        """Encoders and decoders that no thread uses just now, by the shape of their windows."""
        self.trusted = bool((self._trust > 0).any())
        """Whether its corrections of smoothing count."""

    def quantiles(self, windows: NetworkInputs) -> Singles:
        """Return scaled quantiles `(horizon, B, Q)`, ascending."""
        B = len(windows.last)
        if B > FEW:
            x = self._encoder_inputs(windows, None)
            _, state = self._encoder.run(x, None, ())
            return self._ascending(
                windows, self._decoder.run(self._decoder_inputs(windows, None), None, state)[0]
            )
        free = self._free.setdefault((B, len(windows.inputs), len(windows.smooth)), [])
        try:
            encoder, decoder = free.pop()  # another thread may have one at the same time
        except IndexError:
            encoder, decoder = self._repeated(windows)
        self._encoder_inputs(windows, encoder.x)
        self._decoder_inputs(windows, decoder.x)
        encoder.run(1)
        found = self._ascending(windows, decoder.run(1))
        free.append((encoder, decoder))
        return found

    def _repeated(self, windows: NetworkInputs) -> tuple[RepeatedStack, RepeatedStack]:
        """Encoder and decoder of windows of one shape; the latter begins where the former ends."""
        if len(self._free) > MOST_SHAPES:
            self._free.clear()
        encoder = RepeatedStack(self._encoder, self._encoder_inputs(windows, None))
        read = self._decoder_inputs(windows, None)
        return encoder, RepeatedStack(self._decoder, read, encoder.final)

    def _ascending(self, windows: NetworkInputs, hidden: Singles) -> Singles:
        """The quantiles `(horizon, B, Q)` from the decoder's output `(horizon, B, H)`."""
        weight, bias = self._head
        middle, shape = self._middle, (*hidden.shape[:2], len(bias))
        steps = (hidden.reshape(-1, len(weight)) @ weight).reshape(shape) + bias
        trust = self._trust[(windows.series < 0).astype(np.int64)]
        away = windows.remainder[:, None] * np.logaddexp(steps, ZERO)  # softplus
        found = np.empty_like(steps)
        median = found[..., middle]
        np.multiply(trust * windows.remainder, steps[..., middle], out=median)
        median += windows.smooth
        for place in range(middle, 0, -1):
            np.subtract(found[..., place], away[..., place - 1], out=found[..., place - 1])
        for place in range(middle + 1, shape[-1]):
            np.add(found[..., place - 1], away[..., place], out=found[..., place])
        return found

    def _encoder_inputs(self, windows: NetworkInputs, x: Singles | None) -> Singles:
        """What the encoder reads, `(history, B, ·)`, written to `x` if it is given."""
        own, last = windows.inputs, windows.last
        parts = [own, windows.lags, *self._embedded(windows.categories)]
        x = self._joined(windows, parts, x)
        features, lags = own.shape[-1], windows.lags.shape[-1]
        x[..., 0] -= last
        x[..., features : features + lags] -= last[:, None]
        return x

    def _decoder_inputs(self, windows: NetworkInputs, x: Singles | None) -> Singles:
        """What the decoder reads, `(horizon, B, ·)`, written to `x` if it is given."""
        smooth = windows.smooth[..., None]
        parts = [windows.future, windows.future_lags, smooth]
        x = self._joined(windows, [*parts, *self._embedded(windows.future_categories)], x)
        begin = windows.future.shape[-1]
        x[..., begin : begin + windows.future_lags.shape[-1] + 1] -= windows.last[:, None]
        return x

    def _joined(self, windows: NetworkInputs, parts: list[Singles], x: Singles | None) -> Singles:
        """Features beside one another, and what is the same at each step: series and level."""
        level = np.minimum(np.maximum(windows.last, -FARTHEST_LEVEL), FARTHEST_LEVEL)
        width = self._series.shape[1]
        features = sum(of.shape[-1] for of in parts)
        if x is None:
            x = np.empty((*parts[0].shape[:2], features + width + 1), np.float32)
        np.concatenate(parts, -1, out=x[..., :features])
        x[..., features:-1] = self._series[windows.series]
        x[..., -1] = level
        return x

    def _embedded(self, codes: NDArray[np.int64]) -> list[Singles]:
        return [self._categories[k][codes[..., k]] for k in range(codes.shape[-1])]


class Network(Protocol):
    """One network, or the mean of several."""

    trusted: bool

    def quantiles(self, windows: NetworkInputs) -> Any:
        """Return scaled quantiles `(horizon, B, Q)`, ascending."""


class MeanNetwork:
    """The mean of several networks."""

    def __init__(self, members: list[RuntimeNetwork]) -> None:
        self._members = members
        self.trusted = any(of.trusted for of in members)

    def quantiles(self, windows: NetworkInputs) -> Singles:
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
