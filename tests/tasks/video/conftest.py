"""Clips that the project makes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from tests.tasks.video.clips import write_clip, write_moving

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def write() -> Write:
    return write_clip


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 20 frames at 10 a second; frame k is grey of brightness 10 k."""
    levels = 10 * np.arange(20, dtype=np.uint8)[:, None, None, None]
    frames = np.broadcast_to(levels, (20, 16, 32, 3)).copy()
    return write_clip(tmp_path_factory.mktemp("clips") / "numbered.mkv", frames)


@pytest.fixture(scope="session")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 24 clips."""
    return write_moving(tmp_path_factory.mktemp("moving"))
