"""Scales, categories and other statistics learned from the training part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gated.configuration import demand_numbers
from gated.errors import DataError, option
from gated.tasks.forecast.calendar_features import calendar_names, choose_cycles
from gated.tasks.forecast.cleaning import MASKED, Columns, Mask
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Grid
from gated.tasks.forecast.holidays import holiday_names
from gated.tasks.forecast.panel import Floats, Panel
from gated.tasks.forecast.scaling import Scaling
from gated.tasks.forecast.smoothing import FIRST_STEPS, Smoothing
from gated.tasks.forecast.smoothing import learn as learn_smoothing
from gated.tasks.forecast.targets import TARGET

OWN = 3
"""Inputs that the target gives."""
MOST_MEASURED = 20_000
"""Rows from which what smoothing leaves over is measured, drawn where there are more."""
PRIOR = 2
"""Horizons that the typical remainder counts as, beside those of a series."""
OUTLYING = 20.0
"""Errors of smoothing count as no more than so many median ones."""
LEAST = 1e-3
"""Remainder below which a series is as good as known."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Everything learned from the rows before the test part; `S` series."""

    config: ForecastConfig
    """Options, with history and season filled in."""
    grid: Grid
    series: tuple[str, ...]
    """Those with a window to learn from; others are forecast as series that were not seen."""
    target: Scaling
    """Scaling of the target, for each series."""
    smoothing: Smoothing
    """Level, trend and seasons of the target, from which the network begins."""
    remainder: Floats
    """`(S + 1,)` what smoothing is typically off by, in deviations of the series; of one that was
    not seen the last."""
    before: Floats
    """`(S,)` median of the target, which fills values before its first observation."""
    known_numbers: tuple[str, ...]
    past_numbers: tuple[str, ...]
    numbers: Scaling
    """Scaling of the columns `known_numbers`, then `past_numbers`."""
    medians: Floats
    """Medians of the same columns."""
    masked: tuple[str, ...]
    """Those of the same columns with an extra input that marks observed values."""
    known_texts: tuple[str, ...]
    past_texts: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    """Values of the columns `known_texts`, then `past_texts`. Value `i` has code `i + 1`; code 0 is
    a missing value, or one that is not in the training part."""
    cycles: tuple[str, ...]
    steady: NDArray[np.bool_]
    """`(known columns, S)`, numbers before texts: whether the column holds one value in the series,
    which then need not be repeated for the steps ahead."""
    series_width: int | None = None
    """Features of what is learned of each series; by default as their number asks for."""

    def __post_init__(self) -> None:
        """Refuse numbers that do not fit their columns, as after damage."""
        series, names = len(self.series), (*self.known_numbers, *self.past_numbers)
        demand_numbers("The target's deviation", self.target.scale, count=series)
        demand_numbers("The target's median", self.before, count=series)
        demand_numbers("What smoothing leaves", self.remainder, count=series + 1, above=0)
        for form in self.smoothing.forms:
            demand_numbers("A share of smoothing", form.shares, count=series + 1)
        demand_numbers("The deviation of a covariate", self.numbers.scale, count=len(names))
        demand_numbers("The median of a covariate", self.medians, count=len(names))
        if self.steady.size != len(self.known_names) * series:
            raise DataError("What columns hold for a series is not of these columns and series.")
        if len(self.categories) != len(self.text_names):
            raise DataError("The categories are not those of the columns of text.")

    @property
    def known_names(self) -> tuple[str, ...]:
        """Names of the columns known ahead, numbers before texts."""
        return (*self.known_numbers, *self.known_texts)

    @property
    def future_names(self) -> tuple[str, ...]:
        """Names of the `F` inputs that are known ahead."""
        masks = tuple(f"observed({name})" for name in self.known_numbers if name in self.masked)
        holidays = holiday_names(self.grid, self.config.country)
        return (*self.known_numbers, *masks, *calendar_names(self.cycles), *holidays)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the `I` inputs: the `OWN` of the target, `future_names`, the rest.

        The target, whether it was observed, and the error with which smoothing forecast it.
        """
        target = self.config.target_name
        masks = tuple(f"observed({name})" for name in self.past_numbers if name in self.masked)
        own = target, f"observed({target})", f"error({target})"
        return (*own, *self.future_names, *self.past_numbers, *masks)

    @property
    def reads_target_alone(self) -> bool:
        """Whether there is no other column than the targets to read."""
        names = {*self.known_names, *self.past_numbers, *self.past_texts}
        return not names - {*self.config.targets, TARGET}

    @property
    def mask_places(self) -> tuple[int, ...]:
        """Places among the `I` inputs of the marks of what was observed at a step."""
        known = [name for name in self.known_numbers if name in self.masked]
        past = [name for name in self.past_numbers if name in self.masked]
        ahead, total = OWN + len(self.known_numbers), len(self.input_names)
        # What holds for a series also holds before its first row.
        steps = [place for place, name in enumerate(known) if name not in self.config.static]
        return (1, *(ahead + place for place in steps), *range(total - len(past), total))

    @property
    def text_names(self) -> tuple[str, ...]:
        """Names of the `K` columns of categories, those known ahead first."""
        return (*self.known_texts, *self.past_texts)

    @property
    def number_columns(self) -> tuple[str, ...]:
        """Names of the columns of numbers that are read beside the targets."""
        own = (TARGET, *self.config.targets)
        return tuple(of for of in (*self.known_numbers, *self.past_numbers) if of not in own)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Names of the columns of texts that are read."""
        return tuple(of for of in self.text_names if of not in (TARGET, *self.config.targets))

    @property
    def category_counts(self) -> tuple[int, ...]:
        """Number of codes of each of the `K` columns, code 0 included."""
        return tuple(len(values) + 1 for values in self.categories)

    def places(self, series: Sequence[str]) -> NDArray[np.int64]:
        """Return the index of each of some series, -1 of those not seen."""
        lookup = {name: s for s, name in enumerate(self.series)}
        return np.array([lookup.get(name, -1) for name in series], np.int64)

    def keeping(self, known: Preprocessing) -> Preprocessing:
        """Return these statistics with those of `known` for the series that it knows."""
        which = known.places(self.series)

        def kept(own: Floats, theirs: Floats) -> Floats:
            return np.where(which < 0, own, theirs[which])

        scaling, theirs = self.target, known.target
        return replace(
            self,
            target=replace(
                scaling,
                location=kept(scaling.location, theirs.location),
                scale=kept(scaling.scale, theirs.scale),
            ),
            remainder=np.append(kept(self.remainder[:-1], known.remainder), known.remainder[-1]),
            before=kept(self.before, known.before),
            series_width=known.series_width or embedding_width(len(known.series)),
        )

    def like(self, origin: Preprocessing) -> Preprocessing:
        """Return these statistics with those of `origin` in place of all but the target's.

        Raises:
            DataError: its columns or its time between steps differ, so that its weights do not fit.
        """
        compared: dict[str, tuple[str | tuple[str, ...], str | tuple[str, ...]]] = {
            "time between steps": (self.grid.every, origin.grid.every),
            "holidays": (self.config.country or "none", origin.config.country or "none"),
            "columns known ahead": (
                self.known_names,
                origin.known_names,
            ),
            "columns of the past": (
                (*self.past_numbers, *self.past_texts),
                (*origin.past_numbers, *origin.past_texts),
            ),
        }
        for what, (ours, theirs) in compared.items():
            if ours != theirs:
                raise DataError(
                    f"The {what} are {_listed(ours)} here, and {_listed(theirs)} in the run that "
                    f"{option('init_from')} names: its weights would mean something else. "
                    f"Name the columns with "
                    f"{option('known')}, {option('static')} and {option('past')}, or begin anew."
                )
        return replace(
            self,
            numbers=origin.numbers,
            medians=origin.medians,
            masked=origin.masked,
            categories=origin.categories,
            cycles=origin.cycles,
        )


def embedding_width(count: int) -> int:
    """Features of an embedding of `count` values."""
    return min(8, math.ceil(math.sqrt(count)))


def _listed(names: str | tuple[str, ...]) -> str:
    return names if isinstance(names, str) else ", ".join(names) or "none"


def learn(
    panel: Panel,
    training: Mask,
    config: ForecastConfig,
    columns: Columns,
    learned: Mask,
    short: Mask,
    known: Preprocessing | None = None,
) -> Preprocessing:
    """Return every statistic of `columns`, from the rows `training` `(N,)` only.

    Args:
        panel: the data.
        training: `(N,)`, the rows before the test part.
        config: options, with history and season filled in.
        columns: the covariates.
        learned: `(S,)`, which series have a window to learn from.
        short: `(S,)`, which have no whole one.
        known: what was learned before; its series keep their scales and their smoothing.

    Raises:
        DataError: the target of a series was not observed there, or no target varies.
    """
    samples = _target_samples(panel, training, config.target_name, np.flatnonzero(learned))
    names = tuple(np.array(panel.series)[learned].tolist())
    if known:
        smoothing = known.smoothing.of(known.places(names))
    else:
        smoothing = learn_smoothing(
            panel.target[training],
            np.append(0, np.cumsum(np.add.reduceat(training, panel.starts[:-1], dtype=np.int64))),
            config.horizon,
            config.seasons,
            learned,
        )
    scaling = Scaling.of(samples, smoothing.floor if smoothing.logs else None)
    few = short[learned]
    if few.any():
        long = ~few if not few.all() else few
        others = replace(scaling, location=scaling.location[long], scale=scaling.scale[long])
        counts = np.array([len(sample) for sample in samples], np.float64)
        varies = np.array([np.ptp(sample) > 0 for sample in samples])
        variance = np.where(varies, scaling.scale**2, 0.0)
        shrunk = others.shrunk(scaling.location, variance, counts)
        scaling = replace(scaling, scale=np.where(few, shrunk, scaling.scale))
    covariates = (*columns.known_numbers, *columns.past_numbers)
    values = {name: panel.numbers[name][training] for name in covariates}
    observed = [column[~np.isnan(column)] for column in values.values()]
    texts = (*columns.known_texts, *columns.past_texts)
    seen = {name: np.unique(panel.codes[name][training]) for name in texts}
    times = panel.times[training]
    learned_now = Preprocessing(
        config=config,
        grid=panel.grid,
        series=names,
        target=scaling,
        smoothing=smoothing,
        remainder=_remainder(panel, training, config.horizon, learned, smoothing, scaling),
        before=np.array([np.median(sample) for sample in samples]),
        known_numbers=columns.known_numbers,
        past_numbers=columns.past_numbers,
        numbers=Scaling.of(observed),
        medians=np.array([np.median(sample) for sample in observed]),
        masked=tuple(name for name in covariates if np.isnan(values[name]).mean() >= MASKED),
        known_texts=columns.known_texts,
        past_texts=columns.past_texts,
        categories=tuple(
            tuple(panel.values[name][code] for code in seen[name] if code >= 0) for name in texts
        ),
        cycles=choose_cycles(panel.grid, int(np.ptp(times))),
        # Also in the rows to come: what is known ahead may be looked at.
        steady=np.array(
            [
                ~np.isnan(panel.held(name)[learned])
                for name in (*columns.known_numbers, *columns.known_texts)
            ],
            np.bool_,
        ),
    )
    return learned_now.keeping(known) if known else learned_now


def _target_samples(
    panel: Panel, training: Mask, target: str, series: NDArray[np.int64]
) -> list[Floats]:
    """An array for each of `series` of the observed target in the rows `training`."""
    samples = []
    for s in series:
        name = panel.series[s]
        own = slice(panel.starts[s], panel.starts[s + 1])
        sample = panel.target[own][training[own]]
        samples.append(sample[~np.isnan(sample)])
        if not len(samples[-1]):
            where = f" of series '{name}'" if name else ""
            raise DataError(f"The target '{target}'{where} has no value to learn from.")
    if all(np.ptp(sample) == 0 for sample in samples):
        raise DataError(
            f"The target '{target}' is constant ({samples[0][0]:g}) in the training part: "
            "there is nothing to forecast."
        )
    return samples


def _remainder(
    panel: Panel,
    training: Mask,
    horizon: int,
    learned: Mask,
    smoothing: Smoothing,
    scaling: Scaling,
) -> Floats:
    """`(S + 1,)` the mean absolute scaled error of smoothing over the horizon, in training."""
    which = np.where(learned, np.cumsum(learned) - 1, -1)
    known = np.where(training, panel.target, np.nan)
    smoothed = smoothing.run(known, panel.starts, which)
    series = which[panel.series_of]
    after = np.append(training[1:], False)
    after[panel.starts[1:] - 1] = False
    after &= np.arange(len(after)) - panel.starts[panel.series_of] >= FIRST_STEPS
    rows = np.flatnonzero(after & (series >= 0))
    if len(rows) > MOST_MEASURED:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_MEASURED, replace=False))
    ends = panel.starts[panel.series_of[rows] + 1]
    ahead = rows[:, None] + np.arange(1, horizon + 1)
    truth = np.where(ahead < ends[:, None], known[np.minimum(ahead, len(known) - 1)], np.nan)
    place = series[rows]
    error = np.abs(
        scaling.apply(smoothed.ahead(rows, horizon).T, place) - scaling.apply(truth.T, place)
    ).T
    there = ~np.isnan(error)
    if there.any():
        error = np.minimum(error, OUTLYING * np.median(error[there]) + LEAST)
    total, count = np.zeros(learned.sum()), np.zeros(learned.sum())
    np.add.at(total, place, np.where(there, error, 0.0).sum(axis=1))
    np.add.at(count, place, there.sum(axis=1))
    typical = total.sum() / max(count.sum(), 1)
    prior = PRIOR * horizon
    # The values of windows that overlap count once for each step of the horizon.
    own = (total / horizon + prior * typical) / (count / horizon + prior)
    remainder: Floats = np.maximum(np.append(own, typical), LEAST)
    return remainder
