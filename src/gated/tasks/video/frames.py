"""Frames of clips: decoded once, resized, and kept on disk in temporary files."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.data.recordings import check_whole
from gated.errors import DataError, option, require

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Frames:
    """The frames of a clip."""

    pixels: Pixels
    """(N, height, width, 3), RGB, 0 to 255, in a memory-mapped file."""
    fps: float
    """Frames a second."""

    @property
    def seconds(self) -> float:
        """Duration of the clip, in seconds."""
        return len(self.pixels) / self.fps


class FrameStore:
    """Decodes clips by PyAV, one frame in memory at a time, into temporary files.

    Args:
        width: of the resized frames, in pixels.
        height: of the resized frames, in pixels.
        fps: frames a second to keep; None keeps every one.
    """

    def __init__(self, width: int, height: int, fps: float | None) -> None:
        self.size, self.fps = (width, height), fps
        self.directory = Path(tempfile.mkdtemp(prefix="gated-frames-"))
        weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)
        self._clips: dict[Path, Frames | DataError] = {}
        """Frames, or why there are none: a clip of many segments is decoded once."""

    def __getitem__(self, clip: Path) -> Frames:
        """Return the frames of `clip`, decoded at the first call.

        Raises:
            DataError: it cannot be decoded, or holds no video.
            FileNotFoundError: there is no such file.
        """
        if clip not in self._clips:
            try:
                self._clips[clip] = self._decode(clip)
            except DataError as error:
                self._clips[clip] = error
        found = self._clips[clip]
        if isinstance(found, DataError):
            raise found
        return found

    def _decode(self, clip: Path) -> Frames:
        av = require("av", extra="video")
        if not clip.is_file():
            raise FileNotFoundError(f"There is no file {clip}.")
        width, height = self.size
        path = self.directory / f"{len(self._clips)}.frames"
        try:
            with av.open(str(clip)) as container, path.open("wb") as file:
                if not container.streams.video:
                    raise DataError("it holds no video stream. Give a recording with pictures.")
                stream = container.streams.video[0]
                fps = self.fps or float(stream.average_rate or stream.guessed_rate or 0)
                if not fps > 0:
                    raise DataError(f"it does not say its frames a second; give {option('fps')}.")
                small = (_small(frame, width, height) for frame in _timed(stream, container, fps))
                kept = sum(file.write(pixels) for pixels in small) // (width * height * 3)
                if not kept:
                    raise DataError("it holds no frame; is it whole?")
                check_whole(container, stream, kept / fps)
        except av.error.FFmpegError as error:
            raise DataError(f"it cannot be decoded ({error.strerror}); is it whole?") from error
        return Frames(np.memmap(path, np.uint8, "r", shape=(kept, height, width, 3)), fps)


def _timed(stream: Any, container: Any, fps: float) -> Iterator[Any]:
    """Yield the frame that is seen at each moment 0, 1 / fps, 2 / fps, … of the clip."""
    seen, first, time, moment = None, 0.0, 0.0, 0
    for count, frame in enumerate(container.decode(stream)):
        time = count / fps if frame.time is None else frame.time
        first = time if seen is None else first
        while seen is not None and moment / fps < time - first - 1e-6:
            yield seen
            moment += 1
        seen = frame
    if seen is not None and moment / fps <= time - first + 1e-6:
        yield seen


def _small(frame: Any, width: int, height: int) -> bytes:
    """Return the RGB bytes of `frame` made small, each the mean of those it stands for."""
    pixels: Pixels = frame.reformat(
        width, height, format="rgb24", interpolation="AREA"
    ).to_ndarray()
    return pixels.tobytes()
