"""Options of video classification: columns, frames, network and split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gated.cells.named import check_cell
from gated.configuration import Configuration
from gated.errors import ConfigurationError, option
from gated.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class VideoTraining(TrainingOptions):
    """How to train, with small batches, since frames are large."""

    batch_size: int = 16
    """Windows of frames per step, over all processes and accumulated parts."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""


@dataclass(frozen=True, kw_only=True)
class VideoConfig(Configuration):
    """Options of columns, frames, network and split."""

    clip: str = "clip"
    """Column of the clips' paths, from the manifest's directory."""
    label: str = "label"
    """Column of the labels."""
    start: str = "start"
    """Column of where a segment begins, in seconds; it may be absent."""
    end: str = "end"
    """Column of where it ends, in seconds; it may be absent."""
    speed: str = "speed"
    """Column of the speed at which it is played; it may be absent: 2 is double, -1 backwards."""
    per: Literal["clip", "frame"] = "clip"
    """Whether a label is predicted for each segment of a clip, or for each of its frames."""
    frames: int = 16
    """T, most frames that the network reads at once in training."""
    fps: float | None = None
    """Frames a second. By default every frame of a clip."""
    width: int = 64
    """Width, in pixels, that frames are reduced to."""
    height: int = 48
    """Height, in pixels, that frames are reduced to."""
    no_change: bool = False
    """Give the encoder each frame alone; by default also its difference from the frame before."""
    channels: tuple[int, ...] = (16, 32, 32)
    """Channels of the encoder's convolutions, each of which halves width and height."""
    features: int = 64
    """I, outputs of the encoder for each frame."""
    cell: str = "gru"
    """Recurrent cell: lstm, gru, rnn, or another of gated.cells.library, such as mogrifier."""
    hidden: int = 64
    """H, units per layer and direction."""
    layers: int = 1
    """Recurrent layers."""
    bidirectional: bool = False
    """Read each window backwards too."""
    dropout: float = 0.3
    """Dropout around the recurrent layers."""
    crop: float = 0.06
    """Share of width and height that is cut off at each side; in training the cut is at random."""
    flip: bool = False
    """In training, mirror half of the examples left to right; not where left and right matter."""
    test_manifest: Path | None = None
    """Segments to score on. By default a share of those that are given is held back."""
    test: float = 0.25
    """The share held back, where no test manifest is given."""
    validation: float = 0.2
    """Share of the training segments that chooses the best weights."""
    skip_bad: bool = False
    """Leave out rows that cannot be used, and list them, where otherwise the first is an error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cell(self.cell)
        self._demand(frames=1, width=1, height=1, features=1, hidden=1, layers=1)
        self._demand_shares("test", "validation", "dropout")
        if not 0 <= self.crop < 0.5:
            raise ConfigurationError(
                f"{option('crop')} is {self.crop}; it is a share, from 0 to below 0.5."
            )
        if self.fps is not None and not self.fps > 0:
            raise ConfigurationError(
                f"{option('fps')} is {self.fps}; frames a second are more than 0."
            )
        if not self.channels or min(self.channels) < 1:
            raise ConfigurationError(
                f"{option('channels')} are {self.channels}; give one number of 1 or more "
                f"per convolution."
            )
