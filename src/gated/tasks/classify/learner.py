"""The learners that predict a class, or a number, for each sequence."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from gated.data.manifest import BadRows
from gated.data.predictions import PREDICTED, label_columns
from gated.errors import DataError, option
from gated.explain import Probe
from gated.live.program import Writer
from gated.scoring.label_scores import Evaluation
from gated.scoring.seen import Seen
from gated.tasks.classify.config import SequenceConfig, SequenceTraining
from gated.tasks.classify.evaluation import evaluate_classes, evaluate_numbers
from gated.tasks.classify.network import SequenceNetwork
from gated.tasks.classify.parts import read_parts, those_that_fit
from gated.tasks.classify.preprocessing import Preprocessing
from gated.tasks.classify.probe import sequence_probe
from gated.tasks.classify.score import NumberEvaluation
from gated.tasks.classify.sequences import Floats, Sequences, Values, key_of
from gated.tasks.classify.split import held_out_rows
from gated.tasks.classify.table import read_sequences
from gated.tasks.classify.targets import Classes, Numbers
from gated.tasks.classify.task import SequenceTask, answers_of
from gated.tasks.learner import Learner, Parts, Purpose, Score

USUAL_INPUTS = 32
"""Inputs of the recurrent layers in the longest sequence, where `patch` is not given."""
USUAL_FILTERS = 24
"""Filters of the convolutional branch, where they are not given."""


class SequenceLearner(Learner[SequenceConfig, Sequences, Score]):
    """What the learners of classes and of numbers have in common."""

    config_type, training_type = SequenceConfig, SequenceTraining
    learned = ("preprocessing", "targets", "columns", "seen")
    adopts = ("cell", "hidden", "layers", "one_way", "pooling", "patch", "filters")
    head, begins_with = ("head.",), ("classify", "regress")
    data = (
        "A .ts file of the time-series archives; or a table (CSV, Parquet or a sheet) with a row "
        "for each step: --series names the column of the sequence, --label that of its class or "
        "number, all others of numbers but --time are channels."
    )
    made_of = "sequences"
    targets_type: ClassVar[type[Classes] | type[Numbers]]

    network: SequenceNetwork
    preprocessing: Preprocessing
    targets: Classes | Numbers
    columns: tuple[str, ...]
    """Names of the channel columns, where the data are a table; in order."""
    seen: Seen
    """Digests of the examples that were trained on."""

    def split(self, source: Path | str | Sequences, bad: BadRows) -> Parts[Sequences]:
        """Split into training, validation and test; arrays given in Python have no test part."""
        config, stratified = self.config, self.targets_type.are_classes
        if isinstance(source, Sequences):
            known, test = source, source.take([])
        else:
            read = read_parts(
                Path(source),
                config,
                self.seed,
                stratified=stratified,
                columns=self.adopted("columns") or (),
            )
            known, test, self.findings = read.training, read.test, read.findings
        self.targets, self.columns = self._targets(known.values), known.columns
        self.seen = Seen.of(map(key_of, known.arrays))
        held = held_out_rows(known.values, config.validation, self.seed, stratified=stratified)
        training = known.take(np.setdiff1d(np.arange(len(known)), held))
        self._fill_in(max(map(len, training.arrays)))
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
        labels = set(self.targets.names) or None
        return those_that_fit(read, bad, channels=channels, labels=labels)

    def new_network(self) -> SequenceNetwork:
        """Make a network for the channels and the targets."""
        return SequenceNetwork(self.config, self.preprocessing.inputs, self.targets.outputs)

    def new_task(self) -> SequenceTask:
        """Return the training task, with augmented sequences if that is configured."""
        known, held = self.parts.training, self.parts.validation
        targets = self.targets.learnt(known.values)
        return SequenceTask(
            self.network,
            self.config,
            self.preprocessing,
            known.arrays,
            targets,
            self.targets.weights(targets, balance=self.config.balance),
            (held.arrays, self.targets.learnt(held.values)),
            self.seed,
            getattr(self.targets, "deviation", 1.0),
        )

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
            self.network, self.preprocessing, title, data.arrays, targets, data.names
        )

    def _fill_in(self, longest: int) -> None:
        """Choose what is left to the data, of which the longest sequence has so many steps."""
        config = self.config
        patch = -(-longest // USUAL_INPUTS) if config.patch is None else config.patch
        filters = USUAL_FILTERS if config.filters is None else config.filters
        self.config = replace(config, patch=patch, filters=filters)

    def _targets(self, values: Values) -> Any:
        """Find the targets in the data; as in the run of `init_from` where that knows them."""
        if not self.origin:
            return self.targets_of(values, None)
        if self.origin.description["task"] == self.task:
            return self.targets_of(values, self.adopted("targets"))
        self.anew = self.head  # a class is no number
        return self.targets_of(values, None)

    @abstractmethod
    def targets_of(self, values: Values, known: Any) -> Any:
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

    def targets_of(self, values: Values, known: Classes | None) -> Classes:
        """Find the classes; take those of the run of `init_from` if it has all of them."""
        found = Classes.of(values)
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
    """Predicts a number for each sequence."""

    task = "regress"
    does = "predict a number of a sequence"
    targets_type = Numbers
    targets: Numbers

    def targets_of(self, values: Values, known: Numbers | None) -> Numbers:
        """Take mean and standard deviation of the numbers, or those of the run of `init_from`."""
        return known or Numbers.of(values)

    def scored(self, data: Sequences, known: Parts[Sequences] | None) -> NumberEvaluation:
        """Compare with the nearest sequence, a linear model, and the mean."""
        return evaluate_numbers(self, _all_of(known), data)

    def predicted(self, data: Sequences) -> pl.DataFrame:
        """Return the predicted number of each sequence."""
        predicted = {PREDICTED: self.numbers(data.arrays)}
        return self._table(data, predicted)

    def numbers(self, arrays: list[Floats]) -> Floats:
        """Return (N,), a number for each sequence."""
        return self.targets.predicted(self.answers(arrays))


def _all_of(known: Parts[Sequences] | None) -> Sequences | None:
    """Return what baselines learn from: they need no validation part."""
    return known.training.and_also(known.validation) if known else None
