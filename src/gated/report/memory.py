"""The page of `gated memory-test`: what each cell solved, and the gradients that explain it."""

from __future__ import annotations

from pathlib import Path

from gated.report.drawing import MUTED, Picture, finish, method_colours, new_figure, style
from gated.report.gradients import Line, gradient_picture
from gated.report.page import Code, Drawing, Page, Section, Table, Text, write_page
from gated.tasks.memory.longest import MemoryTest
from gated.tasks.memory.problems import PROBLEMS


def memory_table(test: MemoryTest) -> Table:
    """A row for each cell: the score at each length, and the longest solved."""
    rows = []
    for cell in test.cells:
        told = []
        for length in test.lengths:
            trial = test.of(cell, length)
            told.append("–" if trial is None else f"{trial.score:.3g}{' ✓' * trial.solved}")
        rows.append((cell, *told, str(test.longest(cell))))
    header = ("", *(f"T = {length}" for length in test.lengths), "longest solved")
    longest = [test.longest(cell) for cell in test.cells]
    best = longest.index(max(longest)) if max(longest) else None
    return Table(header, rows, [*(None for _ in test.lengths), best])


def write_memory_report(directory: Path, test: MemoryTest, *, command: str) -> Path:
    """Write `report.html` and `figures/*.png` into `directory` and return the page's path."""
    problem = PROBLEMS[test.problem]
    told = " ".join((problem.__doc__ or "").split())
    with style():
        sections = [
            Section(
                "Figures",
                [
                    Text(told),
                    Text(
                        f"One layer of {test.units} units, at most {test.training.steps} steps of "
                        f"{test.training.batch_size} sequences a trial, one trial for each cell "
                        f"and length. The score is the {problem.unit} on test sequences; who "
                        f"remembers nothing has {problem.chance:.3g}, and below "
                        f"{problem.solved:.3g} it counts as solved (✓). A cell is tried up to the "
                        "first length that it does not solve."
                    ),
                    memory_table(test),
                ],
            ),
            Section("Pictures", [Drawing(_scores(test)), Drawing(_gradients(test))]),
            Section("Again", [Code(command)]),
        ]
    page = Page(
        title=f"How long networks remember: {test.problem}",
        verdict=test.verdict,
        good=any(test.longest(cell) for cell in test.cells),
        sections=sections,
    )
    return write_page(directory, page)


def _scores(test: MemoryTest) -> Picture:
    problem = PROBLEMS[test.problem]
    colours = method_colours(test.cells)
    figure, axes = new_figure(3.2)
    for place, cell in enumerate(test.cells):
        trials = [trial for trial in test.trials if trial.cell == cell]
        axes.plot(
            [trial.length for trial in trials],
            [trial.score for trial in trials],
            marker="osD^vP*"[place % 7],
            color=colours[cell],
            label=cell,
        )
    for value, name in ((problem.chance, "without memory"), (problem.solved, "solved below")):
        axes.axhline(value, color=MUTED, linewidth=1, linestyle="--")
        axes.annotate(
            name,
            (1, value),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=8.5,
            color=MUTED,
        )
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("length T")
    axes.set_ylabel(problem.unit)
    axes.set_xticks(test.lengths)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return finish(
        figure,
        "score_by_length",
        description=f"{problem.unit} of each cell at each length.",
        caption="The score of each cell as the length grows, to the first that it does not solve.",
    )


def _gradients(test: MemoryTest) -> Picture:
    shared = max(
        length for length in test.lengths if all(test.of(cell, length) for cell in test.cells)
    )
    colours = method_colours(test.cells)
    trials = [(cell, test.of(cell, shared)) for cell in test.cells]
    return gradient_picture(
        [
            Line(cell, colours[cell], trial.gradient_norms)
            for cell, trial in trials
            if trial is not None
        ],
        xlabel=f"steps back from the end, T = {shared}",
        caption="How far back each network could learn from before its first step of training: the "
        "gradient of the loss with respect to its states. What falls below the dashed line, a "
        "hundredth, hardly teaches.",
    )
