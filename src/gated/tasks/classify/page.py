"""The report of a sequence classifier or regressor."""

from __future__ import annotations

from typing import Any

import numpy as np

from gated.report.drawing import BLUE, MUTED, Picture, finish, new_figure, short, whole_ticks
from gated.report.labels import confusion_table
from gated.report.labels import score_table as label_table
from gated.report.page import Block, Drawing, Section, Table, Text
from gated.report.run_page import Body
from gated.scoring.label_scores import Evaluation
from gated.tasks.classify.learner import SequenceLearner
from gated.tasks.classify.score import NumberEvaluation, NumberScore
from gated.tasks.classify.sequences import Sequences

SHOWN = 6
"""Test sequences that are drawn, and targets whose numbers are."""
MOST_CHANNELS = 8
"""Channels of each that are drawn."""


def score_table(result: Evaluation | NumberEvaluation) -> Table:
    """A row for each method."""
    if not isinstance(result, NumberEvaluation):
        return label_table(result)
    scores = list(result.scores.values())
    rows = [(name, *_figures(score)) for name, score in result.scores.items()]
    best = [
        min(range(len(scores)), key=lambda k: scores[k].mae),
        min(range(len(scores)), key=lambda k: scores[k].rmse),
        max(range(len(scores)), key=lambda k: scores[k].r2),
    ]
    return Table(("", result.error, result.error.replace("MAE", "RMSE"), "R²"), rows, best)


def notes(result: Evaluation | NumberEvaluation) -> list[str]:
    """Say how each of several targets is predicted, in its own unit."""
    verdicts = result.verdicts if isinstance(result, NumberEvaluation) else {}
    return [f"{target}: {verdict}" for target, verdict in verdicts.items()]


def _target_tables(result: NumberEvaluation) -> list[Block]:
    """The scores of each of several targets, in its own unit."""
    rows = [
        (f"{target}, {method}", *_figures(score))
        for target in result.targets
        for method, score in result.by_target[target].items()
    ]
    if not rows:
        return []
    said = (
        "Above, errors are in standard deviations of the training part, and all scores are means "
        "over the targets. Target by target, MAE and RMSE are in the unit of each:"
    )
    return [Text(said), Table(("", "MAE", "RMSE", "R²"), rows), *map(Text, notes(result))]


def _figures(score: NumberScore) -> tuple[str, str, str]:
    r2 = "–" if np.isnan(score.r2) else f"{score.r2:.3f}"
    return f"{score.mae:.4g}", f"{score.rmse:.4g}", r2


def body(learner: SequenceLearner[Any], result: Evaluation | NumberEvaluation) -> Body:
    """Describe the scores: accuracy of the classes, or errors of the numbers."""
    config, parts = learner.config, learner.parts
    numbers = isinstance(result, NumberEvaluation)
    trained, tested = parts.training.and_also(parts.validation), parts.test
    lengths = [len(array) for array in (*trained.arrays, *tested.arrays)]
    beside: list[Block]
    if isinstance(result, NumberEvaluation):
        beside = [*_target_tables(result), Drawing(predicted_and_expected(result))]
    else:
        text = "How often each class was predicted (columns) for each true one (rows):"
        beside = [Text(text), confusion_table(result), Drawing(examples(learner, tested))]
    return Body(
        title=f"Sequence {'regression' if numbers else 'classification'}",
        sections=[
            Section(
                "Scores",
                [
                    Text(
                        f"Trained on {len(trained):,} sequences, scored on "
                        f"{len(tested):,} others. The nearest neighbour is found by "
                        "dynamic time warping of all channels; the linear model is a ridge "
                        "regression of their means, extremes and ends."
                    ),
                    score_table(result),
                    *beside,
                ],
            ),
            Section("What was chosen", [Text(learner.chosen)]),
        ],
        techniques={"dropout": f"{config.dropout:g}"},
        fact=f"{config.cell.upper()}, {config.layers} layer(s) of {config.hidden} units"
        f"{'' if config.one_way else ' each way'}, {learner.parameters:,} parameters; "
        f"{trained.channels} channel(s), {min(lengths)} to {max(lengths)} steps",
    )


def examples(learner: Any, tested: Sequences) -> Picture:
    """Draw test sequences, the wrong ones first, with their predicted classes."""
    probabilities = learner.probabilities(tested.arrays)
    predicted = learner.targets.classes[probabilities.argmax(1)]
    wrong = np.flatnonzero(predicted != tested.values)
    _, firsts = np.unique(tested.values, return_index=True)
    chosen = list(dict.fromkeys([*wrong[: SHOWN // 2].tolist(), *firsts.tolist()]))[:SHOWN]
    rows = -(-len(chosen) // 2)
    figure, axes = new_figure(1.7 * rows, nrows=rows, ncols=2, squeeze=False)
    for axis, place in zip(axes.flat, chosen, strict=False):
        array = tested.arrays[place]
        steps, channels = np.arange(len(array)), array.shape[1]
        for channel in range(min(channels, MOST_CHANNELS)):
            axis.plot(steps, array[:, channel], linewidth=1, alpha=1 if channels == 1 else 0.7)
        whole_ticks(axis.xaxis)
        true, share = tested.values[place], probabilities[place].max()
        right = "right" if predicted[place] == true else f"WRONG, expected {true}"
        axis.set_title(short(f"predicted {predicted[place]} ({share:.0%}): {right}"))
    for axis in axes.flat[len(chosen) :]:
        axis.set_visible(False)
    axes.flat[len(chosen) - 1].set_xlabel("step")
    return finish(
        figure,
        "examples",
        description="Some test sequences, and their predicted classes.",
        caption="Test sequences, wrong ones first, then the first of each class: their channels "
        f"(up to {MOST_CHANNELS}), the predicted class and its probability.",
    )


def predicted_and_expected(result: NumberEvaluation) -> Picture:
    """Draw predicted against expected values, a panel for each target."""
    shown = (result.targets or ("",))[:SHOWN]
    columns = min(len(shown), 2)
    rows = -(-len(shown) // columns)
    figure, axes = new_figure(1 + 3.0 * rows, nrows=rows, ncols=columns, squeeze=False)
    predicted = next(iter(result.predicted.values()))
    for place, axis in enumerate(axes.flat):
        if place >= len(shown):
            axis.set_visible(False)
            continue
        truth = result.truth[:, place]
        ends = [float(truth.min()), float(truth.max())]
        axis.plot(ends, ends, color=MUTED, linestyle="--", linewidth=1)
        axis.plot(truth, predicted[:, place], color=BLUE, linestyle="", marker="o", markersize=3)
        axis.set_title(short(shown[place]))
        axis.set_xlabel("expected")
        axis.set_ylabel("predicted")
    return finish(
        figure,
        "predicted",
        description="Predicted against expected values of the test sequences.",
        caption="Each test sequence: the predicted against the expected value. On the dashed line "
        "both are the same."
        + (f" The first {len(shown)} targets." if len(shown) < len(result.targets) else ""),
    )
