"""Pictures of forecasts and of their errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.report.drawing import (
    BLUE,
    INK,
    MUTED,
    Picture,
    finish,
    method_colours,
    new_figure,
    shared_legend,
    short,
    time_axis,
)
from gated.tasks.forecast.score import Evaluation, Forecasts

MOST_PANELS = 6
MOST_WINDOWS = 30
"""One after the other in a panel; more could not be told apart."""
MOST_SERIES = 30


def walk_forward(evaluation: Evaluation) -> Picture:
    """Draw the last forecasts one after the other with the observed values, by series."""
    forecasts = evaluation.forecasts
    names = chosen_series(evaluation)
    network = next(iter(forecasts.methods))
    figure, axes = new_figure(0.9 + 1.9 * len(names), nrows=len(names), sharex=True, squeeze=False)
    left_out = False
    for panel, name in zip(axes[:, 0], names, strict=True):
        panel.set_title(short(name or evaluation.target))
        windows = _one_after_the_other(forecasts, name)
        left_out |= len(windows) > MOST_WINDOWS
        windows = windows[-MOST_WINDOWS:]
        for window in windows:
            _draw_window(panel, forecasts, network, window, label=window == windows[0])
        seen = next(item for item in forecasts.observed if item.series == name)
        begin, end = np.searchsorted(
            seen.times, (forecasts.times[windows[0], 0], forecasts.times[windows[-1], -1])
        )
        rows = slice(max(0, begin - forecasts.truth.shape[1]), end + 1)
        panel.plot(seen.times[rows], seen.values[rows], color=INK, linewidth=1, label="observed")
        panel.margins(x=0.01)
    time_axis(axes[-1, 0], forecasts.times)
    shared_legend(figure, axes[0, 0])
    which = f"The last {MOST_WINDOWS} forecasts" if left_out else "The forecasts"
    count = len(evaluation.by_series)
    chosen = (
        f" Shown are {len(names)} of {count} series, spread evenly from the one that is "
        f"forecast best by {network} (top) to the one that is forecast worst."
        if count > len(names)
        else ""
    )
    band = ", and the band should hold it" if len(forecasts.quantiles) > 1 else ""
    return finish(
        figure,
        "forecast",
        description=f"Forecasts of {evaluation.target} against the observed values, over time.",
        caption=f"{which} of the test part, one after the other. The blue line should follow the "
        f"observed one{band}.{chosen}",
    )


def ahead(forecasts: Forecasts, target: str) -> Picture:
    """Draw forecasts of what is not known yet, one a series, after what was observed last."""
    (network,), count = forecasts.methods, len(forecasts.series)
    figure, axes = new_figure(1.1 + 1.9 * count, nrows=count, sharex=True, squeeze=False)
    for window, (panel, name) in enumerate(zip(axes[:, 0], forecasts.series, strict=True)):
        panel.set_title(short(name or target))
        seen, times = forecasts.observed[window], forecasts.times[window]
        begin = int(np.searchsorted(seen.times, times[0]))
        rows = slice(max(0, begin - 3 * max(len(times), 4)), begin)
        panel.plot(seen.times[rows], seen.values[rows], color=INK, linewidth=1, label="observed")
        _draw_window(panel, forecasts, network, window)
        panel.margins(x=0.01)
    drawn = np.concatenate([*(of.times for of in forecasts.observed), forecasts.times.ravel()])
    time_axis(axes[-1, 0], drawn)
    shared_legend(figure, axes[0, 0])
    return finish(
        figure,
        "ahead",
        description=f"Forecast of {target} from the end of the table, after what was observed.",
        caption="The forecast from the end of the table, and what was observed before it.",
    )


def chosen_series(evaluation: Evaluation) -> list[str]:
    """Choose the series to show: all of a few, of many some from the best to the worst."""
    names = list(evaluation.by_series)
    if len(names) <= MOST_PANELS:
        return names
    ordered = _by_error(evaluation)
    return [
        ordered[place]
        for place in np.linspace(0, len(ordered) - 1, MOST_PANELS).round().astype(int)
    ]


def _by_error(evaluation: Evaluation) -> list[str]:
    """Return the series by the network's error, those without a score first."""
    network = next(iter(evaluation.overall))
    metric = evaluation.forecasts.error.lower()
    errors = {name: scores[network][metric] for name, scores in evaluation.by_series.items()}
    return sorted(errors, key=lambda name: -1.0 if np.isnan(errors[name]) else errors[name])


def _one_after_the_other(forecasts: Forecasts, series: str) -> list[int]:
    """Windows of `series` in the order of time, those that begin inside another left out."""
    own = [place for place, name in enumerate(forecasts.series) if name == series]
    own.sort(key=lambda place: forecasts.times[place, 0])
    chosen: list[int] = []
    for place in own:
        if not chosen or forecasts.times[place, 0] > forecasts.times[chosen[-1], -1]:
            chosen.append(place)
    return chosen


def _draw_window(
    panel: Any, forecasts: Forecasts, method: str, window: int, *, label: bool = True
) -> None:
    """Draw the median of one forecast and, where there are more quantiles, its interval."""
    times, values = forecasts.times[window], forecasts.methods[method][window]
    median = values[:, forecasts.quantiles.index(0.5)]
    # A line through one point alone would not be seen.
    marker = "o" if len(times) == 1 else None
    panel.plot(
        times, median, color=BLUE, marker=marker, label=f"{method}, median" if label else None
    )
    if len(forecasts.quantiles) > 1:
        promised = max(forecasts.quantiles) - min(forecasts.quantiles)
        low, high = values.min(axis=1), values.max(axis=1)
        name = f"{promised:.0%} interval" if label else None
        panel.fill_between(times, low, high, color=BLUE, alpha=0.22, linewidth=0, label=name)


def chosen_windows(evaluation: Evaluation) -> Picture:
    """Draw a good, a median and the worst forecast, each with the history before it."""
    forecasts = evaluation.forecasts
    network, *baselines = forecasts.methods
    middle = forecasts.quantiles.index(0.5)
    ranked, errors = _ranked(forecasts.comparable(), network)
    # Of one or two windows, none is shown twice.
    titles = {
        ranked[len(ranked) // 10]: "a good one",
        ranked[len(ranked) // 2]: "the median",
        ranked[-1]: "the worst" if len(ranked) > 1 else "the only one",
    }
    one_unit = not forecasts.targets
    figure, axes = new_figure(3.4, ncols=len(titles), sharey=one_unit, squeeze=False)
    colours = method_colours(list(forecasts.methods))
    scored = [name for name in baselines if not np.isnan(evaluation.overall[name]["mae"])]
    best = min(scored, key=lambda name: evaluation.overall[name]["mae"], default=None)
    for panel, (window, title) in zip(axes[0], titles.items(), strict=True):
        series = forecasts.series[window]
        error = f"{forecasts.error} {errors[window]:.3g}"
        panel.set_title(f"{title}, {error}\n{short(series, 30)}".rstrip())
        seen = next(item for item in forecasts.observed if item.series == series)
        times = forecasts.times[window]
        begin = int(np.searchsorted(seen.times, times[0]))
        before = slice(max(0, begin - 2 * len(times)), begin + 1)
        panel.plot(seen.times[before], seen.values[before], color=MUTED, label="before")
        _draw_window(panel, forecasts, network, window)
        marker = "o" if len(times) == 1 else None
        if best is not None:
            values = forecasts.methods[best][window, :, middle]
            panel.plot(times, values, "--", marker=marker, color=colours[best], label=best)
        panel.plot(times, forecasts.truth[window], color=INK, marker=marker, label="observed")
        time_axis(panel, times, most=4)
    shared_legend(figure, axes[0, 0])
    return finish(
        figure,
        "windows",
        description="Single forecasts in detail: a good one, the median and the worst.",
        caption="Single forecasts by their error: one of the best tenth, the median and the worst, "
        "with what was observed before them and the best baseline.",
    )


def _ranked(forecasts: Forecasts, method: str) -> tuple[list[int], NDArray[np.float64]]:
    """Windows from the best to the worst, those observed less than half of the most left out."""
    median = forecasts.methods[method][..., forecasts.quantiles.index(0.5)]
    observed = ~np.isnan(forecasts.truth)
    count = observed.sum(axis=1)
    total = np.abs(forecasts.truth - median).sum(axis=1, where=observed)
    errors = np.full(len(total), np.nan)
    np.divide(total, count, out=errors, where=(count > 0) & (2 * count >= count.max()))
    ranked = [int(place) for place in errors.argsort() if not np.isnan(errors[place])]
    return ranked, errors


def error_by_step(evaluation: Evaluation) -> Picture:
    """Draw the mean absolute error of each method over the steps of the horizon."""
    figure, axes = new_figure(3.2)
    steps = np.arange(1, evaluation.forecasts.truth.shape[1] + 1)
    marker = "o" if len(steps) <= 48 else None
    for method, colour in method_colours(list(evaluation.by_step)).items():
        errors = evaluation.by_step[method]["mae"]
        axes.plot(steps, errors, marker=marker, markersize=3.5, color=colour, label=method)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(_error_label(evaluation))
    _steps_axis(axes, len(steps))
    shared_legend(figure, axes)
    return finish(
        figure,
        "error_by_step",
        description="Mean absolute error by step of the horizon, for each method.",
        caption="How the error grows with the distance. The first method is worth its "
        "place where its line lies below the others.",
    )


def _error_label(evaluation: Evaluation) -> str:
    return "MASE" if evaluation.by_target else f"MAE of {short(evaluation.target)}"


def _steps_axis(axes: Any, horizon: int) -> None:
    axes.set_xlim(0.5, horizon + 0.5)
    axes.set_xlabel("steps ahead")
    if horizon == 1:
        axes.set_xticks([1])
    else:
        axes.locator_params(axis="x", integer=True)


def error_by_series(evaluation: Evaluation) -> Picture:
    """Draw the mean absolute error of each method on each series."""
    names = _by_error(evaluation)
    shown = names[-MOST_SERIES:]
    figure, axes = new_figure(1.3 + 0.28 * len(shown))
    places = np.arange(len(shown))
    for method, colour in method_colours(list(evaluation.overall)).items():
        metric = evaluation.forecasts.error.lower()
        errors = [evaluation.by_series[name][method][metric] for name in shown]
        axes.plot(errors, places, "o", color=colour, markersize=7, label=method)
    axes.set_yticks(places, [short(name) for name in shown])
    axes.set_xlim(left=0)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlabel(_error_label(evaluation))
    shared_legend(figure, axes)
    some = f" The {len(shown)} hardest of {len(names)} series." if len(names) > len(shown) else ""
    return finish(
        figure,
        "error_by_series",
        description="Mean absolute error of each series, for each method.",
        caption=f"The series by the error of the first method, the hardest on top.{some}",
    )


def calibration(evaluation: Evaluation) -> Picture:
    """Draw how often observed values lay below each quantile and, by step, inside the interval."""
    forecasts = evaluation.forecasts
    figure, (left, right) = new_figure(3.7, ncols=2)
    colours = method_colours(list(forecasts.methods))
    _draw_reliability(left, forecasts, colours)
    _draw_coverage(right, evaluation, colours)
    shared_legend(figure, left)
    return finish(
        figure,
        "calibration",
        description="Promised quantiles against the share of observed values below them, and the "
        "share inside the interval by step.",
        caption="Whether the quantiles keep their promise, the dotted line. Left: above it a "
        "quantile lies too high, below it too low. Right: above it the interval is wider than it "
        "need be, below it too narrow.",
    )


def _draw_reliability(panel: Any, forecasts: Forecasts, colours: dict[str, str]) -> None:
    observed = ~np.isnan(forecasts.truth)
    order: Sequence[int] = np.argsort(forecasts.quantiles).tolist()
    panel.set_title("Share of values below each quantile")
    panel.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1.2, label="as promised")
    for method, colour in colours.items():
        below = forecasts.truth[..., None] <= forecasts.methods[method][..., order]
        promised = [forecasts.quantiles[place] for place in order]
        shares = below[observed].mean(axis=0)
        panel.plot(promised, shares, "o-", color=colour, markersize=5, label=method)
    panel.set_xlim(-0.02, 1.02)
    panel.set_ylim(-0.02, 1.02)
    panel.set_xlabel("quantile")


def _draw_coverage(panel: Any, evaluation: Evaluation, colours: dict[str, str]) -> None:
    quantiles = evaluation.forecasts.quantiles
    promised = max(quantiles) - min(quantiles)
    panel.set_title(f"Share of values in the {promised:.0%} interval")
    panel.axhline(promised, color=MUTED, linewidth=1.2, linestyle=":")
    horizon = evaluation.forecasts.truth.shape[1]
    steps = range(1, horizon + 1)
    marker = "o" if horizon <= 48 else None
    for method, colour in colours.items():
        shares = evaluation.by_step[method]["coverage"]
        panel.plot(steps, shares, marker=marker, markersize=3.5, color=colour)
    panel.set_ylim(-0.02, 1.02)
    _steps_axis(panel, horizon)
