"""Clips that the project makes: a bright square that moves to the right, or to the left."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def write_clip(path: Path, frames: np.ndarray, fps: int = 10) -> Path:
    """Write frames, (N, height, width, 3), as a clip without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=fps)
        stream.width, stream.height = frames.shape[2], frames.shape[1]
        stream.pix_fmt = "bgr0"
        for pixels in frames:
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(picture.reformat(format="bgr0")))
        container.mux(stream.encode())
    return path


def write_moving(directory: Path) -> Path:
    """Write a manifest of 24 clips of 10 frames: a square of 4 pixels that goes to one side."""
    random, rows = np.random.default_rng(0), ["clip,label"]
    for number in range(24):
        left = bool(number % 2)
        frames = np.zeros((10, 16, 32, 3), np.uint8)
        top, start = random.integers(0, 12), random.integers(4, 9)
        for k in range(10):
            column = start + (9 - k if left else k) * 2
            frames[k, top : top + 4, column : column + 4] = 255
        write_clip(directory / f"{number}.mkv", frames)
        rows.append(f"{number}.mkv,{'left' if left else 'right'}")
    path = directory / "clips.csv"
    path.write_text("\n".join(rows))
    return path
