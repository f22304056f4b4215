"""The forecast network: an encoder reads the history, a decoder forecasts the horizon.

Sequence-to-sequence in the manner of Sutskever, Vinyals and Le (2014), with quantiles for output
as in Wen et al. (2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gated.nn import GRU, LSTM, RNN, VariationalDropout
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.windows import Windows

CELLS: dict[str, type[RNN | GRU | LSTM]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
FARTHEST_LEVEL = 3.0
"""The level, an input of the network, is kept within ± this many deviations of the training part,
so that a series that has grown out of it meets no input that was never seen."""


class Batch(NamedTuple):
    """Windows as tensors; for the fields see `Windows`."""

    inputs: Tensor
    """`(history, B, I)`, the target first."""
    categories: Tensor
    """`(history, B, K)`."""
    future: Tensor
    """`(horizon, B, F)`."""
    future_categories: Tensor
    """`(horizon, B, K known ahead)`."""
    series: Tensor
    """`(B,)`."""
    last: Tensor
    """`(B,)`."""
    target: Tensor
    """`(horizon, B)`."""
    weight: Tensor
    """`(horizon, B)`."""

    @classmethod
    def of(cls, windows: Windows) -> Batch:
        """Make tensors that share the memory of `windows`."""
        return cls(*(torch.from_numpy(getattr(windows, name)) for name in cls._fields))


class ForecastNetwork(nn.Module):
    """Predicts quantiles of the scaled target at each step of the horizon, which never cross.

    Everything is relative to the last value `y` of the history: the encoder reads the target minus
    `y`, and the decoder's output is the median's distance from `y` at each step. The other
    quantiles are the median plus or minus sums of positive distances. The decoder starts from the
    encoder's last state and reads at each step the covariates known ahead, and the value that the
    target had a whole number of seasons before.
    """

    def __init__(self, fitted: Preprocessing) -> None:
        super().__init__()
        config = fitted.config
        self.horizon = config.horizon
        self.below = sum(q < 0.5 for q in config.quantiles)
        self.season = _season_in_history(config)
        self.series = nn.Embedding(len(fitted.series), _width(len(fitted.series)))
        self.categories = nn.ModuleList(
            nn.Embedding(count, _width(count)) for count in fitted.category_counts
        )
        known_texts = len(fitted.known_texts)
        widths = [_width(count) for count in fitted.category_counts]
        constant = self.series.embedding_dim + 1
        inputs = len(fitted.input_names) + constant + sum(widths)
        future = len(fitted.future_names) + constant + sum(widths[:known_texts])
        cell = CELLS[config.cell]
        between = config.dropout if config.layers > 1 else 0.0
        options: dict[str, Any] = {"num_layers": config.layers, "dropout": between}
        self.input_dropout = VariationalDropout(config.variational_dropout)
        self.encoder = cell(inputs, config.hidden, **options)
        self.decoder = cell(future + (self.season > 0), config.hidden, **options)
        self.output_dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden, len(config.quantiles))

    def forward(self, batch: Batch) -> Tensor:
        """Return scaled quantiles `(horizon, B, Q)`, ascending."""
        _, state = self.encoder(self.input_dropout(self.encoder_inputs(batch)))
        return self.decode(batch, state)

    def decode(self, batch: Batch, state: Any) -> Tensor:
        """Return scaled quantiles `(horizon, B, Q)` from the encoder's last state."""
        hidden, _ = self.decoder(self.input_dropout(self._decoder_inputs(batch)), state)
        steps = self.head(self.output_dropout(hidden))
        median = steps[..., self.below] + batch.last
        down = nn.functional.softplus(steps[..., : self.below])
        up = nn.functional.softplus(steps[..., self.below + 1 :])
        lower = median[..., None] - down.flip(-1).cumsum(-1).flip(-1)
        upper = median[..., None] + up.cumsum(-1)
        return torch.cat([lower, median[..., None], upper], dim=-1)

    def encoder_inputs(self, batch: Batch) -> Tensor:
        """Return what the encoder reads, `(history, B, features)`."""
        target = batch.inputs[..., :1] - batch.last[:, None]
        embedded = self._embed(batch.categories)
        return torch.cat(
            [target, batch.inputs[..., 1:], *embedded, self._constant(batch, len(target))], -1
        )

    def _decoder_inputs(self, batch: Batch) -> Tensor:
        parts = [batch.future, *self._embed(batch.future_categories)]
        if self.season:
            cycles = -(-self.horizon // self.season)
            past = batch.inputs[-cycles * self.season :, :, 0] - batch.last
            parts.append(past[: self.horizon, :, None])
        return torch.cat([*parts, self._constant(batch, self.horizon)], -1)

    def _constant(self, batch: Batch, steps: int) -> Tensor:
        """What is the same at each step: which series it is, and its level. `(steps, B, …)`."""
        level = batch.last.clamp(-FARTHEST_LEVEL, FARTHEST_LEVEL)[:, None]
        # A series that training has not seen is the mean of those that it has.
        unseen = (batch.series < 0)[:, None]
        series = torch.where(unseen, self.series.weight.mean(0), self.series(batch.series.clamp(0)))
        return torch.cat([series, level], -1).expand(steps, -1, -1)

    def _embed(self, codes: Tensor) -> list[Tensor]:
        return [self.categories[k](codes[..., k]) for k in range(codes.shape[-1])]

    def depth_groups(self) -> Sequence[tuple[str, Sequence[nn.Parameter]]]:
        """Parameters by depth, nearest the input first."""
        embeddings = [*self.series.parameters(), *self.categories.parameters()]
        return [
            ("encoder", [*embeddings, *self.encoder.parameters()]),
            ("decoder", list(self.decoder.parameters())),
            ("head", list(self.head.parameters())),
        ]


def pinball(quantiles: Tensor, forecast: Tensor, truth: Tensor) -> Tensor:
    """Pinball loss (Koenker and Bassett 1978), averaged over the quantiles.

    Shapes: quantiles `(Q,)`, forecast `(…, Q)`, truth `(…)`; returns `(…)`.
    """
    error = truth[..., None] - forecast
    return torch.maximum(quantiles * error, (quantiles - 1) * error).mean(-1)


def mean_pinball(quantiles: Tensor, forecast: Tensor, batch: Batch) -> Tensor:
    """The training loss of scaled quantiles `(horizon, B, Q)`, over the observed values."""
    errors = pinball(quantiles, forecast, batch.target) * batch.weight
    return errors.sum() / batch.weight.sum()


def _season_in_history(config: ForecastConfig) -> int:
    """The season, where a whole number of them covers the horizon and fits into the history."""
    season, history = config.season or 1, config.history or 1
    cycles = -(-config.horizon // season)
    return season if season > 1 and cycles * season <= history else 0


def _width(count: int) -> int:
    """Features of an embedding of `count` values."""
    return min(8, math.ceil(math.sqrt(count)))
