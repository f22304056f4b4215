"""A forecaster that goes on from another one, with rows that came after it was fitted.

It begins with the other's weights. Series that the other knows keep their scale, their smoothing
and their learned vector, so that the weights mean what they meant; what the other has not learned
from stays held out, so that validation still tells something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gated.data.findings import Finding
from gated.errors import DataError, option
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.split import divided

Stretches = tuple[tuple[int, int], ...]
Network = TypeVar("Network", bound=nn.Module)

SHARE = 1 / 3
"""Of the steps of a training from random weights."""
HIGHEST_RATE = 1e-3
"""Of learning: what was learned is not to be unlearned first."""


def held_out_again(
    prepared: Prepared, known: Preprocessing, held_out_from: int, validated: Stretches
) -> Prepared:
    """Return the data with what the other forecaster has not learned from held out.

    Its validation part is that of the other, and a part of the steps that are new.

    Args:
        prepared: the new data, split.
        known: what the other learned of its own.
        held_out_from: the time from which on it has learned nothing.
        validated: times at which the stretches of its validation part begin and end.

    Raises:
        DataError: the table does not hold the history of the series, or nothing that is new.
    """
    panel, split = prepared.panel, prepared.split
    assert split is not None  # noqa: S101 - data to fit are split
    config = prepared.preprocessing.config
    new = _tick(panel, held_out_from)
    _check(prepared, known, new, split.test)
    # A stretch that the table no longer reaches keeps its place: they take turns among networks.
    former = [(_tick(panel, begin), _tick(panel, end)) for begin, end in validated]
    room, members = split.test - new, config.members or 1
    found: Stretches = ()
    if config.validation and members > 1:
        found = divided(new, split.test, min(members, room // config.horizon))
    elif config.validation:
        size = max(round(config.validation * room), config.horizon)
        found = ((split.test - size, split.test),) if room >= 2 * size else ()
    gone = [name for name in known.series if name not in set(panel.series)]
    findings = prepared.findings
    if gone:
        findings += (
            Finding(
                kind="gone",
                count=len(gone),
                what="series: known before, and not in the table",
                action="forgotten",
                series=tuple(gone),
                example=f"'{gone[0]}'",
            ),
        )
    return replace(prepared, split=replace(split, validation=(*former, *found)), findings=findings)


def _check(prepared: Prepared, known: Preprocessing, new: int, test: int) -> None:
    """Refuse a table that holds only new rows, or none.

    Args:
        prepared: the new data.
        known: what was learned before.
        new: the first tick that was not learned from.
        test: the first tick of the test part.
    """
    panel, config = prepared.panel, prepared.preprocessing.config
    which = np.flatnonzero(np.isin(panel.series, known.series))
    if not len(which):
        raise DataError(
            "The model knows none of the series of this table, so it is no update. Fit a new one; "
            f"{option('init_from')} begins with the model's weights."
        )
    if test <= new:
        raise DataError(
            "The table holds nothing new to learn from: the model was trained on what came before "
            f"{panel.grid.label(_time(panel, new))}, and the test part of this table begins at "
            f"{panel.grid.label(_time(panel, test))}. Give a table that reaches further, or hold "
            f"back less ({option('test')})."
        )
    begins, lengths = panel.starts[:-1], np.diff(panel.starts)
    before = np.add.reduceat(panel.ticks < new, begins, dtype=np.int64)[which]
    needed = (config.history or 1) + config.horizon
    short = int(before.argmin())
    if before.max() >= needed and before[short] > 0:
        return
    name = panel.series[which[short]]
    raise DataError(
        f"The table holds {lengths[which[short]]:,} steps{f' of {name!r}' if name else ''}, "
        f"{before[short]:,} of them from before {panel.grid.label(_time(panel, new))}, when the "
        "new rows begin. The model does not keep the data that it was trained on: give the whole "
        f"table, old rows and new ones (at least {needed:,} steps of the old)."
    )


def carried_over(
    network: Network, weights: Mapping[str, Tensor], own: Sequence[str], known: Sequence[str]
) -> Network:
    """Give series that were known before their learned vectors, and new ones the mean of these.

    Args:
        network: has a vector for each series, in parameters named `series.weight`.
        weights: of the other network, by name.
        own: names of the series.
        known: those of the other network.
    """
    lookup = {name: place for place, name in enumerate(known)}
    which = torch.tensor([lookup.get(name, -1) for name in own])
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name == "series.weight" or name.endswith(".series.weight"):
                theirs = weights[name]
                vectors = torch.where(which[:, None] < 0, theirs.mean(0), theirs[which])
                parameter.copy_(vectors)
    return network


def times_of(panel: Panel, stretches: Stretches) -> Stretches:
    """Return the times at which stretches of ticks begin and end."""
    return tuple((_time(panel, begin), _time(panel, end)) for begin, end in stretches)


def _time(panel: Panel, tick: int) -> int:
    """Time of the first step at `tick` or later."""
    later: Integers = panel.times[panel.ticks >= tick]
    return int(later.min()) if len(later) else int(panel.times.max()) + 1


def _tick(panel: Panel, time: int) -> int:
    """First tick at `time` or later."""
    later: Integers = panel.ticks[panel.times >= time]
    return int(later.min()) if len(later) else int(panel.ticks.max()) + 1
