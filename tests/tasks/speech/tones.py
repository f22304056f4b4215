"""Recordings in which each letter is a tone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 8000
TONES = {"a": 400, "e": 900, "n": 1500, "t": 2300}


def sound(text: str) -> np.ndarray:
    """A tone for each letter, silence for a space."""
    random = np.random.default_rng(len(text))
    time = np.arange(int(0.12 * RATE)) / RATE
    gap = np.zeros(int(0.05 * RATE))
    parts = [gap]
    for letter in text:
        tone = 0.4 * np.sin(2 * np.pi * TONES[letter] * time) if letter != " " else 0 * time
        parts += [tone, gap]
    samples = np.concatenate(parts)
    return samples + 1e-3 * random.standard_normal(len(samples))


def write_tones(directory: Path, count: int) -> Path:
    """Write a manifest of so many recordings, of a text of its own each."""
    random, rows, seen = np.random.default_rng(0), ["path,text"], set()
    while len(seen) < count:
        letters = random.choice(list("aent"), random.integers(3, 9)).tolist()
        letters[len(letters) // 2] = " "
        seen.add("".join(letters))
    for number, text in enumerate(sorted(seen)):
        soundfile.write(directory / f"{number}.wav", sound(text), RATE)
        rows.append(f"{number}.wav,{text.upper()}!")
    path = directory / "tones.csv"
    path.write_text("\n".join(rows))
    return path
