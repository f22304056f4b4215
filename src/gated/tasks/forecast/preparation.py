"""From a table to arrays that a network reads, and what must be remembered to do it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError, ModelFileError
from gated.tasks.forecast.calendar_features import (
    calendar_features,
    calendar_names,
    choose_cycles,
)
from gated.tasks.forecast.cleaning import (
    MASKED,
    Columns,
    Mask,
    carry_forward,
    choose_columns,
    last_observed,
    outliers,
)
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.findings import Finding
from gated.tasks.forecast.grid import Grid, Integers
from gated.tasks.forecast.panel import Floats, Panel, build_panel
from gated.tasks.forecast.scaling import Scaling
from gated.tasks.forecast.split import Split, plan_split
from gated.tasks.forecast.table import Kind, Source, read_table
from gated.tasks.forecast.timestamps import Clock


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Everything learned from the rows before the test part; `S` series."""

    config: ForecastConfig
    """With history and season filled in."""
    grid: Grid
    series: tuple[str, ...]
    target: Scaling
    """Of the target, in each series."""
    before: Floats
    """`(S,)` median of the target: what stands before its first observation."""
    known_numbers: tuple[str, ...]
    past_numbers: tuple[str, ...]
    numbers: Scaling
    """Of `known_numbers` and then `past_numbers`."""
    medians: Floats
    """Of the same columns."""
    masked: tuple[str, ...]
    """Those of the same columns whose being observed is an input of its own."""
    known_texts: tuple[str, ...]
    past_texts: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    """Values of `known_texts` and then `past_texts`. Value `i` has code `i + 1`; 0 is a value that
    is missing or was not seen."""
    cycles: tuple[str, ...]

    @property
    def future_names(self) -> tuple[str, ...]:
        """Names of the `F` inputs that are known ahead."""
        masks = tuple(f"observed({name})" for name in self.known_numbers if name in self.masked)
        return (*self.known_numbers, *masks, *calendar_names(self.cycles))

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the `I` inputs: target, whether it was observed, `future_names`, the rest."""
        target = self.config.target
        masks = tuple(f"observed({name})" for name in self.past_numbers if name in self.masked)
        return (target, f"observed({target})", *self.future_names, *self.past_numbers, *masks)

    @property
    def text_names(self) -> tuple[str, ...]:
        """Names of the `K` columns of categories, those known ahead first."""
        return (*self.known_texts, *self.past_texts)

    @property
    def category_counts(self) -> tuple[int, ...]:
        """`K` numbers of codes, the code 0 counted."""
        return tuple(len(values) + 1 for values in self.categories)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        saved = dataclasses.asdict(self)
        saved |= {"target": self.target.to_dict(), "numbers": self.numbers.to_dict()}
        return saved | {"before": self.before.tolist(), "medians": self.medians.tolist()}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Preprocessing:
        """Return what `to_dict` saved, also after a way through JSON.

        Raises:
            ModelFileError: something is not there, or not what it should be.
        """
        try:
            fields: dict[str, Any] = {name: _tuples(value) for name, value in saved.items()}
            grid = dict(saved["grid"])
            grid["clock"] = Clock(**grid["clock"])
            config = {name: _tuples(value) for name, value in saved["config"].items()}
            return cls(
                **fields
                | {
                    "config": ForecastConfig(**config),
                    "grid": Grid(**{name: _tuples(value) for name, value in grid.items()}),
                    "target": Scaling.from_dict(saved["target"]),
                    "numbers": Scaling.from_dict(saved["numbers"]),
                    "before": np.array(saved["before"], float),
                    "medians": np.array(saved["medians"], float),
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelFileError(f"The saved preprocessing is damaged: {error}.") from error


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A panel as a network reads it. `N` rows, `I` inputs, `K` columns of categories."""

    preprocessing: Preprocessing
    panel: Panel
    inputs: NDArray[np.float32]
    """`(N, I)`, as `Preprocessing.input_names`; scaled, nothing missing."""
    categories: Integers
    """`(N, K)`."""
    target: NDArray[np.float32]
    """`(N,)` scaled; where nothing was observed, the last observation."""
    weight: NDArray[np.float32]
    """`(N,)`, 1 where the target was observed and 0 elsewhere."""
    filled: Floats
    """`(N,)` the target in its own unit; where nothing was observed, the last observation."""
    series_of: Integers
    """`(N,)` which of the fitted series."""
    split: Split | None
    """Training, validation and test part; none for data that came after fitting."""
    findings: tuple[Finding, ...]
    """What was found in the data and done about it."""


def prepare(source: Source, config: ForecastConfig) -> Prepared:
    """Read, clean and scale the data to fit a model on.

    Statistics come from the rows before the test part, the validation part among them: it serves
    to choose weights and not to report a score.

    Raises:
        DataError: the data cannot be used; the message names the row or the column.
        FileNotFoundError: there is no such file.
    """
    panel = build_panel(read_table(source, config), config)
    split, config, planned = plan_split(panel, config)
    training = panel.ticks < split.test
    columns = choose_columns(panel, training, config)
    preprocessing = _learn(panel, training, config, split, columns)
    names = (config.target, *columns.known_numbers, *columns.past_numbers)
    told = [outliers(panel, name, training) for name in names]
    findings = [*panel.findings, *planned, *columns.findings, *filter(None, told)]
    return _assemble(panel, preprocessing, split, findings)


def prepare_new(source: Source, fitted: Preprocessing, *, future: bool = True) -> Prepared:
    """Read data that came after fitting, with what was learned then.

    Args:
        source: path or frame; it may end with rows of the future that hold the known covariates.
        fitted: what `prepare` learned.
        future: whether to forecast beyond the last observation of the target. The panel is then
            extended by the horizon, for which the known covariates are demanded.

    Raises:
        DataError: a series is unknown or too short, a column or a known covariate is missing.
    """
    numbers = (*fitted.known_numbers, *fitted.past_numbers)
    kinds: dict[str, Kind] = dict.fromkeys(numbers, "number")
    kinds |= dict.fromkeys(fitted.text_names, "text")
    table = read_table(source, fitted.config, kinds=kinds, clock=fitted.grid.clock)
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
    for column in (*fitted.known_numbers, *fitted.known_texts):
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


def _learn(
    panel: Panel, training: Mask, config: ForecastConfig, split: Split, columns: Columns
) -> Preprocessing:
    """Every statistic, from the rows `training` `(N,)`."""
    samples = []
    for s, name in enumerate(panel.series):
        own = slice(panel.starts[s], panel.starts[s + 1])
        sample = panel.target[own][training[own]]
        samples.append(sample[~np.isnan(sample)])
        if not len(samples[-1]):
            where = f" of series '{name}'" if name else ""
            raise DataError(f"The target '{config.target}'{where} has no value to learn from.")
    if all(np.ptp(sample) == 0 for sample in samples):
        raise DataError(
            f"The target '{config.target}' is constant ({samples[0][0]:g}) in the training part: "
            "there is nothing to forecast."
        )
    names = (*columns.known_numbers, *columns.past_numbers)
    values = {name: panel.numbers[name][training] for name in names}
    observed = [column[~np.isnan(column)] for column in values.values()]
    texts = (*columns.known_texts, *columns.past_texts)
    seen = {name: np.unique(panel.codes[name][training]) for name in texts}
    times = panel.times[training]
    return Preprocessing(
        config=config,
        grid=panel.grid,
        series=panel.series,
        target=Scaling.of(samples),
        before=np.array([np.median(sample) for sample in samples]),
        known_numbers=columns.known_numbers,
        past_numbers=columns.past_numbers,
        numbers=Scaling.of(observed),
        medians=np.array([np.median(sample) for sample in observed]),
        masked=tuple(name for name in names if np.isnan(values[name]).mean() >= MASKED),
        known_texts=columns.known_texts,
        past_texts=columns.past_texts,
        categories=tuple(
            tuple(panel.values[name][code] for code in seen[name] if code >= 0) for name in texts
        ),
        cycles=choose_cycles(panel.grid, int(np.ptp(times))),
    )


def _assemble(
    panel: Panel, fitted: Preprocessing, split: Split | None, findings: list[Finding]
) -> Prepared:
    """Fill, scale and stack the columns of `panel`, telling what was filled."""
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
    stacked = [
        target,
        observed,
        *(numbers[name] for name in fitted.known_numbers),
        *(masks[name] for name in fitted.known_numbers if name in masks),
        *calendar.T,
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
    """Tell what is filled in the rows of the table up to the last observation of each series."""
    past = panel.present & (
        np.arange(len(panel.ticks)) <= np.repeat(last_rows(panel), np.diff(panel.starts))
    )
    target = fitted.config.target
    holes = {target: np.isnan(panel.target) & past}
    holes |= {name: np.isnan(panel.numbers[name]) & past for name in fitted.known_numbers}
    holes |= {name: np.isnan(panel.numbers[name]) & past for name in fitted.past_numbers}
    holes |= {name: (panel.codes[name] < 0) & past for name in fitted.text_names}
    filled = "filled with the last value before"
    actions = dict.fromkeys(fitted.masked, f"{filled}, which the network is told")
    actions[target] = f"{filled} as an input, which the network is told; never part of a score"
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
