"""The greatest length that each cell solves: `gated memory-test`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gated.configuration import from_json_values, json_values
from gated.errors import ConfigurationError, ModelFileError, option
from gated.files import write_atomically
from gated.model_files import read_document, to_document
from gated.tasks.memory.config import MemoryConfig, MemoryTraining
from gated.tasks.memory.gradient import Reach, reach
from gated.tasks.memory.learner import MemoryLearner
from gated.tasks.memory.network import start_of
from gated.tasks.memory.problems import ProblemName, problems_of
from gated.training.checkpoint import FILE_NAME as CHECKPOINT
from gated.training.history import History
from gated.training.options import TrainingOptions
from gated.training.progress import Progress

FORMAT, VERSION = "gated-memory-trial", 1
DONE = "trial.json"
"""What a directory of a trial holds when it has ended, in place of checkpoints."""
OF_TRIAL: dict[str, Any] = {
    "cell": str,
    "length": int,
    "seed": int,
    "score": float,
    "solved": bool,
    "before": Reach,
    "after": Reach,
}
"""Fields of a trial that are written as they are."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The result of one cell, trained on one length with one seed."""

    cell: str
    length: int
    seed: int
    score: float
    """Score on test sequences, with the weights that were best on validation sequences."""
    solved: bool
    before: Reach
    """How far back the gradient reached before training."""
    after: Reach
    """How far back it reached after training."""
    history: History

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        return sum(self.history.seconds)

    def to_document(self) -> bytes:
        """Return the trial as a document that `trial_of` reads."""
        values = {name: json_values(getattr(self, name)) for name in OF_TRIAL}
        return to_document(FORMAT, VERSION, values | {"history": self.history.to_json()})


def trial_of(path: Path) -> Trial:
    """Read what `Trial.to_document` made.

    Raises:
        ModelFileError: it is damaged.
    """
    document = read_document(path, FORMAT, VERSION)
    try:
        values = {name: from_json_values(kind, document[name]) for name, kind in OF_TRIAL.items()}
        history = History.from_json(document["history"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged: {error}. Remove it to train anew.") from error
    return Trial(**values, history=history)


@dataclass(frozen=True, kw_only=True)
class MemoryTest:
    """All trials of a memory test."""

    problem: str
    units: int
    """H, units of each layer."""
    layers: int
    """L, layers of each cell."""
    lengths: tuple[int, ...]
    seeds: tuple[int, ...]
    training: TrainingOptions
    trials: tuple[Trial, ...]

    @property
    def cells(self) -> list[str]:
        """The cells, in the order in which they were tried."""
        return list(dict.fromkeys(trial.cell for trial in self.trials))

    def of(self, cell: str, length: int) -> list[Trial]:
        """The trials of a cell at a length, one for each seed; empty if it was not tried."""
        return [t for t in self.trials if (t.cell, t.length) == (cell, length)]

    def score(self, cell: str, length: int) -> float:
        """The median score of a cell at a length; NaN if it was not tried."""
        scores = [trial.score for trial in self.of(cell, length)]
        return float(np.median(scores)) if scores else np.nan

    def solves(self, cell: str, length: int) -> bool:
        """Whether a cell solves a length with more than half of the seeds."""
        trials = self.of(cell, length)
        return 2 * sum(trial.solved for trial in trials) > len(trials)

    def longest(self, cell: str) -> int:
        """The greatest length that a cell solves; 0 where it solves none."""
        return max((length for length in self.lengths if self.solves(cell, length)), default=0)

    @property
    def verdict(self) -> str:
        """The greatest length that each cell solves, in descending order."""
        each = [
            f"{cell} {f'solves {self.longest(cell)}' if self.longest(cell) else 'solves none'}"
            for cell in sorted(self.cells, key=self.longest, reverse=True)
        ]
        return f"{self.problem}, {self.training.budget} of training: {', '.join(each)}."

    @property
    def document(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "problem": self.problem,
            "units": self.units,
            "layers": self.layers,
            "lengths": list(self.lengths),
            "seeds": list(self.seeds),
            "training": json_values(self.training),
            "verdict": self.verdict,
            "longest": {cell: self.longest(cell) for cell in self.cells},
            "trials": [
                {
                    "cell": trial.cell,
                    "length": trial.length,
                    "seed": trial.seed,
                    "score": trial.score,
                    "solved": trial.solved,
                    "steps": trial.history.steps,
                    "seconds": trial.seconds,
                    "gradient": {
                        when: {
                            "reach": of.steps,
                            "every": of.every,
                            "norms": of.norms.tolist(),
                        }
                        for when, of in (("before", trial.before), ("after", trial.after))
                    },
                }
                for trial in self.trials
            ],
        }


def memory_test(
    problem: ProblemName = "adding",
    *,
    cells: Sequence[str] = ("rnn", "gru", "lstm", "lstm-chrono"),
    lengths: Sequence[int] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    units: int = 128,
    layers: int = 1,
    training: TrainingOptions | None = None,
    directory: Path | None = None,
    progress: Callable[[str, int, int], Progress] | None = None,
) -> MemoryTest:
    """Train each cell at growing length, up to the first that it does not solve.

    A cell solves a length if more than half of its seeds do.

    Args:
        problem: one of `gated.tasks.memory.problems.PROBLEMS`.
        cells: names from the library, with an optional initialisation after them, see
            `gated.tasks.memory.network.start_of`.
        lengths: to try, ascending; by default those of the problem.
        seeds: of weights and sequences; one trial for each.
        units: H, of each layer.
        layers: L, of each cell.
        training: budget and options of one trial (its `seed` is replaced); a trial ends when it is
            solved.
        directory: where each trial keeps its checkpoints and its result; a test with the same
            arguments goes on from there. None by default.
        progress: returns the `Progress` of the trial with this cell, length and seed.

    Raises:
        ConfigurationError: there is no such problem, cell or length.
        DataError: the files of Fashion-MNIST are not there.
        MissingExtraError: the digits need scikit-learn.
    """
    if not cells or not seeds or (lengths is not None and not lengths):
        raise ConfigurationError(
            f"{option('cells')}, {option('lengths')}, {option('seeds')}: give at least one of each."
        )
    if lengths is not None and list(lengths) != sorted(set(lengths)):
        raise ConfigurationError(
            f"{option('lengths')} must grow, got {', '.join(map(str, lengths))}."
        )
    for cell in cells:
        start_of(cell).layer(1, units, layers, 10)  # refused before any is trained
    posed = problems_of(problem, lengths)
    test = MemoryTest(
        problem=problem,
        units=units,
        layers=layers,
        lengths=tuple(of_length.length for of_length in posed),
        seeds=tuple(seeds),
        training=training or MemoryTraining(),
        trials=(),
    )
    for cell in cells:
        config = MemoryConfig(problem=problem, cell=cell, hidden=units, layers=layers)
        for of_length in posed:
            trials = [
                _trial(
                    replace(config, length=of_length.length),
                    replace(test.training, seed=seed),
                    directory and directory / f"{cell}-{of_length.length}-{seed}",
                    progress and partial(progress, cell, of_length.length, seed),
                )
                for seed in seeds
            ]
            test = replace(test, trials=(*test.trials, *trials))
            if not test.solves(cell, of_length.length):
                break
    return test


def _trial(
    config: MemoryConfig,
    training: TrainingOptions,
    directory: Path | None,
    progress: Callable[[], Progress] | None,
) -> Trial:
    if directory and (directory / DONE).exists():
        return trial_of(directory / DONE)
    learner = MemoryLearner(config, training).prepare(None)
    before = reach(learner.network, learner.problem)
    learner.train(
        directory=directory, resume=directory is not None, progress=progress and progress()
    )
    result = learner.score()
    trial = Trial(
        cell=config.cell,
        length=config.length,
        seed=learner.seed,
        score=result.score,
        solved=result.solved,
        before=before,
        after=reach(learner.network, learner.problem),
        history=learner.history,
    )
    if directory:
        directory.mkdir(parents=True, exist_ok=True)  # a training without a checkpoint leaves none
        write_atomically(directory / DONE, trial.to_document())
        (directory / CHECKPOINT).unlink(missing_ok=True)
    return trial
