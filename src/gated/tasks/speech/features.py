"""Log-mel features of recordings, cached on disk."""

from __future__ import annotations

import hashlib
import io
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError, require
from gated.files import write_atomically
from gated.tasks.speech.audio import Samples, decode, resampled

Frames = NDArray[np.float32]
"""(T, F): T frames, 10 ms apart, of 25 ms each; F mel bands."""
VERSION = 1
"""Of the features; a change of how they are computed counts it up."""
SHORTEST = 0.05
"""Seconds below which a recording is too short to hold speech."""


def filterbank(rate: int, mels: int) -> Any:
    """Return a mel filterbank for streaming, which takes samples in pieces.

    Frames that would reach beyond the samples are left out, so that a frame depends on its own
    samples only, whether or not more follow.
    """
    fbank = require("kaldi_native_fbank", extra="speech")
    options = fbank.FbankOptions()
    options.frame_opts.samp_freq = rate
    options.frame_opts.dither = 0.0
    options.frame_opts.snip_edges = True
    options.mel_opts.num_bins = mels
    return fbank.OnlineFbank(options)


def log_mel(samples: Samples, rate: int, mels: int) -> Frames:
    """Return the log-mel features (T, mels) of `samples` (n,)."""
    bank = filterbank(rate, mels)
    bank.accept_waveform(rate, samples.tolist())
    bank.input_finished()
    frames = [bank.get_frame(k) for k in range(bank.num_frames_ready)]
    return np.array(frames, np.float32).reshape(-1, mels)


@dataclass(frozen=True)
class Heard:
    """A recording's features and length, and what was found in it."""

    frames: Frames
    seconds: float
    rate: int
    """Sampling rate of the file, in samples per second."""
    channels: int


class FeatureStore:
    """Computes features, and caches them under a digest of the recording and the settings."""

    def __init__(self, rate: int, mels: int, directory: Path | None) -> None:
        """Keep features in `directory`, by default in the user's cache."""
        self.rate, self.mels = rate, mels
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.directory = directory or home / "gated" / "speech"

    def heard(self, path: Path, speed: float = 1.0) -> Heard:
        """Return the features of a recording, played at `speed`.

        Raises:
            DataError: it cannot be used.
            FileNotFoundError: there is no such file.
        """
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        data = path.read_bytes()
        settings = json.dumps([VERSION, self.rate, self.mels, speed])
        digest = hashlib.blake2b(data + settings.encode(), digest_size=20).hexdigest()
        kept = self.directory / digest[:2] / f"{digest}.npz"
        if (found := _kept(kept)) is not None:
            return found
        audio = decode(data)
        seconds = len(audio.samples) / audio.rate
        if seconds < SHORTEST:
            raise DataError(f"it lasts {seconds:.3f} s, too short to hold speech.")
        samples = resampled(audio.samples, audio.rate * speed, self.rate)
        frames = log_mel(samples, self.rate, self.mels)
        buffer = io.BytesIO()
        numbers = np.array([seconds, audio.rate, audio.channels])
        np.savez(buffer, frames=frames, numbers=numbers)
        # Where nothing can be kept, features are computed each time.
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, buffer.getvalue())
        return Heard(frames, seconds, audio.rate, audio.channels)


def _kept(path: Path) -> Heard | None:
    """Return what was kept; None where there is nothing, or something damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as saved:
            seconds, rate, channels = saved["numbers"].tolist()
            return Heard(saved["frames"], seconds, int(rate), int(channels))
    except (OSError, EOFError, ValueError, KeyError, BadZipFile):
        return None
