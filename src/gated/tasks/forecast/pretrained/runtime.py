"""The pretrained network on the native core, without torch.

Shapes are those of `network`: `(steps, B, features)`, B histories.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gated.live.combining import FUNCTIONS
from gated.tasks.forecast.pretrained.inputs import MEDIAN, Inputs, Singles
from gated.tasks.forecast.runtime_network import FEW, stack


class RuntimePretrained:
    """What `PretrainedNetwork` forecasts, up to rounding.

    Args:
        weights: its state dict as arrays.
    """

    def __init__(self, weights: Mapping[str, Singles]) -> None:
        self._encoder, self._decoder = (
            stack(weights, f"{part}.", "lstm", 1) for part in ("encoder", "decoder")
        )
        self._mixing, self._first, self._last = (
            (weights[f"{part}.weight"].T, weights[f"{part}.bias"])
            for part in ("mixing", "head.0", "head.2")
        )

    def __call__(self, inputs: Inputs) -> Singles:
        """Return quantiles `(horizon, B, Q)` of `QUANTILES`, ascending."""
        threads = 1 if inputs.encoder.shape[1] <= FEW else None
        _, state = self._encoder.run(inputs.encoder, None, (), threads=threads)
        hidden, _ = self._decoder.run(inputs.decoder, None, state, threads=threads)
        read = np.concatenate([hidden, inputs.decoder], -1)
        weights = _affine(read, *self._mixing)
        weights = np.exp(weights - weights.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        inner = FUNCTIONS["gelu"](_affine(read, *self._first), 0, 0).astype(np.float32)
        out = _affine(inner, *self._last)
        found = np.empty_like(out[..., :-1])
        away = np.logaddexp(out[..., :-1] + out[..., -1:], np.float32(0))  # softplus
        median = (weights * inputs.anchors).sum(-1) + out[..., MEDIAN]
        found[..., MEDIAN] = median
        below = np.cumsum(away[..., :MEDIAN][..., ::-1], -1)[..., ::-1]
        found[..., :MEDIAN] = median[..., None] - below
        found[..., MEDIAN + 1 :] = median[..., None] + np.cumsum(away[..., MEDIAN + 1 :], -1)
        return found


def _affine(x: Singles, weight: Singles, bias: Singles) -> Singles:
    found: Singles = x @ weight + bias
    return found
