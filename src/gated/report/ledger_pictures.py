"""Pictures of the ledger: the contribution of each past step to the memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gated.explain import Entries, by_age, entries, shares_by_age
from gated.report.drawing import BLUE, INK, LINE, MUTED, Picture, finish, new_figure
from gated.report.timeline import View, colour_bar, diverging, heat_map, panels_over_time

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

AGES = (0, 1, 3, 6, 12, 24, 48, 96, 192, 384)
"""The smallest age of each class, in steps."""
MOST_BARS = 16


def ledger_pictures(view: View) -> list[Picture]:
    """Draw the contributions to the memory at one step, by past step and by unit, and over time.

    Raises:
        ConfigurationError: the layer's state is not a sum over past steps.
    """
    traced = view.layer.traced
    written = int(traced.lengths[view.sequence]) - view.now if traced.reverse else view.now + 1
    ages = [age for age in AGES if age < written]
    shares = {}
    # One step at a time: all entries at once may not fit in memory for a long sequence.
    for now in entries(traced, sequence=view.sequence):
        if view.first <= now.step <= view.last:
            shares[now.step] = mean_shares(now, ages)
        if now.step == view.now:
            break
    over_time = np.array([shares[step] for step in range(view.first, view.last + 1)])
    return [_by_step(view, now), _by_unit(view, now, ages), _over_time(view, over_time, ages)]


def age_names(ages: Sequence[int]) -> list[str]:
    """Return a name for each class of ages, and one for the first state.

    >>> age_names([0, 1, 3])
    ['now', '1–2', '3 and more', 'first state']
    """
    ends = [*ages[1:], None]
    names = [
        f"{age} and more" if end is None else str(age) if end == age + 1 else f"{age}–{end - 1}"
        for age, end in zip(ages, ends, strict=True)
    ]
    return ["now", *names[1:], "first state"]


def age_colours(count: int) -> list[str]:
    """Return a colour for each class, bright for new and dark for old; grey for the first state."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    scale = colormaps["viridis"]
    return [*(to_hex(scale(place)) for place in np.linspace(0.97, 0.1, count)), MUTED]


def _by_step(view: View, now: Entries) -> Picture:
    """Draw a bar for each past step, and below it a tile for each unit and past step."""
    order = np.argsort(now.steps)
    written = now.written[order][:, view.layer.by_memory]
    inside = (now.steps[order] >= view.first) & (now.steps[order] <= view.last)
    figure, (upper, lower) = panels_over_time(view, [0.9, 2.2])
    share = np.abs(written).sum(axis=1)
    share = 100 * share / max(float(share.sum() + np.abs(now.initial).sum()), 1e-12)
    upper.bar(now.steps[order][inside], share[inside], width=0.85, color=BLUE)
    upper.set_ylabel("% of memory")
    upper.set_title(f"share of the memory at {view.moment}, by the step that wrote it")
    whole = np.zeros((view.count, written.shape[1]))
    whole[now.steps[order][inside] - view.first] = written[inside]
    most = max(float(np.abs(whole).max()), 1e-6)
    drawn = heat_map(lower, whole.T, view, diverging(), least=-most, most=most)
    colour_bar(figure, drawn, lower, [-most, 0, most])
    lower.set_title("written by each step, as far as it is still in memory")
    lower.set_ylabel("unit")
    lower.set_yticks([])
    return finish(
        figure,
        view.place("ledger"),
        description=f"The contribution of each past step to the memory of {view.layer.title}.",
        caption=f"{view.layer.title}: the state after {view.moment} is a sum of what each past "
        "step wrote. On top the share of each step in absolute values over all units; below the "
        "entries of each unit, the longest memory on top, blue above zero and orange below.",
    )


def _by_unit(view: View, now: Entries, ages: Sequence[int]) -> Picture:
    """Draw a stacked bar for each of the units with the largest states."""
    chosen = np.argsort(-np.abs(now.state), kind="stable")[:MOST_BARS]
    held = by_age(now, ages)[:, chosen]
    figure, axes = new_figure(1.3 + 0.22 * len(chosen))
    stacks(axes, held, ages)
    axes.scatter(
        now.state[chosen], np.arange(len(chosen)), marker="D", s=26, color=INK, zorder=3,
        edgecolors="white", linewidths=0.8, label="the state: their sum",
    )  # fmt: skip
    axes.margins(x=0.03)
    axes.use_sticky_edges = False
    axes.set_yticks(np.arange(len(chosen)), [f"unit {unit}" for unit in chosen])
    axes.invert_yaxis()
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_xlabel("part of the state; stacked by age in steps")
    axes.grid(False, axis="y")
    _legend(figure, axes)
    return finish(
        figure,
        view.place("ledger_units"),
        description=f"The memory of single units of {view.layer.title}, stacked by age.",
        caption=f"{view.layer.title} after {view.moment}: the {len(chosen)} units with the largest "
        "states, each a stack of contributions by how many steps ago they were written. Negative "
        "contributions are left of zero, positive ones right; the diamond, the state, is the sum.",
    )


def drawn_classes(held: Floats, ages: Sequence[int]) -> list[tuple[Any, str, str]]:
    """Return the classes of `held` `(A + 1, …)`, their names and colours.

    The first state is left out if it is zero.
    """
    classes = list(zip(held, age_names(ages), age_colours(len(ages)), strict=True))
    return classes if np.any(held[-1]) else classes[:-1]


def stacks(axes: Axes, held: Floats, ages: Sequence[int]) -> None:
    """Draw horizontal bars, positive parts to the right and negative ones to the left.

    Args:
        axes: where to draw.
        held: `(A + 1, U)` contributions, from `gated.explain.by_age`.
        ages: `(A,)`, the smallest age of each class.
    """
    right, left = np.zeros(held.shape[1]), np.zeros(held.shape[1])
    rows = np.arange(held.shape[1])
    for values, name, colour in drawn_classes(held, ages):
        begin = np.where(values >= 0, right, left)
        axes.barh(rows, values, left=begin, height=0.8, color=colour, label=name)
        right += np.maximum(values, 0)
        left += np.minimum(values, 0)


def _over_time(view: View, shares: Floats, ages: Sequence[int]) -> Picture:
    """Draw an area for each class of age, from their shares `(steps, A + 1)`."""
    figure, (axes,) = panels_over_time(view, [2.3])
    values, names, colours = zip(*drawn_classes(100 * shares.T, ages), strict=True)
    steps = np.arange(view.first, view.last + 1)
    axes.stackplot(steps, values, colors=colours, labels=names, edgecolor=LINE, linewidth=0.3)
    axes.set_ylim(0, 100)
    axes.set_ylabel("% of memory")
    _legend(figure, axes)
    return finish(
        figure,
        view.place("ledger_ages"),
        description=f"How old the memory of {view.layer.title} is, over time.",
        caption=f"{view.layer.title}: at each step, the share of its memory by how many steps ago "
        "it was written: in absolute values, the mean over its units.",
    )


def mean_shares(found: Entries, ages: Sequence[int]) -> Floats:
    """Return `(A + 1,)`, the share of each age, the mean over the units whose state is not zero."""
    shares = shares_by_age(found, ages)
    holding = shares.sum(axis=0) > 0
    mean: Floats = shares[:, holding].mean(axis=1) if holding.any() else 0 * shares[:, 0]
    return mean


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=10, columnspacing=1.0,
                  handlelength=1.2, fontsize=8.5)  # fmt: skip
