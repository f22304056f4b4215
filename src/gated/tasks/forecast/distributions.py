"""What the network says of each step: quantiles, or the parameters of a distribution.

A distribution is trained by its likelihood (DeepAR: Salinas, Flunkert, Gasthaus and Januschowski
2020; of counts: Snyder, Ord and Beaumont 2012) and reported by its quantiles, so that shares,
calibration and score are the same for all. The middle of each is how smoothing goes on plus the
network's correction. A new one is a class and an entry of `DISTRIBUTIONS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from gated.errors import DataError, option, require
from gated.tasks.forecast.calibration import piecewise_linear
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.scaling import HIGHEST_LOG

if TYPE_CHECKING:
    from gated.tasks.forecast.network import Batch

Floats = NDArray[np.float64]

LEAST = 0.01
"""Share of the typical remainder that a scale has at least: the likelihood of a value that is
forecast to the digit would have no bounds."""
FEWEST_DEGREES, FIRST_DEGREES = 2.0, 3.0
"""Degrees of freedom lie above the former, so that there is a variance; and begin near 5."""
SOFT = 0.1
"""Share of the typical remainder below which a mean approaches 0 slowly in place of crossing it."""
SIZES = 1e-8, 1e8
"""Bounds of the negative binomial's size: with the largest it is a Poisson distribution."""
EDGE = 1e-6
"""How near to the end of a count's place a quantile comes, so that it is rounded to the count."""
LOWEST_COUNT = 0.1
"""What stands for 0 in logarithms of counts; it is rounded to 0."""


class Distribution(ABC):
    """What the head's numbers mean.

    Args:
        levels: of the `Q` quantiles to report, ascending.
        logs: whether scaled values are those of logarithms.
    """

    measure: ClassVar[str]
    """What the training loss is called."""
    whole: ClassVar[bool] = False
    """Whether reported quantiles are whole numbers."""
    size: int
    """Numbers that the head has for each step."""
    middle: int = 0
    """Which of them says where the middle lies."""

    def __init__(self, levels: Sequence[float], *, logs: bool = False) -> None:
        self.levels = tuple(levels)
        self.logs = logs

    @abstractmethod
    def outputs(self, middle: Tensor, steps: Tensor, typical: Tensor) -> Tensor:
        """Return the parameters `(horizon, B, size)`, scaled, the middle in its place.

        Args:
            middle: `(horizon, B)`, scaled.
            steps: `(horizon, B, size)`, what the head says.
            typical: `(B,)`, what smoothing is typically off by, scaled.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss `(horizon, B)` at each value, in a unit that is alike for all series."""

    @abstractmethod
    def quantiles(self, outputs: Tensor, batch: Batch, levels: Floats | None = None) -> Tensor:
        """Return scaled quantiles `(horizon, B, Q)`, ascending; or at `levels` `(…, L)`."""

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the training loss `(horizon, B)`, 0 where nothing was observed."""
        return self.loss(outputs, batch) * batch.weight

    def mean_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean of `losses` over the observed values."""
        return self.losses(outputs, batch).sum() / batch.weight.sum()


class Quantiles(Distribution):
    """Quantiles without any distribution: the median plus or minus sums of positive distances."""

    measure = "pinball loss, scaled"

    def __init__(self, levels: Sequence[float], *, logs: bool = False) -> None:
        super().__init__(levels, logs=logs)
        self.size, self.middle = len(levels), sum(level < 0.5 for level in levels)

    def outputs(self, middle: Tensor, steps: Tensor, typical: Tensor) -> Tensor:
        """Return the quantiles."""
        down = typical[:, None] * softplus(steps[..., : self.middle])
        up = typical[:, None] * softplus(steps[..., self.middle + 1 :])
        lower = middle[..., None] - down.flip(-1).cumsum(-1).flip(-1)
        upper = middle[..., None] + up.cumsum(-1)
        return torch.cat([lower, middle[..., None], upper], dim=-1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the pinball loss in typical remainders."""
        levels = torch.tensor(self.levels).to(batch.target)
        return pinball(levels, outputs, batch.target) / batch.remainder

    def quantiles(self, outputs: Tensor, batch: Batch, levels: Floats | None = None) -> Tensor:
        """Return them; at other levels as if each part between two were that of a normal one."""
        if levels is None:
            return outputs
        special = require("scipy.special", extra="train")
        knots, values = special.ndtri(self.levels), outputs.double().cpu().numpy()
        return torch.from_numpy(piecewise_linear(special.ndtri(levels), knots, values))


class StudentT(Distribution):
    """Student's t: a normal distribution whose scale is not known, and more so in the tails."""

    measure = "negative log likelihood"
    size = 3

    def outputs(self, middle: Tensor, steps: Tensor, typical: Tensor) -> Tensor:
        """Return location, scale and degrees of freedom."""
        scale = typical * (LEAST + softplus(steps[..., 1]))
        degrees = FEWEST_DEGREES + LEAST + softplus(FIRST_DEGREES + steps[..., 2])
        return torch.stack([middle, scale, degrees], dim=-1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the negative log likelihood of the value in typical remainders."""
        location, scale, degrees = outputs.unbind(-1)
        distribution = torch.distributions.StudentT(degrees, location, scale, validate_args=False)
        return -_log_density(distribution, batch.target) - batch.remainder.log()

    def quantiles(self, outputs: Tensor, batch: Batch, levels: Floats | None = None) -> Tensor:
        """Return the inverse of the distribution function."""
        stats = require("scipy.stats", extra="train")
        location, scale, degrees = _arrays(*outputs.unbind(-1))
        wanted = np.array(self.levels) if levels is None else levels
        return torch.from_numpy(location + scale * stats.t.ppf(wanted, degrees))


class NegativeBinomial(Distribution):
    """Negative binomial: counts that vary more than those of a Poisson distribution.

    In the target's own unit, it has the mean `m`, and the variance `m + d²`: the deviation `d` is
    what comes on top of chance, in typical remainders. (Its size is `m² / d²`, Salinas's dispersion
    `d² / m²`.) Where the network forecasts logarithms, these are of the mean.

    Quantiles are those of a count that is spread evenly over the unit around it, which calibration
    can widen and shares can add up; what is reported is rounded. Without either of the two that is
    the distribution's own quantile.
    """

    measure = "negative log likelihood"
    whole = True
    size = 2

    def outputs(self, middle: Tensor, steps: Tensor, typical: Tensor) -> Tensor:
        """Return mean and deviation, scaled."""
        return torch.stack([middle, typical * softplus(steps[..., 1])], dim=-1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the negative log likelihood of the count."""
        mean, size = self.mean_and_size(outputs, batch)
        count = batch.target * batch.scale + batch.location
        count = (count.clamp(max=HIGHEST_LOG).exp() if self.logs else count).round().clamp(min=0)
        distribution = torch.distributions.NegativeBinomial(
            size, logits=mean.log() - size.log(), validate_args=False
        )
        return -_log_density(distribution, count)

    def quantiles(self, outputs: Tensor, batch: Batch, levels: Floats | None = None) -> Tensor:
        """Return the inverse of the distribution function, spread as the class says."""
        nbinom = require("scipy.stats", extra="train").nbinom
        mean, size = _arrays(*self.mean_and_size(outputs, batch))
        wanted, chance = np.array(self.levels) if levels is None else levels, size / (size + mean)
        count = nbinom.ppf(wanted, size, chance)
        below, within = nbinom.cdf(count - 1, size, chance), nbinom.pmf(count, size, chance)
        share = (wanted - below) / np.maximum(within, np.finfo(np.float64).tiny)
        value = count - 0.5 + np.clip(share, EDGE, 1 - EDGE)
        location, scale = _arrays(batch.location, batch.scale)
        value = np.log(np.maximum(value, LOWEST_COUNT)) if self.logs else value
        return torch.from_numpy((value - location) / scale)

    def mean_and_size(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return mean and size `(horizon, B)` of the counts."""
        middle, spread = outputs.unbind(-1)
        own, deviation = middle * batch.scale + batch.location, spread * batch.scale
        if self.logs:
            mean = own.clamp(-HIGHEST_LOG, HIGHEST_LOG).exp()
            deviation = deviation * mean
        else:
            soft = SOFT * batch.remainder * batch.scale
            mean = (own + (own**2 + 4 * soft**2).sqrt()) / 2
        return mean, (mean / deviation).square().clamp(*SIZES)


DISTRIBUTIONS: dict[str, type[Distribution]] = {
    "quantiles": Quantiles,
    "student-t": StudentT,
    "negative-binomial": NegativeBinomial,
}


def pinball(quantiles: Tensor, forecast: Tensor, truth: Tensor) -> Tensor:
    """Pinball loss (Koenker and Bassett 1978), averaged over the quantiles.

    Shapes: quantiles `(Q,)`, forecast `(…, Q)`, truth `(…)`; returns `(…)`.
    """
    error = truth[..., None] - forecast
    return torch.maximum(quantiles * error, (quantiles - 1) * error).mean(-1)


def check_target(panel: Panel, config: ForecastConfig) -> None:
    """Refuse a target that the distribution cannot have.

    Raises:
        DataError: a value is negative or no whole number; the message names it.
    """
    if not DISTRIBUTIONS[config.distribution].whole:
        return
    bad = (panel.target < 0) | (panel.target != np.round(panel.target)) & ~np.isnan(panel.target)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"The target '{config.target_name}' is {panel.target[row]:.10g} "
            f"for {panel.label(row)}; "
            f"{option('distribution', config.distribution)} is of counts: whole numbers from 0. "
            f"Use {option('distribution', 'quantiles')} or {option('distribution', 'student-t')}."
        )


def _log_density(distribution: torch.distributions.Distribution, value: Tensor) -> Tensor:
    log_prob: Any = distribution.log_prob
    density: Tensor = log_prob(value)
    return density


def _arrays(*tensors: Tensor) -> list[Floats]:
    """Arrays `(…, 1)` of double precision."""
    return [of.detach().double().cpu().numpy()[..., None] for of in tensors]
