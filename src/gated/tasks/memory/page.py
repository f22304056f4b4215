"""The report of a network trained on a memory problem."""

from __future__ import annotations

from gated.report.drawing import BLUE, MUTED
from gated.report.gradients import Line, gradient_picture
from gated.report.page import Drawing, Section, Table, Text
from gated.report.run_page import Body
from gated.tasks.memory.gradient import reach
from gated.tasks.memory.learner import MemoryLearner
from gated.tasks.memory.score import MemoryScore


def score_table(result: MemoryScore) -> Table:
    """A row for each method."""
    unit = result.problem.unit
    rows = [(name, f"{of[unit]:.3g}") for name, of in result.figures.items()]
    values = [of[unit] for of in result.figures.values()]
    return Table(("", unit), rows, [values.index(min(values))])


def body(learner: MemoryLearner, result: MemoryScore) -> Body:
    """Describe its scores, and how far back its gradient reaches."""
    config, problem = learner.config, result.problem
    described = " ".join((type(problem).__doc__ or "").split())
    begun, trained = reach(learner.seeded(), problem), reach(learner.network, problem)
    lines = [
        Line(name, colour, of.norms, of.every)
        for name, colour, of in (
            ("with its first weights", MUTED, begun),
            ("trained", BLUE, trained),
        )
    ]
    return Body(
        title=f"Remembering: {problem.name} over {problem.length:,} steps",
        sections=[
            Section(
                "Scores",
                [
                    Text(described),
                    Text(
                        f"Trained on sequences drawn anew for each step, scored on "
                        f"{len(learner.parts.test):,} others. Without a memory, the best answer is "
                        "the same for every sequence."
                    ),
                    score_table(result),
                    Drawing(
                        gradient_picture(
                            lines,
                            xlabel="steps back from the end",
                            name="gradient",
                            caption="The gradient of the loss with respect to the states. It spans "
                            f"{trained.steps:,} steps now, and {begun.steps:,} with the first "
                            "weights of the seed; what falls below the dashed line, a hundredth, "
                            "hardly has an effect on training.",
                        )
                    ),
                ],
            )
        ],
        techniques={},
        fact=f"{learner.name}, {config.layers} layer(s) of {config.hidden} units, "
        f"{learner.parameters:,} parameters",
    )
