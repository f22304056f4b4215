"""Doubts about bare samples: two channels that pass for one, and a wrong sampling rate."""

from __future__ import annotations

import numpy as np

from gated.tasks.speech.audio import QUIET, Samples, resampled
from gated.tasks.speech.features import Frames, log_mel

SECONDS = 3.0
"""How much sound is looked at."""
RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
CLOSE = 1.3
"""Rates that differ by less than this factor cannot be told apart."""
LOWEST = 8.0
"""How far below the strongest band, in nepers of power, another still counts: 35 dB."""
CLEARLY = 0.6
"""What counts as clearly less in differences of samples, as a share,"""
CLEARLY_NEARER = 0.7
"""and in the distance of two spectra."""


class Doubts:
    """Looks at the first seconds of sound in a stream.

    Args:
        mean: (F,), the mean of each log-mel feature of what the network was trained on.
        wanted: sampling rate of these features.
        rate: stated sampling rate of the stream.
    """

    def __init__(self, mean: Frames, wanted: int, rate: int) -> None:
        self._mean, self._wanted, self._rate = mean, wanted, rate
        self._samples: Samples | None = np.zeros(0, np.float32)

    def take(self, block: Samples) -> list[str]:
        """Take the next samples (n,); return doubts, in words, once there was enough sound."""
        if self._samples is None or (len(block) and np.abs(block).max() < 10 * QUIET):
            return []
        self._samples = np.concatenate([self._samples, block])
        if len(self._samples) < SECONDS * self._rate:
            return []
        samples, self._samples = self._samples, None
        if interleaved(samples):
            return [
                "The samples look like two channels in turn, read as one: if so, give --channels 2."
            ]
        rate = likelier_rate(samples, self._rate, self._mean, self._wanted)
        if rate is None:
            return []
        return [
            f"The sound is more like what the network was trained on at {rate:,} samples a second "
            f"than at {self._rate:,}: is --rate {self._rate} right?"
        ]


def interleaved(samples: Samples) -> bool:
    """Return whether samples (n,) look like two channels in turn.

    In one channel, differences of neighbours are as large from an even place as from an odd one,
    and smaller than over two places, as sound is mostly low.
    """
    first, second = samples[: len(samples) // 2 * 2].reshape(-1, 2).T.astype(np.float64)
    within = float(((second - first) ** 2).mean())
    across = float(((first[1:] - second[:-1]) ** 2).mean())
    apart = float(((first[1:] - first[:-1]) ** 2).mean() + ((second[1:] - second[:-1]) ** 2).mean())
    less, more = sorted((within, across))
    return less < CLEARLY * more or apart / 2 < CLEARLY * less


def likelier_rate(samples: Samples, rate: int, mean: Frames, wanted: int) -> int | None:
    """Return a sampling rate at which samples sound clearly more as expected; None for no such.

    Args:
        samples: (n,).
        rate: their stated rate.
        mean: (F,), the mean of each log-mel feature of what the network was trained on.
        wanted: sampling rate of these features.
    """
    expected = _shape(mean)

    def distance(at: float) -> float:
        frames = log_mel(resampled(samples, at, wanted), wanted, len(mean))
        return float(((_shape(frames.mean(0)) - expected) ** 2).mean())

    best = min(RATES, key=distance)
    close = max(best, rate) < CLOSE * min(best, rate)
    clear = distance(best) < CLEARLY_NEARER * distance(rate)
    return best if clear and not close else None


def _shape(features: Frames) -> Frames:
    """Return log-mel features relative to their mean, none much weaker than the strongest."""
    shape = np.maximum(features, features.max() - LOWEST)
    relative: Frames = shape - shape.mean()
    return relative
