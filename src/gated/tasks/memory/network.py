"""The networks that are tested, and the task of training one on a problem."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import gated.nn
from gated.errors import ConfigurationError
from gated.tasks.memory.problems import Batch, Part, Problem
from gated.training.task import Loss, Shard, Task

CELLS: dict[str, Callable[[int, int, int], nn.RNNBase]] = {
    "rnn": lambda inputs, units, _: gated.nn.RNN(inputs, units),
    "gru": lambda inputs, units, _: gated.nn.GRU(inputs, units),
    "lstm": lambda inputs, units, _: gated.nn.LSTM(inputs, units, forget_bias=1.0),
    "gru-chrono": lambda inputs, units, length: gated.nn.GRU(inputs, units, chrono_init=length),
    "lstm-chrono": lambda inputs, units, length: gated.nn.LSTM(inputs, units, chrono_init=length),
    "rnn-orthogonal": lambda inputs, units, _: gated.nn.RNN(
        inputs, units, recurrent_init="orthogonal"
    ),
    "lstm-layer-norm": lambda inputs, units, _: gated.nn.LSTM(
        inputs, units, forget_bias=1.0, layer_norm=True
    ),
}
"""What can be tested: from I, H and the longest memory that the problem asks for, in steps."""


class MemoryNetwork(nn.Module):
    """One recurrent layer and a linear map of its hidden states."""

    def __init__(self, cell: str, units: int, problem: Problem, seed: int) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ConfigurationError(f"cells: {cell!r} is not one of {', '.join(CELLS)}.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = CELLS[cell](problem.inputs, units, problem.length)
            self.head = nn.Linear(units, problem.outputs)

    def forward(self, x: Tensor, answered: int) -> Tensor:
        """(T, B, I) to the answers of the last `answered` steps, (R, B, O)."""
        hidden: Tensor = self.encoder(x)[0]
        answers: Tensor = self.head(hidden[-answered:])
        return answers


class MemoryTask(Task[Batch]):
    """Training on sequences that are drawn anew for each step."""

    HELD_OUT = 500
    """Sequences of a validation, and of the test."""

    def __init__(self, network: MemoryNetwork, problem: Problem, seed: int) -> None:
        self.network = network
        self.problem = problem
        self.seed = seed

    def steps_per_epoch(self, batch_size: int) -> int:
        """No example comes twice: an epoch is any number."""
        return 100

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Sequences of the step, new ones."""
        x, target = self.problem.draw("training", batch_size, (self.seed << 32) + step)
        mine = slice(shard.index, None, shard.count)
        return Batch(x[:, mine], target[:, mine])

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """The loss of all answers."""
        losses = self.problem.loss(network(batch.x, len(batch.target)), batch.target)
        return Loss(losses.sum(), torch.tensor(float(losses.numel())))

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The problem's score, as the loss."""
        return {"loss": self.score(network, "validation")}

    def score(self, network: nn.Module, part: Part) -> float:
        """The problem's score on held-out sequences, the same for every network."""
        x, target = self.problem.draw(part, self.HELD_OUT, 0)
        return self.problem.score(network(x, len(target)), target)
