"""Pictures of the units of a network over a data set: saturation of gates, length of memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gated.explain import LEFT, RIGHT, ExplainedLayer
from gated.report.drawing import METHOD_COLOURS, MUTED, Picture, finish, new_figure, shared_legend

MARKERS = "osD^vP*X"
LONGEST = 1e4
"""Steps at which the axis of memory lengths ends; longer memories are drawn there."""


def saturation_picture(layers: Sequence[ExplainedLayer]) -> Picture:
    """Draw for each gate how often its units are shut and how often open (Karpathy et al. 2015).

    Args:
        layers: of which at least one has gates.
    """
    gates = list(dict.fromkeys(gate for layer in layers for gate in layer.statistics.left))
    figure, axes = new_figure(3.7, ncols=len(gates), sharex=True, sharey=True, squeeze=False)
    for panel, gate in zip(axes[0], gates, strict=True):
        panel.plot([0, 1], [1, 0], color=MUTED, linewidth=0.8, linestyle="--")
        for place, layer in enumerate(layers):
            if gate not in layer.statistics.left:
                continue
            panel.scatter(
                layer.statistics.right[gate],
                layer.statistics.left[gate],
                s=22,
                alpha=0.65,
                color=METHOD_COLOURS[place % len(METHOD_COLOURS)],
                marker=MARKERS[place % len(MARKERS)],
                linewidths=0,
                label=layer.title,
            )
        panel.set_title(gate.replace("_", " "))
        panel.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
        panel.set_xlabel(f"share of steps open (> {RIGHT:g})")
    axes[0, 0].set_ylabel(f"share of steps shut (< {LEFT:g})")
    shared_legend(figure, axes[0, 0], columns=3)
    return finish(
        figure,
        "saturation",
        description="Share of steps in which each unit's gates are open, and shut.",
        caption="A mark for each unit, over all steps of the data. At the lower left, gates that "
        "take values in between; at the lower right, gates that are mostly open; at the upper "
        "left, mostly shut; on the dashed line, always one or the other (after Karpathy, Johnson "
        "and Fei-Fei 2015).",
    )


def memory_picture(layers: Sequence[ExplainedLayer]) -> Picture:
    """Draw how long each unit remembers, from the longest to the shortest.

    Args:
        layers: of which at least one has a gate that keeps its state.
    """
    from matplotlib.ticker import LogLocator

    figure, axes = new_figure(3.0)
    for place, layer in enumerate(layers):
        if layer.statistics.memory is None:
            continue
        memory = np.minimum(layer.statistics.memory[layer.by_memory], LONGEST)
        axes.plot(
            np.arange(1, len(memory) + 1),
            memory,
            marker=MARKERS[place % len(MARKERS)],
            markersize=3.5,
            linewidth=0.8,
            color=METHOD_COLOURS[place % len(METHOD_COLOURS)],
            label=layer.title,
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("units, from the longest memory to the shortest")
    axes.set_ylabel("steps until 1/e is left")
    shared_legend(figure, axes, columns=3)
    return finish(
        figure,
        "memory_by_unit",
        description="How long each unit remembers.",
        caption="Number of steps in which the content of a unit falls to 1/e, from the mean "
        f"logarithm of the gate that keeps it; {LONGEST:,.0f} also stands for more.",
    )
