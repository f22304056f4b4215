"""From labels or numbers to training targets, and from the network's outputs to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets

from gated.configuration import demand_numbers
from gated.data.single_labels import many_labels
from gated.errors import ConfigurationError, DataError, option
from gated.live.program import Writer
from gated.tasks.classify.sequences import Floats, Values


@dataclass(frozen=True)
class Classes:
    """The labels of a classification."""

    are_classes: ClassVar[bool] = True
    unit: ClassVar[float] = 1.0
    """Of the losses."""
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
    def groups(self) -> list[slice]:
        """The outputs for which ridge regressions are chosen together: all."""
        return [slice(None)]

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

    def guess(self, values: Values) -> tuple[float, str]:
        """Return the loss without any input, and what it is: the entropy of the labels."""
        shares = self.frequencies[self.frequencies > 0]
        return float(-(shares * np.log(shares)).sum()), "the entropy of the labels"

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
    """The numbers of a regression, each target standardised for the network by itself."""

    are_classes: ClassVar[bool] = False
    mean: Floats
    """(O,), of the training sequences."""
    deviation: Floats
    """(O,), standard deviation of the same; 1 where the target is constant."""
    names: tuple[str, ...] = ()
    """Of the targets; none where there is a single one, which needs none."""

    def __post_init__(self) -> None:
        """Refuse what cannot be, as after damage or an overflow."""
        for name in ("mean", "deviation"):  # of one target, earlier versions wrote a number
            object.__setattr__(self, name, np.atleast_1d(getattr(self, name)).astype(np.float64))
        count, of = len(self.names) or 1, f" of the target{'s' if self.names else ''}"
        demand_numbers(f"The mean{of}", self.mean, count=count)
        demand_numbers(f"The deviation{of}", self.deviation, count=count, above=0)
        if len(set(self.names)) < len(self.names):
            raise DataError(f"Two targets have one name among {', '.join(self.names)}.")

    @classmethod
    def of(cls, values: Values, names: tuple[str, ...] = ()) -> Self:
        """Take mean and standard deviation of (N, O) numbers, or (N,); raises as `numbers`."""
        numbers = numbers_of(values, names)
        still = are_constant(numbers)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.where(still, numbers[0], numbers.mean(0))
            deviation = np.where(still, 1.0, numbers.std(0))
        if not np.isfinite(deviation).all():
            place = int(np.argmin(np.isfinite(deviation)))
            raise DataError(
                f"The target{f' {names[place]!r}' if names else ''} reaches "
                f"{np.abs(numbers[:, place]).max():g}, too much to be squared: give it in a larger "
                "unit, or its logarithm."
            )
        if not deviation.all():
            place = int(np.argmin(deviation))
            raise DataError(
                f"The target{f' {names[place]!r}' if names else ''} differs by "
                f"{np.ptp(numbers[:, place]):g} at most, too little to be squared: give it in a "
                "smaller unit."
            )
        return cls(mean, deviation, names)

    @property
    def outputs(self) -> int:
        """O, outputs of the network."""
        return len(self.mean)

    @property
    def groups(self) -> list[slice]:
        """The outputs for which ridge regressions are chosen together: each target by itself."""
        return [slice(place, place + 1) for place in range(self.outputs)]

    @property
    def title(self) -> str:
        """What is predicted, for titles."""
        return ", ".join(self.names) or "a number"

    @property
    def unit(self) -> float:
        """Of the losses: the deviation of a single target; 1, in deviations, of several."""
        return float(self.deviation[0]) if self.outputs == 1 else 1.0

    @property
    def scales(self) -> Floats:
        """(O,), the unit of each target where errors are averaged over all.

        That is a single target's own unit, and standard deviations of several.
        """
        return self.deviation if self.outputs > 1 else np.ones(1)

    def numbers(self, values: Values) -> Floats:
        """Return (N, O) values as floats; raises as `numbers_of`."""
        return numbers_of(values, self.names)

    def learnt(self, values: Values) -> Values:
        """Return (N, O) standardised numbers; raises as `numbers_of`."""
        return ((self.numbers(values) - self.mean) / self.deviation).astype(np.float32)

    def constants(self, values: Values) -> tuple[int, ...]:
        """Return the places of the targets that are the same in all of (N, O) numbers."""
        return tuple(np.flatnonzero(are_constant(self.numbers(values))).tolist())

    def guess(self, values: Values) -> tuple[float, str]:
        """Return the loss without any input, and what it is: the variance of (N, O) numbers."""
        return 1 - len(self.constants(values)) / self.outputs, "the variance of the numbers"

    def weights(self, learnt: Values, *, balance: bool) -> Floats:
        """Return (N,) ones: all sequences weigh the same.

        Raises:
            ConfigurationError: classes are to be balanced.
        """
        if balance:
            raise ConfigurationError(
                f"{option('balance')} weighs classes, and numbers have none: leave it out. In "
                "Python `sample_weight` says how much each sequence counts."
            )
        return np.ones(len(learnt))

    def predicted(self, answers: Values) -> Floats:
        """Return (N, O) numbers in the units of the data from (N, O) outputs of the network."""
        numbers: Floats = self.mean + self.deviation * answers
        return numbers

    def write(self, writer: Writer, answers: str) -> dict[str, Any]:
        """Return the program that predicts the numbers in the units of the data."""
        mean, deviation = self.mean.tolist(), self.deviation.tolist()
        found = writer.add("rescale", answers, mean=mean, deviation=deviation)
        return writer.program("numbers", found, labels=list(self.names))


def are_constant(numbers: Floats) -> NDArray[np.bool_]:
    """Return (O,), whether all of (N, O) numbers of a target are the same, but for rounding.

    >>> are_constant(np.array([[0.1, 1.0], [0.1 + 1e-17, 1.1]])).tolist()
    [True, False]
    """
    still: NDArray[np.bool_] = np.ptp(numbers, axis=0) <= 1e-12 * np.abs(numbers).max(axis=0)
    return still


def numbers_of(values: Values, names: Sequence[str] = ()) -> Floats:
    """Return (N, O) numbers, from (N,) where there is one target.

    Raises:
        DataError: a value is no number, or not finite; the message names its sequence and target.
    """
    try:
        numbers = np.asarray(values, np.float64)
    except ValueError as error:
        raise DataError(f"A target of the regression is not a number: {error}.") from error
    numbers = numbers if numbers.ndim == 2 else numbers[:, None]
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        place, column = wrong[0]
        which = f" of {names[column]!r}" if names else ""
        raise DataError(
            f"Target {place}{which} is {numbers[place, column]}: Input y contains NaN or infinity. "
            "Leave the sequence out; each needs a number for every target."
        )
    return numbers
