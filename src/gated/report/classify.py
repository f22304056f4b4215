"""The report of a sequence classifier or regressor."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gated.report.drawing import BLUE, MUTED, Picture, finish, new_figure, short, style, whole_ticks
from gated.report.findings import cleaning_section
from gated.report.labels import confusion_table, score_table
from gated.report.page import Block, Drawing, Page, Section, Table, Text, write_page
from gated.report.training import reproduction_section, training_section
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.evaluation import Result
from gated.tasks.classify.learner import SequenceClassifier, SequenceLearner
from gated.tasks.classify.parts import Parts
from gated.tasks.classify.score import NumberEvaluation

SHOWN = 6
"""Test sequences that are drawn."""
MOST_CHANNELS = 8
"""Channels of each that are drawn."""


def score_table_of(result: Result) -> Table:
    """A row for each method."""
    if not isinstance(result, NumberEvaluation):
        return score_table(result)
    scores = list(result.scores.values())
    rows = [
        (name, f"{score.mae:.4g}", f"{score.rmse:.4g}", f"{score.r2:.3f}")
        for name, score in result.scores.items()
    ]
    best = [
        min(range(len(scores)), key=lambda k: scores[k].mae),
        min(range(len(scores)), key=lambda k: scores[k].rmse),
        max(range(len(scores)), key=lambda k: scores[k].r2),
    ]
    return Table(("", "MAE", "RMSE", "R²"), rows, best)


def write_classify_report(
    directory: Path,
    learner: SequenceLearner,
    parts: Parts,
    source: SourceOptions,
    result: Result,
    *,
    command: str,
) -> Path:
    """Write `report.html` and `figures/*.png` into `directory` and return the page's path."""
    config, numbers = learner.config, isinstance(result, NumberEvaluation)
    lengths = [len(array) for array in (*parts.training.arrays, *parts.test.arrays)]
    with style():
        beside: list[Block]
        if isinstance(result, NumberEvaluation):
            beside = [Drawing(told_and_true(result))]
        else:
            text = "How often each class was told (columns) where another is true (rows):"
            beside = [Text(text), confusion_table(result), Drawing(examples(learner, parts))]
        sections = [
            Section(
                "Scores",
                [
                    Text(
                        f"Trained on {len(parts.training):,} sequences, scored on "
                        f"{len(parts.test):,} others. The nearest neighbour is told apart by "
                        "dynamic time warping of all channels; the linear model is a ridge "
                        "regression of their means, extremes and ends."
                    ),
                    score_table_of(result),
                    *beside,
                ],
            ),
            training_section(learner.history_, learner.options, {"dropout": f"{config.dropout:g}"}),
        ]
    sections += [
        cleaning_section(parts.findings),
        reproduction_section(command, source, config, learner.options),
    ]
    page = Page(
        title=f"Sequence {'regression' if numbers else 'classification'}",
        verdict=str(result.verdict),
        good=result.verdict.better,
        sections=sections,
        facts=[
            f"{config.cell.upper()}, {config.layers} layer(s) of {config.hidden} units"
            f"{'' if config.one_way else ' each way'}, {learner.parameters_:,} values; "
            f"{parts.training.channels} channel(s), {min(lengths)} to {max(lengths)} steps"
        ],
    )
    return write_page(directory, page)


def examples(learner: SequenceLearner, parts: Parts) -> Picture:
    """Draw test sequences, the wrong ones first, with what was told of them."""
    assert isinstance(learner, SequenceClassifier)  # noqa: S101 - only classes are drawn so
    probabilities = learner.predict_proba(parts.test.arrays)
    told = learner.classes_[probabilities.argmax(1)]
    wrong = np.flatnonzero(told != parts.test.values)
    _, firsts = np.unique(parts.test.values, return_index=True)
    chosen = list(dict.fromkeys([*wrong[: SHOWN // 2].tolist(), *firsts.tolist()]))[:SHOWN]
    rows = -(-len(chosen) // 2)
    figure, axes = new_figure(1.7 * rows, nrows=rows, ncols=2, squeeze=False)
    for axis, place in zip(axes.flat, chosen, strict=False):
        array = parts.test.arrays[place]
        steps, channels = np.arange(len(array)), array.shape[1]
        for channel in range(min(channels, MOST_CHANNELS)):
            axis.plot(steps, array[:, channel], linewidth=1, alpha=1 if channels == 1 else 0.7)
        whole_ticks(axis.xaxis)
        true, share = parts.test.values[place], probabilities[place].max()
        right = "right" if told[place] == true else f"WRONG, is {true}"
        axis.set_title(short(f"told {told[place]} ({share:.0%}): {right}"))
    for axis in axes.flat[len(chosen) :]:
        axis.set_visible(False)
    axes.flat[len(chosen) - 1].set_xlabel("step")
    return finish(
        figure,
        "examples",
        description="Some test sequences, and what the network told of them.",
        caption="Test sequences, wrong ones first, then the first of each class: their channels "
        f"(up to {MOST_CHANNELS}), the class told and its probability.",
    )


def told_and_true(result: NumberEvaluation) -> Picture:
    """Draw what was told against what is true."""
    figure, axis = new_figure(4.0)
    ends = [float(result.truth.min()), float(result.truth.max())]
    axis.plot(ends, ends, color=MUTED, linestyle="--", linewidth=1)
    axis.plot(result.truth, result.told, color=BLUE, linestyle="", marker="o", markersize=3)
    axis.set_xlabel("true")
    axis.set_ylabel("told by the network")
    return finish(
        figure,
        "told",
        description="What the network told of each test sequence against what is true.",
        caption="Each test sequence: what was told against what is true. On the dashed line both "
        "are the same.",
    )
