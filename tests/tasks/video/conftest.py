"""Clips that the project makes: a bright square that moves to the right, or to the left."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def write() -> Write:
    """Write frames, (N, height, width, 3), as a clip without loss."""

    def write(path: Path, frames: np.ndarray, fps: int = 10) -> Path:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=fps)
            stream.width, stream.height = frames.shape[2], frames.shape[1]
            stream.pix_fmt = "bgr0"
            for pixels in frames:
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                container.mux(stream.encode(picture.reformat(format="bgr0")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def numbered(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 20 frames at 10 a second; frame k is grey of brightness 10 k."""
    levels = 10 * np.arange(20, dtype=np.uint8)[:, None, None, None]
    frames = np.broadcast_to(levels, (20, 16, 32, 3)).copy()
    return write(tmp_path_factory.mktemp("clips") / "numbered.mkv", frames)


@pytest.fixture(scope="session")
def moving(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 24 clips of 10 frames: a square of 4 pixels that goes to one side."""
    directory = tmp_path_factory.mktemp("moving")
    random, rows = np.random.default_rng(0), ["clip,label"]
    for number in range(24):
        left = bool(number % 2)
        frames = np.zeros((10, 16, 32, 3), np.uint8)
        top, start = random.integers(0, 12), random.integers(4, 9)
        for k in range(10):
            column = start + (9 - k if left else k) * 2
            frames[k, top : top + 4, column : column + 4] = 255
        write(directory / f"{number}.mkv", frames)
        rows.append(f"{number}.mkv,{'left' if left else 'right'}")
    path = directory / "clips.csv"
    path.write_text("\n".join(rows))
    return path
