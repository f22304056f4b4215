"""The report of a forecaster: scores, forecasts beside observed values, and errors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError
from gated.report.page import Drawing, Section, Table, Text
from gated.report.run_page import Body
from gated.scoring.verdict import significant
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.coverage import Coverage
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.pictures import (
    MOST_PANELS,
    MOST_SERIES,
    ahead,
    calibration,
    chosen_series,
    chosen_windows,
    error_by_series,
    error_by_step,
    walk_forward,
)
from gated.tasks.forecast.score import Evaluation, Forecasts

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
MOST_DECIMALS = 8
"""Of numbers in the table of what comes next."""
MOST_ROWS = 31
"""Steps ahead that are written out."""
SMALLER_IS_BETTER = ("mae", "rmse", "smape", "mase", "pinball")


def body(forecaster: Forecaster, evaluation: Evaluation) -> Body:
    """Describe the scores and draw forecasts."""
    config, evaluation = forecaster.config, evaluation.as_credited
    return Body(
        title=f"Forecast of {config.target_name}, {config.horizon} steps ahead",
        sections=[
            _ahead_section(forecaster, evaluation),
            _score_section(forecaster, evaluation),
            *_series_sections(evaluation),
            *_part_sections(evaluation),
            *_picture_sections(evaluation),
            Section("What was chosen", [Text(forecaster.chosen)]),
        ],
        techniques=_dropout(config),
        fact=f"{config.cell.upper()} encoder and decoder, {config.layers} layer(s) of "
        f"{config.hidden} units, {forecaster.parameters:,} parameters",
        cleaned="Values are filled from the past alone.",
    )


def _dropout(config: ForecastConfig) -> dict[str, str]:
    between, mask = config.dropout, config.variational_dropout
    return {
        "dropout": f"{between:g}, between layers and before the output" if between else "off",
        "variational dropout": f"{mask:g} of the inputs, one mask for all steps" if mask else "off",
    }


def score_table(evaluation: Evaluation) -> Table:
    """Return the scores of all methods over all windows, the best of each metric marked."""
    evaluation = evaluation.as_credited
    methods, metrics = list(evaluation.overall), _metrics(evaluation)
    best = [
        min(
            (place for place, method in enumerate(methods) if _is_number(evaluation, method, name)),
            key=lambda place: evaluation.overall[methods[place]][name],
            default=None,
        )
        if name in SMALLER_IS_BETTER
        else None
        for name in metrics
    ]
    rows = [
        (method, *(_figure(evaluation.overall[method][metric]) for metric in metrics))
        for method in methods
    ]
    return Table(("", *metrics.values()), rows, best)


def _metrics(evaluation: Evaluation) -> dict[str, str]:
    """The metrics that all forecasts together have, and how tables head them."""
    if not evaluation.by_target:
        return METRICS
    return {"smape": "sMAPE %", "mase": "MASE", "pinball": "pinball, scaled",
            "coverage": "coverage"}  # fmt: skip


def _target_tables(evaluation: Evaluation) -> list[Text | Drawing | Table]:
    """The scores of each of several targets, in its own unit."""
    rows = [
        (f"{target}, {method}", *(_figure(of[metric]) for metric in METRICS))
        for target, scores in evaluation.by_target.items()
        for method, of in scores.items()
    ]
    if not rows:
        return []
    said = "Target by target; MAE, RMSE, pinball and width are in the unit of each."
    return [Text(said), Table(("", *METRICS.values()), rows)]


def _is_number(evaluation: Evaluation, method: str, metric: str) -> bool:
    return not np.isnan(evaluation.overall[method][metric])


def _figure(value: float) -> str:
    if np.isnan(value):
        return "–"
    return significant(value) if abs(value) >= 100 else f"{value:.3f}"


def notes(evaluation: Evaluation) -> list[str]:
    """Return what is printed below the scores."""
    evaluation = evaluation.as_credited
    each = [
        f"MAE of {target}: "
        + ", ".join(f"{method} {_figure(of['mae'])}" for method, of in scores.items())
        for target, scores in evaluation.by_target.items()
    ]
    return [*each, *([_won(evaluation)] if len(evaluation.by_series) > 1 else [])]


def _ahead_section(forecaster: Forecaster, evaluation: Evaluation) -> Section:
    series = chosen_series(evaluation) or forecaster.preprocessing.series[:MOST_PANELS]
    title = "What comes next"
    try:
        forecasts = forecaster.ahead(series)
    except DataError as error:
        return Section(title, [Text(f"There is no forecast from the end of the table. {error}")])
    if not len(forecasts.series):
        return Section(title, [Text("The series shown here have no forecast from their ends.")])
    name, (values,) = next(iter(evaluation.overall)), forecasts.methods.values()
    forecasts = replace(forecasts, methods={name: values})
    count = len(forecaster.preprocessing.series)
    some = f" Shown are {len(forecasts.series)} of {count:,} series."
    said = "Made with all that the table holds, by what was fitted without its end."
    if not len(evaluation.forecasts.truth):
        said = "Made with all that the table holds."
    said += some if count > len(forecasts.series) else ""
    blocks: list[Text | Drawing | Table] = [
        Text(f"{said} As a table: gated predict."),
        Drawing(ahead(forecasts, evaluation.target)),
    ]
    if len(forecasts.series) == 1 and forecasts.truth.shape[1] <= MOST_ROWS:
        blocks.append(_ahead_table(forecasts))
    return Section(title, blocks)


def _ahead_table(forecasts: Forecasts) -> Table:
    (values,), times = next(iter(forecasts.methods.values())), forecasts.times[0]
    if np.issubdtype(times.dtype, np.datetime64):
        times = np.array([of.replace("T", " ") for of in np.datetime_as_string(times, "auto")])
    header = ("", *(f"{quantile:.4g} quantile" for quantile in forecasts.quantiles))
    decimals = _decimals(values)
    rows = [
        (str(time), *(f"{value:z,.{decimals}f}" for value in of))
        for time, of in zip(times, values, strict=True)
    ]
    return Table(header, rows)


def _decimals(values: NDArray[np.float64]) -> int:
    """With how many decimals quantiles `(horizon, Q)` differ in three digits.

    >>> _decimals(np.array([[2413.2, 2452.7, 2510.1]])), _decimals(np.array([[3.0, 4.0, 7.0]]))
    (1, 0)
    """
    if (values == np.round(values)).all():
        return 0
    width = np.ptp(values, axis=1).max() or np.abs(values).max()
    return int(np.clip(2 - np.floor(np.log10(width)), 0, MOST_DECIMALS))


def _series_sections(evaluation: Evaluation) -> list[Section]:
    """The methods series by series, pooled and scaled errors side by side."""
    scores, methods = evaluation.by_series, list(evaluation.overall)
    if len(scores) < 2:
        return []
    (won, _, total), error = _wins(evaluation), evaluation.forecasts.error
    means = [
        (
            method,
            _figure(evaluation.overall[method][error.lower()]),
            *(
                _figure(float(of(_over_series(evaluation, method, "mase"))))
                for of in (np.mean, np.median)
            ),
            f"{won[method]:,} of {total:,}",
        )
        for method in methods
    ]
    shown = sorted(scores, key=lambda name: -np.nan_to_num(scores[name][methods[0]]["mase"]))
    rows = [
        (
            name,
            *(_figure(scores[name][method][metric]) for metric in ("mae", "mase")
              for method in methods),
            _figure(scores[name][methods[0]]["coverage"]),
        )
        for name in shown[:MOST_SERIES]
    ]  # fmt: skip
    header = [f"{metric} {method}" for metric in ("MAE", "MASE") for method in methods]
    some = f" Of {len(shown):,}, those {MOST_SERIES} with the largest MASE."
    text = (
        "The pooled MAE is that of all values, so that series of large numbers decide it; MASE is "
        f"relative to each series' own changes. {_won(evaluation)}"
    )
    if evaluation.by_target:
        text = (
            "MAE is in the unit of each target; MASE is relative to each series' own changes, and "
            f"the pooled one is that of all values. {_won(evaluation)}"
        )
    return [
        Section(
            "Series by series",
            [
                Text(text),
                Table(("", f"pooled {error}", "mean MASE", "median MASE", "series won"), means),
                Text(
                    f"The hardest for {methods[0]} first.{some if len(shown) > len(rows) else ''}"
                ),
                Table(("", *header, f"coverage {methods[0]}"), rows),
            ],
        )
    ]


def _part_sections(evaluation: Evaluation) -> list[Section]:
    """What the network's forecast is added up from, series by series."""
    if not evaluation.parts:
        return []
    names = list(next(iter(evaluation.parts.values())))
    rows = [
        (
            series,
            *(f"{parts[name]['share']:.0%}" for name in names),
            *(_figure(parts[name]["mae"]) for name in names),
        )
        for series, parts in list(evaluation.parts.items())[:MOST_SERIES]
    ]
    some = f" The first {MOST_SERIES} of {len(evaluation.parts):,} series."
    text = (
        "The forecast is a mixture, added up quantile by quantile in shares that the validation "
        "part set for each series; the errors are those of each part alone, before its "
        f"interval is calibrated.{some if len(evaluation.parts) > MOST_SERIES else ''}"
    )
    header = ("", *(f"share {name}" for name in names), *(f"MAE {name}" for name in names))
    return [Section("What is added up", [Text(text), Table(header, rows)])]


def _over_series(evaluation: Evaluation, method: str, metric: str) -> list[float]:
    found = [of[method][metric] for of in evaluation.by_series.values()]
    return [value for value in found if not np.isnan(value)] or [np.nan]


def _wins(evaluation: Evaluation) -> tuple[dict[str, int], int, int]:
    """On how many series each method has the lowest MAE, how many are ties, how many there are."""
    won, ties, total = dict.fromkeys(evaluation.overall, 0), 0, 0
    for scores in evaluation.by_series.values():
        errors = {name: of["mae"] for name, of in scores.items() if not np.isnan(of["mae"])}
        if errors:
            least = min(errors.values())
            first = [name for name, error in errors.items() if math.isclose(error, least)]
            total += 1
            ties += len(first) > 1
            won[first[0]] += len(first) == 1
    return won, ties, total


def _won(evaluation: Evaluation) -> str:
    won, ties, total = _wins(evaluation)
    network, *_ = won
    share = f" ({won[network] / total:.0%})" if total else ""
    tied = f"; on {ties:,} several methods share it" if ties else ""
    return f"{network} has the lowest MAE on {won[network]:,} of {total:,} series{share}{tied}."


def _score_section(forecaster: Forecaster, evaluation: Evaluation) -> Section:
    quantiles, count = evaluation.forecasts.quantiles, len(evaluation.forecasts.truth)
    if not count:
        return Section("Score", [Text("Nothing was held back, so there is no score.")])
    units = f"MAE, RMSE and width are in units of {evaluation.target}."
    if evaluation.by_target:
        units = "The targets together are scored by what does not depend on their units."
    inside = max(quantiles) - min(quantiles)
    promise = (
        f" Coverage is the share of values inside the interval, {inside:.0%} if it is right."
        if inside
        else ""
    )
    return Section(
        "Score",
        [
            Text(
                f"{count:,} forecast{'' if count == 1 else 's'} of the test part, each made with "
                "what was known when it begins; the baselines forecast the same values. "
                f"{units} MASE is relative to "
                f"the seasonal-naive error of the training part: below 1 is better.{promise}"
            ),
            score_table(evaluation),
            *_target_tables(evaluation),
            *([Text(_interval(forecaster, evaluation.coverage))] if evaluation.coverage else []),
        ],
    )


def _interval(forecaster: Forecaster, coverage: Coverage) -> str:
    """How wide the interval is, by the test part, and how it came about."""
    as_promised = (
        f"The {coverage.promised:.0%} interval is off by no more than chance explains: "
        f"{coverage.figure}."
    )
    return f"{coverage.warning or as_promised} {forecaster.calibration.said}"


def _picture_sections(evaluation: Evaluation) -> list[Section]:
    if not len(evaluation.forecasts.truth):
        return []
    network = next(iter(evaluation.overall))
    if np.isnan(evaluation.overall[network]["mae"]):
        nothing = f"{network} has no score, so there is nothing to set its forecasts against."
        return [Section("Forecast and truth", [Text(nothing)])]
    return [_forecast_section(evaluation), _error_section(evaluation)]


def _forecast_section(evaluation: Evaluation) -> Section:
    return Section(
        "Forecast and truth",
        [Drawing(walk_forward(evaluation)), Drawing(chosen_windows(evaluation))],
    )


def _error_section(evaluation: Evaluation) -> Section:
    blocks = [Drawing(error_by_step(evaluation))]
    if len(evaluation.by_series) > 1:
        blocks.append(Drawing(error_by_series(evaluation)))
    if len(evaluation.forecasts.quantiles) > 1:
        blocks.append(Drawing(calibration(evaluation)))
    return Section("Where the error lies", blocks)
