"""Predicted probabilities of the labels of a span."""

from __future__ import annotations

import torch

from gated.scoring.label_scores import Floats
from gated.tasks.video.config import VideoConfig
from gated.tasks.video.network import VideoNetwork, answers
from gated.tasks.video.spans import Span
from gated.tasks.video.windows import batches


@torch.no_grad()
def after_each_frame(network: VideoNetwork, span: Span, config: VideoConfig, most: int) -> Floats:
    """Return (n, C) probabilities after each frame, in windows of up to `most` frames."""
    rows = [
        torch.softmax(logits[:length], -1)
        for batch in batches([span], config, most)
        for logits, length in zip(network(batch).unbind(1), batch.lengths.tolist(), strict=True)
    ]
    return torch.cat(rows).double().numpy()


@torch.no_grad()
def of_segment(network: VideoNetwork, span: Span, config: VideoConfig, most: int) -> Floats:
    """Return (C,) probabilities of a segment: the mean over its windows, weighted by length."""
    total = torch.zeros(network.head.out_features, dtype=torch.float64)
    for batch in batches([span], config, most):
        predicted = torch.softmax(answers(network(batch), batch.lengths), -1).double()
        total += (predicted * batch.lengths[:, None]).sum(0)
    mean: Floats = (total / len(span)).numpy()
    return mean
