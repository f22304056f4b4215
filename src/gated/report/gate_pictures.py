"""Pictures of a layer's gates and states over time, above the input that it read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gated.report.drawing import Picture, finish
from gated.report.timeline import View, colour_bar, diverging, heat_map, panels_over_time, strongest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GATE_HEIGHT = 1.25
"""Height of a panel in inches."""
WORDS = {
    "forget_gate": "forget gate: what is kept",
    "input_gate": "input gate: what is written",
    "output_gate": "output gate: what is output",
    "update_gate": "update gate: what is kept",
    "reset_gate": "reset gate: how much of the past state the candidate reads",
    "candidate": "candidate: what would be written",
    "cell": "cell state: the memory",
    "hidden": "hidden state: the output",
}


def gates_picture(view: View) -> Picture:
    """Draw every gate and the memory of one sequence, the unit with the longest memory on top."""
    names = drawn_values(view)
    figure, axes = panels_over_time(view, [GATE_HEIGHT] * len(names))
    _draw_values(figure, axes, view, names)
    known = view.layer.statistics.memory is not None
    ordered = "how long they remember" if known else "how slowly they change"
    return finish(
        figure,
        view.place("gates"),
        description=f"Heat maps of the gates and the memory of {view.layer.title}, over time.",
        caption=f"{view.layer.title}: a row for each of {view.layer.traced.size} units, in the "
        f"same order in all panels, by {ordered}, longest on top. Gates are bright where they are "
        "open; states and candidates are blue above zero and orange below.",
    )


def drawn_values(view: View) -> list[str]:
    """Return the names of a layer's gates and state in the order in which they are drawn."""
    values = view.layer.traced.values
    keeping = view.layer.traced.keeping_gate
    gates = sorted((name for name in values if name.endswith("_gate")), key=lambda n: n != keeping)
    state = "cell" if "cell" in values else "hidden"
    return [*gates, *(["candidate"] if "candidate" in values else []), state]


def _draw_values(figure: Figure, axes: list[Axes], view: View, names: list[str]) -> None:
    traced = view.layer.traced
    for panel, name in zip(axes, names, strict=True):
        values = traced.values[name][view.steps, view.sequence][:, view.layer.by_memory].T
        if name.endswith("_gate"):
            drawn = heat_map(panel, values, view, "viridis", least=0, most=1)
            colour_bar(figure, drawn, panel, [0, 0.5, 1])
        else:
            most = 1.0 if name in ("candidate", "hidden") else strongest(values)
            drawn = heat_map(panel, values, view, diverging(), least=-most, most=most)
            beyond = "neither" if np.abs(values).max() <= most else "both"
            colour_bar(figure, drawn, panel, [-most, 0, most], beyond)
        panel.set_title(WORDS.get(name, name))
        panel.set_ylabel("unit")
        panel.set_yticks([])
        panel.tick_params(axis="x", length=0)
