"""The learner of memory problems: `gated fit memory`, and each trial of `gated memory-test`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from gated.data.bad_rows import BadRows
from gated.explain import Probe, Timeline
from gated.tasks.learner import Learner, Parts, Purpose, Source
from gated.tasks.memory.config import MemoryConfig, MemoryTraining
from gated.tasks.memory.network import MemoryNetwork
from gated.tasks.memory.problems import Problem
from gated.tasks.memory.score import MemoryScore
from gated.tasks.memory.task import STEPS_PER_EPOCH, MemoryTask, ProblemPart
from gated.training.options import TrainingOptions

NO_MEMORY = "no memory"
"""The baseline: the best guess that is the same for every sequence."""
DRAWN = 8
"""Sequences that a probe offers."""


class MemoryLearner(Learner[MemoryConfig, ProblemPart, MemoryScore]):
    """Learns a problem that only a memory solves, on random sequences; it reads no files."""

    task = "memory"
    config_type = MemoryConfig
    training_type = MemoryTraining
    adopts = ("cell", "hidden", "layers")
    does = "remember over long sequences"
    data = ""
    made_of = "sequences"
    most_files = 0

    network: MemoryNetwork

    def __init__(
        self, config: MemoryConfig | None = None, training: TrainingOptions | None = None
    ) -> None:
        super().__init__(config, training)
        if self.training.goal is None:  # what is solved need not be trained further
            self.training = replace(self.training, goal=self.problem.solved)

    @property
    def problem(self) -> Problem:
        """The problem of the configuration."""
        return self.config.posed

    def split(self, source: Source, bad: BadRows) -> Parts[ProblemPart]:
        """Return the parts, which share no sequences but those that chance draws twice."""
        validation, test = (
            ProblemPart.held_out(self.problem, part) for part in ("validation", "test")
        )
        an_epoch = STEPS_PER_EPOCH * self.training.batch_size
        return Parts(ProblemPart(self.problem, "training", an_epoch), validation, test)

    def read(self, source: Source, purpose: Purpose, bad: BadRows) -> ProblemPart:
        """Return the test sequences, the same for every network."""
        return ProblemPart.held_out(self.problem, "test")

    def new_network(self) -> MemoryNetwork:
        """Make layers of the cell, initialised for memories as long as the problem."""
        of = self.config
        return MemoryNetwork(of.cell, of.hidden, self.problem, self.seed, layers=of.layers)

    def new_task(self) -> MemoryTask:
        """Return the training task, with new random sequences at each step."""
        return MemoryTask(self.network, self.problem, self.seed)

    def scored(self, data: ProblemPart, known: Parts[ProblemPart] | None) -> MemoryScore:
        """Score the network beside the best guess without a memory."""
        problem, ours = self.problem, data.scores(self.network)[0]
        guesses = [problem.score(problem.guess(target), target) for _, target in data.batches()]
        losses = {self.name: ours, NO_MEMORY: torch.cat(guesses)}
        return MemoryScore(problem, {name: of.double().numpy() for name, of in losses.items()})

    @torch.no_grad()
    def predicted(self, data: ProblemPart) -> pl.DataFrame:
        """Return a row for each output of each sequence."""
        expected, answers = [], []
        for x, target in data.batches():
            output = self.network(x)
            answers.append(output[..., 0] if output.shape[-1] == 1 else output.argmax(-1))
            expected.append(target)
        count = len(expected[0])
        given = {
            "sequence": [str(n) for n in range(len(data)) for _ in range(count)],
            "answer": list(range(count)) * len(data),
            "expected": torch.cat(expected, 1).T.flatten().tolist(),
        }
        return self.table(given, {"predicted": torch.cat(answers, 1).T.flatten().tolist()})

    def probed(self, data: ProblemPart) -> Probe:
        """Return the network, some sequences and the loss for `gated.explain`."""
        problem = self.problem
        x, target = problem.draw(data.part, DRAWN, 0)

        def loss(answers: Tensor) -> Tensor:
            return problem.loss(answers, target).mean()

        return Probe(
            title=f"Remembering: {problem.name} over {problem.length:,} steps",
            model=self.network,
            batches=[(x, None)],
            sequences=[f"sequence {number}" for number in range(DRAWN)],
            timelines={
                "encoder": [
                    Timeline(labels=np.arange(len(x)), signals={"input": x[:, row].numpy()})
                    for row in range(DRAWN)
                ]
            },
            loss=loss,
        )
