"""From labels or numbers to training targets, and from the network's outputs to predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets

from gated.configuration import demand_numbers
from gated.data.single_labels import many_labels
from gated.errors import DataError
from gated.live.program import Writer
from gated.tasks.classify.sequences import Floats, Values


@dataclass(frozen=True)
class Classes:
    """The labels of a classification."""

    are_classes: ClassVar[bool] = True
    classes: Values
    """(C,) the labels, sorted; labels of text that all read as numbers, by these numbers."""
    frequencies: Floats
    """(C,) the share of each in training."""

    def __post_init__(self) -> None:
        """Refuse frequencies that cannot be, as after damage."""
        demand_numbers("A class's share", self.frequencies, count=len(self.classes), above=0)

    @classmethod
    def of(cls, values: Values) -> Self:
        """Find the classes of (N,) labels.

        Raises:
            DataError: there is only one class.
        """
        with many_labels():
            check_classification_targets(values)
        classes, counts = np.unique(values, return_counts=True)
        if len(classes) < 2:
            raise DataError(
                f"All sequences are of one class, {str(classes[0])!r}; to classify takes two "
                "classes or more."
            )
        order = _natural(classes)
        return cls(classes[order], counts[order] / len(values))

    def among(self, known: Self) -> Self:
        """Return the `known` classes, which hold all of these, with the frequencies of these."""
        of = dict(zip(self.names, self.frequencies, strict=True))
        frequencies = np.array([of.get(name, 0.0) for name in known.names])
        return replace(self, classes=known.classes, frequencies=frequencies)

    @property
    def outputs(self) -> int:
        """C, outputs of the network."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels as text."""
        return tuple(str(label) for label in self.classes)

    @property
    def title(self) -> str:
        """What is predicted, for titles."""
        return ", ".join(self.names)

    def learnt(self, values: Values) -> Values:
        """Return (N,), the index of each label among the classes.

        Raises:
            DataError: a label is not in the training data.
        """
        unknown = np.setdiff1d(values, self.classes)
        if len(unknown):
            raise DataError(
                f"The label {str(unknown[0])!r} was not trained on; known are {self.title}."
            )
        order = np.argsort(self.classes)
        return order[np.searchsorted(self.classes, values, sorter=order)].astype(np.int64)

    def weights(self, learnt: Values, *, balance: bool) -> Floats:
        """Return (N,) weights; with `balance`, each class weighs the same."""
        each = 1 / (len(self.classes) * np.maximum(self.frequencies, 1e-12))  # of one not there
        return each[learnt] if balance else np.ones(len(learnt))

    def write(self, writer: Writer, answers: str) -> dict[str, Any]:
        """Return the program that predicts the probability of each class from the logits."""
        found = writer.add("softmax", answers)
        return writer.program("probabilities", found, labels=list(self.names))

    def probabilities(self, answers: Values) -> Floats:
        """Return (N, C) from (N, C) logits."""
        return np.asarray(torch.softmax(torch.from_numpy(answers), -1))


def _natural(classes: Values) -> Values:
    """Return the order of sorted labels in which "9" is before "10"."""
    if classes.dtype.kind == "U":
        try:
            return np.argsort(classes.astype(np.float64), kind="stable")
        except ValueError:
            pass
    return np.arange(len(classes))


@dataclass(frozen=True)
class Numbers:
    """The numbers of a regression, standardised for the network."""

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
        """Take mean and standard deviation of (N,) numbers; raises as `numbers`."""
        numbers = cls.numbers(values)
        return cls(float(numbers.mean()), float(numbers.std()) or 1.0)

    @staticmethod
    def numbers(values: Values) -> Floats:
        """Return (N,) values as floats.

        Raises:
            DataError: a value is no number, or not finite.
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
        """Return (N,) standardised numbers; raises as `numbers`."""
        return ((self.numbers(values) - self.mean) / self.deviation).astype(np.float32)

    def weights(self, learnt: Values, *, balance: bool) -> Floats:
        """Return (N,) ones: all sequences weigh the same."""
        return np.ones(len(learnt))

    def predicted(self, answers: Values) -> Floats:
        """Return (N,) numbers from (N, 1) outputs of the network."""
        numbers: Floats = self.mean + self.deviation * answers[:, 0]
        return numbers

    def write(self, writer: Writer, answers: str) -> dict[str, Any]:
        """Return the program that predicts a number in the unit of the data."""
        found = writer.add("rescale", answers, mean=self.mean, deviation=self.deviation)
        return writer.program("numbers", found)
