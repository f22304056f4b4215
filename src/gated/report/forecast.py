"""The report of a forecast: how good it is, what it looks like, and how it came about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gated.report.drawing import (
    BLUE,
    INK,
    MUTED,
    Picture,
    finish,
    method_colours,
    new_figure,
    shared_legend,
    style,
    time_axis,
)
from gated.report.page import Drawing, Page, Section, Table, Text, write_page
from gated.report.training import reproduction_section, training_section
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.findings import Finding
from gated.tasks.forecast.score import Evaluation, Forecasts
from gated.training.history import History
from gated.training.options import TrainingOptions

METRICS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "smape": "sMAPE %",
    "mase": "MASE",
    "pinball": "pinball",
    "coverage": "coverage",
    "width": "width",
}
"""Metrics and how tables head them."""
SMALLER_IS_BETTER = ("mae", "rmse", "smape", "mase", "pinball")
MOST_PANELS = 6
MOST_SERIES = 30


def write_forecast_report(
    directory: Path,
    *,
    evaluation: Evaluation,
    history: History,
    findings: Sequence[Finding],
    config: ForecastConfig,
    training: TrainingOptions,
    command: str,
    parameters: int,
) -> Path:
    """Write `report.html` and `figures/*.png` into `directory` and return the page's path."""
    with style():
        sections = [
            _score_section(evaluation),
            _forecast_section(evaluation),
            _error_section(evaluation),
            training_section(
                history,
                training,
                {
                    "dropout": f"{config.dropout:g} between layers and before the output",
                    "variational dropout": f"{config.variational_dropout:g} on inputs, one mask "
                    "for all steps",
                },
            ),
        ]
    sections += [
        _cleaning_section(findings),
        reproduction_section(command, config.to_dict(), training.to_dict()),
    ]
    page = Page(
        title=f"Forecast of {config.target}, {config.horizon} steps ahead",
        verdict=evaluation.verdict,
        good=" beats " in evaluation.verdict,
        sections=sections,
        facts=[
            f"{config.cell.upper()} encoder and decoder, {config.layers} layer(s) of "
            f"{config.hidden} units, {parameters:,} parameters"
        ],
    )
    return write_page(directory, page)


def score_table(evaluation: Evaluation) -> Table:
    """Return the scores of all methods over all windows, the best of each metric marked."""
    methods = list(evaluation.overall)
    best = [
        min(
            (place for place, method in enumerate(methods) if _is_number(evaluation, method, name)),
            key=lambda place: evaluation.overall[methods[place]][name],
            default=None,
        )
        if name in SMALLER_IS_BETTER
        else None
        for name in METRICS
    ]
    rows = [
        (method, *(_figure(evaluation.overall[method][metric]) for metric in METRICS))
        for method in methods
    ]
    return Table(("", *METRICS.values()), rows, best)


def _is_number(evaluation: Evaluation, method: str, metric: str) -> bool:
    return not np.isnan(evaluation.overall[method][metric])


def _figure(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3g}" if abs(value) >= 100 else f"{value:.3f}"


def _score_section(evaluation: Evaluation) -> Section:
    quantiles = evaluation.forecasts.quantiles
    inside = quantiles[-1] - quantiles[0]
    return Section(
        "Score",
        [
            Text(
                f"{len(evaluation.forecasts.truth):,} forecasts that the network had not seen, "
                "each made with what was known at its beginning; the baselines forecast the same. "
                f"MAE, RMSE and width are in units of {evaluation.target}. MASE is relative to "
                "the seasonal-naive error of the training part, below 1 is better than that. "
                f"Coverage is the share of values inside the interval, {inside:.0%} if it is right."
            ),
            score_table(evaluation),
        ],
    )


def _forecast_section(evaluation: Evaluation) -> Section:
    return Section(
        "Forecast and truth",
        [Drawing(_walk_forward(evaluation)), Drawing(_chosen_windows(evaluation))],
    )


def _walk_forward(evaluation: Evaluation) -> Picture:
    forecasts = evaluation.forecasts
    shown = forecasts.observed[:MOST_PANELS]
    figure, axes = new_figure(0.9 + 1.9 * len(shown), nrows=len(shown), sharex=True, squeeze=False)
    network = next(iter(forecasts.methods))
    for panel, observed in zip(axes[:, 0], shown, strict=True):
        panel.set_title(observed.series or evaluation.target)
        for window in _without_overlap(forecasts, observed.series):
            _draw_window(panel, forecasts, network, window, label=False)
        first = forecasts.times[np.array(forecasts.series) == observed.series].min()
        tail = observed.times >= first
        panel.plot(
            observed.times[tail], observed.values[tail], color=INK, linewidth=1, label="observed"
        )
    panel = axes[0, 0]
    panel.plot([], [], color=BLUE, label=f"{network}, median")
    panel.fill_between([], [], [], color=BLUE, alpha=0.22, linewidth=0, label=_interval(forecasts))
    time_axis(axes[-1, 0], forecasts.times)
    shared_legend(figure, panel)
    count = len(forecasts.observed)
    some = f" The first {len(shown)} of {count} series." if count > len(shown) else ""
    return finish(
        figure,
        "forecast",
        description=f"Forecasts of {evaluation.target} with their interval, against the truth.",
        caption="Every forecast of the test part, one after the other: the line should follow the "
        f"observed one, and the band hold it.{some}",
    )


def _without_overlap(forecasts: Forecasts, series: str) -> list[int]:
    """Windows of `series` in the order of time, those that begin inside another left out."""
    own = [place for place, name in enumerate(forecasts.series) if name == series]
    own.sort(key=lambda place: forecasts.times[place, 0])
    chosen: list[int] = []
    for place in own:
        if not chosen or forecasts.times[place, 0] > forecasts.times[chosen[-1], -1]:
            chosen.append(place)
    return chosen


def _interval(forecasts: Forecasts) -> str:
    low, high = forecasts.quantiles[0], forecasts.quantiles[-1]
    return f"{high - low:.0%} interval"


def _draw_window(
    panel: Any, forecasts: Forecasts, method: str, window: int, *, label: bool = True
) -> None:
    times, values = forecasts.times[window], forecasts.methods[method][window]
    middle = forecasts.quantiles.index(0.5)
    panel.fill_between(
        times,
        values[:, 0],
        values[:, -1],
        color=BLUE,
        alpha=0.22,
        linewidth=0,
        label=_interval(forecasts) if label else None,
    )
    panel.plot(times, values[:, middle], color=BLUE, label=f"{method}, median" if label else None)


def _chosen_windows(evaluation: Evaluation) -> Picture:
    forecasts = evaluation.forecasts
    network, *baselines = forecasts.methods
    middle = forecasts.quantiles.index(0.5)
    errors = np.abs(forecasts.truth - forecasts.methods[network][..., middle])
    observed = ~np.isnan(forecasts.truth)
    count = observed.sum(1)
    mean = np.where(observed, errors, 0).sum(1) / np.maximum(count, 1)
    mean[count < count.max() / 2] = np.nan
    order = np.argsort(mean)[: int((~np.isnan(mean)).sum())]
    places = {
        "a good one": order[len(order) // 10],
        "the median": order[len(order) // 2],
        "the worst": order[-1],
    }
    figure, axes = new_figure(3.4, ncols=3, sharey=True)
    colours = method_colours(list(forecasts.methods))
    best = min(baselines, key=lambda name: evaluation.overall[name]["mae"], default=None)
    for panel, (name, window) in zip(axes, places.items(), strict=True):
        series = forecasts.series[window]
        panel.set_title(f"{name}, MAE {_figure(float(mean[window]))}\n{series}".rstrip())
        seen = next(item for item in forecasts.observed if item.series == series)
        times = forecasts.times[window]
        before = np.searchsorted(seen.times, times[0])
        history = slice(max(0, before - 2 * forecasts.truth.shape[1]), before)
        panel.plot(seen.times[history], seen.values[history], color=MUTED, label="history")
        _draw_window(panel, forecasts, network, window)
        if best is not None:
            values = forecasts.methods[best][window, :, middle]
            panel.plot(times, values, "--", color=colours[best], label=best)
        panel.plot(times, forecasts.truth[window], color=INK, label="observed")
        time_axis(panel, times)
        panel.locator_params(axis="x", nbins=4) if times.dtype.kind != "M" else None
    shared_legend(figure, axes[0])
    return finish(
        figure,
        "windows",
        description="Three forecasts in detail: a good one, the median and the worst.",
        caption="Single forecasts by their error: one of the best tenth, the median, the worst.",
    )


def _error_section(evaluation: Evaluation) -> Section:
    blocks: list[Any] = [Drawing(_by_step(evaluation))]
    if len(evaluation.by_series) > 1:
        blocks.append(Drawing(_by_series(evaluation)))
    blocks.append(Drawing(_calibration(evaluation)))
    return Section("Where the error lies", blocks)


def _by_step(evaluation: Evaluation) -> Picture:
    figure, axes = new_figure(3.2)
    steps = np.arange(1, evaluation.forecasts.truth.shape[1] + 1)
    marker = "o" if len(steps) <= 48 else None
    for method, colour in method_colours(list(evaluation.by_step)).items():
        errors = evaluation.by_step[method]["mae"]
        axes.plot(steps, errors, marker=marker, markersize=3.5, color=colour, label=method)
    axes.set_xlabel("steps ahead")
    axes.set_ylabel(f"MAE of {evaluation.target}")
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)
    shared_legend(figure, axes)
    return finish(
        figure,
        "error_by_step",
        description="Mean absolute error by step of the horizon, for each method.",
        caption="How the error grows with the distance. The network is worth its place where its "
        "line lies below the others.",
    )


def _by_series(evaluation: Evaluation) -> Picture:
    names = list(evaluation.by_series)
    network = next(iter(evaluation.overall))
    names.sort(key=lambda name: np.nan_to_num(evaluation.by_series[name][network]["mae"], nan=-1.0))
    shown = names[-MOST_SERIES:]
    figure, axes = new_figure(1.3 + 0.28 * len(shown))
    places = np.arange(len(shown))
    for method, colour in method_colours(list(evaluation.overall)).items():
        errors = [evaluation.by_series[name][method]["mae"] for name in shown]
        axes.plot(errors, places, "o", color=colour, markersize=7, label=method)
    axes.set_yticks(places, shown)
    axes.set_xlim(left=0)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlabel(f"MAE of {evaluation.target}")
    shared_legend(figure, axes)
    some = f" The {len(shown)} hardest of {len(names)} series." if len(names) > len(shown) else ""
    return finish(
        figure,
        "error_by_series",
        description="Mean absolute error of each series, for each method.",
        caption=f"The series by the network's error, the hardest on top.{some}",
    )


def _calibration(evaluation: Evaluation) -> Picture:
    forecasts = evaluation.forecasts
    observed = ~np.isnan(forecasts.truth)
    figure, axes = new_figure(3.6)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="as promised")
    for method, colour in method_colours(list(forecasts.methods)).items():
        below = forecasts.truth[..., None] <= forecasts.methods[method]
        shares = below[observed].mean(0) if observed.any() else np.full(below.shape[-1], np.nan)
        axes.plot(forecasts.quantiles, shares, "o-", color=colour, markersize=5, label=method)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks(forecasts.quantiles)
    axes.set_xlabel("quantile forecast")
    axes.set_ylabel("share of values below it")
    shared_legend(figure, axes)
    return finish(
        figure,
        "calibration",
        description="Promised quantiles against the share of values that fell below them.",
        caption="Whether the intervals hold: each dot should lie on the dotted line. Below it the "
        "quantile was too low, above it too high.",
    )


def _cleaning_section(findings: Sequence[Finding]) -> Section:
    if not findings:
        return Section("What was cleaned", [Text("Nothing: the data were complete and in order.")])
    rows = [
        (
            finding.column or "",
            f"{finding.count:,} {finding.what}",
            finding.action,
            finding.example,
        )
        for finding in findings
    ]
    return Section(
        "What was cleaned",
        [
            Text("In the order of finding. Values are filled from the past alone."),
            Table(("column", "found", "done", "first"), rows, prose=True),
        ],
    )
