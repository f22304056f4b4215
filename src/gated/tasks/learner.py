"""The base class of all learners: from data to a trained network that is scored and explained.

A task implements seven hooks, in the order in which data flow: `split` and `read`, `new_network`,
`new_task`, `scored`, `predicted`, `probed`. The rest is done here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar, cast, get_type_hints

import polars as pl
import torch
from torch import nn

from gated.configuration import Configuration, from_json_values, json_values
from gated.data.bad_rows import BadRows
from gated.data.findings import Finding, RowError
from gated.data.held_back import require_test_part
from gated.data.predictions import prediction_table
from gated.errors import (
    ConfigurationError,
    DataError,
    MissingExtraError,
    ModelFileError,
    ProgramError,
)
from gated.explain import Explanation, Probe, explain
from gated.model_files import UNTRAINED
from gated.phases import phase
from gated.training import loop
from gated.training.checkpoint import FILE_NAME as CHECKPOINT
from gated.training.checkpoint import read_checkpoint
from gated.training.history import History
from gated.training.model_files import check_shapes, load_model, save_model
from gated.training.options import TrainingOptions
from gated.training.processes import check_device
from gated.training.progress import Progress
from gated.training.task import Task
from gated.training.transfer import Origin

Source = Any
"""What a task reads: a path, several, or what Python holds."""
Purpose = Literal["score", "predict", "explain"]
"""What data are read for by a trained network: labels are needed, ignored, or taken where known."""


class Scored(Protocol):
    """Scores of a network and of its baselines."""

    @property
    def verdict(self) -> Any:
        """Whether it beats them; as text a sentence."""

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method: the network first, and of each method the deciding score first."""

    @property
    def higher_is_better(self) -> frozenset[str]:
        """Names of the scores that are better when higher; all others are errors."""

    @property
    def facts(self) -> dict[str, Any]:
        """The rest, for JSON."""


def document(evaluation: Scored) -> dict[str, Any]:
    """Return verdict and scores as JSON values."""
    verdict = evaluation.verdict
    values: dict[str, Any] = json_values(
        {"verdict": str(verdict), "judged": verdict, **evaluation.facts}
    )
    return values


Config = TypeVar("Config", bound=Configuration)
Data = TypeVar("Data", bound=Sized)
Score = TypeVar("Score", bound=Scored)


@dataclass(frozen=True)
class Parts(Generic[Data]):
    """Training data, validation data to choose the weights, and test data to score on."""

    training: Data
    validation: Data
    test: Data


class Learner(ABC, Generic[Config, Data, Score]):
    """Base class of the learners: loads data, trains, scores, predicts, saves.

    Args:
        config: options of the task, a `config_type`.
        training: how to train; by default with the task's own defaults.
    """

    task: ClassVar[str]
    """The name by which it is registered in `gated.tasks`."""
    config_type: ClassVar[type[Configuration]]
    training_type: ClassVar[type[TrainingOptions]] = TrainingOptions
    learned: ClassVar[tuple[str, ...]] = ()
    """Attributes that `split` learns from the data, saved by their annotated types."""
    adopts: ClassVar[tuple[str, ...]] = ()
    """Options that belong to the weights, and are taken from the run of `init_from`."""
    begins_with: ClassVar[tuple[str, ...]] = ()
    """Tasks whose runs `init_from` takes; by default only this one."""
    head: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the names of the output layer's parameters, which are new for other labels."""
    does: ClassVar[str]
    """What the network does, for `--help`: `label what clips show`."""
    data: ClassVar[str]
    """What the data files hold, for `--help` and errors."""
    made_of: ClassVar[str] = "examples"
    """What an example is called, in the plural."""
    most_files: ClassVar[int | None] = 1
    """Most data files that can be given; None for any number, 0 where data are generated."""
    fewest_scored: ClassVar[int] = 1
    """Fewest test examples for a score."""

    network: nn.Module
    history: History
    """Losses, learning rates and validation scores of the training."""

    def __init__(
        self, config: Config | None = None, training: TrainingOptions | None = None
    ) -> None:
        self.config: Config = config or cast("Config", self.config_type())
        self.training = training or self.training_type()
        self.findings: tuple[Finding, ...] = ()
        """What was found in the data that were read last."""
        self.left_out: list[RowError] | None = None
        """Rows that could not be used, of the data that were read last; None where such a row is an
        error."""
        self.origin: Origin | None = None
        """The run whose weights the network begins with."""
        self.anew: tuple[str, ...] = ()
        """How the names of the parameters begin that are not those of `origin`."""
        self._parts: Parts[Data] | None = None
        self._source: Source = None

    # What is particular to a task.

    @abstractmethod
    def split(self, source: Source, bad: BadRows) -> Parts[Data]:
        """Read the training data, split them, and learn their statistics, the `learned` attributes.

        Rows that cannot be used go to `bad`; other findings are added to `findings`.
        """

    @abstractmethod
    def read(self, source: Source, purpose: Purpose, bad: BadRows) -> Data:
        """Read data to score, predict or explain with a trained network."""

    @abstractmethod
    def new_network(self) -> nn.Module:
        """Make the network, with random weights, for the configuration and the data."""

    @abstractmethod
    def new_task(self) -> Task[Any]:
        """Return the batches and losses of the training loop, for the network on `parts`."""

    @abstractmethod
    def scored(self, data: Data, known: Parts[Data] | None) -> Score:
        """Score the network on `data`; baselines learn from `known`, which is None after `load`."""

    def predicted(self, data: Data) -> pl.DataFrame:
        """Return a row for each example, or each of its steps; a task may have none."""
        raise NotImplementedError

    def no_predictions(self) -> pl.DataFrame:
        """Return what `predicted` returns, without a row; a task may not know it before.

        Raises:
            DataError: the task does not.
        """
        raise DataError(f"There is no row to predict for, and {self.task!r} needs one.")

    def table(
        self,
        given: Mapping[str, Any],
        predicted: Mapping[str, Any],
        rows: Sequence[int] | None = None,
    ) -> pl.DataFrame:
        """Return the table for `predicted`: see `gated.data.predictions`."""
        return prediction_table(given, predicted, rows, self.left_out)

    @abstractmethod
    def probed(self, data: Data) -> Probe:
        """Return the network with `data` for `gated.explain`."""

    def attached(self) -> dict[str, bytes]:
        """Files saved beside the model, by name; a task may have none."""
        return {}

    def program(self) -> dict[str, Any]:
        """Return what the learner predicts as a program, which runs without torch: `gated.live`.

        Raises:
            ProgramError: it cannot be written as one; a task may have none.
        """
        raise ProgramError(f"the task {self.task!r} writes none yet")

    def check_learned(self) -> None:
        """Check that attributes read by `load` fit together; a task may have nothing to check.

        Raises:
            ValueError: an attribute does not fit; the message names it.
        """

    def settle(self) -> None:
        """Tune settings of the trained network, as calibration or search, on the validation part.

        A task may have no such settings.
        """

    @property
    def name(self) -> str:
        """Name of the network in tables."""
        return str(getattr(self.config, "cell", self.task)).upper()

    @property
    def counted(self) -> str:
        """What an example of this learner is called, in the plural; by default `made_of`."""
        return self.made_of

    # What is the same for all.

    @property
    def parts(self) -> Parts[Data]:
        """The data of `fit`, split.

        Raises:
            DataError: nothing was fitted here, as after `load`.
        """
        if self._parts is None:
            raise DataError(
                f"This {type(self).__name__} holds no data: fit it, or give the data to use."
            )
        return self._parts

    @property
    def parameters(self) -> int:
        """Number of values in the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def seed(self) -> int:
        """Seed of all random numbers."""
        return self.training.seed

    def adopt(self) -> Self:
        """Take the options that belong to the weights of `init_from`, if given, as `prepare` does.

        Raises:
            ConfigurationError: an option was given that contradicts the run's.
            ModelFileError: `init_from` is no run that this network can begin with.
        """
        if self.training.init_from:
            tasks = self.begins_with or (self.task,)
            self.origin = Origin.of(self.training.init_from, tasks)
            self.config = self.origin.adopted(self.config, self.adopts)
        return self

    def adopted(self, name: str) -> Any:
        """Return an attribute of `learned` from the run of `init_from`; None without such a run.

        Raises:
            ModelFileError: it is damaged.
        """
        return self.origin and self.origin.learned(name, get_type_hints(type(self))[name])

    def labels_among(self, found: Iterable[str], known: Sequence[str] | None) -> tuple[str, ...]:
        """Return the labels to predict: the `known` ones of the run of `init_from`, if it has all.

        Otherwise the labels are those found, and the output layer starts from random weights.
        """
        labels = tuple(sorted(set(found)))
        if known is None or set(labels) <= set(known):
            return labels if known is None else tuple(known)
        strange = sorted(set(labels) - set(known))
        self.anew = self.head
        self.findings += (
            Finding(
                kind="labels",
                count=len(strange),
                what=f"labels that {self.training.init_from} does not know",
                action="its last layer is not taken over",
                example=strange[0],
            ),
        )
        return labels

    def prepare(self, source: Source) -> Self:
        """Read the data, split them, and make a network; the first half of `fit`.

        Raises:
            ConfigurationError: an option contradicts the run that `init_from` names.
            DataError: the data cannot be used; the message names the row or the line.
            FileNotFoundError: there is no such file.
            ModelFileError: `init_from` is no run that this network can begin with.
        """
        check_device(self.training)
        bad = self._bad()
        self.findings, self._source, self.anew = (), source, ()
        self.adopt()
        with phase(f"Reading {self.made_of}"):
            self._parts = self.split(source, bad)
        self.findings = (*self.findings, *bad.findings)
        self.network = self.seeded()
        return self

    def seeded(self, **options: Any) -> Any:
        """Make the network with the seed's weights, whatever random numbers were drawn before."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.new_network(**options)

    def check_test_part(self) -> None:
        """Check, before the training, that there are enough test examples.

        Raises:
            DataError: too little was held back.
        """
        held = len(self._parts.test) if self._parts else 0
        require_test_part(held, what=self.counted, least=self.fewest_scored)

    def fit(
        self,
        source: Source,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on the data without those held back for validation and test.

        Args:
            source: the data.
            directory: where checkpoints are written; none by default.
            resume: go on from the checkpoint in `directory`.
            progress: called after each step and validation.

        Raises:
            DataError: the data cannot be used; the message names the row or the line.
            FileNotFoundError: there is no such file.
            ModelFileError: `init_from` is no run that this network can begin with.
            TrainingDivergedError: the loss became NaN or infinite.
        """
        self.prepare(source)
        return self.train(directory=directory, resume=resume, progress=progress)

    def train(
        self,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on the data of `prepare`; the second half of `fit`, with the same arguments."""
        task = self.new_task()
        task.anew = self.anew
        self.history = loop.train(
            task, self.training, directory=directory, resume=resume, progress=progress
        )
        if self.training.precision == "64-true":
            self.network.float()  # data, scores and files are of single precision
        self.settle()
        return self

    def score(self, source: Source | None = None) -> Score:
        """Score on the test part of `fit`, or on other data.

        Raises:
            DataError: there is nothing to score on, or a row cannot be used.
            FileNotFoundError: there is no such file.
        """
        if source is not None:
            return self.evaluate(source)
        parts = self.parts
        self.check_test_part()
        self.network.eval()
        with phase(f"Scoring on {len(parts.test):,} {self.counted}"):
            return self.scored(parts.test, parts)

    def evaluate(self, source: Source) -> Score:
        """Score on other data; raises as `score` does."""
        data = self._asked(source, "score")
        with phase(f"Scoring on {len(data):,} {self.counted}"):
            return self.scored(data, None)

    def predict(self, source: Source | None = None) -> pl.DataFrame:
        """Return predictions for some data, by default the data of `fit`.

        Raises:
            DataError: a row cannot be used.
            FileNotFoundError: there is no such file.
        """
        if type(self).predicted is Learner.predicted:
            raise ConfigurationError(
                f"There is no `gated predict` for a run of the task {self.task!r}; see "
                "`gated --help`."
            )
        return self.predicted(self._asked(self._or_fitted(source), "predict"))

    def probe(self, source: Source | None = None) -> Probe:
        """Return the network with some data for `gated.explain`; by default the data of `fit`.

        Raises:
            DataError: a row cannot be used, or there is none.
            FileNotFoundError: there is no such file.
        """
        return self.probed(self._asked(self._or_fitted(source), "explain"))

    def explain(
        self, source: Source | None = None, layers: Sequence[int] | None = None
    ) -> Explanation:
        """Measure what the network's gates and memory do; raises as `probe` does."""
        options = frozenset(of.name for part in (self.config, self.training) for of in fields(part))
        return explain(replace(self.probe(source), options=options), layers)

    def save(self, directory: Path | str) -> None:
        """Write the model, atomically: `model.json` and its weights."""
        description = {
            "task": self.task,
            "config": json_values(self.config),
            "training": json_values(self.training),
            **{name: json_values(getattr(self, name)) for name in self.learned},
        }
        try:
            description["program"] = self.program()
        except ProgramError as reason:
            description["no_program"] = str(reason)
        save_model(Path(directory), self.network, description, self.attached())

    @classmethod
    def load(cls, directory: Path | str, **given: Any) -> Self:
        """Read what `save` wrote; other arguments of the constructor must be `given` again.

        Raises:
            ModelFileError: there is no model of this kind, or it is damaged.
        """
        weights, description = load_model(Path(directory), cls.task)
        hints = get_type_hints(cls)
        try:
            learner = cls(
                cast("Config", from_json_values(cls.config_type, description["config"])),
                from_json_values(TrainingOptions, description["training"]),
                **given,
            )
            for name in cls.learned:
                if name not in description and hasattr(cls, name):
                    continue  # a run of before there was such an attribute; the class has a default
                setattr(learner, name, from_json_values(hints[name], description[name]))
            learner.check_learned()
            check_shapes(learner.seeded, weights)
        except MissingExtraError:
            raise
        except Exception as error:  # no file may hold what leads to a traceback
            raise ModelFileError(f"The model in {directory} is damaged: {error}.") from error
        learner.network = learner.seeded()
        learner.network.load_state_dict(weights)
        learner.network.eval()
        return learner

    @classmethod
    def load_so_far(cls, run: Path, **given: Any) -> Self:
        """Read the network of a run whose training has not ended: the best weights so far.

        Weights and `history` are those of the last checkpoint; the attributes of `learned` are read
        from the model in `UNTRAINED`.

        Raises:
            ModelFileError: there is no checkpoint yet, or something is damaged.
        """
        learner = cls.load(run / UNTRAINED, **given)
        path = run / CHECKPOINT
        if not path.exists():
            raise ModelFileError(
                f"The training in {run} has written no checkpoint so far, so there is no network "
                "to use yet."
            )
        checkpoint = read_checkpoint(path)
        learner.network.load_state_dict(checkpoint.best or checkpoint.network)
        learner.history = checkpoint.history
        return learner

    def _asked(self, source: Source, purpose: Purpose) -> Data:
        """Read data for the network, and refuse empty ones."""
        bad = self._bad()
        self.findings = ()
        with phase(f"Reading {self.made_of}"):
            data = self.read(source, purpose, bad)
        self.left_out = bad.errors if bad.skip else None
        self.findings = (*self.findings, *bad.findings)
        if not len(data) and purpose != "predict":
            raise DataError(
                f"{source} holds no {self.counted} to {purpose.replace('score', 'score on')}."
                f"{bad.summary}"
            )
        self.network.eval()
        return data

    def _or_fitted(self, source: Source | None) -> Source:
        if source is None and self.most_files:
            self.parts  # noqa: B018 - there are none after `load`, which it says
            return self._source
        return source

    def _bad(self) -> BadRows:
        return BadRows(skip=getattr(self.config, "skip_bad", False))
