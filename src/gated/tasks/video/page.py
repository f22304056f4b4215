"""The report of a video classifier: accuracy, and probabilities over the frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from gated.report.drawing import BLUE, MUTED, Picture, finish, new_figure, short, whole_ticks
from gated.report.labels import confusion_table, score_table
from gated.report.page import Drawing, Section, Text
from gated.report.run_page import Body
from gated.scoring.label_scores import Evaluation
from gated.tasks.video.classifier import VideoClassifier
from gated.tasks.video.spans import NOTHING, Span
from gated.tasks.video.windows import cropped

STRIPS = 4
"""Segments that are shown, as many as there are labels at most."""
SHOWN = 8
"""Frames of a strip."""


def body(classifier: VideoClassifier, evaluation: Evaluation) -> Body:
    """Describe the accuracy, and show probabilities over the frames."""
    config = classifier.config
    return Body(
        title=f"Video: {', '.join(evaluation.labels)}",
        sections=[
            Section(
                "Scores",
                [
                    Text(
                        "The methods without memory have the same encoder and the same budget of "
                        "training; what the network has over them is what its memory of the frames "
                        "before adds. The interval counts what is of one clip as alike as it is."
                    ),
                    score_table(evaluation),
                    Text("How often each label was predicted (columns) for each true one (rows):"),
                    confusion_table(evaluation),
                ],
            ),
            Section("What it saw", [Drawing(strips(classifier))]),
        ],
        techniques={"dropout": f"{config.dropout:g}"},
        fact=f"{config.cell.upper()}, {config.layers} layer(s) of {config.hidden} units, "
        f"{config.frames} frames of {config.width} × {config.height} pixels, "
        f"{classifier.parameters:,} parameters",
    )


def strips(classifier: VideoClassifier) -> Picture:
    """Draw frames of a test segment of each label, with the label's probability below."""
    chosen: dict[str, Span] = {}
    for span in classifier.parts.test:
        known = span.labels[span.labels >= 0]
        if len(known):
            chosen.setdefault(classifier.labels[int(known[0])], span)
    shown = list(chosen.values())[:STRIPS]
    figure, axes = new_figure(
        1.9 * len(shown), nrows=2 * len(shown), height_ratios=[3, 2] * len(shown), squeeze=False
    )
    for place, span in enumerate(shown):
        strip, curve = axes[2 * place, 0], axes[2 * place + 1, 0]
        _draw_frames(strip, span, classifier)
        known = np.flatnonzero(span.labels != NOTHING)
        labels = list(dict.fromkeys(classifier.labels[k] for k in span.labels[known]))
        where = f"{span.segment.clip.name} at {span.seconds.min():.1f} s"
        strip.set_title(short(f"{', '.join(labels)}: {where}", 90))
        probability = np.full(len(span), np.nan)
        probability[known] = classifier.moments(span)[known, span.labels[known]]
        curve.plot(np.arange(1, len(span) + 1), probability, color=BLUE, marker=".")
        curve.axhline(1 / len(classifier.labels), color=MUTED, linewidth=1, linestyle="--")
        curve.set_ylim(-0.03, 1.03)
        curve.set_ylabel("probability")
        curve.set_xlim(0.5, len(span) + 0.5)
        whole_ticks(curve.xaxis)
    axes[-1, 0].set_xlabel("frame of the segment")
    return finish(
        figure,
        "strips",
        description="Frames of a test segment of each label, and the label's probability in time.",
        caption="A test segment of each label, the first of the test part: some of its frames and, "
        "under them, the probability of the true label after each frame. Dashed: chance.",
    )


def _draw_frames(axis: Any, span: Span, classifier: VideoClassifier) -> None:
    """Draw frames of `span` beside each other, each where it comes in the curve below."""
    ends = np.linspace(0, len(span), min(SHOWN, len(span)) + 1)
    moments = ((ends[:-1] + ends[1:]) / 2).astype(int)
    frames = cropped(span.pixels[span.chosen[moments]], classifier.config)
    for left, right, pixels in zip(ends[:-1], ends[1:], frames, strict=True):
        extent = (left + 0.5, right + 0.5, 0, 1)
        axis.imshow(pixels, interpolation="nearest", aspect="auto", extent=extent)
    axis.set_xlim(0.5, len(span) + 0.5)
    axis.set_ylim(0, 1)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
