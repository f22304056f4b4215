"""Options of the memory task: the problem, its length, and the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gated.configuration import Configuration
from gated.tasks.memory.network import start_of
from gated.tasks.memory.problems import Problem, ProblemName, problem_of
from gated.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(Configuration):
    """The problem, and the network that is to solve it."""

    problem: ProblemName = "adding"
    """Kind of sequences, which sets what must be remembered, and for how long."""
    length: int = 100
    """T, steps of a sequence; for images the number of pixels, a square."""
    cell: str = "lstm"
    """A cell of gated.cells.library (lem, indrnn, janet, ...; rnn is rnn-tanh), with optional
    additions to its name: initialisation -chrono, -orthogonal or -exp, and -layer-norm."""
    hidden: int = 128
    """H, units of each layer."""
    layers: int = 1
    """L; IndRNN needs two or more."""

    def __post_init__(self) -> None:
        """Refuse what is no problem, length or cell."""
        super().__post_init__()
        self._demand(hidden=1, layers=1)
        start_of(self.cell)
        _ = self.posed

    @property
    def posed(self) -> Problem:
        """The problem `problem` at the length `length`."""
        return problem_of(self.problem, self.length)


@dataclass(frozen=True, kw_only=True)
class MemoryTraining(TrainingOptions):
    """How to train, with a default budget in which long memories can be learnt."""

    usual_steps: ClassVar[int] = 2000

    validate_every: int = 100
    """Steps between validations."""
