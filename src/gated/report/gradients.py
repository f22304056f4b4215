"""Pictures of the gradient of a loss over the steps back in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.report.drawing import MUTED, Picture, finish, new_figure

SMALLEST = 1e-12
"""Smaller shares are not drawn: the gradient has vanished."""


class Line(NamedTuple):
    """The gradient of one network."""

    label: str
    """Lines of the same label share an entry of the legend."""
    colour: str
    norms: NDArray[np.float64]
    """(T,), as shares of the largest, oldest step first."""
    every: int = 1
    """Steps from one norm to the next."""


def gradient_picture(
    lines: Sequence[Line],
    *,
    xlabel: str,
    caption: str,
    ylabel: str = "gradient, share of its largest",
    name: str = "gradient_by_cell",
) -> Picture:
    """Draw gradient norms over the steps back from the end, on a logarithmic axis."""
    figure, axes = new_figure(3.2)
    labelled: set[str] = set()
    for label, colour, norms, every in lines:
        back = np.arange(len(norms))[::-1] * every
        axes.plot(
            back,
            np.where(norms < SMALLEST, np.nan, norms),
            color=colour,
            alpha=0.85,
            label=None if label in labelled else label,
        )
        labelled.add(label)
    axes.axhline(0.01, color=MUTED, linewidth=1, linestyle="--")
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    longest = max(map(len, labelled), default=0)
    columns = 4 if longest <= 18 else 3 if longest <= 28 else 2
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=columns)
    return finish(
        figure,
        name,
        description="Norm of the loss's gradient over the steps back in time.",
        caption=caption,
    )
