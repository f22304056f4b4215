"""A forecaster that is fed row by row, and keeps no more of the past than its forecasts need.

Its forecasts are those of `Forecaster.predict` for a table of all rows. What the whole past has a
say in is carried on: the states of smoothing, the widths of the intervals, the last values of
columns, the moments of series that training has not seen.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from gated.data.findings import Finding
from gated.tasks.forecast.calibration import spread
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import (
    Prepared,
    assemble,
    indices,
    last_rows,
    time_features,
    with_horizon,
)
from gated.tasks.forecast.live_errors import LiveErrors, new_widths
from gated.tasks.forecast.live_finished import FinishedRows, may_be_finished
from gated.tasks.forecast.live_forecast import LiveForecast
from gated.tasks.forecast.live_memory import Memory, SeriesMemory
from gated.tasks.forecast.live_recalling import recall, remembered
from gated.tasks.forecast.live_rows import Rows, following, read_ahead, read_rows
from gated.tasks.forecast.live_smoothing import smooth
from gated.tasks.forecast.live_state import damaged_state, packed, unpacked
from gated.tasks.forecast.outlook import Outlook, RuntimeOutlook
from gated.tasks.forecast.panel import Floats, Panel, joined
from gated.tasks.forecast.partners import steps_before
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.targets import told_apart

MOST_TIMES, TIMES_AHEAD = 1 << 16, 512
"""Steps whose calendar is kept at most, and how many more than are needed it is computed for."""


class LiveForecaster:
    """Takes rows as they come, and forecasts what follows them.

    Memory does not grow with the rows of a series, once its longest season was seen twice.

    Args:
        outlook: what was fitted.
        fitted: what was learned of the data.
        identity: of the forecaster, see `identity_of`; states of others are refused.
    """

    def __init__(self, outlook: Outlook, fitted: Preprocessing, identity: str) -> None:
        config, self.identity = fitted.config, identity
        self._outlook, self._fitted = outlook, fitted
        history = (config.history or 1) + max(config.seasons, default=0)
        needed = max(history, steps_before(config.partner or (), config.seasons))
        widths = new_widths(outlook, fitted, np.zeros(0, np.int64))
        self._memory = Memory(needed, widths)
        self._errors = LiveErrors(outlook, fitted)
        self._times_known: tuple[int, Floats] = 0, np.zeros((0, 0))
        """The first tick and the `time_features` of steps from there on."""
        self._finished: FinishedRows | None = None
        """Rows from which forecasts are made at once, where that can be."""

    @property
    def config(self) -> ForecastConfig:
        """The options of the training."""
        return self._fitted.config

    @property
    def fitted(self) -> Preprocessing:
        """What was learned of the data."""
        return self._fitted

    @property
    def series(self) -> tuple[str, ...]:
        """Names of the series that rows came of."""
        latest = self._memory.latest
        return latest.series if latest else ()

    def update(self, data: Rows) -> tuple[Finding, ...]:
        """Take rows that follow those before.

        Args:
            data: a row, as values by the names of the columns, or a list of these; or a table. It
                has the columns of the training, and one series or several. A row without a value
                of the target says that none was observed. Where several rows make a step, they come
                together.

        Returns:
            What was found in the rows and done about it, such as a time between steps, which is
            moved to the nearest one; nothing as a rule.

        Raises:
            DataError: a row is not after the last one of its series, or cannot be used; then none
                of the rows is taken.
        """
        given = read_rows(data, self._fitted)
        self.take(given)
        return given.findings

    def take(self, given: Panel) -> None:
        """Take rows that were read already, as `update` does."""
        memory, fitted = self._memory, self._fitted
        new, calendar = following(given, memory)
        old = memory.latest or new.only(np.zeros(len(new.series), np.bool_))
        panel, rows = joined(old, new)
        lengths = panel.lengths
        added = np.zeros(len(lengths), np.int64)
        for name, count in zip(new.series, new.lengths.tolist(), strict=True):
            added[panel.series.index(name)] = count
        known = len(memory.series)
        if self._fitted.known_names:  # what was planned for these rows may have come otherwise
            self._errors.forget()
        which = indices(panel, self._fitted)
        if len(which) > known:
            memory.widths = memory.widths.joined(new_widths(self._outlook, fitted, which[known:]))
        memory.series += [SeriesMemory() for _ in range(known, len(lengths))]
        memory.latest, memory.calendar = panel, calendar
        memory.expected = np.append(memory.expected, np.zeros(len(new.ticks)))[rows]
        if memory.start is None:
            later = panel.ticks[panel.times >= self._outlook.held_out_from]
            memory.start = int(later.min()) if len(later) else None
        smooth(memory, fitted, added, which)
        self._finish_row_of(new)
        self._errors.follow(memory, self._prepared)
        memory.forget(fitted)
        if self._finished is not None and self._finished.observed.all():
            # What they say of the widths is known now: a forecast need not wait for it.
            self._errors.noted_factors(memory, self._finished.ticks)

    def _finish_row_of(self, new: Panel) -> None:
        """Go on with the finished rows if there is one new row a series, else let go of them."""
        memory, finished, self._finished = self._memory, self._finished, None
        if finished is None or len(new.ticks) > len(new.series):
            return
        ours = memory.rows.series
        if len(ours) > len(finished.ticks) or not {*new.series} <= {*ours}:
            return
        places = np.array([ours.index(name) for name in new.series])
        of_times = self._of_times(new.ticks)
        if of_times is not None:
            last = memory.rows.starts[1:][places] - 1
            finished.add(places, new, memory.expected[last], of_times)
            self._finished = finished

    def predict(self, future: Rows | None = None) -> LiveForecast:
        """Forecast what follows the last value of each series.

        Args:
            future: rows of the steps to forecast, as of `update`, with the columns that are known
                ahead.

        Returns:
            Arrays; its `rows` and its `table` are what `Forecaster.predict` returns.

        Raises:
            DataError: there is no value yet, or a known column is missing for a step.
        """
        if future is None and self._finished is not None and self._finished.observed.all():
            found = self._forecast_of(self._finished)
            if found is not None:
                return found
        panel = self._memory.rows
        if future is not None:
            given, _ = following(read_ahead(future, self._fitted), self._memory)
            given = given.only(np.isin(given.series, panel.series))
            panel, _ = joined(panel, given) if given.series else (panel, None)
        panel = with_horizon(panel, self._fitted)
        prepared, places = self._prepared(panel)
        origins = last_rows(panel)
        outlook = self._outlook
        factors = self._errors.factors_at(self._memory, prepared, places, origins)
        forecast = outlook.calibrated(outlook.mixed(prepared, origins), prepared, origins, factors)
        if future is None and self._finished is None:
            self._finish(prepared, origins)
        series, targets = told_apart(panel)
        return LiveForecast(
            config=self._fitted.config,
            grid=panel.grid,
            series=series,
            targets=targets,
            times_on_grid=panel.times[prepared.ahead(origins)],
            values=forecast,
        )

    def _forecast_of(self, rows: FinishedRows) -> LiveForecast | None:
        """What `predict` returns, from finished rows; None where more must be looked at."""
        memory, outlook, config = self._memory, self._outlook, self._fitted.config
        factors = self._errors.noted_factors(memory, rows.ticks)
        ticks = rows.ticks[:, None] + np.arange(1, config.horizon + 1)
        of_times = self._of_times(ticks)
        if factors is None or of_times is None or not isinstance(outlook, RuntimeOutlook):
            return None
        pairs = zip(memory.series, rows.ticks.tolist(), strict=True)
        smooth = np.array([series.ahead[tick] for series, tick in pairs])
        scaled = outlook.runtime.quantiles(rows.network_inputs(smooth, of_times))
        own = rows.unscaled(scaled.astype(np.float64).swapaxes(0, 1))
        forecast = own * outlook.shares[rows.which, :1, None]
        borrowed = outlook.calibration.borrowed
        point = rows.latest(outlook.baselines.rows_of(borrowed, config))
        baseline = outlook.baselines.around(borrowed, point, rows.scaled, rows.unscaled)
        units = outlook.calibration.distances(forecast, baseline, config.quantiles)
        if memory.start is not None and (rows.ticks[0] + 1 - memory.start) % config.horizon == 0:
            self._errors.note(memory.rows.series, rows.ticks, forecast, units)
        values = spread(forecast, units, factors[:, None], config.quantiles)
        least = np.full((len(ticks), 1, 1), outlook.least_of_one)
        return LiveForecast(
            config=config,
            grid=self._fitted.grid,
            series=memory.rows.series,
            targets=(),
            times_on_grid=self._fitted.grid.times(ticks),
            values=outlook.possible(values, least, whole=outlook.whole),
        )

    def _finish(self, prepared: Prepared, origins: Integers) -> None:
        """Keep the inputs of rows that were prepared, if what they are does not change any more."""
        rows, needed = self._memory.rows, self._memory.needed
        panel = prepared.panel
        if (
            isinstance(self._outlook, RuntimeOutlook)
            and may_be_finished(self._fitted)
            and prepared.running is None
            and panel.series == rows.series
            and np.array_equal(panel.ticks[origins], rows.ticks[rows.starts[1:] - 1])
            and (origins - panel.starts[:-1] >= needed - 1).all()
        ):
            self._finished = FinishedRows(prepared, origins, needed)

    # State.

    @property
    def needed(self) -> int:
        """Steps of a series that a forecast reads at most, besides what is carried on."""
        return self._memory.needed

    def state(self) -> bytes:
        """Return all that is remembered, for `restore`: a safetensors file, with a digest.

        It holds the latest rows of each series, their names, and sums over what came before.
        """
        return packed(remembered(self._memory, self._fitted), self.identity)

    def restore(self, data: bytes, what: str = "The state") -> None:
        """Go on from what `state` returned, of a forecaster of the same run.

        Args:
            data: the bytes.
            what: names them, in messages.

        Raises:
            ModelFileError: they are damaged, of another version or of another forecaster; nothing
                was changed.
            TypeError: they are no bytes.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"{what} is {type(data).__name__}: give the bytes that state returned.")
        data = bytes(data)
        given = unpacked(data, self.identity, what)
        new = LiveForecaster(self._outlook, self._fitted, self.identity)
        try:
            widths = partial(new_widths, self._outlook, self._fitted)
            recall(new._memory, given, self._fitted, widths)
        except Exception as error:  # no file may hold what leads to a traceback
            raise damaged_state(what, str(error)) from error
        self.__dict__.update(new.__dict__)

    def _prepared(self, panel: Panel) -> tuple[Prepared, Integers]:
        """The rows of a panel as inputs, and which of the series here each of its series is."""
        ours = self._memory.rows.series
        places = np.array([ours.index(name) for name in panel.series], np.int64)
        earlier = self._memory.earlier(panel, places, self._fitted)
        times = self._of_times(panel.ticks)
        prepared = assemble(panel, self._fitted, None, [], earlier=earlier, of_times=times)
        return prepared, places

    def _of_times(self, ticks: Integers) -> Floats | None:
        """`time_features` at ticks `(…)`, computed for many at once; None where it cannot be."""
        grid, (first, known) = self._fitted.grid, self._times_known
        low, high = int(ticks.min()), int(ticks.max())
        if grid.unit == "row" or high - low > MOST_TIMES:
            return None
        if low < first or high >= first + len(known):
            first = low - self._memory.needed  # other series may be behind
            times = grid.times(np.arange(first, high + 1 + TIMES_AHEAD))
            self._times_known = first, time_features(grid, times, self._fitted)
            known = self._times_known[1]
        return known[ticks - first]
