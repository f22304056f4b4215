"""The learners that predict a class, or a number, for each sequence."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from gated.data.bad_rows import BadRows
from gated.data.findings import Finding
from gated.data.predictions import label_columns, number_columns
from gated.errors import ConfigurationError, DataError, ModelFileError, option
from gated.explain import Probe
from gated.live.program import Writer
from gated.scoring.label_scores import Evaluation
from gated.scoring.seen import Seen
from gated.tasks.classify.clusters import clustered
from gated.tasks.classify.config import MOST_MEMBERS, SequenceConfig, SequenceTraining
from gated.tasks.classify.evaluation import evaluate_classes, evaluate_numbers
from gated.tasks.classify.mixture import folds_of
from gated.tasks.classify.network import SequenceEnsemble
from gated.tasks.classify.parts import read_parts, those_that_fit
from gated.tasks.classify.preprocessing import Preprocessing
from gated.tasks.classify.probe import sequence_probe
from gated.tasks.classify.score import NumberEvaluation
from gated.tasks.classify.sequences import Floats, Sequences, Values, key_of
from gated.tasks.classify.settling import nothing_learnt, settle
from gated.tasks.classify.split import held_out_rows
from gated.tasks.classify.table import read_sequences
from gated.tasks.classify.targets import Classes, Numbers
from gated.tasks.classify.task import SequenceTask, answers_of
from gated.tasks.learner import Learner, Parts, Purpose, Score
from gated.training.model_files import load_model

USUAL_INPUTS = 32
"""Inputs of the recurrent layers in the longest sequence, where `patch` is not given."""
USUAL_FILTERS = 24
"""Filters of the convolutional branch, where they are not given."""

MOST_FILTERED = 512
"""Steps of the longest sequence that the convolutional branch reads, where `filter_pool` is not
given: its time grows with them."""

USUAL_FEATURES, FEATURES_OF_MANY, MANY = 9996, 2016, 2000
"""Features of fixed kernels, and those where there are many sequences: of which many suffice, and
whose regression is solved by products of as many rows as there are features or sequences."""
FOLDS = 4
"""Parts of the training sequences of which each network does not see one."""


class SequenceLearner(Learner[SequenceConfig, Sequences, Score]):
    """What the learners of classes and of numbers have in common."""

    config_type, training_type = SequenceConfig, SequenceTraining
    learned = ("preprocessing", "targets", "columns", "seen", "longest")
    adopts = (
        *("cell", "hidden", "layers", "one_way", "pooling"),
        *("patch", "filters", "members"),
    )
    head = tuple(f"members.{place}.head." for place in range(MOST_MEMBERS))
    begins_with = ("classify", "regress")
    data = (
        "A .ts, .arff or wide .tsv file of the time-series archives; or a table (CSV, Parquet or a "
        "sheet) with a row for each step: --series names the column of the sequence, --label that "
        "of its class or number (or those of several numbers), all others of numbers but --time "
        "are channels."
    )
    made_of = "sequences"
    targets_type: ClassVar[type[Classes] | type[Numbers]]

    network: SequenceEnsemble
    preprocessing: Preprocessing
    targets: Classes | Numbers
    columns: tuple[str, ...]
    """Names of the channel columns, where the data are a table; in order."""
    seen: Seen
    """Digests of the examples that were trained on."""
    longest: int
    """Steps of the longest training sequence."""

    def split(self, source: Path | str | Sequences, bad: BadRows) -> Parts[Sequences]:
        """Split into training, validation and test; arrays given in Python have no test part."""
        config, stratified = self.config, self.targets_type.are_classes
        if isinstance(source, Sequences):
            known, self.findings = clustered(source)
            test = known.take([])
        else:
            read = read_parts(
                Path(source),
                config,
                self.seed,
                stratified=stratified,
                columns=self.adopted("columns") or (),
            )
            known, test, self.findings = read.training, read.test, read.findings
        self.targets, self.columns = self._targets(known), known.columns
        self.seen = Seen.of(map(key_of, known.arrays))
        held = held_out_rows(
            known.values,
            config.validation,
            self.seed,
            stratified=stratified,
            clusters=known.clusters,
        )
        training = known.take(np.setdiff1d(np.arange(len(known)), held))
        self.longest = max(map(len, training.arrays))
        self._fill_in(len(training))
        self.preprocessing = self.adopted("preprocessing") or Preprocessing.fit(
            training.arrays, self.config.patch or 1
        )
        if known.channels != len(self.preprocessing.mean):
            raise DataError(
                f"{self.training.init_from}, with whose weights {option('init_from')} "
                f"begins, reads "
                f"{len(self.preprocessing.mean)} channels, and these data have {known.channels}."
            )
        return Parts(training, known.take(held), test)

    def read(self, source: Path | str, purpose: Purpose, bad: BadRows) -> Sequences:
        """Read the sequences of a file that have the network's channels and classes."""
        channels = len(self.preprocessing.mean)
        read = read_sequences(
            Path(source),
            self.config,
            labelled=purpose == "score",
            columns=self.columns,
            channels=channels,
            bad=bad,
        )
        if purpose == "predict":
            read = replace(read, values=read.values[:0])
        else:
            read, _ = clustered(read)
        labels = set(self.targets.names) if self.targets_type.are_classes else None
        return those_that_fit(read, bad, channels=channels, labels=labels)

    def new_network(self) -> SequenceEnsemble:
        """Make a network for the channels and the targets."""
        inputs, outputs = self.preprocessing.inputs, self.targets.outputs
        return SequenceEnsemble(self.config, inputs, outputs, self.longest)

    def new_task(self) -> SequenceTask:
        """Return the training task, with augmented sequences if that is configured."""
        known, held, folds = self.parts.training, self.parts.validation, self.folds
        if (self.config.members or 1) == 1:  # nobody learns from what the only network does not
            known, folds = known.take(np.flatnonzero(folds)), folds[folds != 0]
        targets = self.targets.learnt(known.values)
        return SequenceTask(
            self.network,
            self.config,
            self.preprocessing,
            known.arrays,
            targets,
            self.weights_of(known),
            (held.arrays, self.targets.learnt(held.values)),
            self.seed,
            self.targets.unit,
            folds,
        )

    def weights_of(self, known: Sequences) -> Floats:
        """Return (N,), how much each sequence counts in training, their mean being 1."""
        targets = self.targets.learnt(known.values)
        weights = self.targets.weights(targets, balance=self.config.balance)
        return weights * known.weights / known.weights.mean() if len(known.weights) else weights

    @property
    def folds(self) -> Values:
        """(N,), which of the networks does not learn from a training sequence; -1 where all do.

        What they have not learnt from says how much they count beside the fixed features; nothing
        is kept from them where there is a validation part, or no such features.
        """
        known = self.parts.training
        if not self.config.kernel_features or len(self.parts.validation):
            return np.full(len(known), -1)
        count = max(FOLDS, self.config.members or 1)
        return folds_of(self.targets.learnt(known.values), count, self.seed, known.clusters)

    def settle(self) -> None:
        """Fit what reads the fixed features, and choose how much the networks count beside it."""
        guess = self.targets.guess(self.parts.training.values)
        self.findings += nothing_learnt(self.history, *guess)
        if self.network.fixed is not None:
            settle(self, self.folds)

    @property
    def chosen(self) -> str:
        """What the training sequences chose, as a sentence."""
        config, trust = self.config, float(self.network.trust)
        members = config.members or 1
        whose = "the network" if members == 1 else f"the mean of {members} networks"
        by = (
            f"{whose} has {trust:.0%} of the answer, and a ridge regression on "
            f"{self.network.fixed.kernels.count:,} fixed features the rest"
            if self.network.fixed
            else f"the answer is that of {whose}"
        )
        read = "single steps" if config.patch == 1 else f"{config.patch} steps at once"
        return f"Chosen by the training sequences: the recurrent layers read {read}; {by}."

    @classmethod
    def load(cls, directory: Path | str, **given: Any) -> Self:
        """Read what `save` wrote.

        Raises:
            ModelFileError: there is no model of this kind, it is damaged, or an earlier version
                wrote it.
        """
        _, description = load_model(Path(directory), cls.task)
        if "longest" not in description:
            raise ModelFileError(
                f"The model in {directory} was fitted by an earlier version of gated, without "
                "fixed features. Fit it anew, or use the version that wrote it."
            )
        return super().load(directory, **given)

    def program(self) -> dict[str, Any]:
        """Return what reads channels, missing values among them, and predicts for a sequence."""
        channels = len(self.preprocessing.mean)
        writer = Writer("numbers", channels, missing=True, names=list(self.columns))
        answers = self.network.write(writer, self.preprocessing.write(writer))
        return self.targets.write(writer, answers)

    def probed(self, data: Sequences) -> Probe:
        """Return the network and sequences for `gated.explain`; with targets, also the loss."""
        targets = self.targets.learnt(data.values) if len(data.values) else None
        title = f"{self.name} that predicts {self.targets.title}"
        return sequence_probe(
            self.network.first, self.preprocessing, title, data.arrays, targets, data.names
        )

    def _fill_in(self, sequences: int) -> None:
        """Choose what is left to the data, of which so many sequences are trained on."""
        patch = -(-self.longest // USUAL_INPUTS)
        usual: dict[str, Any] = {
            "patch": patch,
            "filters": USUAL_FILTERS,
            "filter_pool": -(-self.longest // MOST_FILTERED),
            "kernel_features": USUAL_FEATURES if sequences <= MANY else FEATURES_OF_MANY,
            "members": 1,
        }
        chosen = {name: of for name, of in usual.items() if getattr(self.config, name) is None}
        self.config = replace(self.config, **chosen)

    def _targets(self, known: Sequences) -> Any:
        """Find the targets in the data; as in the run of `init_from` where that knows them."""
        if not self.origin:
            return self.targets_of(known, None)
        if self.origin.description["task"] == self.task:
            return self.targets_of(known, self.adopted("targets"))
        self.anew = self.head  # a class is no number
        return self.targets_of(known, None)

    @abstractmethod
    def targets_of(self, data: Sequences, known: Any) -> Any:
        """Fit the targets to the data, or take `known` ones, of another run, where they fit."""

    def _table(self, data: Sequences, predicted: dict[str, Any]) -> pl.DataFrame:
        rows = data.rows if data.rows or not len(data) else None  # none of what Python holds
        return self.table({"sequence": data.names}, predicted, rows)

    def answers(self, arrays: list[Floats]) -> Values:
        """Return the network's outputs for N sequences, (N, outputs)."""
        if not arrays:
            return np.zeros((0, self.targets.outputs))
        answers = answers_of(self.network, self.preprocessing, arrays)
        found: Values = answers.double().numpy()
        return found


class ClassLearner(SequenceLearner[Evaluation]):
    """Predicts the class of a sequence."""

    task = "classify"
    does = "predict the class of a sequence"
    targets_type = Classes
    targets: Classes

    def split(self, source: Path | str | Sequences, bad: BadRows) -> Parts[Sequences]:
        """Split as for numbers, by one label."""
        labels = self.config.labels
        if len(labels) > 1:
            raise ConfigurationError(
                f"{option('label')} names {len(labels)} columns, and a classification learns one: "
                f"fit a run for each ({option('label', labels[0])}, then "
                f"{option('label', labels[1])}), or join them into one column whose classes are "
                "their combinations. Columns of numbers: the task regress predicts several at once."
            )
        return super().split(source, bad)

    def targets_of(self, data: Sequences, known: Classes | None) -> Classes:
        """Find the classes; take those of the run of `init_from` if it has all of them."""
        found = Classes.of(data.values)
        labels = self.labels_among(found.names, known.names if known else None)
        return found.among(known) if known and labels == known.names else found

    def scored(self, data: Sequences, known: Parts[Sequences] | None) -> Evaluation:
        """Compare with the nearest sequence, a linear model, and the most frequent class."""
        return evaluate_classes(self, _all_of(known), data)

    def predicted(self, data: Sequences) -> pl.DataFrame:
        """Return the most probable class of each sequence, and the probability of each class."""
        columns = label_columns(self.targets.names, self.probabilities(data.arrays))
        return self._table(data, columns)

    def probabilities(self, arrays: list[Floats]) -> Floats:
        """Return (N, C), the probability of each class."""
        return self.targets.probabilities(self.answers(arrays))


class NumberLearner(SequenceLearner[NumberEvaluation]):
    """Predicts a number for each sequence, or several."""

    task = "regress"
    does = "predict a number of a sequence, or several"
    targets_type = Numbers
    targets: Numbers
    still: tuple[int, ...] = ()
    """Places of the targets that are the same in all training sequences."""

    def targets_of(self, data: Sequences, known: Numbers | None) -> Numbers:
        """Take means and standard deviations, or those of the run of `init_from` if it has them."""
        found = Numbers.of(data.values, data.labels)
        self.still = ()
        if known and known.names == found.names:
            return known
        self.still = found.constants(data.values)
        self.findings += tuple(
            Finding(
                kind="constant",
                count=1,
                what=f"{f'the target {found.names[of]!r}' if found.names else 'the target'} is the "
                "same in all training sequences",
                action="predicted as that number, which says nothing about it",
            )
            for of in self.still
        )
        if known:
            self.anew = self.head
        return found

    def new_network(self) -> SequenceEnsemble:
        """Make a network for the channels and the targets, of which constant ones stay so."""
        network = super().new_network()
        network.hold_at_zero(self.still)
        return network

    def scored(self, data: Sequences, known: Parts[Sequences] | None) -> NumberEvaluation:
        """Compare with the nearest sequence, a linear model, and the mean."""
        return evaluate_numbers(self, _all_of(known), data)

    def predicted(self, data: Sequences) -> pl.DataFrame:
        """Return the predicted numbers of each sequence, a column for each target."""
        return self._table(data, number_columns(self.targets.names, self.numbers(data.arrays)))

    def numbers(self, arrays: list[Floats]) -> Floats:
        """Return (N, O), the number of each target for each sequence."""
        return self.targets.predicted(self.answers(arrays))


def _all_of(known: Parts[Sequences] | None) -> Sequences | None:
    """Return what baselines learn from: they need no validation part."""
    return known.training.and_also(known.validation) if known else None
