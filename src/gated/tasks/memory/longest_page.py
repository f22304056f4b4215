"""The page of `gated memory-test`: the lengths that each cell solved, and its gradients."""

from __future__ import annotations

from pathlib import Path

from gated.report.drawing import MUTED, Picture, finish, method_colours, new_figure, style
from gated.report.gradients import Line, gradient_picture
from gated.report.page import Code, Drawing, Page, Section, Table, Text, write_page
from gated.tasks.memory.gradient import Reach
from gated.tasks.memory.longest import MemoryTest, Trial
from gated.tasks.memory.problems import PROBLEMS


def memory_table(test: MemoryTest) -> Table:
    """A row for each cell: median score and solving seeds by length, and the greatest length."""
    rows = [
        (cell, *(_told(test, cell, length) for length in test.lengths), str(test.longest(cell)))
        for cell in test.cells
    ]
    header = ("", *(f"T = {length}" for length in test.lengths), "longest solved")
    longest = [test.longest(cell) for cell in test.cells]
    best = longest.index(max(longest)) if max(longest) else None
    return Table(header, rows, [*(None for _ in test.lengths), best])


def _told(test: MemoryTest, cell: str, length: int) -> str:
    trials = test.of(cell, length)
    if not trials:
        return "–"
    solved = sum(trial.solved for trial in trials)
    return f"{test.score(cell, length):.3g} ({solved} of {len(trials)})"


def write_memory_report(directory: Path, test: MemoryTest, *, command: str) -> Path:
    """Write `report.html` and `figures/*.png` into `directory` and return the page's path."""
    problem = PROBLEMS[test.problem]
    description = " ".join((problem.__doc__ or "").split())
    trials = f"{len(test.seeds)} trial{'s' * (len(test.seeds) > 1)}"
    with style():
        sections = [
            Section(
                "Figures",
                [
                    Text(description),
                    Text(
                        f"{_layers(test)} of {test.units} units, at most {test.training.budget} of "
                        f"{test.training.batch_size} sequences a trial, {trials} "
                        "for each cell and length, each from a seed of its own. The score is the "
                        f"{problem.unit} on test sequences, its median over the trials; without "
                        f"any memory it is {problem.chance:.3g}; below "
                        f"{problem.solved:.3g} a problem counts as solved. In parentheses, how "
                        "many trials solve it. A cell is tried up to the first length that it "
                        "solves in half of the trials or fewer."
                    ),
                    memory_table(test),
                ],
            ),
            Section("Pictures", [Drawing(_scores(test)), *map(Drawing, _gradients(test))]),
            Section("Again", [Code(command)]),
        ]
    page = Page(
        title=f"How long networks remember: {test.problem}",
        verdict=test.verdict,
        good=any(test.longest(cell) for cell in test.cells),
        sections=sections,
    )
    return write_page(directory, page)


def _layers(test: MemoryTest) -> str:
    return "One layer" if test.layers == 1 else f"{test.layers} layers"


def _scores(test: MemoryTest) -> Picture:
    problem = PROBLEMS[test.problem]
    colours = method_colours(test.cells)
    figure, axes = new_figure(3.2)
    for place, cell in enumerate(test.cells):
        tried = [length for length in test.lengths if test.of(cell, length)]
        axes.plot(
            tried,
            [test.score(cell, length) for length in tried],
            marker="osD^vP*"[place % 7],
            markersize=9 - 5 * place / len(test.cells),  # where two meet, both are seen
            color=colours[cell],
            label=cell,
        )
        trials = [trial for length in tried for trial in test.of(cell, length)]
        axes.plot(
            [trial.length for trial in trials],
            [trial.score for trial in trials],
            marker=".",
            linestyle="none",
            alpha=0.5,
            color=colours[cell],
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
        caption="The median score of each cell as the length grows, to the first that it does not "
        "solve; the small points are its trials.",
    )


def _gradients(test: MemoryTest) -> list[Picture]:
    shared = max(
        length for length in test.lengths if all(test.of(cell, length) for cell in test.cells)
    )
    colours = method_colours(test.cells)
    trials = [trial for cell in test.cells for trial in test.of(cell, shared)]
    xlabel = f"steps back from the end, T = {shared}"

    def drawn(trial: Trial, of: Reach) -> Line:
        return Line(trial.cell, colours[trial.cell], of.norms, of.every)

    return [
        gradient_picture(
            [drawn(trial, trial.before) for trial in trials],
            xlabel=xlabel,
            name="gradient_before",
            caption="How far back each network could learn before its first training step: "
            "the gradient of the loss with respect to its states. What falls below the dashed "
            "line, a hundredth, hardly has an effect on training.",
        ),
        gradient_picture(
            [drawn(trial, trial.after) for trial in trials],
            xlabel=xlabel,
            name="gradient_after",
            caption="The same after training: "
            + (
                "networks that solved the problem carry the gradient to its beginning, whatever "
                "they started from."
                if any(trial.solved for trial in trials)
                else "none solved the problem at this length."
            ),
        ),
    ]
