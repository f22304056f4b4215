"""Scores: forecasts of several methods for the same windows, against observed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gated.errors import option
from gated.scoring.judge import judge
from gated.scoring.verdict import Measure, Outcome, Scope, Verdict
from gated.tasks.forecast.coverage import Coverage, coverage_of
from gated.tasks.forecast.credit import Credit

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Value = TypeVar("Value")

MAE = Measure("MAE {}", relative=True)
MASE = Measure("MASE {}", relative=True)
WINDOWS = Scope("windows", "at {} times")
OVERLAPPING = Scope("windows", "in {} stretches")
ADVICE: dict[Outcome, str] = {
    "worse": "Use the baseline, or give the network more informative columns.",
    "too few": "Hold back more for the test.",
}
INDEPENDENT = 3
"""Windows that follow one another in a stretch, where windows overlap: what they share with the
next stretch is little beside what they do not."""
METRICS = ("mae", "rmse", "smape", "mase", "pinball", "coverage", "width")


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Observed values of one series around the windows, `T` steps, for figures."""

    series: str
    times: NDArray[Any]
    """`(T,)` datetime64[us], or integers where the time is a count."""
    values: Floats
    """`(T,)` in the unit of the target, NaN where nothing was observed."""


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """`N` windows of `horizon` steps forecast at `Q` quantiles, by each method."""

    series: tuple[str, ...]
    """`(N,)` names of the series."""
    times: NDArray[Any]
    """`(N, horizon)` datetime64[us], or integers where the time is a count."""
    truth: Floats
    """`(N, horizon)` observed values in the unit of the target, NaN where they do not count."""
    quantiles: tuple[float, ...]
    methods: dict[str, Floats]
    """`(N, horizon, Q)` by method: the network first, then the baselines."""
    scales: Floats
    """`(N,)` mean absolute seasonal-naive error of the window's series in the training part (the
    denominator of MASE)."""
    observed: tuple[Observed, ...]
    targets: tuple[str, ...] = ()
    """`(N,)` what is forecast, where there are several targets."""

    @property
    def error(self) -> str:
        """The error by which all windows are compared: MAE, or MASE where units differ."""
        return "MASE" if self.targets else "MAE"

    def comparable(self) -> Forecasts:
        """Return these forecasts in one unit: those of several targets divided by their scales.

        Windows without a scale then have no observed value.
        """
        if not self.targets:
            return self
        scales = self.scales[:, None]
        return replace(
            self,
            truth=self.truth / scales,
            methods={name: of / scales[..., None] for name, of in self.methods.items()},
            scales=np.where(np.isnan(self.scales), np.nan, 1.0),
        )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Forecasts and their scores. `metric` is one of `METRICS`."""

    target: str
    forecasts: Forecasts
    overall: dict[str, dict[str, float]]
    """`[method][metric]` over all observed values."""
    by_step: dict[str, dict[str, list[float]]]
    """`[method][metric]`, one value a step of the horizon."""
    by_series: dict[str, dict[str, dict[str, float]]]
    """`[series][method][metric]`."""
    verdict: Verdict
    """Whether the network beats the best baseline, and by how much; and whether its interval is
    off."""
    coverage: Coverage | None = None
    """Of the network's interval, None where there is no interval or no value."""
    overlap: int = 0
    """Windows that overlap what the network was trained on."""
    by_target: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """`[target][method][metric]` where there are several targets, each in its own unit; those of
    `overall` and `by_step` are then relative to the scale of each series, as MASE is."""
    credit: Credit | None = None
    """How much the network counts in the medians; None where that is not known."""
    parts: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """`[series][part]`: `share` and `mae` of each forecast that the network's is added up from;
    empty where it has no partner."""

    higher_is_better = frozenset[str]()

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method: the network first, and of each method the deciding score first."""
        names = {"mae": "MAE", "mase": "MASE", "pinball": "pinball loss"}
        if self.by_target:
            names = {"mase": "MASE", "pinball": "pinball loss, scaled"}
        return {
            method: {names[name]: scores[name] for name in names}
            for method, scores in self.overall.items()
        }

    @property
    def facts(self) -> dict[str, Any]:
        """The scores without the forecasts, for JSON."""
        return {
            "target": self.target,
            "windows": len(self.forecasts.truth),
            "overlap": self.overlap,
            "quantiles": list(self.forecasts.quantiles),
            "coverage": self.coverage and asdict(self.coverage) | {"off": self.coverage.off},
            "overall": self.overall,
            "by_step": self.by_step,
            "by_series": self.by_series,
            **({"by_target": self.by_target} if self.by_target else {}),
            "parts": self.parts,
            "network_weights": dict(self.credit.weights) if self.credit else {},
        }

    @property
    def as_credited(self) -> Evaluation:
        """The same, the network's forecasts called by what they are made of, for people to read."""
        if self.credit is None or not self.credit.none:
            return self
        name = self.credit.name
        forecasts = replace(self.forecasts, methods=_renamed(self.forecasts.methods, name))
        return replace(
            self,
            forecasts=forecasts,
            overall=_renamed(self.overall, name),
            by_step=_renamed(self.by_step, name),
            by_series={of: _renamed(scores, name) for of, scores in self.by_series.items()},
            by_target={of: _renamed(scores, name) for of, scores in self.by_target.items()},
        )

    def with_parts(self, parts: Mapping[str, Floats], shares: Floats) -> Evaluation:
        """Add what the network's forecast is added up from, to the verdict too.

        Args:
            parts: `(N, horizon, Q)` by part, `M` of them, the network alone first.
            shares: `(N, M)`, how much each counts in the series of a window.
        """
        judged = replace(self.forecasts, methods=dict(parts)).comparable()
        observed = ~np.isnan(judged.truth)
        errors = absolute_errors(judged)
        names = np.array(self.forecasts.series)

        def of(windows: Mask) -> dict[str, dict[str, float]]:
            return {
                part: {
                    "share": float(shares[windows, place].mean()),
                    "mae": float(_mean(error[windows], observed[windows], None)),
                }
                for place, (part, error) in enumerate(errors.items())
            }

        pooled = of(np.ones(len(names), np.bool_))
        each = [
            f"{part} {pooled[part]['mae']:.3g} ({pooled[part]['share']:.0%} of the mixture)"
            for part in parts
        ]
        return replace(
            self,
            verdict=self.verdict.adding(f"{judged.error} of its parts: {', '.join(each)}."),
            parts={name: of(names == name) for name in dict.fromkeys(self.forecasts.series)},
        )


def evaluate(
    forecasts: Forecasts, target: str, overlap: int = 0, credit: Credit | None = None
) -> Evaluation:
    """Score every method on all values that were observed, by step and by series.

    - `mae`, `rmse`: absolute and root mean squared error of the median, in the target's unit.
    - `smape`: `200 |y - f| / (|y| + |f|)` in percent, 0 to 200; 0 where both are 0 (Makridakis
      and Hibon 2000).
    - `mase`: absolute error divided by `scales` (Hyndman and Koehler 2006); series
      without a scale are left out.
    - `pinball`: `max(q e, (q - 1) e)` with `e = y - f`, mean over the quantiles; not doubled
      (Koenker and Bassett 1978).
    - `coverage`: share of values within the outermost quantiles, ends included; `width`: mean
      distance of the two. NaN where the only quantile is the median.

    A step or series without observed values scores NaN. So does a method that lacks a forecast
    for an observed value: no method is scored on fewer values than another.

    Of several targets, what is said of all together, the verdict too, is relative to `scales`.

    Args:
        forecasts: of the network first, then of the baselines; 0.5 among the quantiles.
        target: name of the forecast column.
        overlap: windows that overlap what the network was trained on.
        credit: how much the network counts in its medians; where it does not, the verdict names
            what does.
    """
    losses = {method: _losses(values, forecasts) for method, values in forecasts.methods.items()}
    alike = forecasts.comparable()
    relative = {method: _losses(values, alike) for method, values in alike.methods.items()}
    names = np.array(forecasts.series)
    everything = np.ones(len(names), bool)
    network = next(iter(forecasts.methods.values()))
    clusters, _ = _clusters(forecasts.times)
    coverage = coverage_of(network, forecasts.truth, forecasts.quantiles, clusters)
    errors = absolute_errors(alike)
    if credit is None:
        verdict = judged(errors, alike, overlap)
    else:
        verdict = judged(_renamed(errors, credit.name), alike, overlap).adding(credit.sentence)
        verdict = replace(verdict, instead=credit.name if credit.none else "")
    targets = np.array(forecasts.targets)
    return Evaluation(
        target=target,
        forecasts=forecasts,
        overall=_scores(relative, alike, everything),
        by_step=_scores(relative, alike, everything, axis=0),
        by_series={
            name: _scores(losses, forecasts, names == name)
            for name in dict.fromkeys(forecasts.series)
        },
        verdict=verdict.adding(coverage.warning) if coverage else verdict,
        coverage=coverage,
        overlap=overlap,
        credit=credit,
        by_target={
            name: _scores(losses, forecasts, targets == name)
            for name in dict.fromkeys(forecasts.targets)
        },
    )


def _renamed(by_method: Mapping[str, Value], name: str) -> dict[str, Value]:
    """Return the same with another name for the first method."""
    (_, first), *others = by_method.items()
    return dict([(name, first), *others])


def judged(
    errors: dict[str, Floats], forecasts: Forecasts, overlap: int = 0, networks: int = 1
) -> Verdict:
    """Test whether the network's mean absolute error is lower; windows at one time are dependent.

    Args:
        errors: `(N, horizon)` absolute errors by method, the network first.
        forecasts: the observed values, and their times.
        overlap: windows that overlap what the network was trained on.
        networks: how many networks this one was chosen from by these errors.
    """
    observed = ~np.isnan(forecasts.truth)
    counts = observed.any(axis=1)
    sizes = observed.sum(axis=1)[counts]
    clusters, scope = _clusters(forecasts.times[counts])
    measure = MASE if forecasts.targets else MAE
    if not len(sizes):
        nothing = {method: [np.nan] for method in errors}
        said = "Nothing was observed in the windows forecast, so there is no score."
        if not len(forecasts.truth):
            said = f"There is no score: the network learned from all data ({option('test', 0)})."
        return replace(judge(nothing, measure, WINDOWS), examples=0, clusters=0, sentence=said)
    sums = {method: of.sum(axis=1, where=observed)[counts] for method, of in errors.items()}
    found = judge(sums, measure, scope, sizes=sizes, clusters=clusters, networks=networks)
    return found.adding(
        ADVICE.get(found.outcome, ""),
        f"{overlap:,} of them overlap the training data, so the score is too good."
        if overlap
        else "",
    )


def absolute_errors(forecasts: Forecasts) -> dict[str, Floats]:
    """Return `(N, horizon)` by method: absolute difference of median and observed value."""
    middle = forecasts.quantiles.index(0.5)
    return {
        method: np.abs(forecasts.truth - values[..., middle])
        for method, values in forecasts.methods.items()
    }


def _clusters(times: NDArray[Any]) -> tuple[NDArray[np.int64], Scope]:
    """Number the windows at `times` (N, horizon) so that other numbers are independent."""
    starts, first, places = np.unique(times[:, 0], return_index=True, return_inverse=True)
    places = places.reshape(-1).astype(np.int64)
    ends = times[first, -1]
    if not np.any(starts[1:] <= ends[:-1]):
        return places, WINDOWS
    stretches = np.zeros(len(starts), np.int64)
    begin = 0
    for place, start in enumerate(starts):
        new = start - starts[begin] >= INDEPENDENT * (ends[begin] - starts[begin])
        begin = place if new else begin
        stretches[place] = stretches[place - 1] + new if place else 0
    return stretches[places], OVERLAPPING


def _losses(values: Floats, forecasts: Forecasts) -> dict[str, Floats]:
    """`(N, horizon)` by metric, for a method's `values` `(N, horizon, Q)`; `rmse` still squared."""
    truth, quantiles = forecasts.truth, np.array(forecasts.quantiles)
    median = values[..., forecasts.quantiles.index(0.5)]
    lower, upper = values[..., quantiles.argmin()], values[..., quantiles.argmax()]
    absolute = np.abs(truth - median)
    size = np.abs(truth) + np.abs(median)
    error = truth[..., None] - values
    width = upper - lower if len(quantiles) > 1 else np.full_like(truth, np.nan)
    return {
        "mae": absolute,
        "rmse": absolute**2,
        "smape": 200 * absolute / np.where(size == 0, 1, size),
        "mase": absolute / forecasts.scales[:, None],
        "pinball": np.maximum(quantiles * error, (quantiles - 1) * error).mean(-1),
        "coverage": np.where(np.isnan(width), np.nan, (lower <= truth) & (truth <= upper)),
        "width": width,
    }


def _scores(
    losses: dict[str, dict[str, Floats]],
    forecasts: Forecasts,
    windows: Mask,
    axis: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Means of the losses of some `windows` over `axis`: numbers, or lists for the steps."""
    observed = ~np.isnan(forecasts.truth[windows])
    counts = dict.fromkeys(METRICS, observed)
    counts["mase"] = observed & ~np.isnan(forecasts.scales[windows])[:, None]
    scores = {
        method: {metric: _mean(loss[metric][windows], counts[metric], axis) for metric in METRICS}
        for method, loss in losses.items()
    }
    for score in scores.values():
        score["rmse"] = np.sqrt(score["rmse"])
    return {
        method: {metric: value.tolist() for metric, value in score.items()}
        for method, score in scores.items()
    }


def _mean(loss: Floats, counts: Mask, axis: int | None) -> Floats:
    """Mean over what counts, NaN where nothing does."""
    total = np.asarray(loss.sum(axis, where=counts))
    number = counts.sum(axis)
    mean = np.full(total.shape, np.nan)
    np.divide(total, number, out=mean, where=number > 0)
    return mean
