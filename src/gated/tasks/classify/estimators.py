"""Sequence classification and regression as scikit-learn has them."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d

from gated.errors import DataError
from gated.explain import Probe
from gated.tasks.classify.config import ClassifyConfig, SequenceConfig, SequenceTraining
from gated.tasks.classify.learner import ClassLearner, NumberLearner
from gated.tasks.classify.network import SequenceEnsemble
from gated.tasks.classify.preprocessing import Preprocessing
from gated.tasks.classify.sequences import Floats, Sequences, Values, sequences_of
from gated.training.history import History
from gated.training.options import TrainingOptions
from gated.training.progress import Progress

TRAINING = "training__"
"""What the names of parameters that are options of the training begin with."""


class SequenceEstimator(BaseEstimator):
    """What classifier and regressor have in common.

    Sequences are given as (N, T), (N, T, channels), or a list of arrays (T,) or (T, channels) of
    any lengths; NaN is a missing value.

    Args:
        cell: recurrent cell, lstm, gru, rnn, or another of `gated.cells.library`.
        hidden: H, units per layer and direction.
        layers: recurrent layers.
        one_way: read forwards only.
        pooling: of the states of all steps: last, mean, max or attention.
        patch: consecutive steps joined into one input.
        filters: of a convolutional branch beside the recurrent layers; 0 for none.
        filter_pool: consecutive steps averaged into one before that branch.
        kernel_features: of fixed kernels, read by a ridge regression; 0 for none.
        members: networks that are averaged.
        dropout: before and after the recurrent layers.
        noise: Gaussian noise in training, in standard deviations.
        warp: sequences are stretched in time, and scaled, by up to this share in training.
        cut: a stretch of up to this share of the steps is missing in training.
        balance: weigh classes so that each counts the same.
        validation: share of the sequences that chooses the best weights; with 0 the last are kept.
        training: how to train; its seed decides everything random.
    """

    learner_type: ClassVar[type[ClassLearner] | type[NumberLearner]]
    learner_: Any
    """The trained learner, a `learner_type`."""
    n_features_in_: int
    """Number of channels."""

    def __init__(
        self,
        *,
        cell: str = "lstm",
        hidden: int = 64,
        layers: int = 1,
        one_way: bool = False,
        pooling: Literal["last", "mean", "max", "attention"] = "mean",
        patch: int | None = None,
        filters: int | None = None,
        filter_pool: int | None = None,
        kernel_features: int | None = None,
        members: int | None = None,
        dropout: float = 0.2,
        noise: float = 0.0,
        warp: float = 0.0,
        cut: float = 0.0,
        balance: bool = False,
        validation: float = 0.0,
        training: TrainingOptions | None = None,
    ) -> None:
        self.cell = cell
        self.hidden = hidden
        self.layers = layers
        self.one_way = one_way
        self.pooling = pooling
        self.patch = patch
        self.filters = filters
        self.filter_pool = filter_pool
        self.kernel_features = kernel_features
        self.members = members
        self.dropout = dropout
        self.noise = noise
        self.warp = warp
        self.cut = cut
        self.balance = balance
        self.validation = validation
        self.training = training

    @property
    def config(self) -> SequenceConfig:
        """The network's options, checked."""
        chosen = {of.name: getattr(self, of.name) for of in fields(ClassifyConfig)}
        usual = vars(SequenceConfig())
        # What is as usual may as well be as the run has it that `init_from` names.
        return SequenceConfig(**{name: of for name, of in chosen.items() if of != usual[name]})

    @property
    def options(self) -> TrainingOptions:
        """How to train."""
        return SequenceTraining() if self.training is None else self.training

    @property
    def network_(self) -> SequenceEnsemble:
        """The trained network."""
        network: SequenceEnsemble = self.learner_.network
        return network

    @property
    def history_(self) -> History:
        """Losses, learning rates and validation scores of the training."""
        history: History = self.learner_.history
        return history

    @property
    def preprocessing_(self) -> Preprocessing:
        """Scaling and filling of sequences, fitted on the training part."""
        preprocessing: Preprocessing = self.learner_.preprocessing
        return preprocessing

    @property
    def parameters_(self) -> int:
        """Number of values in the network."""
        return int(self.learner_.parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with `deep`, the training's too, as `training__steps`."""
        found: dict[str, Any] = super().get_params(deep)
        if deep and isinstance(self.options, TrainingOptions):
            found |= {f"{TRAINING}{name}": of for name, of in _values(self.options).items()}
        return found

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of the training one by one, as `training__steps`.

        Raises:
            ConfigurationError: an option of the training has an invalid value.
            ValueError: there is no such parameter.
        """
        deep = {name for name in params if name.startswith(TRAINING)}
        super().set_params(**{name: params[name] for name in params.keys() - deep})
        if not deep:
            return self
        options = {name.removeprefix(TRAINING): params[name] for name in deep}
        if unknown := options.keys() - _values(self.options).keys():
            raise ValueError(
                f"Invalid parameter {TRAINING}{min(unknown)!s}. Valid are "
                f"{', '.join(TRAINING + name for name in _values(self.options))}."
            )
        self.training = replace(self.options, **options)
        return self

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train.

        Args:
            X: N sequences.
            y: (N,) the target of each, a label or a number; of a regressor also (N, O) numbers, an
                array or a frame whose columns name the targets.
            sample_weight: (N,) how much each counts in training, 0 as if it were not there; by
                default all count alike.
            groups: (N,) which sequences belong together, such as the person each is of: they are
                held back together. By default those that have stretches of steps in common.
            directory: where checkpoints are written; none by default.
            resume: go on from the checkpoint in `directory`.
            progress: called after each step and validation.

        Raises:
            ConfigurationError: an option has an invalid value.
            DataError: a sequence or a label cannot be used; or there is only one class.
            TrainingDivergedError: the loss became NaN or infinite.
        """
        learner = self.learner_type(self.config, self.options)
        arrays = sequences_of(X)
        if arrays[0].shape[1] > 1 and all(len(array) == 1 for array in arrays):
            warnings.warn(
                f"Every sequence has one step, of {arrays[0].shape[1]} channels. X is (sequences, "
                "steps, channels): give X.transpose(0, 2, 1) if yours has its steps last.",
                stacklevel=2,
            )
        names = [f"sequence {place}" for place in range(len(arrays))]
        values, weights = self._values(y, len(arrays)), _weights(sample_weight, len(arrays))
        labels = self._labels(y, values)
        clusters = _groups(groups, len(arrays))
        known = Sequences(arrays, values, names, weights=weights, clusters=clusters, labels=labels)
        if not weights.all():  # a part of the training could hold nothing else
            known = known.take(np.flatnonzero(weights))
        learner.fit(known, directory=directory, resume=resume, progress=progress)
        return self._with(learner)

    def probe(self, X: Any, y: Any = None, names: list[str] | None = None) -> Probe:
        """Return the network and sequences for `gated.explain`; with targets `y`, also the loss."""
        arrays = self._known(X)
        values = np.zeros(0) if y is None else self._values(y, len(arrays))
        names = names or [f"sequence {place}" for place in range(len(arrays))]
        probe: Probe = self.learner_.probed(Sequences(arrays, values, names))
        return probe

    def save(self, directory: Path | str) -> None:
        """Write the model, atomically: `model.json` and its weights."""
        check_is_fitted(self)
        self.learner_.save(directory)

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Read what `save`, or `gated fit`, wrote.

        Raises:
            ModelFileError: there is no model of this kind, or it is damaged.
        """
        learner = cls.learner_type.load(directory)
        network = {of.name: getattr(learner.config, of.name) for of in fields(ClassifyConfig)}
        return cls(**network, training=learner.training)._with(learner)

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn is to know: missing values are welcome, and so are three axes."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        return tags

    def _with(self, learner: ClassLearner | NumberLearner) -> Self:
        self.learner_ = learner
        self.n_features_in_ = len(learner.preprocessing.mean)
        return self

    def _values(self, y: Any, count: int) -> Values:
        if y is None:
            raise DataError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        values = self._shaped(y)
        if len(values) != count:
            raise DataError(f"There are {count} sequences, and {len(values)} labels.")
        return values

    def _shaped(self, y: Any) -> Values:
        """Return y in a shape that can be learned."""
        values: Values = column_or_1d(y, warn=True)
        return values

    def _labels(self, y: Any, values: Values) -> tuple[str, ...]:
        """Return the names of the targets; none where there is a single one."""
        return ()

    def _known(self, X: Any) -> list[Floats]:
        check_is_fitted(self)
        return sequences_of(X, self.n_features_in_)


def _weights(given: Any, count: int) -> Floats:
    """Return (N,) weights, or (0,) where none are given; those of 0 must leave something."""
    if given is None:
        return np.zeros(0)
    weights = np.full(count, given) if np.isscalar(given) else np.asarray(given)
    if weights.shape != (count,) or weights.dtype.kind not in "biuf":
        raise DataError(
            f"sample_weight has the shape {weights.shape}: give {count} numbers, one a sequence."
        )
    weights = weights.astype(np.float64)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise DataError("sample_weight holds numbers of zero or more, and one above zero at least.")
    return weights


def _groups(given: Any, count: int) -> Values:
    """Return (N,) labels, or (0,) where none are given."""
    if given is None:
        return np.zeros(0)
    groups: Values = np.asarray(given)
    if groups.shape != (count,):
        raise DataError(
            f"groups has the shape {groups.shape}: give {count} labels, one a sequence."
        )
    return np.unique(groups.astype(str), return_inverse=True)[1]


def _values(options: TrainingOptions) -> dict[str, Any]:
    """Return the options by name, as they are."""
    return {of.name: getattr(options, of.name) for of in fields(options)}


class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """Predicts the class of a sequence."""

    __doc__ = f"{__doc__}\n\n    {SequenceEstimator.__doc__}"

    learner_type = ClassLearner
    classes_: Values
    """(C,) the labels, sorted."""

    def predict_proba(self, X: Any) -> Floats:
        """Return (N, C), the probability of each class."""
        arrays = self._known(X)
        probabilities: Floats = self.learner_.probabilities(arrays)
        return probabilities

    def predict(self, X: Any) -> Values:
        """Return (N,), the most probable class of each sequence."""
        likeliest = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[likeliest])

    def _shaped(self, y: Any) -> Values:
        shape = np.asarray(y).shape
        if len(shape) == 2 and shape[1] > 1:
            raise DataError(
                f"y should be a 1d array, got an array of shape {shape} instead. A classifier "
                "predicts one label: fit one for each column, or join the columns into one label. "
                "SequenceRegressor predicts several numbers at once."
            )
        return super()._shaped(y)

    def _with(self, learner: Any) -> Self:
        self.classes_ = learner.targets.classes
        return super()._with(learner)


class SequenceRegressor(RegressorMixin, SequenceEstimator):
    """Predicts a number for each sequence, or several at once."""

    __doc__ = f"{__doc__}\n\n    {SequenceEstimator.__doc__}"

    learner_type = NumberLearner

    def predict(self, X: Any) -> Floats:
        """Return (N,), a number for each sequence; (N, O) after `fit` with a y of that shape."""
        arrays = self._known(X)
        numbers: Floats = self.learner_.numbers(arrays)
        return numbers if self.learner_.targets.names else numbers[:, 0]

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn is to know: there may be several targets besides."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _shaped(self, y: Any) -> Values:
        try:
            values: Values = np.asarray(y)
        except ValueError as error:
            raise DataError(
                f"y is no array: {error}. Give (N,) numbers, or (N, O), the same O for each."
            ) from error
        if values.ndim != 2:
            return super()._shaped(y)
        if not values.shape[1]:
            raise DataError(f"y has the shape {values.shape}: give one column of numbers or more.")
        return values

    def _labels(self, y: Any, values: Values) -> tuple[str, ...]:
        if values.ndim == 1:
            return ()
        return tuple(
            map(str, getattr(y, "columns", (f"target {k}" for k in range(values.shape[1]))))
        )
