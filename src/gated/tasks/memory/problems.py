"""Problems that a network solves only by remembering.

Each draws sequences of any length, scores a network's outputs, and defines the score that counts
as solved. Shapes: T steps, B sequences, I input features, O outputs, R steps with an output.
"""

from __future__ import annotations

import gzip
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from math import isqrt, log
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gated.errors import ConfigurationError, DataError, require

ProblemName: TypeAlias = Literal[
    "adding", "copy", "digits", "permuted-digits", "fashion", "permuted-fashion"
]
Part: TypeAlias = Literal["training", "validation", "test"]
"""Parts share no sequences but those that chance draws twice."""


class Batch(NamedTuple):
    """Sequences and their expected outputs."""

    x: Tensor
    """(T, B, I), inputs."""
    target: Tensor
    """(R, B), numbers, or indices of classes; the targets of the network's last R outputs."""


class Problem(ABC):
    """A problem with sequences of one length."""

    name: str
    inputs: int
    """I, input features of each step."""
    outputs: int
    """O, outputs of each step."""
    unit: str
    """Name of the score."""
    loss_unit: str
    """Name of the training loss."""
    answered = 1
    """R, steps with an output."""
    constant = 0.0
    """The output of the best constant guess, which needs no memory."""
    chance: float
    """The score of the best guess without a memory."""
    solved: float
    """A score below this counts as solved."""
    lengths: tuple[int, ...]
    """Lengths T that are tried by default."""
    shortest = 4

    def __init__(self, length: int) -> None:
        if length < self.shortest:
            raise ConfigurationError(
                f"lengths of {self.name} are {self.shortest} or more, not {length}."
            )
        self.length = length

    def held_out(self, part: Part) -> list[int]:
        """Sizes of the batches that score a network on a part; batch k is drawn with seed k."""
        return [500]

    @abstractmethod
    def draw(self, part: Part, sequences: int, seed: int) -> Batch:
        """Draw this many sequences of a part, the same for the same seed."""

    @abstractmethod
    def loss(self, answers: Tensor, target: Tensor) -> Tensor:
        """The training loss (R, B) of outputs (R, B, O) for targets (R, B)."""

    def score(self, answers: Tensor, target: Tensor) -> Tensor:
        """The score of each sequence, (B,); lower is better."""
        return self.loss(answers, target).mean(0)

    def guess(self, target: Tensor) -> Tensor:
        """The best outputs (R, B, O) without a memory, the same for every sequence."""
        return torch.full((*target.shape, self.outputs), self.constant)


def _random(part: Part, seed: int) -> np.random.Generator:
    return np.random.default_rng((("training", "validation", "test").index(part), seed))


class Adding(Problem):
    """The sum of the two numbers that were marked, one in each half of the sequence.

    Hochreiter and Schmidhuber 1997, in the form of Le, Jaitly and Hinton 2015: T numbers between 0
    and 1. The constant output 1, the mean, has a mean squared error of 1/6.
    """

    name = "adding"
    inputs, outputs = 2, 1
    unit = loss_unit = "mean squared error"
    constant = 1.0
    chance = 1 / 6
    solved = chance / 10
    lengths = (50, 100, 200, 400, 600)

    def draw(self, part: Part, sequences: int, seed: int) -> Batch:
        """Draw numbers and marks, with the sums of the marked numbers as targets."""
        random, T = _random(part, seed), self.length
        numbers = random.random((T, sequences), np.float32)
        every = np.arange(sequences)
        halves = (random.integers(0, T // 2, sequences), random.integers(T // 2, T, sequences))
        marks = np.zeros((T, sequences), np.float32)
        target = np.zeros((1, sequences), np.float32)
        for marked in halves:
            marks[marked, every] = 1
            target += numbers[marked, every]
        return Batch(torch.from_numpy(np.stack((numbers, marks), -1)), torch.from_numpy(target))

    def loss(self, answers: Tensor, target: Tensor) -> Tensor:
        """The squared error of each output."""
        return (answers[..., 0] - target) ** 2


class _Choosing(Problem):
    """Each target is one of O classes."""

    def loss(self, answers: Tensor, target: Tensor) -> Tensor:
        """The cross-entropy of each output."""
        return functional.cross_entropy(answers.movedim(-1, 1), target, reduction="none")


class Copying(_Choosing):
    """Ten symbols from an alphabet of eight, which must be repeated after many blank steps.

    Hochreiter and Schmidhuber 1997, in the form of Arjovsky, Shah and Bengio 2016: ten symbols, T
    blank steps, the last of which holds a delimiter, and ten steps for the output. The loss is
    that of these ten outputs only; without memory it is ln 8.
    """

    name = "copy"
    inputs, outputs = 10, 8
    unit = loss_unit = "cross-entropy of a symbol"
    chance = log(8)
    solved = chance / 10
    lengths = (100, 200, 500, 1000, 2000)
    answered = symbols = 10

    def draw(self, part: Part, sequences: int, seed: int) -> Batch:
        """Draw symbols, blanks and delimiter, one-hot, with the symbols as targets."""
        said = _random(part, seed).integers(0, 8, (self.symbols, sequences))
        silence, sign = 8, 9
        seen = np.full((self.length + 2 * self.symbols, sequences), silence)
        seen[: self.symbols] = said
        seen[self.symbols + self.length - 1] = sign
        x = np.eye(self.inputs, dtype=np.float32)[seen]
        return Batch(torch.from_numpy(x), torch.from_numpy(said))


class _Pixels(_Choosing):
    """An image, pixel by pixel (Le, Jaitly and Hinton 2015)."""

    inputs, outputs = 1, 10
    loss_unit = "cross-entropy"
    chance = 0.9
    shortest = 64

    def __init__(self, length: int) -> None:
        super().__init__(length)
        if isqrt(length) ** 2 != length:
            near = isqrt(length)
            raise ConfigurationError(
                f"lengths of {self.name} are squares, the pixels of an image: "
                f"{near**2} or {(near + 1) ** 2}, not {length}."
            )

    def shown(self, images: Tensor, labels: Tensor) -> Batch:
        """Make a batch of images (B, n, n), one pixel at each step."""
        x = self.ordered(images.flatten(1)).T.unsqueeze(-1).contiguous()
        return Batch(x, labels.unsqueeze(0))

    def ordered(self, pixels: Tensor) -> Tensor:
        """Put pixels (B, T) into the order in which the network reads them."""
        return pixels

    def score(self, answers: Tensor, target: Tensor) -> Tensor:
        """The share of wrongly predicted labels."""
        return (answers.argmax(-1) != target).float().mean(0)


class _Permuted(_Pixels):
    """The same with the pixels in one random order, so that neighbouring pixels lie far apart."""

    def ordered(self, pixels: Tensor) -> Tensor:
        """Put pixels (B, T) into the fixed random order."""
        return pixels[:, torch.from_numpy(np.random.default_rng(0).permutation(self.length))]


class Digits(_Pixels):
    """A handwritten digit, pixel by pixel (Le, Jaitly and Hinton 2015).

    The 1,797 digits of 8 by 8 pixels that come with scikit-learn; a length of n² enlarges them to n
    by n. A fifth of them is the validation part and a fifth the test part.
    """

    name = "digits"
    unit = "share of wrong digits"
    solved = 0.1
    lengths = (64, 144, 256, 400, 784)

    def draw(self, part: Part, sequences: int, seed: int) -> Batch:
        """Draw images of the part, with replacement, and their labels."""
        images, labels = _digits(isqrt(self.length))
        last = {"training": 1078, "validation": 1437, "test": 1797}
        first = {"training": 0, "validation": 1078, "test": 1437}[part]
        chosen = torch.from_numpy(_random(part, seed).integers(first, last[part], sequences))
        return self.shown(images[chosen], labels[chosen])


class PermutedDigits(_Permuted, Digits):
    """Handwritten digits, pixel by pixel in one random order: neighbouring pixels lie far apart.

    The images are those of `digits`.
    """

    name = "permuted-digits"


@cache
def _digits(side: int) -> tuple[Tensor, Tensor]:
    """The images (1797, side, side) between 0 and 1 in a random order, and what they show."""
    require("sklearn", extra="memory")
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images = torch.from_numpy(digits.images[order].astype(np.float32) / 16)
    return _resized(images, side), torch.from_numpy(digits.target[order])


class Fashion(_Pixels):
    """A piece of clothing, pixel by pixel, as Le, Jaitly and Hinton 2015 do with digits.

    Fashion-MNIST (Xiao, Rasul and Vollgraf 2017), 28 by 28 pixels; another length n² makes them n
    by n. Of its 60,000 training images the last 5,000 are the validation part; its 10,000 test
    images are the test part.
    """

    name = "fashion"
    unit = "share of wrong labels"
    solved = 0.15
    lengths = (64, 144, 256, 784)

    def held_out(self, part: Part) -> list[int]:
        """A thousand validation images, and all test images."""
        return [500] * (20 if part == "test" else 2)

    def draw(self, part: Part, sequences: int, seed: int) -> Batch:
        """Take images and their labels: at random for training, otherwise batch `seed` in order."""
        directory = Path(os.environ.get(FASHION, "/usr/share/datasets/fashion-mnist"))
        of_part = "t10k" if part == "test" else "train"
        images, labels = _fashion(directory, of_part, isqrt(self.length))
        first = len(labels) - 5_000 if part == "validation" else 0
        if part == "training":
            chosen = _random(part, seed).integers(0, len(labels) - 5_000, sequences)
        else:
            turn = np.arange(seed * sequences, (seed + 1) * sequences)
            chosen = first + turn % (len(labels) - first)
        return self.shown(images[chosen], labels[chosen])


class PermutedFashion(_Permuted, Fashion):
    """Pieces of clothing, pixel by pixel in one random order: neighbouring pixels lie far apart.

    The images are those of `fashion`.
    """

    name = "permuted-fashion"


FASHION = "GATED_FASHION_MNIST"
"""The environment variable that names the directory of Fashion-MNIST's files."""


@cache
def _fashion(directory: Path, part: str, side: int) -> tuple[Tensor, Tensor]:
    """The images (N, side, side) between 0 and 1, and what they show."""
    images = _idx(directory / f"{part}-images-idx3-ubyte.gz") / np.float32(255)
    labels = _idx(directory / f"{part}-labels-idx1-ubyte.gz").astype(np.int64)
    return _resized(torch.from_numpy(images), side), torch.from_numpy(labels)


def _idx(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file in MNIST's format: four bytes, the last the dimensions, shape, values."""
    if not path.is_file():
        raise DataError(
            f"There is no file {path}. The package dataset-fashion-mnist of Debian brings it; "
            f"the environment variable {FASHION} says where its directory is."
        )
    with gzip.open(path) as file:
        raw = file.read()
    shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def _resized(images: Tensor, side: int) -> Tensor:
    """Images (N, n, n) of another side."""
    if images.shape[-1] == side:
        return images
    size = (side, side)
    return functional.interpolate(images.unsqueeze(1), size, mode="bilinear", antialias=False)[:, 0]


PROBLEMS: dict[str, type[Problem]] = {
    problem.name: problem
    for problem in (Adding, Copying, Digits, PermutedDigits, Fashion, PermutedFashion)
}


def problem_of(name: str, length: int) -> Problem:
    """Return the problem with this name and length.

    Raises:
        ConfigurationError: there is no such problem, or it has no such length.
    """
    return problems_of(name, [length])[0]


def problems_of(name: str, lengths: Sequence[int] | None = None) -> list[Problem]:
    """Return the problem with this name at each of these lengths, by default its own.

    Raises:
        ConfigurationError: there is no such problem, or it has no such length.
    """
    if name not in PROBLEMS:
        raise ConfigurationError(f"problem: {name!r} is not one of {', '.join(PROBLEMS)}.")
    problem = PROBLEMS[name]
    return [problem(length) for length in (problem.lengths if lengths is None else lengths)]
