"""Video: from labelled clips to a network that labels new ones."""

from gated.errors import require

require("torch", extra="train")

from gated.tasks.video.classifier import VideoClassifier  # noqa: E402
from gated.tasks.video.config import VideoConfig  # noqa: E402

__all__ = ["VideoClassifier", "VideoConfig"]
