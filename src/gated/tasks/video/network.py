"""The network: an encoder of single frames, and recurrent layers over its features."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from gated.nn.named import layers_named
from gated.tasks.video.config import VideoConfig


class Batch(NamedTuple):
    """Windows of frames."""

    frames: Tensor
    """(T, B, 3, height, width), 0 to 255; frames beyond a window's length are padding."""
    lengths: Tensor
    """(B,), frames of each window."""
    labels: Tensor
    """(T, B), -1 where there is none."""


class FrameEncoder(nn.Module):
    """A small convolutional network, from a frame to I features.

    Args:
        seen: input channels: 3, or 6 with the difference from the frame before.
        channels: of each convolution.
        features: I, outputs for each frame.
        height: of a frame.
        width: of a frame.
    """

    def __init__(
        self, seen: int, channels: tuple[int, ...], features: int, height: int, width: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for of_layer, size in zip(channels, [5, *[3] * len(channels)], strict=False):
            layers += [
                nn.Conv2d(seen, of_layer, size, stride=2, padding=size // 2),
                nn.GroupNorm(1, of_layer),
                nn.ReLU(),
            ]
            seen, height, width = of_layer, (height + 1) // 2, (width + 1) // 2
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(seen * height * width, features), nn.ReLU()
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Map frames (N, channels, height, width) to features (N, I)."""
        features: Tensor = self.layers(frames)
        return features


class VideoNetwork(nn.Module):
    """Encoder, recurrent layers, and a linear map to the classes.

    Args:
        config: options of the network.
        classes: C, number of labels.
        height: of the input frames, in pixels.
        width: of the input frames, in pixels.
        memory: False leaves out the recurrent layers and the difference of frames: the baseline
            without the frames' order.
        encoder: from (N, 3, height, width), -1 to 1, to (N, I); by default a `FrameEncoder`.
    """

    def __init__(
        self,
        config: VideoConfig,
        classes: int,
        height: int,
        width: int,
        *,
        memory: bool = True,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.per_frame = config.per == "frame"
        self.change = not config.no_change and memory and encoder is None
        self.encoder = encoder or FrameEncoder(
            6 if self.change else 3, config.channels, config.features, height, width
        )
        self.encoder.eval()  # a look at its output changes no statistics
        with torch.no_grad():
            features = self.encoder(torch.zeros(1, 6 if self.change else 3, height, width)).shape[1]
        self.recurrent = (
            layers_named(
                config.cell,
                features,
                config.hidden,
                config.layers,
                bidirectional=config.bidirectional,
                dropout=config.dropout if config.layers > 1 else 0.0,
            )
            if memory
            else None
        )
        width = config.hidden * (2 if config.bidirectional else 1) if memory else features
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(width, classes)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode; an encoder with all parameters frozen stays in evaluation mode."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.encoder.parameters()):
            self.encoder.eval()
        return self

    def forward(self, batch: Batch) -> Tensor:
        """Return logits (T, B, C) after each frame; those after the last predict a window's label.

        Where whole segments are labelled, the logits at step t are of the mean state up to t.
        """
        T, B = batch.frames.shape[:2]
        frames = batch.frames.float() / 127.5 - 1
        if self.change:
            change = torch.zeros_like(frames)
            change[1:] = frames[1:] - frames[:-1]
            frames = torch.cat((frames, 3 * change), dim=2)
        states = self.dropout(self.encoder(frames.flatten(0, 1)).unflatten(0, (T, B)))
        if self.recurrent is not None:
            packed = nn.utils.rnn.pack_padded_sequence(
                states, batch.lengths.cpu(), enforce_sorted=False
            )
            states, _ = nn.utils.rnn.pad_packed_sequence(self.recurrent(packed)[0], total_length=T)
            states = self.dropout(states)
        if not self.per_frame:
            steps = torch.arange(1, T + 1, device=states.device)[:, None, None]
            states = states.cumsum(0) / steps
        logits: Tensor = self.head(states)
        return logits


def answers(logits: Tensor, lengths: Tensor) -> Tensor:
    """Map logits (T, B, C) and lengths (B,) to those after each window's last frame, (B, C)."""
    return logits[lengths - 1, torch.arange(logits.shape[1], device=logits.device)]


def cross_entropy(logits: Tensor, batch: Batch, *, per_frame: bool) -> tuple[Tensor, Tensor]:
    """Sum of the cross-entropies of all labelled outputs, and their number."""
    if per_frame:
        target = batch.labels.flatten()
        total = functional.cross_entropy(
            logits.flatten(0, 1), target, ignore_index=-1, reduction="sum"
        )
        return total, (target >= 0).sum()
    total = functional.cross_entropy(
        answers(logits, batch.lengths), batch.labels[0], reduction="sum"
    )
    return total, torch.tensor(float(len(batch.lengths)))
