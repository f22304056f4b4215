"""Recordings as samples: decoded, mixed down, resampled."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError, require

Samples = NDArray[np.float32]
QUIET = 1e-3
"""Peak, of 1 at most, below which a recording counts as silence: -60 dB."""
FULL_SCALE = np.float32(2**-15)
"""What one of 16 bits' steps is worth."""
UNKNOWN_LENGTH = 0x7FFF0000
"""Bytes that a WAV header claims when it was written before the samples were counted."""


class Audio(NamedTuple):
    """A recording."""

    samples: Samples
    """(n,), from -1 to 1, one channel."""
    rate: int
    """Samples a second."""
    channels: int
    """That it had before they were mixed down."""


def decode(data: bytes) -> Audio:
    """Decode the bytes of a recording, by soundfile or, what that does not know, by PyAV.

    Raises:
        DataError: it cannot be decoded, is truncated, empty, silent, or holds no sound.
    """
    soundfile = require("soundfile", extra="speech")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            announced, rate, log = file.frames, file.samplerate, file.extra_info
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        if data[:4] in (b"RIFF", b"fLaC", b"OggS"):
            raise DataError(f"it cannot be decoded ({error.error_string}); is it whole?") from error
        samples, rate = _by_av(data)
        announced, log = len(samples), ""
    claimed = re.search(r"^data : (\d+) \(should be (\d+)\)", log, re.MULTILINE)
    cut = claimed and int(claimed[2]) < int(claimed[1]) < UNKNOWN_LENGTH
    if cut or len(samples) < announced or "lacks an end-of-stream" in log:
        raise DataError(
            f"it is truncated: {len(samples) / rate:.2f} s are there, and its header says more."
        )
    if not len(samples):
        raise DataError("it holds no sample; is it whole?")
    if not np.isfinite(samples).all():
        raise DataError("it holds samples that are no numbers.")
    if np.abs(samples).max() < QUIET:
        raise DataError("it holds silence only, below -60 dB throughout.")
    return Audio(samples.mean(1), rate, samples.shape[1])


def blocks_of(path: Path, seconds: float) -> tuple[int, Iterator[Samples]]:
    """Return the rate of a recording that soundfile knows, and its samples, some at a time.

    Raises:
        DataError: it cannot be decoded.
        FileNotFoundError: there is no such file.
    """
    soundfile = require("soundfile", extra="speech")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        rate = soundfile.info(path).samplerate
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path} cannot be decoded piece by piece: {error}.") from error
    size = max(1, round(seconds * rate))
    blocks = soundfile.blocks(path, size, dtype="float32", always_2d=True)
    return rate, (np.ascontiguousarray(block.mean(1)) for block in blocks)


def raw_blocks(file: BinaryIO, rate: int, seconds: float) -> Iterator[Samples]:
    """Yield 16-bit samples of one channel, the lower byte first, some at a time."""
    size = 2 * max(1, round(seconds * rate))
    for data in iter(lambda: file.read(size), b""):
        yield np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) * FULL_SCALE


def _by_av(data: bytes) -> tuple[Samples, int]:
    """Decode by FFmpeg: (n, channels) and the rate."""
    av: Any = require("av", extra="speech")
    try:
        with av.open(io.BytesIO(data)) as container:
            if not container.streams.audio:
                raise DataError("it holds no sound.")
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp")
            parts = [
                part.to_ndarray().T
                for frame in (*container.decode(stream), None)
                for part in resampler.resample(frame)
            ]
            rate = int(stream.rate)
    except av.error.FFmpegError as error:
        raise DataError(f"it cannot be decoded ({error}); is it a recording?") from error
    if not parts:
        return np.zeros((0, 1), np.float32), rate
    return np.concatenate(parts).astype(np.float32), rate


def resampled(samples: Samples, rate: float, wanted: float) -> Samples:
    """Return `samples` at another rate, by soxr."""
    if rate == wanted:
        return samples
    soxr = require("soxr", extra="speech")
    changed: Samples = soxr.resample(samples, rate, wanted)
    return changed
