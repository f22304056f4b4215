"""Series that nobody has observed, of the kinds that people forecast.

Sums and products of trends, seasons (waves, profiles, calendars of two seasons), autoregressions,
smooth functions of a Gaussian process (random Fourier features, Rahimi and Recht 2007), breaks and
noise; in levels, exponentially growing, or as counts. Every one is drawn anew.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from gated.tasks.forecast.pretrained.smoothing import Floats, Integers

OF_WORLD = {
    (1, 1): 0.26,
    (4, 1): 0.1,
    (7, 1): 0.15,
    (12, 1): 0.18,
    (24, 1): 0.06,
    (24, 168): 0.07,
    (7, 28): 0.03,
    (52, 1): 0.04,
    (48, 1): 0.02,
    (30, 1): 0.02,
    (5, 1): 0.03,
    (60, 1): 0.01,
    (96, 1): 0.01,
    (10, 1): 0.02,
}
"""Pairs of seasons, the shorter first, 1 for none; and how often each is drawn."""


def draw(random: np.random.Generator, count: int, steps: int) -> tuple[Floats, Integers]:
    """Draw series `(count, steps)`, and their seasons `(count, 2)`."""
    time = np.arange(steps)[None]
    often = np.array([*OF_WORLD.values()])
    seasons = np.array([*OF_WORLD])[random.choice(len(often), count, p=often / often.sum())]

    def size(mean: float) -> Floats:
        return random.exponential(mean, (count, 1))

    def some(share: float) -> Floats:
        return np.asarray(random.random((count, 1)) < share, np.float64)

    def one_of(values: list[float], shares: list[float]) -> Floats:
        return random.choice(values, (count, 1), p=shares)

    slope = random.normal(size=(count, 1)) * size(0.03) * some(0.6)
    damped = np.where(random.random((count, 1)) < 0.4, random.uniform(0.95, 1, (count, 1)), 1)
    trend = np.cumsum(slope * damped**time, 1)
    # Now and then the slope changes for good.
    bend = random.integers(steps // 4, steps, (count, 1))
    trend += np.maximum(time - bend, 0) * random.normal(size=(count, 1)) * size(0.02) * some(0.25)
    seasonal = _seasonal(random, seasons, steps) * size(1.2)
    seasonal = seasonal * (1 + some(0.25) * 0.0025 * random.normal(size=(count, 1)) * time)
    noise = random.standard_t(5, (count, steps))
    memory = one_of([0, 0.4, 0.8, 0.95, 1.0], [0.35, 0.15, 0.15, 0.15, 0.2])
    walk = np.stack([lfilter([1], [1, -m], of) for m, of in zip(memory[:, 0], noise, strict=True)])
    walk *= size(0.6) / (1 + 3 * (memory >= 0.95))
    smooth = np.cumsum(lfilter([1], [1, -0.9], random.normal(size=(count, steps)), axis=1), 1)
    smooth *= size(0.02) * some(0.2)
    shifts = (random.random((count, steps)) < 0.004) * random.normal(size=(count, steps)) * 3
    shifts = np.cumsum(shifts, 1) * some(0.25)
    function = _gaussian_process(random, count, steps) * size(0.8) * some(0.3)
    blur = random.normal(size=(count, steps)) * size(0.5)
    # Spread that comes and goes, as in prices.
    stormy = lfilter([0.2], [1, -0.97], random.normal(size=(count, steps)), axis=1)
    blur = blur * np.exp(np.clip(stormy, -2, 2) * some(0.2))
    outliers = (random.random((count, steps)) < 0.01) * random.standard_t(2, (count, steps)) * 4
    values = trend + seasonal + walk + smooth + shifts + function + blur + outliers * some(0.15)

    kind = random.random((count, 1))
    growth = np.exp(np.clip(values * (0.02 + 0.25 * random.random((count, 1))), -12, 12))
    values = np.where(kind < 0.3, growth, values)
    rate = np.exp(np.clip(0.4 * values + random.normal(size=(count, 1)), -4, 5))
    counts = random.poisson(rate)
    values = np.where((kind >= 0.3) & (kind < 0.4), counts, values)
    values = np.where(kind > 0.95, counts * (random.random((count, steps)) < 0.4), values)
    # Most series of the world are positive and far from nothing, compared with how they move.
    height = np.abs(values).max(1, keepdims=True) * random.exponential(2, (count, 1))
    values = np.where((kind >= 0.4) & (kind <= 0.95), values + height * some(0.6), values)
    return values, seasons


def _seasonal(random: np.random.Generator, seasons: Integers, steps: int) -> Floats:
    count, time = len(seasons), np.arange(steps)
    total = np.zeros((count, steps))
    waves = np.arange(1, 6)[None, :]
    for which in range(2):
        season = seasons[:, which : which + 1]
        amplitude = random.normal(size=(count, 5)) / waves ** random.uniform(0.3, 2, (count, 1))
        amplitude = amplitude * (2 * waves <= season) * (season > 1)
        shift = random.uniform(0, 2 * np.pi, (count, 5))
        for wave in range(5):
            angle = 2 * np.pi * (wave + 1) * time / season + shift[:, wave, None]
            total += amplitude[:, wave, None] * np.sin(angle)
        # Profiles that are no sums of waves: one step of the season is unlike the others, or each.
        profile = random.normal(size=(count, int(season.max()))) * (
            random.random((count, int(season.max()))) < random.choice([0.15, 1.0], (count, 1))
        )
        has = (random.random((count, 1)) < 0.4) * (season > 1)
        total += (
            np.take_along_axis(profile, time % season, 1) * random.exponential(1, (count, 1)) * has
        )
    return total


def _gaussian_process(random: np.random.Generator, count: int, steps: int) -> Floats:
    """Smooth functions, of lengths from 5 to 200 steps."""
    length = np.exp(random.uniform(np.log(5), np.log(200), (count, 1, 1)))
    frequency = random.normal(size=(count, 16, 1)) / length
    shift = random.uniform(0, 2 * np.pi, (count, 16, 1))
    waves = np.cos(frequency * np.arange(steps) + shift)
    return np.asarray(waves.sum(1) / np.sqrt(8), np.float64)
