"""The page of `gated compare`: scores, costs and gradients of RNN, GRU and LSTM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gated.report.drawing import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    Picture,
    finish,
    method_colours,
    new_figure,
    style,
)
from gated.report.gradients import Line, gradient_picture
from gated.report.page import Drawing, Page, Section, Table, Text, write_page
from gated.report.training import reproduction_section
from gated.tasks.comparison import Comparison, Row

COLOURS = {"rnn": ORANGE, "gru": GREEN, "lstm": BLUE}
COSTS = {
    "parameters": ("parameters", ",.0f"),
    "seconds_per_epoch": ("s/epoch", ".1f"),
    "seconds_to_best": ("s to best", ".1f"),
}
"""Figures before the scores: how tables head and write them."""
REACH = ("reach, steps", ".0f")


def _colours(comparison: Comparison) -> dict[str, str]:
    cells = list(comparison.summary())
    return COLOURS if set(cells) <= set(COLOURS) else method_colours(cells)


def comparison_table(comparison: Comparison) -> Table:
    """Return a row for each cell, mean ± spread over the seeds, then the baselines."""
    summary = comparison.summary()
    columns = {
        **COSTS,
        **{name: (name, ".3f") for name in comparison.scores},
        "gradient_reach": REACH,
    }
    rows = [
        (cell.upper(), *(_told(*figures[name], form) for name, (_, form) in columns.items()))
        for cell, figures in summary.items()
    ]
    for method, scores in comparison.baselines.items():
        figures = [f"{scores[name]:.3f}" if name in scores else "–" for name in columns]
        rows.append((method, *figures))
    cells = list(summary)
    best = [
        min(
            range(len(cells)),
            key=lambda place: comparison.better(name)(summary[cells[place]][name][0]),
        )
        if name not in ("parameters", "gradient_reach")
        else None
        for name in columns
    ]
    return Table(("", *(head for head, _ in columns.values())), rows, best)


def write_comparison_report(directory: Path, comparison: Comparison, *, command: str) -> Path:
    """Write `report.html` and `figures/*.png` into `directory` and return the page's path."""
    with style():
        sections = [
            Section(
                "Figures",
                [
                    Text(
                        "Each cell was trained with the same data, steps and seeds. Mean ± sample "
                        f"standard deviation over {_count(comparison)}. An epoch shows each "
                        "training example once; the time to the best is that of the weights that "
                        "won on validation; reach is the number of steps over which the gradient "
                        "of the loss stays above a hundredth of its largest."
                    ),
                    comparison_table(comparison),
                ],
            ),
            Section(
                "Pictures",
                [
                    Drawing(_errors(comparison)),
                    Drawing(_learning(comparison)),
                    Drawing(_gradients(comparison)),
                ],
            ),
            reproduction_section(command, comparison.config, comparison.training),
        ]
    cells = [cell.upper() for cell in comparison.summary()]
    page = Page(
        title=f"{', '.join(cells)} on one task: {comparison.task.replace('_', ' ')}",
        verdict=comparison.verdict,
        good=comparison.beaten,
        sections=sections,
    )
    return write_page(directory, page)


def _told(mean: float, spread: float, form: str) -> str:
    return f"{mean:{form}} ± {spread:{form}}" if spread else f"{mean:{form}}"


def _count(comparison: Comparison) -> str:
    seeds = len({row.seed for row in comparison.rows})
    return f"{seeds} seed{'' if seeds == 1 else 's'}"


def _rows_of(comparison: Comparison) -> dict[str, list[Row]]:
    cells: dict[str, list[Row]] = {}
    for row in comparison.rows:
        cells.setdefault(row.cell, []).append(row)
    return cells


def _errors(comparison: Comparison) -> Picture:
    """The score that decides against size, and against training time: a dot a seed."""
    figure, axes = new_figure(3.2, ncols=2, sharey=True)
    score = comparison.scores[0]
    panels: list[tuple[Any, str, str]] = [
        (axes[0], "parameters", "parameters"),
        (axes[1], "seconds_to_best", "seconds to the best weights"),
    ]
    for panel, name, label in panels:
        for cell, rows in _rows_of(comparison).items():
            panel.plot(
                [getattr(row, name) for row in rows],
                [row.scores[score] for row in rows],
                "o",
                color=_colours(comparison)[cell],
                markersize=8,
                alpha=0.85,
                label=cell.upper(),
            )
        for method, scores in comparison.baselines.items():
            if score not in scores:
                continue
            panel.axhline(scores[score], color=MUTED, linewidth=1, linestyle="--")
            panel.annotate(
                method,
                (1, scores[score]),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=8.5,
                color=MUTED,
            )
        panel.set_xlabel(label)
        panel.set_xlim(left=0)
        panel.locator_params(axis="x", nbins=5)
        panel.margins(x=0.15, y=0.15)
    axes[0].set_ylabel(score)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return finish(
        figure,
        "error_by_cell",
        description="Score of each cell and seed against its size and its training time.",
        caption="The score against size, and against training time; a dot is a seed. Dots of one "
        "colour lie as far apart as chance puts them: smaller differences between colours mean "
        "nothing.",
    )


def _learning(comparison: Comparison) -> Picture:
    figure, axes = new_figure(3.2)
    score = comparison.rows[0].history.score or comparison.rows[0].history.measure
    for cell, rows in _rows_of(comparison).items():
        for place, row in enumerate(rows):
            history, seconds = row.history, np.cumsum(row.history.seconds)
            axes.plot(
                [seconds[of.step - 1] for of in history.validations],
                [of.scores.get(score, history.validation_loss(of)) for of in history.validations],
                color=_colours(comparison)[cell],
                alpha=0.85,
                label=cell.upper() if place == 0 else None,
            )
    axes.set_xlabel("seconds of training")
    axes.set_ylabel(f"{score}, validation")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return finish(
        figure,
        "learning_by_cell",
        description=f"{score} of each cell and seed on validation over training time.",
        caption=f"The {score} on validation over the time spent; each line is a seed.",
    )


def _gradients(comparison: Comparison) -> Picture:
    colours = _colours(comparison)
    return gradient_picture(
        [Line(row.cell.upper(), colours[row.cell], row.gradient_norms) for row in comparison.rows],
        xlabel="steps back from the last one read",
        caption="How far back each network learns from: the gradient of the loss with respect to "
        "the first layers' states. A steep fall is the vanishing gradient; the dashed line is the "
        "hundredth at which reach is measured.",
    )
