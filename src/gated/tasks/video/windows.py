"""Windows of frames as tensors: cropped, padded, batched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gated.tasks.video.config import VideoConfig
from gated.tasks.video.frames import Pixels
from gated.tasks.video.network import Batch
from gated.tasks.video.spans import NOTHING, Integers, Span

CHUNK = 64
"""Windows that pass through the network at once where no gradient is needed."""


def margins(config: VideoConfig) -> tuple[int, int]:
    """Return the pixels to crop at top and bottom each, and at left and right each."""
    return round(config.crop * config.height), round(config.crop * config.width)


def shown(config: VideoConfig) -> tuple[int, int]:
    """Return height and width of the network's input frames."""
    down, across = margins(config)
    return config.height - 2 * down, config.width - 2 * across


def cropped(
    pixels: Pixels, config: VideoConfig, top: int | None = None, left: int | None = None
) -> Pixels:
    """Crop the margins, by default equally on both sides."""
    (down, across), (height, width) = margins(config), shown(config)
    top, left = down if top is None else top, across if left is None else left
    return pixels[:, top : top + height, left : left + width]


def as_tensors(pixels: Pixels, labels: Integers) -> tuple[Tensor, Tensor]:
    """Convert frames (t, height, width, 3) and labels (t,) to tensors, channels before pixels."""
    return (
        torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2),
        torch.from_numpy(np.array(labels, np.int64)),
    )


def collate(windows: Sequence[tuple[Tensor, Tensor]]) -> Batch:
    """Pad windows to the length of the longest."""
    return Batch(
        nn.utils.rnn.pad_sequence([frames for frames, _ in windows]),
        torch.tensor([len(frames) for frames, _ in windows]),
        nn.utils.rnn.pad_sequence([labels for _, labels in windows], padding_value=NOTHING),
    )


def batches(spans: Sequence[Span], config: VideoConfig, most: int) -> Iterator[Batch]:
    """Yield batches of all windows of `spans`, in order, cropped to the centre."""
    windows = [(span, first) for span in spans for first in range(0, len(span), most)]
    for start in range(0, len(windows), CHUNK):
        cut = [span.window(first, most) for span, first in windows[start : start + CHUNK]]
        yield collate([as_tensors(cropped(pixels, config), labels) for pixels, labels in cut])
