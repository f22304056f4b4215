"""How well a network remembers, beside a guess without a memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.scoring.judge import judge
from gated.scoring.verdict import Measure, Scope, Verdict
from gated.tasks.memory.problems import Problem


@dataclass(frozen=True)
class MemoryScore:
    """Scores of the network and of the guess on each test sequence."""

    problem: Problem
    losses: dict[str, NDArray[np.float64]]
    """(N,) score of each sequence, by method, the network first."""

    higher_is_better = frozenset[str]()

    @property
    def score(self) -> float:
        """The network's mean score."""
        return float(next(iter(self.losses.values())).mean())

    @property
    def solved(self) -> bool:
        """Whether the score counts as solved, see `Problem.solved`."""
        return self.score < self.problem.solved

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method, the network first."""
        return {name: {self.problem.unit: float(of.mean())} for name, of in self.losses.items()}

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the network beats a guess, and whether it solves the problem."""
        found = judge(self.losses, Measure(f"{self.problem.unit} {{}}"), Scope("sequences"))
        solves = "This solves" if self.solved else "This does not solve"
        return found.adding(
            f"{solves} {self.problem.name} at {self.problem.length:,} steps, "
            f"which takes less than {self.problem.solved:.3g}."
        )

    @property
    def facts(self) -> dict[str, Any]:
        """All but the verdict, for JSON."""
        return {
            "problem": self.problem.name,
            "length": self.problem.length,
            "solved": self.solved,
            "scores": self.figures,
        }
