"""From a table to the network's input arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gated.data.findings import Finding
from gated.data.manifest import Bad, refuse
from gated.data.raw_table import Source
from gated.errors import DataError
from gated.tasks.forecast.calendar_features import calendar_features
from gated.tasks.forecast.cleaning import carry_forward, choose_columns, last_observed, outliers
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.holidays import holiday_features
from gated.tasks.forecast.panel import Floats, Panel, build_panel
from gated.tasks.forecast.preprocessing import Preprocessing, learn
from gated.tasks.forecast.split import Split, plan_split
from gated.tasks.forecast.table import Kind, read_table


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A panel as network inputs. `N` rows, `I` input features, `K` columns of categories."""

    preprocessing: Preprocessing
    panel: Panel
    inputs: NDArray[np.float32]
    """`(N, I)`, in the order of `Preprocessing.input_names`; scaled, without missing values."""
    categories: Integers
    """`(N, K)`, codes in the order of `Preprocessing.text_names`."""
    target: NDArray[np.float32]
    """`(N,)` scaled; where nothing was observed, the last observation."""
    weight: NDArray[np.float32]
    """`(N,)`, 1 where the target was observed and 0 elsewhere."""
    filled: Floats
    """`(N,)` the target in its own unit; where nothing was observed, the last observation."""
    series_of: Integers
    """`(N,)` index of the series among the fitted ones."""
    split: Split | None
    """Training, validation and test part; None for data read after fitting."""
    findings: tuple[Finding, ...]
    """What was found in the data and done about it."""


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
    panel = build_panel(table, config)
    split, config, planned = plan_split(panel, config)
    training = panel.ticks < split.test
    columns = choose_columns(panel, training, config)
    preprocessing = learn(panel, training, config, columns)
    if origin:
        preprocessing = preprocessing.like(origin)
    names = (config.target, *columns.known_numbers, *columns.past_numbers)
    found = [outliers(panel, name, training) for name in names]
    findings = [*panel.findings, *planned, *columns.findings, *filter(None, found)]
    return _assemble(panel, preprocessing, split, findings)


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
        DataError: a series is unknown or too short, a column or a known covariate is missing.
    """
    numbers = (*fitted.known_numbers, *fitted.past_numbers)
    kinds: dict[str, Kind] = dict.fromkeys(numbers, "number")
    kinds |= dict.fromkeys(fitted.text_names, "text")
    table = read_table(source, fitted.config, kinds=kinds, clock=fitted.grid.clock, bad=bad)
    unknown = [name for name in table.series.values if name not in fitted.series]
    if unknown:
        known = ", ".join(fitted.series[:10]) + (", …" if len(fitted.series) > 10 else "")
        raise DataError(
            f"{table.name}: the model was fitted without series '{unknown[0]}'. It knows: {known}."
        )
    panel = build_panel(table, fitted.config, fitted.grid)
    if future:
        panel = _extend_to_horizon(panel, fitted)
    return _assemble(panel, fitted, None, list(panel.findings))


def last_rows(panel: Panel) -> Integers:
    """Return `(S,)` the last row of each series whose target was observed, -1 where none was."""
    latest = last_observed(~np.isnan(panel.target), panel.starts)
    return latest[panel.starts[1:] - 1]


def _extend_to_horizon(panel: Panel, fitted: Preprocessing) -> Panel:
    """Reach the horizon beyond the last observation of each series, all known covariates there."""
    history, horizon = fitted.config.history or 1, fitted.config.horizon
    rows = last_rows(panel)
    for s, name in enumerate(panel.series):
        length = int(rows[s] - panel.starts[s] + 1) if rows[s] >= 0 else 0
        if length < history:
            whose = f"Series '{name}'" if name else "The table"
            raise DataError(
                f"{whose} has {length:,} steps up to the last "
                f"value of '{fitted.config.target}', but the model reads {history:,}."
            )
    panel = panel.extend(rows, horizon)
    steps = last_rows(panel)[:, None] + np.arange(1, horizon + 1)
    panel = _repeat_steady(panel, fitted, steps)
    for column in fitted.known_names:
        if column in panel.codes:
            absent = panel.codes[column][steps] < 0
        else:
            absent = np.isnan(panel.numbers[column][steps])
        if absent.any():
            row = int(steps.ravel()[absent.ravel().argmax()])
            raise DataError(
                f"The known covariate '{column}' is missing for {panel.label(row)}. Add rows for "
                f"the {horizon} steps to forecast, with the target left empty."
            )
    return panel


def _repeat_steady(panel: Panel, fitted: Preprocessing, steps: Integers) -> Panel:
    """Repeat at `steps` `(S, horizon)` what known columns hold for a series, here and in training.

    What changed while training has to be given: that it did not lately says nothing of tomorrow.
    """
    lookup = {name: s for s, name in enumerate(fitted.series)}
    which = np.array([lookup[name] for name in panel.series])
    numbers, codes, findings = dict(panel.numbers), dict(panel.codes), []
    for column, steady in zip(fitted.known_names, fitted.steady, strict=True):
        of = codes if column in codes else numbers
        values = of[column].astype(np.float64)
        ahead = values[steps]
        absent = ahead < 0 if of is codes else np.isnan(ahead)
        held = panel.held(column)
        absent &= (steady[which] & ~np.isnan(held))[:, None]
        if not absent.any():
            continue
        values[steps] = np.where(absent, held[:, None], ahead)
        of[column] = values.astype(of[column].dtype)
        repeated = absent.any(axis=1)
        findings.append(
            Finding(
                kind="held",
                column=column,
                count=int(repeated.sum()),
                what="one value for a series, and none for the steps to forecast",
                action="repeated",
                series=tuple(filter(None, np.array(panel.series)[repeated].tolist())),
            )
        )
    return replace(panel, numbers=numbers, codes=codes, findings=(*panel.findings, *findings))


def _assemble(
    panel: Panel, fitted: Preprocessing, split: Split | None, findings: list[Finding]
) -> Prepared:
    """Fill, scale and stack the columns of `panel`, and say what was filled."""
    lookup = {name: s for s, name in enumerate(fitted.series)}
    which = np.array([lookup[name] for name in panel.series])
    series_of = np.repeat(which, np.diff(panel.starts))
    observed = ~np.isnan(panel.target)
    filled = carry_forward(panel.target, panel.starts, fitted.before[which])
    target = fitted.target.apply(filled, series_of)
    numbers, masks = {}, {}
    for i, name in enumerate((*fitted.known_numbers, *fitted.past_numbers)):
        values = panel.numbers[name]
        before = np.full(len(panel.series), fitted.medians[i])
        numbers[name] = fitted.numbers.apply(carry_forward(values, panel.starts, before), i)
        if name in fitted.masked:
            masks[name] = ~np.isnan(values)
    calendar = calendar_features(panel.grid, panel.times, fitted.cycles)
    holidays = holiday_features(panel.grid, panel.times, fitted.config.country)
    stacked = [
        target,
        observed,
        *(numbers[name] for name in fitted.known_numbers),
        *(masks[name] for name in fitted.known_numbers if name in masks),
        *calendar.T,
        *holidays.T,
        *(numbers[name] for name in fitted.past_numbers),
        *(masks[name] for name in fitted.past_numbers if name in masks),
    ]
    categories = np.zeros((len(target), len(fitted.text_names)), np.int64)
    for k, (name, known) in enumerate(zip(fitted.text_names, fitted.categories, strict=True)):
        categories[:, k], unseen = _categories(panel, name, known)
        if unseen is not None:
            findings.append(unseen)
    findings += _missing(panel, fitted)
    return Prepared(
        preprocessing=fitted,
        panel=panel,
        inputs=np.stack(stacked, axis=1, dtype=np.float32, casting="same_kind"),
        categories=categories,
        target=target.astype(np.float32),
        weight=observed.astype(np.float32),
        filled=filled,
        series_of=series_of,
        split=split,
        findings=tuple(findings),
    )


def _categories(panel: Panel, name: str, known: tuple[str, ...]) -> tuple[Integers, Finding | None]:
    """Codes `(N,)` of a text column, the last text standing where one is missing."""
    codes = {value: i + 1 for i, value in enumerate(known)}
    # The entry at the end is for -1, a missing text.
    table = np.array([*(codes.get(value, 0) for value in panel.values[name]), 0])
    rows = last_observed(panel.codes[name] >= 0, panel.starts)
    unseen = (panel.codes[name] >= 0) & (table[panel.codes[name]] == 0)
    finding = None
    if unseen.any():
        finding = panel.finding(
            "unseen-text",
            unseen,
            column=name,
            what=f"texts that the training part does not hold, such as "
            f"'{panel.values[name][panel.codes[name][unseen.argmax()]]}'",
            action="given to the network as unknown",
        )
    return np.where(rows >= 0, table[panel.codes[name][rows]], 0), finding


def _missing(panel: Panel, fitted: Preprocessing) -> list[Finding]:
    """What is filled in the rows of the table up to the last observation of each series."""
    past = panel.present & (
        np.arange(len(panel.ticks)) <= np.repeat(last_rows(panel), np.diff(panel.starts))
    )
    target = fitted.config.target
    holes = {target: np.isnan(panel.target) & past}
    holes |= {name: np.isnan(panel.numbers[name]) & past for name in fitted.known_numbers}
    holes |= {name: np.isnan(panel.numbers[name]) & past for name in fitted.past_numbers}
    holes |= {name: (panel.codes[name] < 0) & past for name in fitted.text_names}
    filled = "filled with the last value before"
    actions = dict.fromkeys(fitted.masked, f"{filled}, and marked as missing for the network")
    actions[target] = f"{filled} as an input, and marked as missing; never part of a score"
    return [
        panel.finding(
            "missing",
            rows,
            column=name,
            what="missing values",
            action=actions.get(name, filled),
        )
        for name, rows in holes.items()
        if rows.any()
    ]
