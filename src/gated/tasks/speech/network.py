"""The network: convolutions with stride 2, recurrent layers, and log-probabilities of letters.

Shapes: T frames of F bands, B recordings, S steps after the convolutions, C letters and the blank.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gated.live.program import Writer
from gated.nn import programs
from gated.nn.named import layers_named
from gated.tasks.speech.alphabet import BLANK
from gated.tasks.speech.config import SpeechConfig


class Batch(NamedTuple):
    """Recordings with their texts."""

    frames: Tensor
    """(T, B, F), normalised features; those beyond a recording's length are padding."""
    lengths: Tensor
    """(B,), frames of each recording."""
    codes: Tensor
    """(N,), codes of the letters of all texts, one text after the other."""
    code_lengths: Tensor
    """(B,), letters of each text."""


def steps_after(lengths: Tensor, halvings: int) -> Tensor:
    """Return the number of output steps for this number of frames.

    >>> steps_after(torch.tensor([1, 2, 5]), 2).tolist()
    [1, 1, 2]
    """
    for _ in range(halvings):
        lengths = (lengths + 1) // 2
    return lengths


class SpeechNetwork(nn.Module):
    """Convolutions over time and bands, recurrent layers, and a linear map to the letters.

    A streaming network reads forwards only, with a convolution over the next `look_ahead` steps
    (Wang et al. 2016).
    """

    def __init__(self, config: SpeechConfig, classes: int) -> None:
        """Make a network for `classes` letters, the blank among them."""
        super().__init__()
        self.streaming = config.streaming
        seen, bands = 1, config.mels
        self.convolutions = nn.ModuleList()
        for _ in range(config.subsampling):
            self.convolutions.append(nn.Conv2d(seen, config.channels, 3, stride=2, padding=1))
            seen, bands = config.channels, (bands + 1) // 2
        self.norm = nn.LayerNorm(seen * bands)
        self.recurrent = layers_named(
            config.cell,
            seen * bands,
            config.hidden,
            config.layers,
            bidirectional=not config.streaming,
            dropout=config.dropout if config.layers > 1 else 0.0,
            weight_drop=config.weight_drop,
        )
        width = config.hidden * (1 if config.streaming else 2)
        self.look_ahead = config.look_ahead if config.streaming else 0
        self.future = (
            nn.Conv1d(width, width, self.look_ahead + 1, groups=width) if self.look_ahead else None
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map frames (T, B, F) and lengths (B,) to log-probabilities (S, B, C) and lengths (B,)."""
        maps = frames.permute(1, 2, 0).unsqueeze(1)  # (B, 1, F, T)
        for convolution in self.convolutions:
            lengths = steps_after(lengths, 1)
            maps = functional.relu(convolution(maps))
            # Else a recording's last step would depend on the padding behind it.
            real = torch.arange(maps.shape[-1], device=maps.device) < lengths[:, None]
            maps = maps * real[:, None, None]
        states = self.dropout(self.norm(maps.flatten(1, 2).permute(2, 0, 1)))
        states, _ = self.recurrent(states, lengths=lengths)
        if self.future is not None:
            ahead = functional.pad(states.permute(1, 2, 0), (0, self.look_ahead))
            states = states + self.future(ahead).permute(2, 0, 1)
        return self.head(self.dropout(states)).log_softmax(-1), lengths

    def write(self, writer: Writer, frames: str) -> str:
        """Write the network as layers of a program that read `frames`; return the letters' name."""
        states = frames
        for place in range(len(self.convolutions)):
            names = _named(f"convolutions.{place}")
            states = writer.add("convolution_2d", states, stride=2, **names)
            states = writer.add("activation", states, function="relu")
        states = writer.add("layer_norm", states, epsilon=self.norm.eps, **_named("norm"))
        states = writer.add("recurrent", states, **programs.recurrent(self.recurrent, "recurrent."))
        if self.future is not None:
            states = writer.add("look_ahead", states, **_named("future"))
        return writer.add("linear", states, name="letters", **_named("head"))


def _named(module: str) -> dict[str, str]:
    """Names of the weights of a module."""
    return {"weight": f"{module}.weight", "bias": f"{module}.bias"}


def ctc_loss(likely: Tensor, lengths: Tensor, batch: Batch) -> Tensor:
    """-Σ log P(text | recording), summed over the batch (Graves et al. 2006)."""
    return functional.ctc_loss(
        likely.float(), batch.codes, lengths, batch.code_lengths, blank=BLANK, reduction="sum",
        zero_infinity=True,
    )  # fmt: skip
