"""Tiny data for every task, and how its commands are asked to train on them in a moment."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest


@dataclass(frozen=True)
class Tiny:
    """Data of a task, and options that it needs for them."""

    task: str
    files: tuple[Path, ...]
    options: tuple[str, ...] = ()

    def arguments(self, verb: str, out: Path, *more: str) -> list[str]:
        """Of `gated VERB TASK` with a network of a moment."""
        files = map(str, self.files)
        quick = ("--hidden", "6", "--batch-size", "4", "--threads", "1", "--validate-every", "2")
        return [verb, self.task, *files, *self.options, *quick, "--out", str(out), *more]


def sequences(directory: Path, label: Callable[[int], str]) -> Path:
    """Forty sequences of six steps, half of them high."""
    draw, lines = random.Random(0), ["id,label,x"]
    for number in range(40):
        lines += [
            f"s{number},{label(number)},{(number % 2) + draw.gauss(0, 0.1):.3f}" for _ in range(6)
        ]
    path = directory / "sequences.csv"
    path.write_text("\n".join(lines))
    return path


SEQUENCES = ("--series", "id", "--label", "label")


def classify(directory: Path) -> Tiny:
    high = sequences(directory, lambda number: "high" if number % 2 else "low")
    return Tiny("classify", (high,), SEQUENCES)


def regress(directory: Path) -> Tiny:
    return Tiny("regress", (sequences(directory, lambda number: f"{number % 2}.5"),), SEQUENCES)


def forecast(directory: Path) -> Tiny:
    lines = [f"{date(2024, 1, 1) + timedelta(day)},{10 + day % 7}.{day % 3}" for day in range(150)]
    path = directory / "days.csv"
    path.write_text("\n".join(["day,sold", *lines]))
    return Tiny("forecast", (path,), ("--time", "day", "--target", "sold", "--horizon", "3"))


def language(directory: Path) -> Tiny:
    draw = random.Random(0)
    path = directory / "sums.txt"
    pairs = [(draw.randrange(5), draw.randrange(5)) for _ in range(600)]
    path.write_text("".join(f"{a}+{b}={a + b}\n" for a, b in pairs))
    return Tiny("language", (path,), ("--window", "16"))


def text_classify(directory: Path) -> Tiny:
    draw, verbs = random.Random(0), {"sum": "plus", "product": "times"}
    rows = []
    for number in range(60):
        label = list(verbs)[number % 2]
        one, other = ("".join(draw.choices("abcdefgh", k=7)) for _ in range(2))
        rows.append(f"what is {one} {verbs[label]} {other},{label}")
    path = directory / "texts.csv"
    path.write_text("\n".join(["text,label", *rows]))
    return Tiny("text-classify", (path,))


def translate(directory: Path) -> Tiny:
    words = {"ba": "x", "ko": "y", "ti": "z", "mu": "w"}
    draw, sentences = random.Random(0), {}
    while len(sentences) < 200:
        sentences[tuple(draw.choices(list(words), k=draw.randint(3, 8)))] = None
    path = directory / "pairs.tsv"
    path.write_text(
        "".join(f"{' '.join(s)}\t{' '.join(words[w] for w in s[::-1])}\n" for s in sentences)
    )
    return Tiny("translate", (path,), ("--vocabulary", "40", "--beam", "1"))


def speech(directory: Path) -> Tiny:
    soundfile = pytest.importorskip("soundfile")
    for needed in ("soxr", "kaldi_native_fbank", "jiwer"):
        pytest.importorskip(needed)
    draw, rate, rows = random.Random(0), 8000, ["path,text"]
    tones = {"a": 400, "e": 900, "n": 1500, "t": 2300}
    texts: dict[str, None] = {}
    while len(texts) < 16:
        texts["".join(draw.choices(list(tones), k=5))] = None
    time = np.arange(rate // 8) / rate
    for number, text in enumerate(texts):
        heard = [0.4 * np.sin(2 * np.pi * tones[letter] * time) for letter in text]
        soundfile.write(directory / f"{number}.wav", np.concatenate(heard), rate)
        rows.append(f"{number}.wav,{text}")
    path = directory / "recordings.csv"
    path.write_text("\n".join(rows))
    options = ("--sample-rate", str(rate), "--layers", "1", "--mels", "12", "--speeds", "1.0")
    return Tiny("speech", (path,), (*options, "--cache", str(directory / "cache")))


def video(directory: Path) -> Tiny:
    av = pytest.importorskip("av")
    rows = ["clip,label"]
    for number in range(12):
        frames = np.full((6, 16, 32, 3), 20 * (number // 2), np.uint8)
        frames[:, :, 16 * (number % 2) : 16 * (number % 2) + 16] += 100
        with av.open(str(directory / f"{number}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 16, "bgr0"
            for pixels in frames:
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                container.mux(stream.encode(picture.reformat(format="bgr0")))
            container.mux(stream.encode())
        rows.append(f"{number}.mkv,{'right' if number % 2 else 'left'}")
    path = directory / "clips.csv"
    path.write_text("\n".join(rows))
    return Tiny("video", (path,), ("--width", "32", "--height", "16", "--frames", "4"))


MAKERS = (classify, forecast, language, regress, speech, text_classify, translate, video)


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> Tiny:
    """Each task in turn."""
    directory = tmp_path / "data"
    directory.mkdir()
    made: Tiny = request.param(directory)
    return made
