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
PIPED_HEADERS = (*HEADERS, b"RF64", b"ID3", b"FORM", b".snd", b"\x1a\x45\xdf\xa3")
"""With which a stream begins that is no bare samples: WAV, FLAC, Ogg, MP3, AIFF, AU, Matroska."""
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
    _check_length(len(samples), announced, rate, log)
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


def _check_length(count: int, announced: int, rate: int, log: str) -> None:
    """Refuse fewer samples than a header, or what libsndfile has to say of it, announces."""
    claimed = re.search(r"^data : (\d+) \(should be (\d+)\)", log, re.MULTILINE)
    cut = claimed and int(claimed[2]) < int(claimed[1]) < UNKNOWN_LENGTH
    if cut or count < announced or "lacks an end-of-stream" in log:
        raise DataError(
            f"it is truncated: {count / rate:.2f} s are there, and its header says more."
        )


def seconds_of(path: Path) -> float | None:
    """Return the duration that a recording states, without decoding it; None where it does not.

    Raises:
        DataError: it cannot be opened.
    """
    soundfile = require("soundfile", extra="speech")
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError:
        with _opened(str(path)) as container:
            return container.duration / 1e6 if container.duration else None
    return float(info.frames / info.samplerate)


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
    return rate, _blocks(path, size)


def _blocks(path: Path, size: int) -> Iterator[Samples]:
    """Yield the samples of a recording that libsndfile knows, and refuse a truncated one."""
    soundfile = require("soundfile", extra="speech")
    count = 0
    with soundfile.SoundFile(path) as file:
        while len(block := file.read(size, dtype="float32", always_2d=True)):
            count += len(block)
            yield np.ascontiguousarray(block.mean(1))
        _check_length(count, file.frames, file.samplerate, file.extra_info)


def piped_blocks(
    file: BinaryIO, rate: int | None, channels: int, seconds: float
) -> tuple[int, Iterator[Samples]]:
    """Return the sampling rate of a stream, and an iterator over blocks of its samples.

    Args:
        file: bare samples, see `raw_blocks`, or what begins as a file of WAV or another format.
        rate: of bare samples; a file states its own.
        channels: the same.
        seconds: length of a block; PyAV yields the blocks of the codec instead.

    Raises:
        ConfigurationError: bare samples come, and no valid rate is given.
        DataError: it cannot be decoded, or there is nothing.
    """
    _check_format(rate, channels)
    stream = _Resumed(file)
    if any(stream.begin.startswith(header) for header in PIPED_HEADERS):
        rate, parts = _parts_by_av(stream)
        return rate, (np.ascontiguousarray(part.mean(1)) for part in parts)
    if not stream.begin:
        raise DataError("Nothing came on standard input; pipe a recording or samples into it.")
    if rate is None:
        raise ConfigurationError(
            "What comes on standard input has no header that states its sampling rate: give "
            f"{option('rate')}, and {option('channels')} if there are several, or pipe a WAV file."
        )
    return rate, raw_blocks(stream, rate, seconds, channels)


class _Resumed:
    """A stream whose first bytes were looked at, for `read`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._ahead = file, file.read(4)
        self.begin = self._ahead

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data if len(data) == size else data + self._file.read(size - len(data))


def _check_format(rate: int | None, channels: int) -> None:
    for name, value in (("rate", rate), ("channels", channels)):
        if value is not None and value < 1:
            raise ConfigurationError(f"{option(name)} is {value}; it must be 1 or more.")


def raw_blocks(
    file: BinaryIO | _Resumed, rate: int, seconds: float, channels: int = 1
) -> Iterator[Samples]:
    """Yield blocks of samples from a stream of 16-bit little-endian samples, channels in turn.

    Raises:
        ConfigurationError: the rate, or the number of channels, is not valid.
    """
    _check_format(rate, channels)
    width = 2 * channels
    size = width * max(1, round(seconds * rate))
    while data := file.read(size):
        samples = np.frombuffer(data[: len(data) // width * width], "<i2").reshape(-1, channels)
        yield samples.mean(1, dtype=np.float32) * FULL_SCALE


def _by_av(data: bytes) -> tuple[Samples, int]:
    """Decode by FFmpeg: (n, channels) and the rate."""
    rate, parts = _parts_by_av(io.BytesIO(data))
    decoded = list(parts)
    return np.concatenate(decoded) if decoded else np.zeros((0, 1), np.float32), rate


def _parts_by_av(source: BinaryIO | _Resumed | str) -> tuple[int, Iterator[Samples]]:
    """Return the rate, and (n, channels) at a time, decoded by FFmpeg."""
    container = _opened(source)
    rate = int(container.streams.audio[0].rate)
    return rate, _decoded(container, rate)


def _opened(source: BinaryIO | _Resumed | str) -> Any:
    """Return a container of PyAV that holds sound."""
    av: Any = require("av", extra="speech")
    try:
        container = av.open(source)
    except av.error.FFmpegError as error:
        raise DataError(f"it cannot be decoded ({error.strerror}); is it a recording?") from error
    if not container.streams.audio:
        container.close()
        raise DataError("it holds no sound.")
    return container


def _decoded(container: Any, rate: int) -> Iterator[Samples]:
    """Yield (n, channels) at a time."""
    av: Any = require("av", extra="speech")
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
