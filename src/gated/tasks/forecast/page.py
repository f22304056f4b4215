"""The report of a forecaster: scores, forecasts beside observed values, and errors."""

from __future__ import annotations

import numpy as np

from gated.report.page import Drawing, Section, Table, Text
from gated.report.run_page import Body
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.pictures import (
    calibration,
    chosen_windows,
    error_by_series,
    error_by_step,
    walk_forward,
)
from gated.tasks.forecast.score import Evaluation

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


def body(forecaster: Forecaster, evaluation: Evaluation) -> Body:
    """Describe the scores and draw forecasts."""
    config = forecaster.config
    return Body(
        title=f"Forecast of {config.target}, {config.horizon} steps ahead",
        sections=[
            _score_section(evaluation),
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
    quantiles, count = evaluation.forecasts.quantiles, len(evaluation.forecasts.truth)
    if not count:
        return Section("Score", [Text("Nothing was held back, so there is no score.")])
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
                f"MAE, RMSE and width are in units of {evaluation.target}. MASE is relative to "
                f"the seasonal-naive error of the training part: below 1 is better.{promise}"
            ),
            score_table(evaluation),
        ],
    )


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
