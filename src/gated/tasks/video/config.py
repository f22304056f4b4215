"""What to tell of a clip, from which of its frames, and with which network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from gated.errors import ConfigurationError
from gated.training.options import TrainingOptions, check_choices


@dataclass(frozen=True, kw_only=True)
class VideoTraining(TrainingOptions):
    """How to train: as for every task, with batches for frames, which are large."""

    batch_size: int = 16
    """Windows of frames per step, over all processes and accumulated parts."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""


@dataclass(frozen=True, kw_only=True)
class VideoConfig:
    """Which frames, which encoder, which network."""

    per: Literal["clip", "frame"] = "clip"
    """Whether a label is told of each segment of a clip, or of each of its frames."""
    frames: int = 16
    """T, frames of a window: the most that the network reads at once in training."""
    fps: float | None = None
    """Frames a second. By default every frame of a clip."""
    width: int = 64
    """Pixels across that a frame is reduced to."""
    height: int = 48
    """Pixels down that a frame is reduced to."""
    change: bool = True
    """Show the encoder, beside each frame, its change from the frame before."""
    channels: tuple[int, ...] = (16, 32, 32)
    """Channels of the encoder's convolutions, each of which halves width and height."""
    features: int = 64
    """I, numbers that the encoder makes of a frame."""
    cell: Literal["lstm", "gru", "rnn"] = "gru"
    """Recurrent cell."""
    hidden: int = 64
    """H, units per layer and direction."""
    layers: int = 1
    """Recurrent layers."""
    bidirectional: bool = False
    """Read each window backwards too."""
    dropout: float = 0.3
    """Dropout around the recurrent layers."""
    crop: float = 0.06
    """Share of width and height cut off at each side; in training at a place of chance."""
    flip: bool = False
    """In training, mirror half of the windows left to right: where sides mean nothing."""
    test_manifest: Path | None = None
    """Segments to score on. By default a share of those that are given is held back."""
    test: float = 0.25
    """The share held back, where no test manifest is given."""
    validation: float = 0.2
    """Share of the training segments that chooses the best weights."""
    skip_bad: bool = False
    """Leave out rows that cannot be used, and list them, where otherwise the first is an error."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("frames", "width", "height", "features", "hidden", "layers"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        for name, most in (("test", 1), ("validation", 1), ("dropout", 1), ("crop", 0.5)):
            if not 0 <= getattr(self, name) < most:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}; it is a share, from 0 to below {most}."
                )
        if self.fps is not None and not self.fps > 0:
            raise ConfigurationError(f"fps is {self.fps}; frames a second are more than 0.")
        if not self.channels or min(self.channels) < 1:
            raise ConfigurationError(
                f"channels are {self.channels}; give one number of 1 or more per convolution."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        manifest = str(self.test_manifest.resolve()) if self.test_manifest else None
        return asdict(self) | {"channels": list(self.channels), "test_manifest": manifest}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what `to_dict` saved, also after a way through JSON.

        >>> config = VideoConfig(channels=(4,))
        >>> VideoConfig.from_dict(config.to_dict()) == config
        True
        """
        restored = {
            "channels": tuple(saved["channels"]),
            "test_manifest": Path(saved["test_manifest"]) if saved["test_manifest"] else None,
        }
        return cls(**{**saved, **restored})
