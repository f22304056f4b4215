"""From a table to the network's input arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gated.data.bad_rows import Bad, refuse
from gated.data.findings import Finding
from gated.data.raw_table import Source
from gated.tasks.forecast.cleaning import choose_columns, outliers
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.inputs import (
    Prepared,
    assemble,
    last_rows,
    panel_of,
    series_finding,
    with_horizon,
)
from gated.tasks.forecast.origins import Mask, short_series, training_rows
from gated.tasks.forecast.panel import Panel, build_panel
from gated.tasks.forecast.preprocessing import (
    LEAST,
    MOST_MEASURED,
    OUTLYING,
    Preprocessing,
    learn,
)
from gated.tasks.forecast.reading import read_table
from gated.tasks.forecast.split import Split, plan_split
from gated.tasks.forecast.table import Kind
from gated.tasks.forecast.targets import by_target

CUT, MOST_PIECES = 4, 2048
"""How often each series is cut into pieces, which are learned from as series not seen; and how many
of these at most, drawn where there are more."""


def prepare(
    source: Source,
    config: ForecastConfig,
    origin: Preprocessing | None = None,
    bad: Bad = refuse,
) -> Prepared:
    """Read, clean and scale the data to fit a model on.

    Statistics come from the rows before the test part; these include the validation part, which
    serves to choose weights and not to report a score. With `origin`, the preprocessing of the
    run whose weights the network starts from, its statistics are kept.

    Raises:
        DataError: the data cannot be used; the message names the row or the column.
        FileNotFoundError: there is no such file.
    """
    table = read_table(source, config, bad=bad)
    config = replace(config, decimal=table.decimal)
    panel = by_target(build_panel(table, config), config)
    split, config, planned = plan_split(panel, config)
    training = panel.ticks < split.test
    columns = choose_columns(panel, training, config)
    short = short_series(panel, config, split)
    learned = np.zeros(len(panel.series), np.bool_)
    learned[panel.series_of[training_rows(panel, config, split)]] = True
    if not learned.any():
        learned[:] = True  # the error names what is missing
    known = origin if config.continues else None
    preprocessing = learn(panel, training, config, columns, learned, short, known)
    if origin:
        preprocessing = preprocessing.like(origin)
    names = (*columns.known_numbers, *columns.past_numbers)
    names = (config.target_name, *(name for name in names if name not in config.targets))
    found = [outliers(panel, name, training) for name in names]
    findings = [*panel.findings, *planned, *columns.findings, *filter(None, found)]
    findings += _about_series(panel, short, learned, config)
    if not set(config.static) & set(preprocessing.known_names):
        return assemble(panel, preprocessing, split, findings)
    pieces = _pieces(panel, preprocessing, split)
    remainder = np.append(preprocessing.remainder[:-1], _typical_error(pieces))
    preprocessing = replace(preprocessing, remainder=remainder)
    prepared = assemble(panel, preprocessing, split, findings)
    return replace(prepared, pieces=_pieces(panel, preprocessing, split))


def _pieces(panel: Panel, fitted: Preprocessing, split: Split) -> Prepared:
    """The panel as many short series that were not seen, see `Prepared.pieces`."""
    steps = (fitted.config.history or 1) + fitted.config.horizon - 1  # one less than a window
    pieces = panel.pieces(steps, CUT, MOST_PIECES)
    return assemble(pieces, fitted, split, [], np.full(len(pieces.series), -1))


def _typical_error(pieces: Prepared) -> float:
    """The mean absolute scaled error of smoothing over the horizon in series that are not known."""
    panel, config = pieces.panel, pieces.preprocessing.config
    usual = float(pieces.preprocessing.remainder[-1])
    rows = training_rows(panel, config, pieces.split) if pieces.split else np.zeros(0, np.int64)
    if len(rows) > MOST_MEASURED:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_MEASURED, replace=False))
    truth = panel.target[rows[:, None] + np.arange(1, config.horizon + 1)]
    error = np.abs(pieces.scaled(truth.T, rows) - pieces.smoothly(rows))
    error = error[~np.isnan(error)]
    if not len(error):
        return usual
    return float(max(np.minimum(error, OUTLYING * np.median(error) + LEAST).mean(), usual))


def prepare_new(
    source: Source, fitted: Preprocessing, *, future: bool = True, bad: Bad = refuse
) -> Prepared:
    """Read data after fitting, with the preprocessing learned then.

    Args:
        source: path or frame; it may end with rows of the future that hold the known covariates.
        fitted: what `prepare` learned.
        future: whether to forecast beyond the last observation of the target. The panel is then
            extended by the horizon, for which the known covariates are required.
        bad: is given rows that cannot be used.

    Raises:
        DataError: no series has a value, a column or a known covariate is missing.
    """
    panel = read_panel(source, fitted, bad)
    if future:
        panel = with_horizon(panel, fitted)
    known = np.isin(panel.series, fitted.series)
    findings = [*panel.findings, *_about_series(panel, None, known, fitted.config)]
    return assemble(panel, fitted, None, findings)


def read_panel(source: Source, fitted: Preprocessing, bad: Bad = refuse) -> Panel:
    """Read rows that came after fitting, with the columns and on the grid that were found then.

    Raises:
        DataError: a column is missing, or a row cannot be used.
    """
    kinds: dict[str, Kind] = dict.fromkeys(fitted.number_columns, "number")
    kinds |= dict.fromkeys(fitted.text_columns, "text")
    table = read_table(source, fitted.config, kinds=kinds, clock=fitted.grid.clock, bad=bad)
    return panel_of(table, fitted)


def continued(prepared: Prepared) -> Prepared:
    """Return fitted data with the horizon after their end, as `prepare_new` would read them.

    Raises:
        DataError: a known covariate is missing there.
    """
    fitted = prepared.preprocessing
    panel = with_horizon(prepared.panel, fitted)
    return assemble(panel, fitted, None, list(panel.findings))


def _about_series(
    panel: Panel, short: Mask | None, learned: Mask, config: ForecastConfig
) -> list[Finding]:
    """Findings of series that are shorter or new, or end before the others."""
    last = last_rows(panel)
    ended = np.zeros(len(last), np.bool_)
    ticks = panel.ticks[last[last >= 0]]
    if len(ticks):
        ended[last >= 0] = ticks < ticks.max()
    if short is None:
        steps = last - panel.starts[:-1] + 1
        what, short = f"fewer than {config.history:,} steps to read", steps < (config.history or 1)
    else:
        what = f"too few steps to learn from for history ({config.history:,}) and horizon"
        what += f" ({config.horizon:,})"
    kinds = {
        "padded": (short, what, "their windows padded, and the padding masked"),
        "unseen-series": (
            ~learned,
            "no window to learn from",
            "forecast as the others are, in the scale of their own values",
        ),
        "ended": (ended, "ends before the others", "forecast from its own end"),
    }
    return [
        series_finding(panel, kind, which, what, action)
        for kind, (which, what, action) in kinds.items()
        if which.any()
    ]
