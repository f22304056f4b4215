"""The recurrent layers and the frames of some segments, for `gated.explain`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gated.explain import Probe, Timeline
from gated.scoring.label_scores import Floats
from gated.tasks.video.config import VideoConfig
from gated.tasks.video.network import VideoNetwork, cross_entropy
from gated.tasks.video.spans import NOTHING, Span
from gated.tasks.video.windows import as_tensors, collate, cropped

MOST_DRAWN, MOST_COUNTED = 16, 64
"""Segments that can be drawn, and segments that statistics go over; evenly chosen."""


def video_probe(
    network: VideoNetwork, spans: Sequence[Span], config: VideoConfig, labels: Sequence[str]
) -> Probe:
    """Return the network and the first window of some spans for `gated.explain`.

    Args:
        network: trained with `config` to predict `labels`.
        spans: one or more; if all are labelled, the loss is returned too.
        config: options of the frames.
        labels: names of the C labels.
    """
    counted = _thinned(spans, MOST_COUNTED)
    drawn = _thinned(counted, MOST_DRAWN)
    others = [span for span in counted if all(span is not other for other in drawn)]
    windows = [_windows(part, config) for part in (drawn, others) if part]
    batches = [collate(part) for part in windows]
    first = batches[0]
    labelled = all(bool((labels != NOTHING).any()) for _, labels in windows[0])

    def loss(logits: Tensor) -> Tensor:
        total, count = cross_entropy(logits, first, per_frame=network.per_frame)
        return total / count

    network.eval()
    with torch.no_grad():
        predicted = torch.softmax(network(first), -1).double().numpy()
    return Probe(
        title=f"{config.cell.upper()} that predicts {', '.join(labels)}",
        model=network,
        # A pair with None, as a batch of several tensors is a tuple itself.
        batches=[(batch, None) for batch in batches],
        sequences=[str(span.segment) for span in drawn],
        timelines={
            "recurrent": [
                _timeline(span, frames, predicted[: len(frames), b], labels)
                for b, (span, (frames, _)) in enumerate(zip(drawn, windows[0], strict=True))
            ]
        },
        loss=loss if labelled else None,
    )


def _thinned(spans: Sequence[Span], most: int) -> Sequence[Span]:
    return spans[:: max(1, -(-len(spans) // most))]


def _windows(spans: Sequence[Span], config: VideoConfig) -> list[tuple[Tensor, Tensor]]:
    cut = [span.window(0, config.frames) for span in spans]
    return [as_tensors(cropped(pixels, config), labels) for pixels, labels in cut]


def _timeline(span: Span, frames: Tensor, predicted: Floats, labels: Sequence[str]) -> Timeline:
    """What the network reads in two numbers a frame, and what it predicts after it, all 0 to 1."""
    shades = frames.float() / 255
    change = torch.zeros(len(frames))
    change[1:] = (shades[1:] - shades[:-1]).abs().mean((1, 2, 3))
    return Timeline(
        labels=span.seconds[: len(frames)],
        unit="seconds of the clip",
        signals={
            "brightness": shades.mean((1, 2, 3)).numpy(),
            "change from the frame before": change.numpy(),
            **{f"predicted: {name}": predicted[:, k] for k, name in enumerate(labels)},
        },
    )
