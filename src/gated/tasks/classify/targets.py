"""What a network learns of labels and of numbers, and what its answers say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets

from gated.configuration import demand_numbers
from gated.data.single_labels import many_labels
from gated.errors import DataError
from gated.tasks.classify.sequences import Floats, Values


@dataclass(frozen=True)
class Classes:
    """Labels to choose from."""

    are_classes: ClassVar[bool] = True
    classes: Values
    """(C,) the labels, sorted."""
    frequencies: Floats
    """(C,) the share of each in training."""

    def __post_init__(self) -> None:
        """Refuse frequencies that cannot be, as after damage."""
        demand_numbers("A class's share", self.frequencies, count=len(self.classes), above=0)

    @classmethod
    def of(cls, values: Values) -> Self:
        """Find the classes of (N,) labels.

        Raises:
            DataError: there is one only.
        """
        with many_labels():
            check_classification_targets(values)
        classes, counts = np.unique(values, return_counts=True)
        if len(classes) < 2:
            raise DataError(
                f"All sequences are of one class, {str(classes[0])!r}; to classify takes two "
                "classes or more."
            )
        return cls(classes, counts / len(values))

    def among(self, known: Self) -> Self:
        """Return the `known` classes, all of these among them, with the frequencies of these."""
        of = dict(zip(self.names, self.frequencies, strict=True))
        frequencies = np.array([of.get(name, 0.0) for name in known.names])
        return replace(self, classes=known.classes, frequencies=frequencies)

    @property
    def outputs(self) -> int:
        """C, numbers that the network gives."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels, to be written."""
        return tuple(str(label) for label in self.classes)

    @property
    def title(self) -> str:
        """What is predicted, for titles."""
        return ", ".join(self.names)

    def learnt(self, values: Values) -> Values:
        """Return (N,), the place of each label among the classes.

        Raises:
            DataError: one was not trained on.
        """
        unknown = np.setdiff1d(values, self.classes)
        if len(unknown):
            raise DataError(
                f"The label {str(unknown[0])!r} was not trained on; known are {self.title}."
            )
        return np.searchsorted(self.classes, values).astype(np.int64)

    def weights(self, learnt: Values, *, balance: bool) -> Floats:
        """Return (N,) weights; with `balance`, each class weighs the same."""
        each = 1 / (len(self.classes) * np.maximum(self.frequencies, 1e-12))  # of one not there
        return each[learnt] if balance else np.ones(len(learnt))

    def probabilities(self, answers: Values) -> Floats:
        """Return (N, C) from (N, C) logits."""
        return np.asarray(torch.softmax(torch.from_numpy(answers), -1))


@dataclass(frozen=True)
class Numbers:
    """Numbers, which the network learns in standard deviations."""

    are_classes: ClassVar[bool] = False
    outputs: ClassVar[int] = 1
    title: ClassVar[str] = "a number"
    names: ClassVar[tuple[str, ...]] = ()
    mean: float
    deviation: float

    def __post_init__(self) -> None:
        """Refuse what cannot be, as after damage or an overflow."""
        demand_numbers("The mean of the target", self.mean)
        demand_numbers("The deviation of the target", self.deviation, above=0)

    @classmethod
    def of(cls, values: Values) -> Self:
        """Take mean and deviation of (N,) numbers; raises as `numbers`."""
        numbers = cls.numbers(values)
        return cls(float(numbers.mean()), float(numbers.std()) or 1.0)

    @staticmethod
    def numbers(values: Values) -> Floats:
        """Return (N,) values as numbers.

        Raises:
            DataError: one is none, or not finite.
        """
        try:
            numbers = np.asarray(values, np.float64)
        except ValueError as error:
            raise DataError(f"A target of the regression is not a number: {error}.") from error
        if not np.isfinite(numbers).all():
            place = int(np.argmin(np.isfinite(numbers)))
            raise DataError(
                f"Target {place} is {numbers[place]}: Input y contains NaN or infinity."
            )
        return numbers

    def learnt(self, values: Values) -> Values:
        """Return (N,) numbers in standard deviations; raises as `numbers`."""
        return ((self.numbers(values) - self.mean) / self.deviation).astype(np.float32)

    def weights(self, learnt: Values, *, balance: bool) -> Floats:
        """Return (N,) ones: no number is more than another."""
        return np.ones(len(learnt))

    def predicted(self, answers: Values) -> Floats:
        """Return (N,) numbers from (N, 1) outputs of the network."""
        numbers: Floats = self.mean + self.deviation * answers[:, 0]
        return numbers
