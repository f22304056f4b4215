"""Problems that a network solves only by remembering.

Each draws sequences of any length, scores what a network answers, and says what score counts as
solved. Shapes: T steps, B sequences, I input features, O outputs, R steps that are answered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from math import isqrt, log
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gated.errors import ConfigurationError, require

Part: TypeAlias = Literal["training", "validation", "test"]
"""Which sequences: none of one part is in another, but for what chance draws twice."""


class Batch(NamedTuple):
    """Sequences and what is asked of them."""

    x: Tensor
    """(T, B, I)"""
    target: Tensor
    """(R, B): numbers, or the indices of classes. The answers are the network's last R outputs."""


class Problem(ABC):
    """A problem of one length."""

    name: str
    inputs: int
    """I"""
    outputs: int
    """O"""
    unit: str
    """What the score is."""
    chance: float
    """The score of who remembers nothing."""
    solved: float
    """A score below this counts as solved."""
    lengths: tuple[int, ...]
    """Those that are tried unless others are asked for."""
    shortest = 4

    def __init__(self, length: int) -> None:
        if length < self.shortest:
            raise ConfigurationError(
                f"lengths of {self.name} are {self.shortest} or more, not {length}."
            )
        self.length = length

    @abstractmethod
    def draw(self, part: Part, sequences: int, seed: int) -> Batch:
        """So many sequences of a part, the same for the same seed."""

    @abstractmethod
    def loss(self, answers: Tensor, target: Tensor) -> Tensor:
        """What is trained on: the loss of each answer (R, B, O), (R, B)."""

    def score(self, answers: Tensor, target: Tensor) -> float:
        """What counts: smaller is better."""
        return float(self.loss(answers, target).mean())


def _random(part: Part, seed: int) -> np.random.Generator:
    return np.random.default_rng((("training", "validation", "test").index(part), seed))


class Adding(Problem):
    """The sum of the two numbers that were marked, one in each half of the sequence.

    Hochreiter and Schmidhuber 1997, in the form of Le, Jaitly and Hinton 2015: T numbers between 0
    and 1. Always to answer 1, the mean, has a squared error of 1/6.
    """

    name = "adding"
    inputs, outputs = 2, 1
    unit = "mean squared error"
    chance = 1 / 6
    solved = chance / 10
    lengths = (50, 100, 200, 400, 600)

    def draw(self, part: Part, sequences: int, seed: int) -> Batch:
        """Numbers with their marks, and the sums of what is marked."""
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
        """The squared error."""
        return (answers[..., 0] - target) ** 2


class _Choosing(Problem):
    """Each answer is one of O."""

    def loss(self, answers: Tensor, target: Tensor) -> Tensor:
        """The cross-entropy."""
        return functional.cross_entropy(answers.movedim(-1, 1), target, reduction="none")


class Copying(_Choosing):
    """Ten symbols of eight, said once more after a long silence.

    Hochreiter and Schmidhuber 1997, in the form of Arjovsky, Shah and Bengio 2016: ten symbols, T
    steps of silence of which the last is the sign to begin, ten steps to answer in. The loss is
    that of the ten answers alone; without memory it is ln 8.
    """

    name = "copy"
    inputs, outputs = 10, 8
    unit = "cross-entropy of a symbol"
    chance = log(8)
    solved = chance / 10
    lengths = (100, 200, 500, 1000, 2000)
    symbols = 10

    def draw(self, part: Part, sequences: int, seed: int) -> Batch:
        """Symbols, silence and the sign, one-hot, and the symbols again."""
        said = _random(part, seed).integers(0, 8, (self.symbols, sequences))
        silence, sign = 8, 9
        seen = np.full((self.length + 2 * self.symbols, sequences), silence)
        seen[: self.symbols] = said
        seen[self.symbols + self.length - 1] = sign
        x = np.eye(self.inputs, dtype=np.float32)[seen]
        return Batch(torch.from_numpy(x), torch.from_numpy(said))


class Digits(_Choosing):
    """A handwritten digit, pixel by pixel (Le, Jaitly and Hinton 2015).

    The 1,797 digits of 8 by 8 pixels that come with scikit-learn; a length of n² enlarges them to n
    by n. Of them a fifth is for validation and a fifth for the test.
    """

    name = "digits"
    inputs, outputs = 1, 10
    unit = "share of wrong digits"
    chance = 0.9
    solved = 0.1
    lengths = (64, 144, 256, 400, 784)
    shortest = 64

    def __init__(self, length: int) -> None:
        super().__init__(length)
        if isqrt(length) ** 2 != length:
            near = isqrt(length)
            raise ConfigurationError(
                f"lengths of {self.name} are squares, the pixels of an image: "
                f"{near**2} or {(near + 1) ** 2}, not {length}."
            )

    def draw(self, part: Part, sequences: int, seed: int) -> Batch:
        """Images of the part, some more than once, and what they show."""
        images, labels = _digits(isqrt(self.length))
        last = {"training": 1078, "validation": 1437, "test": 1797}
        first = {"training": 0, "validation": 1078, "test": 1437}[part]
        chosen = torch.from_numpy(_random(part, seed).integers(first, last[part], sequences))
        pixels = images[chosen].flatten(1)
        return Batch(self.ordered(pixels).T.unsqueeze(-1).contiguous(), labels[chosen].unsqueeze(0))

    def ordered(self, pixels: Tensor) -> Tensor:
        """The pixels (B, T) in the order in which they are shown."""
        return pixels

    def score(self, answers: Tensor, target: Tensor) -> float:
        """The share of wrong answers."""
        return float((answers.argmax(-1) != target).float().mean())


class PermutedDigits(Digits):
    """The same with the pixels in an order drawn once, so that none is near what belongs to it."""

    name = "permuted-digits"

    def ordered(self, pixels: Tensor) -> Tensor:
        """The pixels (B, T) in an order of chance."""
        return pixels[:, torch.from_numpy(np.random.default_rng(0).permutation(self.length))]


@cache
def _digits(side: int) -> tuple[Tensor, Tensor]:
    """The images (1797, side, side) between 0 and 1 in an order of chance, and what they show."""
    require("sklearn", extra="memory")
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images = torch.from_numpy(digits.images[order].astype(np.float32) / 16).unsqueeze(1)
    enlarged = functional.interpolate(images, (side, side), mode="bilinear", antialias=False)
    return enlarged[:, 0], torch.from_numpy(digits.target[order])


PROBLEMS: dict[str, type[Problem]] = {
    problem.name: problem for problem in (Adding, Copying, Digits, PermutedDigits)
}


def problem_of(name: str, length: int) -> Problem:
    """The problem of this name and length.

    Raises:
        ConfigurationError: there is no such problem, or it has no such length.
    """
    return problems_of(name, [length])[0]


def problems_of(name: str, lengths: Sequence[int] | None = None) -> list[Problem]:
    """The problems of this name and these lengths, by default its own.

    Raises:
        ConfigurationError: there is no such problem, or it has no such length.
    """
    if name not in PROBLEMS:
        raise ConfigurationError(f"problem: {name!r} is not one of {', '.join(PROBLEMS)}.")
    problem = PROBLEMS[name]
    return [problem(length) for length in (problem.lengths if lengths is None else lengths)]
