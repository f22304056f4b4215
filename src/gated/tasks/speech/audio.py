"""Recordings as samples: decoded, mixed down, resampled."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.data.recordings import check_whole
from gated.errors import ConfigurationError, DataError, option, require

Samples = NDArray[np.float32]
QUIET = 1e-3
"""Peak, of 1 at most, below which a recording counts as silence: -60 dB."""
FULL_SCALE = np.float32(2**-15)
"""What one of 16 bits' steps is worth."""
HEADERS = (b"RIFF", b"fLaC", b"OggS")
"""With which files begin that libsndfile knows for certain."""
UNKNOWN_LENGTH = 0x7FFF0000
"""Bytes that a WAV header claims when it was written before the samples were counted."""


class Audio(NamedTuple):
    """A recording."""

    samples: Samples
    """(n,), from -1 to 1, one channel."""
    rate: int
    """Sampling rate, in samples per second."""
    channels: int
    """Number of channels before they were mixed down."""


def decode(data: bytes) -> Audio:
    """Decode the bytes of a recording by soundfile or, for other formats, by PyAV.

    Raises:
        DataError: it cannot be decoded, is truncated, empty, silent, or holds no sound.
    """
    soundfile = require("soundfile", extra="speech")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            announced, rate, log = file.frames, file.samplerate, file.extra_info
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        if data[:4] in HEADERS:
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
    mixed = samples.mean(1)
    if np.abs(samples).max() < QUIET:
        raise DataError("it holds silence only, below -60 dB throughout.")
    if np.abs(mixed).max() < QUIET:
        raise DataError(
            f"its {samples.shape[1]} channels cancel out, which leaves silence; give one of them."
        )
    return Audio(mixed, rate, samples.shape[1])


def blocks_of(path: Path, seconds: float) -> tuple[int, Iterator[Samples]]:
    """Return the sampling rate of a recording, and an iterator over blocks of its samples.

    Args:
        path: of the recording.
        seconds: length of a block; PyAV yields the blocks of the codec instead.

    Raises:
        DataError: it cannot be decoded, or holds no sound.
        FileNotFoundError: there is no such file.
    """
    soundfile = require("soundfile", extra="speech")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        rate = soundfile.info(path).samplerate
    except soundfile.LibsndfileError:
        try:
            rate, parts = _parts_by_av(str(path))
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        return rate, (np.ascontiguousarray(part.mean(1)) for part in parts)
    size = max(1, round(seconds * rate))
    blocks = soundfile.blocks(path, size, dtype="float32", always_2d=True)
    return rate, (np.ascontiguousarray(block.mean(1)) for block in blocks)


def raw_blocks(file: BinaryIO, rate: int, seconds: float) -> Iterator[Samples]:
    """Yield blocks of samples from a stream of 16-bit little-endian samples of one channel.

    Raises:
        ConfigurationError: the rate is not valid.
        DataError: the stream begins like an audio file.
    """
    if rate < 1:
        raise ConfigurationError(f"{option('rate')} is {rate}; it is samples a second, 1 or more.")
    size = 2 * max(1, round(seconds * rate))
    data = file.read(size)
    if data[:4] in HEADERS:
        raise DataError(
            f"What comes begins as a file does ({data[:4].decode()}): give the file by its name, "
            "or bare samples, as `arecord -t raw` or `sox -t raw` write them."
        )
    while data:
        yield np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) * FULL_SCALE
        data = file.read(size)


def _by_av(data: bytes) -> tuple[Samples, int]:
    """Decode by FFmpeg: (n, channels) and the rate."""
    rate, parts = _parts_by_av(io.BytesIO(data))
    decoded = list(parts)
    return np.concatenate(decoded) if decoded else np.zeros((0, 1), np.float32), rate


def _parts_by_av(source: BinaryIO | str) -> tuple[int, Iterator[Samples]]:
    """Return the rate, and (n, channels) at a time, decoded by FFmpeg."""
    av: Any = require("av", extra="speech")
    try:
        container = av.open(source)
    except av.error.FFmpegError as error:
        raise DataError(f"it cannot be decoded ({error.strerror}); is it a recording?") from error
    if not container.streams.audio:
        container.close()
        raise DataError("it holds no sound.")
    rate = int(container.streams.audio[0].rate)
    return rate, _decoded(container, rate, av)


def _decoded(container: Any, rate: int, av: Any) -> Iterator[Samples]:
    """Yield (n, channels) at a time; return whether that was all."""
    stream, count = container.streams.audio[0], 0
    resampler = av.AudioResampler(format="fltp")
    with container:
        try:
            for frame in chain(container.decode(stream), (None,)):
                for part in resampler.resample(frame):
                    samples = part.to_ndarray().T.astype(np.float32)
                    count += len(samples)
                    yield samples
        except av.error.FFmpegError as error:
            raise DataError(f"it cannot be decoded ({error.strerror}); is it whole?") from error
        check_whole(container, stream, count / rate)


def resampled(samples: Samples, rate: float, wanted: float) -> Samples:
    """Return `samples` at another rate, by soxr."""
    if rate == wanted:
        return samples
    soxr = require("soxr", extra="speech")
    changed: Samples = soxr.resample(samples, rate, wanted)
    return changed
