"""The forecast network: an encoder reads the history, a decoder forecasts the horizon.

Sequence-to-sequence in the manner of Sutskever, Vinyals and Le (2014), with quantiles for output
as in Wen et al. (2017), or the parameters of a distribution (`distributions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from gated.nn import VariationalDropout
from gated.nn.named import LAYERS
from gated.tasks.forecast.distributions import DISTRIBUTIONS, Floats
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.preprocessing import Preprocessing, embedding_width
from gated.tasks.forecast.windows import Windows

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
    smooth: Tensor
    """`(horizon, B)`."""
    remainder: Tensor
    """`(B,)`."""
    location: Tensor
    """`(B,)`."""
    scale: Tensor
    """`(B,)`."""
    lags: Tensor
    """`(history, B, Q)`."""
    future_lags: Tensor
    """`(horizon, B, Q)`."""
    target: Tensor
    """`(horizon, B)`."""
    weight: Tensor
    """`(horizon, B)`."""
    member: Tensor
    """`(B,)` which network of an ensemble forecasts the window, -1 for the mean of all."""

    @classmethod
    def of(cls, windows: Windows, member: Integers | None = None) -> Batch:
        """Make tensors that share the memory of `windows`."""
        if member is None:
            member = np.full(len(windows.origins), -1)
        arrays = (*(getattr(windows, name) for name in cls._fields[:-1]), member)
        return cls(*(torch.from_numpy(array) for array in arrays))

    def joined(self, other: Batch) -> Batch:
        """Return the windows of both."""
        pairs = zip(self, other, strict=True)
        return Batch(*(torch.cat(pair, 0 if pair[0].ndim == 1 else 1) for pair in pairs))

    def take(self, which: Tensor) -> Batch:
        """Return some of the windows."""
        return Batch(*(of[which] if of.ndim == 1 else of[:, which] for of in self))


class ForecastNetwork(nn.Module):
    """Predicts a distribution of the scaled target at each step of the horizon.

    It forecasts what smoothing leaves over: the middle is how smoothing goes on, plus the decoder's
    output in multiples of the typical remainder. What is read is relative to the last value `y` of
    the history: by the encoder the target, with the values a season before; by the decoder, which
    starts from the encoder's last state, how smoothing goes on, the values of whole seasons before,
    and the covariates known ahead.
    """

    trust: Tensor
    """By what the middle's distance from smoothing is multiplied: 1, unless the validation part
    says less."""
    trust_unseen: Tensor
    """The same for series that training has not seen, where static columns tell of them."""

    def __init__(self, fitted: Preprocessing) -> None:
        super().__init__()
        config = fitted.config
        self.horizon = config.horizon
        logs = fitted.target.floor is not None
        self.distribution = DISTRIBUTIONS[config.distribution](config.quantiles, logs=logs)
        self.middle = self.distribution.middle
        seasons = len(config.seasons)
        self.series = nn.Embedding(
            len(fitted.series), fitted.series_width or embedding_width(len(fitted.series))
        )
        self.categories = nn.ModuleList(
            nn.Embedding(count, embedding_width(count)) for count in fitted.category_counts
        )
        known_texts = len(fitted.known_texts)
        widths = [embedding_width(count) for count in fitted.category_counts]
        constant = self.series.embedding_dim + 1
        inputs = len(fitted.input_names) + seasons + constant + sum(widths)
        future = len(fitted.future_names) + constant + sum(widths[:known_texts])
        cell = LAYERS[config.cell]
        between = config.dropout if config.layers > 1 else 0.0
        options: dict[str, Any] = {"num_layers": config.layers, "dropout": between}
        self.input_dropout = VariationalDropout(config.variational_dropout)
        self.encoder = cell(inputs, config.hidden, **options)
        self.decoder = cell(future + seasons + 1, config.hidden, **options)
        self.output_dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden, self.distribution.size)
        with torch.no_grad():
            # The middle begins as smoothing goes on.
            self.head.weight[self.middle] = 0
            self.head.bias[self.middle] = 0
        self.register_buffer("trust", torch.ones(()))
        if config.static:
            self.register_buffer("trust_unseen", torch.ones(()))

    def forward(self, batch: Batch) -> Tensor:
        """Return the scaled parameters of the distribution, `(horizon, B, size)`.

        Of quantiles they are these, ascending: `(horizon, B, Q)`.
        """
        _, state = self.encoder(self.input_dropout(self.encoder_inputs(batch)))
        return self.decode(batch, state)

    def quantiles(self, batch: Batch, levels: Floats | None = None) -> Tensor:
        """Return scaled quantiles `(horizon, B, Q)`, ascending; or at `levels` `(…, B, L)`."""
        return self.distribution.quantiles(self(batch), batch, levels)

    def decode(self, batch: Batch, state: Any) -> Tensor:
        """Return what `forward` does from the encoder's last state."""
        hidden, _ = self.decoder(self.input_dropout(self._decoder_inputs(batch)), state)
        steps = self.head(self.output_dropout(hidden))
        trust = self.trust
        if hasattr(self, "trust_unseen"):
            trust = torch.where(batch.series < 0, self.trust_unseen, trust)
        middle = batch.smooth + trust * batch.remainder * steps[..., self.middle]
        return self.distribution.outputs(middle, steps, batch.remainder)

    def encoder_inputs(self, batch: Batch) -> Tensor:
        """Return what the encoder reads, `(history, B, features)`."""
        target = batch.inputs[..., :1] - batch.last[:, None]
        lags = batch.lags - batch.last[:, None]
        embedded = self._embed(batch.categories)
        return torch.cat(
            [target, batch.inputs[..., 1:], lags, *embedded, self._constant(batch, len(target))], -1
        )

    def _decoder_inputs(self, batch: Batch) -> Tensor:
        lags = batch.future_lags - batch.last[:, None]
        smooth = (batch.smooth - batch.last)[..., None]
        embedded = self._embed(batch.future_categories)
        constant = self._constant(batch, self.horizon)
        return torch.cat([batch.future, lags, smooth, *embedded, constant], -1)

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


class Ensemble(nn.Module):
    """The mean of several networks, which began from different weights."""

    def __init__(self, fitted: Preprocessing) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            ForecastNetwork(fitted) for _ in range(fitted.config.members or 1)
        )

    def forward(self, batch: Batch) -> Tensor:
        """Return what a `ForecastNetwork` does: of that which a window names, or the mean of all.

        Either all windows of a batch name one, or none does.
        """
        return self._each(batch, lambda member, some: member(some))

    def quantiles(self, batch: Batch, levels: Floats | None = None) -> Tensor:
        """Return scaled quantiles `(horizon, B, Q)` in the same way, or at `levels` of all."""
        return self._each(batch, lambda member, some: member.quantiles(some, levels))

    def _each(self, batch: Batch, say: Callable[[ForecastNetwork, Batch], Tensor]) -> Tensor:
        members = [cast(ForecastNetwork, member) for member in self.members]
        if not len(batch.member) or bool(batch.member[0] < 0):
            return torch.stack([say(member, batch) for member in members]).mean(0)
        places = [torch.nonzero(batch.member == j)[:, 0] for j in range(len(members))]
        parts = [
            say(member, batch.take(place))
            for member, place in zip(members, places, strict=True)
            if len(place)
        ]
        return torch.cat(parts, dim=1)[:, torch.cat(places).argsort()]

    def depth_groups(self) -> Sequence[tuple[str, Sequence[nn.Parameter]]]:
        """Parameters by depth, nearest the input first."""
        groups: dict[str, list[nn.Parameter]] = {}
        for member in self.members:
            for name, parameters in cast(ForecastNetwork, member).depth_groups():
                groups.setdefault(name, []).extend(parameters)
        return list(groups.items())
