"""The baseline: the text of the most similar training recording."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from gated.tasks.speech.features import Frames
from gated.tasks.speech.task import Utterance

NEAREST = "nearest training recording"
MEANS = 8
"""Stretches of a recording whose mean features are compared to find the nearest."""


def nearest(
    known: Sequence[Utterance], tested: Sequence[Utterance], speeds: Sequence[float]
) -> list[str]:
    """Return the text of the training recording nearest to each, in mean features and length."""
    plain = int(np.argmin([abs(speed - 1) for speed in speeds]))
    sketches = np.array([_sketch(one.versions[plain]) for one in known])
    wanted = np.array([_sketch(one.versions[0]) for one in tested])
    nearest = [int(((sketch - sketches) ** 2).sum(-1).argmin()) for sketch in wanted]
    return [known[place].text for place in nearest]


def _sketch(frames: Frames) -> Frames:
    """Mean features of eight stretches, and the logarithm of the length."""
    edges = np.linspace(0, len(frames), MEANS + 1).astype(int)
    means = [frames[a : max(b, a + 1)].mean(0) for a, b in pairwise(edges)]
    length = np.log(len(frames)) * np.sqrt(frames.shape[1] * MEANS)
    return np.append(np.concatenate(means), length).astype(np.float32)
