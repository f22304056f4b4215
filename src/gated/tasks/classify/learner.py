"""The face of sequence classification and regression: scikit-learn's, with `save` and `load`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from gated.errors import DataError, ModelFileError
from gated.explain import Probe
from gated.scoring.seen import Seen
from gated.tasks.classify.config import ClassifyConfig, SequenceTraining
from gated.tasks.classify.network import SequenceNetwork
from gated.tasks.classify.preprocessing import Preprocessing
from gated.tasks.classify.probe import sequence_probe
from gated.tasks.classify.sequences import Floats, Values, key_of, sequences_of
from gated.tasks.classify.split import held_out_rows
from gated.tasks.classify.task import SequenceTask, answers_of
from gated.training.history import History
from gated.training.loop import train
from gated.training.model_files import load_model, save_model
from gated.training.options import TrainingOptions
from gated.training.progress import Progress

TASK = "classify"


class SequenceLearner(BaseEstimator):
    """What classifier and regressor have in common.

    Sequences are given as (N, T), (N, T, channels), or a list of arrays (T,) or (T, channels) of
    any lengths; NaN is a missing value.

    Args:
        cell: recurrent cell, lstm, gru or rnn.
        hidden: H, units per layer and direction.
        layers: recurrent layers.
        one_way: read forwards only.
        pooling: of the states of all steps: last, mean, max or attention.
        patch: steps that are read at once.
        dropout: before and after the recurrent layers.
        noise: Gaussian noise in training, in standard deviations.
        warp: sequences are stretched in time, and scaled, by up to this share in training.
        balance: weigh classes so that each counts the same.
        validation: share of the sequences that chooses the best weights; with 0 the last are kept.
        training: how to train; its seed decides everything random.
    """

    network_: SequenceNetwork
    history_: History
    """What happened in training."""
    preprocessing_: Preprocessing
    n_features_in_: int
    """Channels."""
    seen_: Seen
    """What was trained on."""

    def __init__(
        self,
        *,
        cell: Literal["lstm", "gru", "rnn"] = "lstm",
        hidden: int = 64,
        layers: int = 1,
        one_way: bool = False,
        pooling: Literal["last", "mean", "max", "attention"] = "mean",
        patch: int = 1,
        dropout: float = 0.2,
        noise: float = 0.0,
        warp: float = 0.0,
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
        self.dropout = dropout
        self.noise = noise
        self.warp = warp
        self.balance = balance
        self.validation = validation
        self.training = training

    @classmethod
    def of(cls, config: ClassifyConfig, training: TrainingOptions) -> Self:
        """Make one from the options of the command."""
        return cls(**config.to_dict(), training=training)

    @property
    def config(self) -> ClassifyConfig:
        """The network's options, checked."""
        return ClassifyConfig(**{of.name: getattr(self, of.name) for of in fields(ClassifyConfig)})

    @property
    def options(self) -> TrainingOptions:
        """How to train."""
        return self.training or SequenceTraining()

    @property
    def parameters_(self) -> int:
        """Number of values in the network."""
        return sum(parameter.numel() for parameter in self.network_.parameters())

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train.

        Args:
            X: N sequences.
            y: (N,) what each is.
            directory: where checkpoints are written; none by default.
            resume: go on from the checkpoint in `directory`.
            progress: told of each step.

        Raises:
            ConfigurationError: an option has a value that cannot be meant.
            DataError: a sequence or a label cannot be used; or there is one class only.
            TrainingDivergedError: the loss became NaN or infinite.
        """
        config, options = self.config, self.options
        arrays = sequences_of(X)
        values = self._values(y, len(arrays))
        targets, weights = self._learn_targets(values)
        held = held_out_rows(values, config.validation, options.seed, stratified=self._told_apart)
        stay = np.setdiff1d(np.arange(len(arrays)), held)
        self.seen_ = Seen.of(map(key_of, arrays))
        self.n_features_in_ = arrays[0].shape[1]
        self.preprocessing_ = Preprocessing.fit([arrays[k] for k in stay], config.patch)
        self.network_ = self._new_network()
        task = SequenceTask(
            self.network_,
            config,
            self.preprocessing_,
            [arrays[k] for k in stay],
            targets[stay],
            weights[stay],
            ([arrays[k] for k in held], targets[held]),
            options.seed,
        )
        self.history_ = train(task, options, directory=directory, resume=resume, progress=progress)
        return self

    def probe(self, X: Any, y: Any = None, names: list[str] | None = None) -> Probe:
        """Offer the network to `gated.explain`, on sequences and, for a loss, what they are."""
        arrays = self._known(X)
        targets = None if y is None else self.targets_of(self._values(y, len(arrays)))
        title = f"{self.cell.upper()} that tells {self._told}"
        return sequence_probe(
            self.network_, self.preprocessing_, title, arrays, targets, names or []
        )

    def save(self, directory: Path | str) -> None:
        """Write the model, atomically: `model.json` and its weights."""
        check_is_fitted(self)
        description = {
            "task": TASK,
            "kind": type(self).__name__,
            "config": self.config.to_dict(),
            "training": self.options.to_dict(),
            "preprocessing": self.preprocessing_.to_dict(),
            "targets": self._describe_targets(),
            "seen": self.seen_.to_text(),
        }
        save_model(Path(directory), self.network_, description)

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            ModelFileError: there is no model of this kind, or it is damaged.
        """
        weights, description = load_model(Path(directory), TASK)
        if description.get("kind") != cls.__name__:
            raise ModelFileError(
                f"{directory} holds a {description.get('kind')}, not a {cls.__name__}."
            )
        try:
            learner = cls.of(
                ClassifyConfig.from_dict(description["config"]),
                TrainingOptions.from_dict(description["training"]),
            )
            learner.preprocessing_ = Preprocessing.from_dict(description["preprocessing"])
            learner.n_features_in_ = len(learner.preprocessing_.mean)
            learner._restore_targets(description["targets"])
            learner.seen_ = Seen.from_text(description.get("seen", ""))
            learner.network_ = learner._new_network()
            learner.network_.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelFileError(f"The model in {directory} is damaged: {error}.") from error
        learner.network_.eval()
        return learner

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn is to know: missing values are welcome, and so are three axes."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        return tags

    def _values(self, y: Any, count: int) -> Values:
        if y is None:
            raise DataError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        values: Values = column_or_1d(y, warn=True)
        if len(values) != count:
            raise DataError(f"There are {count} sequences, and {len(values)} labels.")
        return values

    def _known(self, X: Any) -> list[Floats]:
        check_is_fitted(self)
        return sequences_of(X, self.n_features_in_)

    def _answers(self, X: Any) -> Values:
        arrays = self._known(X)
        answers: Values = answers_of(self.network_, self.preprocessing_, arrays).double().numpy()
        return answers

    def _new_network(self) -> SequenceNetwork:
        # The same seed makes the same network, whatever was drawn before.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.options.seed)
            return SequenceNetwork(self.config, self.preprocessing_.inputs, self._outputs)

    # What a classifier and a regressor each do in their way.

    _told_apart: bool
    """Whether classes are told, and not numbers."""

    @property
    def _outputs(self) -> int:
        raise NotImplementedError

    @property
    def _told(self) -> str:
        raise NotImplementedError

    def _learn_targets(self, values: Values) -> tuple[Values, Floats]:
        raise NotImplementedError

    def targets_of(self, values: Values) -> Values:
        """Return (N,) labels as what the network learns.

        Raises:
            DataError: one was not trained on, or is no number.
        """
        raise NotImplementedError

    def _describe_targets(self) -> dict[str, Any]:
        raise NotImplementedError

    def _restore_targets(self, saved: dict[str, Any]) -> None:
        raise NotImplementedError


class SequenceClassifier(ClassifierMixin, SequenceLearner):
    """Tells the class of a sequence."""

    __doc__ = f"{__doc__}\n\n    {SequenceLearner.__doc__}"

    classes_: Values
    """(C,) the labels, sorted."""
    frequencies_: Floats
    """(C,) the share of each in training."""
    _told_apart = True

    def predict_proba(self, X: Any) -> Floats:
        """Return (N, C), the probability of each class."""
        return np.asarray(torch.softmax(torch.from_numpy(self._answers(X)), -1))

    def predict(self, X: Any) -> Values:
        """Return (N,), the likeliest class of each sequence."""
        likeliest = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[likeliest])

    @property
    def _outputs(self) -> int:
        return len(self.classes_)

    @property
    def _told(self) -> str:
        return ", ".join(str(label) for label in self.classes_)

    def _learn_targets(self, values: Values) -> tuple[Values, Floats]:
        check_classification_targets(values)
        self.classes_, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
        if len(self.classes_) < 2:
            raise DataError(
                f"All sequences are of one class, {str(self.classes_[0])!r}; to tell apart takes "
                "two classes or more."
            )
        self.frequencies_ = counts / len(values)
        each = len(values) / (len(counts) * counts)
        return codes.astype(np.int64), each[codes] if self.balance else np.ones(len(codes))

    def targets_of(self, values: Values) -> Values:
        """Return (N,), the place of each label among the classes.

        Raises:
            DataError: one was not trained on.
        """
        unknown = np.setdiff1d(values, self.classes_)
        if len(unknown):
            raise DataError(
                f"The label {str(unknown[0])!r} was not trained on; known are {self._told}."
            )
        return np.searchsorted(self.classes_, values).astype(np.int64)

    def _describe_targets(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist(), "frequencies": self.frequencies_.tolist()}

    def _restore_targets(self, saved: dict[str, Any]) -> None:
        self.classes_ = np.array(saved["classes"])
        self.frequencies_ = np.array(saved["frequencies"])


class SequenceRegressor(RegressorMixin, SequenceLearner):
    """Tells a number of a sequence."""

    __doc__ = f"{__doc__}\n\n    {SequenceLearner.__doc__}"

    target_mean_: float
    target_deviation_: float
    """Of the training targets: the network learns them in standard deviations."""

    _told_apart = False

    @property
    def _outputs(self) -> int:
        return 1

    @property
    def _told(self) -> str:
        return "a number"

    def predict(self, X: Any) -> Floats:
        """Return (N,), a number for each sequence."""
        answers: Floats = self._answers(X)[:, 0]
        return self.target_mean_ + self.target_deviation_ * answers

    def _learn_targets(self, values: Values) -> tuple[Values, Floats]:
        numbers = self.numbers_of(values)
        self.target_mean_ = float(numbers.mean())
        self.target_deviation_ = float(numbers.std()) or 1.0
        return self.targets_of(numbers), np.ones(len(numbers))

    def numbers_of(self, values: Values) -> Floats:
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

    def targets_of(self, values: Values) -> Values:
        """Return (N,) numbers in standard deviations.

        Raises:
            DataError: one is no number, or not finite.
        """
        standard = (self.numbers_of(values) - self.target_mean_) / self.target_deviation_
        return standard.astype(np.float32)

    def _describe_targets(self) -> dict[str, Any]:
        return {"mean": self.target_mean_, "deviation": self.target_deviation_}

    def _restore_targets(self, saved: dict[str, Any]) -> None:
        self.target_mean_ = float(saved["mean"])
        self.target_deviation_ = float(saved["deviation"])
