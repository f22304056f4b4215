"""Pictures over the steps of a sequence: its characters, words or times as axis, and its input."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gated.explain import ExplainedLayer, Timeline
from gated.report.drawing import BLUE, INK, METHOD_COLOURS, ORANGE, WIDTH, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNAL_HEIGHT = 0.95
"""Height in inches of a panel that shows the input."""
MOST_WORDS = 60
"""Words that are written side by side at most; of more, every second, third, … is written."""
VISIBLE = {"\n": "↵", "\t": "⇥", " ": "␣", "\r": "↵"}
POINTS = 0.85 * WIDTH * 72
"""About the width of a panel, in points."""


@dataclass(frozen=True)
class View:
    """Some steps of one sequence, in one layer."""

    layer: ExplainedLayer
    timeline: Timeline
    sequence: int
    """Index of the sequence."""
    first: int
    """The first step that is shown."""
    last: int
    """The last step that is shown."""

    @property
    def steps(self) -> slice:
        """The shown steps, as a slice."""
        return slice(self.first, self.last + 1)

    @property
    def count(self) -> int:
        """Number of shown steps."""
        return self.last + 1 - self.first

    def place(self, name: str) -> str:
        """Return a name for a picture of this layer that no other picture of the page has."""
        return f"{name}_{self.layer.place}"

    @property
    def now(self) -> int:
        """The step whose state the ledger explains: the last shown step that the layer reads."""
        return self.first if self.layer.traced.reverse else self.last

    @property
    def moment(self) -> str:
        """The step `now` in words."""
        label = self.timeline.labels[self.now]
        if isinstance(label, np.datetime64):
            return str(np.datetime_as_string(label, unit="m")).replace("T", " ")
        shown = f" (“{VISIBLE.get(label, label)}”)" if isinstance(label, str) else ""
        return f"step {self.now}{shown}"


def label_steps(axes: Axes, view: View) -> None:
    """Write the characters, words, times or numbers of the shown steps under `axes`."""
    labels = view.timeline.labels[view.steps]
    steps = np.arange(view.first, view.last + 1)
    axes.set_xlim(view.first - 0.5, view.last + 0.5)
    axes.set_xlabel(view.timeline.unit)
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "M":
        _times(axes, labels, steps)
    elif _are_texts(view):
        _texts(axes, [str(label) for label in labels], steps)
    else:
        chosen = steps[:: max(1, -(-len(steps) // 10))]
        axes.set_xticks(chosen, [f"{labels[step - view.first]}" for step in chosen])


def _are_texts(view: View) -> bool:
    return all(isinstance(label, str) for label in view.timeline.labels[view.steps])


def _times(axes: Axes, times: NDArray[Any], steps: NDArray[np.int64]) -> None:
    """Write times at the steps that are nearest to round times."""
    from matplotlib import dates

    locator: Any = dates.AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    formatter: Any = dates.ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator,
        formats=["%Y", "%b %Y", "%b %d", "%H:%M", "%H:%M", "%S.%f"],
        zero_formats=["", "%Y", "%b %d", "%b %d", "%H:%M", "%H:%M"],
        offset_formats=["", "%Y", "%Y", "%Y", "%Y-%m-%d", "%Y-%m-%d %H:%M"],
    )
    days = dates.date2num(times)  # type: ignore[no-untyped-call]
    if len(times) == 1:
        axes.set_xticks(steps, [str(times[0].astype("datetime64[m]")).replace("T", " ")])
        return
    round_days = locator.tick_values(times[0].item(), times[-1].item())
    round_days = [day for day in round_days if days[0] <= day <= days[-1]]
    nearest = [int(np.abs(days - day).argmin()) for day in round_days]
    axes.set_xticks(steps[nearest], formatter.format_ticks(round_days))
    axes.set_xlabel(f"{axes.get_xlabel()} {formatter.get_offset()}".rstrip())


def _texts(axes: Axes, texts: Sequence[str], steps: NDArray[np.int64]) -> None:
    """Write every character; or words, turned by 90°, leaving some out if there are many."""
    shown = ["".join(VISIBLE.get(letter, letter) for letter in text) for text in texts]
    if max(map(len, shown)) <= 2:
        wide = any(unicodedata.east_asian_width(letter) in "WF" for t in shown for letter in t)
        _characters(axes, shown, steps, min(9.5, POINTS / len(steps) * (0.95 if wide else 1.4)))
    else:
        every = -(-len(steps) // MOST_WORDS)
        axes.set_xticks(
            steps[::every], [short(text, 16) for text in shown[::every]], rotation=90, fontsize=8.5
        )
    axes.tick_params(axis="x", length=0, labelcolor=INK)


def _characters(axes: Axes, shown: Sequence[str], steps: NDArray[np.int64], size: float) -> None:
    """Write characters of so many points under `axes`.

    They are plain texts: as ticks, each laid out and drawn with its lines, they took most of the
    time of a picture.
    """
    from matplotlib import rcParams
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    figure: Any = axes.figure
    gap = rcParams["xtick.major.pad"]
    below: Any = blended_transform_factory(axes.transData, axes.transAxes)
    below += ScaledTranslation(0, -gap / 72, figure.dpi_scale_trans)
    for step, text in zip(steps.tolist(), shown, strict=True):
        written = axes.text(
            step, 0, text, transform=below, ha="center", va="top", fontsize=size, color=INK
        )
        written.set_in_layout(False)  # the label of the axis keeps their room
    axes.set_xticks([])
    axes.xaxis.labelpad += gap + 1.2 * size


def panels_over_time(view: View, heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Return a figure and its empty panels over the steps; the input is drawn below these.

    Args:
        view: the steps.
        heights: of the empty panels, in inches.
    """
    from matplotlib.figure import Figure

    lines = {name: of for name, of in view.timeline.signals.items() if np.ndim(of) == 1}
    images = {name: of for name, of in view.timeline.signals.items() if np.ndim(of) == 2}
    every = [*heights, *[SIGNAL_HEIGHT] * (bool(lines) + len(images))]
    figure = Figure(figsize=(WIDTH, sum(every) + 0.28 * len(every) + 0.5), layout="constrained")
    axes = figure.subplots(len(every), 1, sharex=True, squeeze=False, height_ratios=every)[:, 0]
    below = iter(axes[len(heights) :])
    if lines:
        _lines(next(below), lines, view)
    for (name, values), panel in zip(images.items(), below, strict=True):
        heat_map(panel, np.asarray(values)[view.steps].T, view, "viridis")
        panel.set_title(short(name))
    label_steps(axes[-1], view)
    if _are_texts(view):
        axes[-1].grid(False, axis="x")
        # Without grid and labels nothing is drawn there; hidden ticks take most of the time.
        for panel in axes[:-1]:
            panel.xaxis.set_visible(False)
    return figure, list(axes[: len(heights)])


def _lines(panel: Axes, lines: Mapping[str, NDArray[Any]], view: View) -> None:
    steps = np.arange(view.first, view.last + 1)
    colours = (INK, *METHOD_COLOURS)
    for place, (name, values) in enumerate(lines.items()):
        colour = colours[place % len(colours)]
        panel.plot(steps, values[view.steps], color=colour, linewidth=1.2, label=short(name))
    if len(lines) == 1:
        panel.set_title(", ".join(map(short, lines)))
    else:  # in place of a title: a legend within the panel would hide the lines
        panel.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8, borderaxespad=0.2
        )


def heat_map(
    axes: Axes,
    values: NDArray[Any],
    view: View,
    colours: Any,
    *,
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """Draw `values` `(rows, steps)` of the shown steps, each a sharp tile, the first row on top."""
    axes.grid(False)
    return axes.imshow(
        values,
        cmap=colours,
        vmin=least,
        vmax=most,
        aspect="auto",
        interpolation="none",
        extent=(view.first - 0.5, view.last + 0.5, len(values) - 0.5, -0.5),
    )


def strongest(values: NDArray[Any]) -> float:
    """Return a limit for the colours of a heat map: the 98th percentile of the absolute values.

    With the largest value as limit, a few extreme units would make all others look empty.
    """
    return max(float(np.percentile(np.abs(values), 98)), 1e-6)


def colour_bar(
    figure: Figure, drawn: Any, panel: Axes, ticks: Sequence[float], extend: str = "neither"
) -> None:
    """Draw a colour bar for the heat map `drawn` beside its `panel`."""
    bar = figure.colorbar(
        drawn, ax=panel, ticks=ticks, format="%.2g", pad=0.01, aspect=12, extend=extend
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def diverging() -> Any:
    """Return a colour map: blue above zero, orange below as in diagrams, transparent at zero."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    low, high = to_rgb(ORANGE), to_rgb(BLUE)
    stops = [(0, (*low, 1)), (0.5, (*low, 0)), (0.5, (*high, 0)), (1, (*high, 1))]
    return LinearSegmentedColormap.from_list("signs", stops)
