"""What a live forecaster carries on, as arrays and names, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.tasks.forecast.calibration import Widths
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import indices
from gated.tasks.forecast.live_memory import Memory, SeriesMemory
from gated.tasks.forecast.live_state import LiveState, texts_of, without_unused
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.smoothing import State
from gated.tasks.forecast.targets import TARGET

OF_ROWS = ("ticks", "times", "present", "target")
OF_WIDTHS = ("counts", "outside", "places")
OF_STATE = tuple(name for name in State.__dataclass_fields__ if name != "season")
"""Arrays that states hold."""
NEVER = -(1 << 62)
"""A tick before all."""


def remembered(memory: Memory, fitted: Preprocessing) -> LiveState:
    """Return what `recalled` takes."""
    panel, series, horizon = memory.latest, memory.series, fitted.config.horizon
    start = np.array([] if memory.start is None else [memory.start], np.int64)
    if panel is None:
        return LiveState({"start": start}, {"series": []})
    times, first_tick = memory.calendar
    arrays: dict[str, NDArray[Any]] = {
        "start": start,
        "calendar": times,
        "first_tick": np.array([first_tick], np.int64),
        **{name: getattr(panel, name) for name in ("starts", *OF_ROWS)},
        "expected": memory.expected,
        "settled": np.array([of.state is not None for of in series]),
        "carried": np.array([[of.following, of.target, of.first] for of in series]),
        "moments": np.stack([of.moments for of in series]),
        "counted": np.array([of.counted for of in series]),
        "observed": np.array([NEVER if of.observed is None else of.observed for of in series]),
        **{f"widths.{name}": getattr(memory.widths, name) for name in OF_WIDTHS},
        "ahead_of": np.array([len(of.ahead) for of in series]),
        "ahead_ticks": np.array([tick for of in series for tick in of.ahead], np.int64),
        "ahead": np.array([of for some in series for of in some.ahead.values()]).reshape(
            -1, horizon
        ),
    }
    for place, (name, numbers) in enumerate(panel.numbers.items()):
        arrays[f"number.{place}"] = numbers
        arrays[f"last_number.{place}"] = np.array([of.numbers.get(name, np.nan) for of in series])
    values = {}
    for place, (name, codes) in enumerate(panel.codes.items()):
        arrays[f"text.{place}"], values[name] = without_unused(codes, panel.values[name])
    states = [of.state for of in series if of.state is not None]
    if states:
        state = State.joined(states)
        arrays |= {f"state.{name}": getattr(state, name) for name in OF_STATE}
        arrays |= {f"state.season.{place}": of for place, of in enumerate(state.season)}
    document = {
        "series": [*panel.series],
        "static": [*panel.static],
        "numbers": [*panel.numbers],
        "texts": [*panel.codes],
        "values": values,
        "last_texts": {name: [of.texts.get(name) for of in series] for name in panel.codes},
    }
    return LiveState(arrays, document)


def recall(
    memory: Memory,
    given: LiveState,
    fitted: Preprocessing,
    new_widths: Callable[[Integers], Widths],
) -> None:
    """Fill an empty memory with what `remembered` returned; raises various errors."""
    names, start = given.texts("series"), given.array("start", np.int64, -1)
    memory.start = int(start[0]) if len(start) else None
    if not names:
        return
    count = len(names)
    memory.latest = panel = _recalled_rows(given, names, fitted)
    rows = len(panel.ticks)
    calendar, first_tick = (given.array(of, np.int64, -1) for of in ("calendar", "first_tick"))
    memory.calendar = calendar, int(first_tick[0])
    if fitted.grid.unit == "row":
        inside = (panel.ticks >= first_tick[0]) & (panel.ticks - first_tick[0] < len(calendar))
        if not inside.all() or (np.diff(calendar) <= 0).any():
            raise ValueError("the calendar does not hold the rows")
    memory.expected = given.array("expected", np.float64, rows)
    widths = new_widths(indices(panel, fitted))
    for name in OF_WIDTHS:
        like = getattr(widths, name)
        setattr(widths, name, given.array(f"widths.{name}", like.dtype.type, *like.shape))
    bins = widths.counts.shape[-1]
    if not 0 <= widths.places.min() <= widths.places.max() < bins:
        raise ValueError("the widths are none")
    memory.widths = widths
    settled = given.array("settled", np.bool_, count)
    states, at = _recalled_states(given, fitted, int(settled.sum())), np.cumsum(settled) - 1
    carried, moments = (given.array(of, np.float64, count, 3) for of in ("carried", "moments"))
    counted, observed, ahead_of = (
        given.array(of, np.int64, count) for of in ("counted", "observed", "ahead_of")
    )
    if min(counted.min(), ahead_of.min()) < 0:
        raise ValueError("a count is negative")
    ends = np.append(0, np.cumsum(ahead_of))
    ticks = given.array("ahead_ticks", np.int64, int(ends[-1])).tolist()
    ahead = given.array("ahead", np.float64, int(ends[-1]), fitted.config.horizon)
    for s in range(count):
        series, some = SeriesMemory(), slice(ends[s], ends[s + 1])
        series.state = states.taken(at[s : s + 1]) if states and settled[s] else None
        series.following, series.target, series.first = carried[s].tolist()
        series.moments, series.counted = moments[s], int(counted[s])
        series.observed = None if observed[s] == NEVER else int(observed[s])
        series.ahead = dict(zip(ticks[some], ahead[some], strict=True))
        if series.observed is not None and series.observed not in series.ahead:
            raise ValueError("how smoothing goes on is not there")
        memory.series.append(series)
    for place, name in enumerate(panel.numbers):
        for of, last in zip(
            memory.series, given.array(f"last_number.{place}", np.float64, count), strict=True
        ):
            if not np.isnan(last):
                of.numbers[name] = float(last)
    for name in panel.codes:
        texts = texts_of(given.document["last_texts"][name], name, count, gaps=True)
        for of, text in zip(memory.series, texts, strict=True):
            if text is not None:
                of.texts[name] = text


def _recalled_rows(given: LiveState, names: tuple[str, ...], fitted: Preprocessing) -> Panel:
    starts = given.array("starts", np.int64, len(names) + 1)
    if len({*names}) < len(names) or starts[0] != 0 or (np.diff(starts) < 1).any():
        raise ValueError("it does not hold rows of each series, one after the other")
    rows = int(starts[-1])
    numbers, texts = given.texts("numbers"), given.texts("texts")
    codes = {of: given.array(f"text.{k}", np.int64, rows) for k, of in enumerate(texts)}
    values = {}
    for name in texts:
        known = texts_of(given.document["values"][name], name)
        if not -1 <= codes[name].min() <= codes[name].max() < len(known):
            raise ValueError(f"{name} holds what is no text")
        before = texts_of(given.document["last_texts"][name], name, len(names), gaps=True)
        values[name] = (*dict.fromkeys((*known, *(of for of in before if of is not None))),)
        if len({*known}) < len(known):
            raise ValueError(f"{name} names a text twice")
    kinds: dict[str, Any] = {"present": np.bool_, "target": np.float64}
    columns: dict[str, Any] = {of: given.array(of, kinds.get(of, np.int64), rows) for of in OF_ROWS}
    panel = Panel(
        grid=fitted.grid,
        series=names,
        starts=starts,
        numbers={of: given.array(f"number.{k}", np.float64, rows) for k, of in enumerate(numbers)},
        codes=codes,
        values=values,
        static=given.texts("static"),
        **columns,
    )
    follows = np.diff(panel.ticks) == 1
    follows[starts[1:-1] - 1] = True
    if not follows.all():
        raise ValueError("the rows of a series do not follow one another")
    targets = fitted.config.targets
    several = len(targets) > 1
    own = {*(targets if several else ()), *fitted.number_columns}
    if {*numbers} != own or {*texts} != {*([TARGET] if several else ()), *fitted.text_columns}:
        raise ValueError("its columns are not those of the training")
    if several and not {*values[TARGET]} <= {*targets}:
        raise ValueError("its targets are not those of the training")
    if not {*panel.static} <= {*numbers, *texts}:
        raise ValueError("its static columns are not there")
    return panel


def _recalled_states(given: LiveState, fitted: Preprocessing, count: int) -> State | None:
    """The states of smoothing of the `count` series that have one."""
    if not count:
        return None
    like = fitted.smoothing.blank(1)

    def checked(name: str, of: NDArray[Any]) -> NDArray[Any]:
        return given.array(f"state.{name}", of.dtype.type, count, *of.shape[1:])

    every: dict[str, Any] = {name: checked(name, getattr(like, name)) for name in OF_STATE}
    seasons = [checked(f"season.{place}", of) for place, of in enumerate(like.season)]
    return State(season=seasons, **every)
