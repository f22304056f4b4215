"""The network that forecasts series it has never seen.

An encoder reads the last steps of a history and what exponential smoothing got wrong there; a
decoder reads, at each step ahead, the forecasts of `smoothing`, says how much each is worth (a mean
with weights that it chooses, in the manner of Montero-Manso et al. 2020), and adds a correction and
the distances of the other quantiles. Everything is relative to the level at the end, in units of
the error of the naive forecast.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gated.nn import LSTM
from gated.tasks.forecast.pretrained.inputs import MEDIAN, QUANTILES, SHOWN, STATIC, Inputs
from gated.tasks.forecast.pretrained.smoothing import ANCHORS


class PretrainedNetwork(nn.Module):
    """Forecasts quantiles `(horizon, B, Q)` of `QUANTILES`, relative as the inputs are."""

    def __init__(self, hidden: int = 96) -> None:
        super().__init__()
        encoder, decoder = 5 + len(SHOWN) + 2, 5 + ANCHORS + STATIC
        self.encoder = LSTM(encoder, hidden, forget_bias=1.0)
        self.decoder = LSTM(decoder, hidden, forget_bias=1.0)
        self.mixing = nn.Linear(hidden + decoder, ANCHORS)
        self.head = nn.Sequential(
            nn.Linear(hidden + decoder, 64), nn.GELU(), nn.Linear(64, 1 + len(QUANTILES))
        )

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the quantiles, ascending."""
        device = self.mixing.weight.device
        encoder, given, anchors = (torch.from_numpy(of).to(device) for of in inputs)
        _, state = self.encoder(encoder)
        hidden, _ = self.decoder(given, state)
        read = torch.cat([hidden, given], -1)
        weights = self.mixing(read).softmax(-1)
        out = self.head(read)
        down = nn.functional.softplus(out[..., :MEDIAN] + out[..., -1:])
        up = nn.functional.softplus(out[..., MEDIAN + 1 : -1] + out[..., -1:])
        median = (weights * anchors).sum(-1) + out[..., MEDIAN]
        lower = median[..., None] - down.flip(-1).cumsum(-1).flip(-1)
        return torch.cat([lower, median[..., None], median[..., None] + up.cumsum(-1)], -1)
