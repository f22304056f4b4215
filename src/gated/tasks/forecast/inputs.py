"""The network's input arrays, from a panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gated.data.findings import Finding
from gated.errors import DataError
from gated.tasks.forecast.calendar_features import calendar_features
from gated.tasks.forecast.cleaning import carry_forward, last_observed
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Grid, Integers
from gated.tasks.forecast.holidays import holiday_features
from gated.tasks.forecast.origins import Mask
from gated.tasks.forecast.panel import Floats, Panel, build_panel
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.scaling import Scaling
from gated.tasks.forecast.split import Split
from gated.tasks.forecast.table import Table
from gated.tasks.forecast.targets import by_target, pair_name, told_apart

FARTHEST_ERROR = 10.0
"""Errors of smoothing, an input of the network, are held within ± so many typical ones."""


class RowsAhead(Protocol):
    """The target's level, trend and seasons at each row, as far as they are asked for."""

    @property
    def fitted(self) -> Floats:
        """`(N,)`, see `Smoothed`."""

    def ahead(self, origins: Integers, horizon: int) -> Floats:
        """Forecast `(B, horizon)` after rows `origins`, see `Smoothed`."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What came before the rows of a panel, which are the last ones of `S` longer series."""

    smoothed: RowsAhead
    target: Floats
    """`(S,)` the last value observed, NaN where none was."""
    first: Floats
    """`(S,)` the first one."""
    moments: Floats
    """`(3, S)`, see `Scaling.running`."""
    numbers: dict[str, Floats]
    """`(S,)` of each column, the last value observed, NaN where none was."""
    codes: dict[str, Integers]
    """`(S,)` of each column, the last text, as in the panel; -1 where none was."""
    others: Mapping[str, tuple[Floats, Floats, Floats]]
    """Of several targets `target`, `first` and `moments` of each for the series of each row's name,
    whichever of its targets the row is of."""

    def of_target(self, name: str) -> Earlier:
        """Return what came before of another of several targets."""
        target, first, moments = self.others[name]
        return replace(self, target=target, first=first, moments=moments)


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
    """`(N,)` index of the series among the fitted ones, -1 of others."""
    smoothed: RowsAhead
    """The target's level, trend and seasons at each row."""
    running: Scaling | None
    """`(N,)`, where some series are not among the fitted ones: the scaling of each row's series, of
    these others by what was observed up to the row."""
    split: Split | None
    """Training, validation and test part; None for data read after fitting."""
    findings: tuple[Finding, ...]
    """What was found in the data and done about it."""
    pieces: Prepared | None = None
    """The same rows cut into short series that are none of the fitted ones, by which a network
    learns what static columns say of a series that it has not seen; None without such columns."""

    def scaled(self, values: Floats, origins: Integers) -> Floats:
        """Scale values of the target `(…, B)` as they are in windows from rows `origins` `(B,)`."""
        if self.running is not None:
            return self.running.apply(values, origins)
        return self.preprocessing.target.apply(values, self.series_of[origins])

    def unscaled(self, scaled: Floats, origins: Integers) -> Floats:
        """Return scaled values of the target `(B, …)` to its unit."""
        places = origins.reshape(-1, *[1] * (scaled.ndim - 1))
        if self.running is not None:
            return self.running.invert(scaled, places)
        return self.preprocessing.target.invert(scaled, self.series_of[places])

    def scaling_at(self, origins: Integers) -> tuple[Floats, Floats]:
        """Return `(B,)` mean and deviation by which windows from rows `origins` are scaled."""
        if self.running is not None:
            return self.running.location[origins], self.running.scale[origins]
        target, series = self.preprocessing.target, self.series_of[origins]
        return target.location[series], target.scale[series]

    def ahead(self, origins: Integers) -> Integers:
        """Return `(B, horizon)`, the rows of the steps after rows `origins` `(B,)`."""
        return origins[:, None] + np.arange(1, self.preprocessing.config.horizon + 1)

    def truth(self, origins: Integers) -> Floats:
        """Return `(B, horizon)`, what came after rows `origins`; NaN where nothing was observed."""
        return self.panel.target[self.ahead(origins)]

    def smoothly(self, origins: Integers) -> Floats:
        """Return `(horizon, B)`, scaled: how smoothing goes on after rows `origins` `(B,)`."""
        horizon = self.preprocessing.config.horizon
        return self.scaled(self.smoothed.ahead(origins, horizon).T, origins)

    def remainder(self, origins: Integers) -> Floats:
        """Return `(B,)`, scaled: what smoothing is typically off by after rows `origins`."""
        return self.preprocessing.remainder[self.series_of[origins]]


def panel_of(table: Table, fitted: Preprocessing) -> Panel:
    """Put rows that came after fitting on the grid that was found then.

    Raises:
        DataError: the times are of another kind.
    """
    return by_target(build_panel(table, fitted.config, fitted.grid), fitted.config)


def series_finding(panel: Panel, kind: str, which: Mask, what: str, action: str) -> Finding:
    """Return a finding about some series, with their names."""
    names = tuple(filter(None, np.array(panel.series)[which].tolist()))
    example = f"'{names[0]}'" if names else ""
    what = f"series: {what}" if names else what
    count = int(which.sum())
    return Finding(kind=kind, count=count, what=what, action=action, series=names, example=example)


def _with_target(panel: Panel, config: ForecastConfig) -> tuple[Panel, Integers]:
    """Leave out series without a value, of which there is nothing to forecast from.

    And return the last row `(S,)` with a value of each.

    Raises:
        DataError: no series has one.
    """
    last = last_rows(panel)
    empty = last < 0
    if not empty.any():
        return panel, last
    if empty.all():
        raise DataError(f"The target '{config.target_name}' has no value to forecast from.")
    panel = _without_series(panel, empty, f"no value of '{config.target_name}'")
    return panel, last_rows(panel)


def _without_series(panel: Panel, which: Mask, what: str) -> Panel:
    if not which.any():
        return panel
    finding = series_finding(panel, "no-forecast", which, what, "no forecast for them")
    return replace(panel.only(~which), findings=(*panel.findings, finding))


def last_rows(panel: Panel) -> Integers:
    """Return `(S,)` the last row of each series whose target was observed, -1 where none was."""
    ends, observed = panel.starts[1:] - 1, ~np.isnan(panel.target)
    if observed[ends].all():
        return ends
    return last_observed(observed, panel.starts)[ends]


def with_horizon(panel: Panel, fitted: Preprocessing) -> Panel:
    """Reach the horizon beyond the last observation of each series, all known covariates there.

    Series without a value are left out.

    Raises:
        DataError: no series has a value, or a known covariate is missing.
    """
    horizon = fitted.config.horizon
    panel, last = _with_target(panel, fitted.config)
    panel = panel.extend(last, horizon)
    if not fitted.known_names:
        return panel
    panel = _repeat_steady(panel, fitted, _steps_ahead(panel, horizon))
    latest = panel.ticks[last_rows(panel)]
    for column in fitted.known_names:
        if column in panel.static:
            continue  # a series without a value has none ahead either
        steps = _steps_ahead(panel, horizon)
        if column in panel.codes:
            absent = panel.codes[column][steps] < 0
        else:
            absent = np.isnan(panel.numbers[column][steps])
        # A series that is no longer continued needs no plan, and does not stop the others.
        over = absent.any(axis=1) & (panel.ticks[last_rows(panel)] < latest.max())
        if absent[~over].any():
            row = int(steps.ravel()[(absent & ~over[:, None]).ravel().argmax()])
            raise DataError(
                f"The known covariate '{column}' is missing for {panel.label(row)}. Add rows for "
                f"the {horizon} steps to forecast, with the target left empty."
            )
        panel = _without_series(
            panel, over, f"ends before the others, and '{column}' is not known for the steps after"
        )
    return panel


def _steps_ahead(panel: Panel, horizon: int) -> Integers:
    """`(S, horizon)` rows after the last observation of each series."""
    return last_rows(panel)[:, None] + np.arange(1, horizon + 1)


def indices(panel: Panel, fitted: Preprocessing) -> Integers:
    """`(S,)` the index of each series among the fitted ones, -1 of others."""
    lookup = {name: s for s, name in enumerate(fitted.series)}
    return np.array([lookup.get(name, -1) for name in panel.series], np.int64)


def _repeat_steady(panel: Panel, fitted: Preprocessing, steps: Integers) -> Panel:
    """Repeat at `steps` `(S, horizon)` what known columns hold for a series, here and in training.

    What changed while training has to be given: that it did not lately says nothing of tomorrow.
    """
    which = indices(panel, fitted)
    numbers, codes, findings = dict(panel.numbers), dict(panel.codes), []
    for column, steady in zip(fitted.known_names, fitted.steady, strict=True):
        of = codes if column in codes else numbers
        values = of[column].astype(np.float64)
        ahead = values[steps]
        absent = ahead < 0 if of is codes else np.isnan(ahead)
        held = panel.held(column)
        # Of a series that was not seen the column is steady if it is in all others.
        absent &= (np.append(steady, steady.all())[which] & ~np.isnan(held))[:, None]
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


def assemble(
    panel: Panel,
    fitted: Preprocessing,
    split: Split | None,
    findings: list[Finding],
    which: Integers | None = None,
    earlier: Earlier | None = None,
    of_times: Floats | None = None,
) -> Prepared:
    """Fill, scale and stack the columns of `panel`, and say what was filled.

    `which` `(S,)` are the fitted series, -1 for none, by default those of the same name; `of_times`
    `(N, …)` what `time_features` returns, where it is known.
    """
    of_times = time_features(panel.grid, panel.times, fitted) if of_times is None else of_times
    which = indices(panel, fitted) if which is None else which
    series_of = np.repeat(which, panel.lengths)
    observed = ~np.isnan(panel.target)
    filled, running = _filled_target(panel, fitted, which, earlier)
    if earlier is None:
        smoothed: RowsAhead = fitted.smoothing.run(panel.target, panel.starts, which)
    else:
        smoothed = earlier.smoothed
    scaling, places = fitted.target, series_of
    if running is not None:
        scaling, places = running, np.arange(len(filled))
    target = scaling.apply(filled, places)
    error = (target - scaling.apply(smoothed.fitted, places)) / fitted.remainder[series_of]
    error = np.where(observed, np.clip(error, -FARTHEST_ERROR, FARTHEST_ERROR), 0.0)
    numbers = _numbers(panel, fitted, earlier) | _other_targets(panel, fitted, which, earlier)
    masks = {name: ~np.isnan(panel.numbers[name]) for name in fitted.masked}
    stacked = [
        target,
        observed,
        error,
        *(numbers[name] for name in fitted.known_numbers),
        *(masks[name] for name in fitted.known_numbers if name in masks),
        *of_times.T,
        *(numbers[name] for name in fitted.past_numbers),
        *(masks[name] for name in fitted.past_numbers if name in masks),
    ]
    categories = np.zeros((len(target), len(fitted.text_names)), np.int64)
    for k, (name, known) in enumerate(zip(fitted.text_names, fitted.categories, strict=True)):
        before_codes = None if earlier is None else earlier.codes[name]
        categories[:, k], unseen = _categories(panel, name, known, before_codes)
        if unseen is not None:
            findings.append(unseen)
    if earlier is None:
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
        smoothed=smoothed,
        running=running,
        split=split,
        findings=tuple(findings),
    )


def time_features(grid: Grid, times: Integers, fitted: Preprocessing) -> Floats:
    """Return the calendar and the holidays at `times` `(N,)`, as the network reads them."""
    calendar = calendar_features(grid, times, fitted.cycles)
    holidays = holiday_features(grid, times, fitted.config.country)
    return np.concatenate([calendar, holidays], axis=1)


def _numbers(panel: Panel, fitted: Preprocessing, earlier: Earlier | None) -> dict[str, Floats]:
    """The columns of numbers without gaps, scaled."""
    names = (*fitted.known_numbers, *fitted.past_numbers)
    if not names:
        return {}
    before = np.repeat(fitted.medians[:, None], len(panel.series), axis=1)
    if earlier is not None:
        last = np.stack([earlier.numbers[name] for name in names])
        before = np.where(np.isnan(last), before, last)
    values = np.stack([panel.numbers[name] for name in names])
    filled = carry_forward(values, panel.starts, before)
    scaled = fitted.numbers.apply(filled, np.arange(len(names))[:, None])
    return dict(zip(names, scaled, strict=True))


def _filled_target(
    panel: Panel, fitted: Preprocessing, which: Integers, earlier: Earlier | None = None
) -> tuple[Floats, Scaling | None]:
    """The target without gaps, and the scaling of its rows where some series are not fitted."""
    before, running = fitted.before[which], None
    if (which < 0).any():
        # No window ends before the first value of a series, so none sees it too early.
        firsts = first_values(panel)
        if earlier is not None:
            firsts = np.where(np.isnan(earlier.first), firsts, earlier.first)
        before = np.where(which < 0, firsts, before)
        moments = None if earlier is None else earlier.moments
        rows = np.repeat(which, panel.lengths)
        running = _running(panel, fitted, rows, firsts, moments)
    if earlier is not None:
        before = np.where(np.isnan(earlier.target), before, earlier.target)
    return carry_forward(panel.target, panel.starts, before), running


def _other_targets(
    panel: Panel, fitted: Preprocessing, which: Integers, earlier: Earlier | None
) -> dict[str, Floats]:
    """Several targets as inputs beside one another: each scaled as it is when it is forecast."""
    lookup, found = {name: s for s, name in enumerate(fitted.series)}, {}
    for target in fitted.config.targets:
        if target not in fitted.past_numbers:
            continue
        names = [pair_name(series, target) for series in told_apart(panel)[0]]
        places = np.array([lookup.get(name, -1) for name in names])
        places = np.where(which < 0, -1, places)
        own = replace(panel, target=panel.numbers[target])
        past = earlier and earlier.of_target(target)
        filled, running = _filled_target(own, fitted, places, past)
        rows = np.repeat(places, panel.lengths)
        found[target] = (
            fitted.target.apply(filled, rows)
            if running is None
            else running.apply(filled, np.arange(len(rows)))
        )
    return found


def _running(
    panel: Panel,
    fitted: Preprocessing,
    series_of: Integers,
    firsts: Floats,
    moments: Floats | None,
) -> Scaling:
    """The scaling of each row's series; of one not seen in training by its values up to the row."""
    own, _ = fitted.target.running(panel.target, panel.starts, firsts, moments)
    known = series_of >= 0
    return replace(
        own,
        location=np.where(known, fitted.target.location[series_of], own.location),
        scale=np.where(known, fitted.target.scale[series_of], own.scale),
    )


def first_values(panel: Panel) -> Floats:
    """`(S,)` the first value of each series, 0 where there is none."""
    rows = np.where(np.isnan(panel.target), len(panel.target), np.arange(len(panel.target)))
    first = np.minimum.reduceat(rows, panel.starts[:-1])
    firsts: Floats = np.append(panel.target, 0.0)[np.where(first < panel.starts[1:], first, -1)]
    return firsts


def _categories(
    panel: Panel, name: str, known: tuple[str, ...], before: Integers | None = None
) -> tuple[Integers, Finding | None]:
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
    first = 0 if before is None else np.repeat(table[before], panel.lengths)
    return np.where(rows >= 0, table[panel.codes[name][rows]], first), finding


def _missing(panel: Panel, fitted: Preprocessing) -> list[Finding]:
    """What is filled in the rows of the table up to the last observation of each series."""
    past = panel.present & (
        np.arange(len(panel.ticks)) <= np.repeat(last_rows(panel), panel.lengths)
    )
    target, targets = fitted.config.target_name, fitted.config.targets
    holes = {target: np.isnan(panel.target) & past}
    holes |= {name: np.isnan(panel.numbers[name]) & past for name in fitted.known_numbers}
    others = [name for name in fitted.past_numbers if name not in targets]
    holes |= {name: np.isnan(panel.numbers[name]) & past for name in others}
    holes |= {name: (panel.codes[name] < 0) & past for name in fitted.text_names}
    without = [name for name in panel.static if name in holes and holes.pop(name).any()]
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
    ] + [_without_static(panel, name) for name in without]


def _without_static(panel: Panel, name: str) -> Finding:
    """The finding of series without a value in a static column."""
    first = panel.starts[:-1]
    absent = (
        panel.codes[name][first] < 0
        if name in panel.codes
        else np.isnan(panel.numbers[name][first])
    )
    action = "given to the network as unknown"
    if name in panel.numbers:
        action = "taken for the median"
    finding = series_finding(panel, "missing", absent, "without a value", action)
    return replace(finding, column=name)
