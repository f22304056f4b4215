"""Training on a memory problem, with new random sequences for each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gated.tasks.memory.network import MemoryNetwork
from gated.tasks.memory.problems import Batch, Part, Problem
from gated.training.task import Loss, Shard, Task

STEPS_PER_EPOCH = 100
"""No sequence comes twice, so that an epoch is any number."""


@dataclass(frozen=True)
class ProblemPart:
    """A part (training, validation or test) of a problem."""

    problem: Problem
    part: Part
    count: int

    @classmethod
    def held_out(cls, problem: Problem, part: Part) -> ProblemPart:
        """Return the sequences that score a network, the same for every network."""
        return cls(problem, part, sum(problem.held_out(part)))

    def __len__(self) -> int:
        """Number of sequences; of the training part in an epoch."""
        return self.count

    def batches(self) -> Iterator[Batch]:
        """Yield the batches, drawn again at each call."""
        for place, sequences in enumerate(self.problem.held_out(self.part)):
            yield self.problem.draw(self.part, sequences, place)

    @torch.no_grad()
    def scores(self, network: nn.Module) -> tuple[Tensor, Tensor]:
        """Return the problem's score of each sequence, (N,), and its mean loss, (N,)."""
        scores, losses = [], []
        for x, target in self.batches():
            answers = network(x)
            scores.append(self.problem.score(answers, target))
            losses.append(self.problem.loss(answers, target).mean(0))
        return torch.cat(scores), torch.cat(losses)


class MemoryTask(Task[Batch]):
    """Trains on new random sequences at each step."""

    def __init__(self, network: MemoryNetwork, problem: Problem, seed: int) -> None:
        self.network = network
        self.problem = problem
        self.seed = seed
        self.unit = (problem.loss_unit, 1.0)

    def steps_per_epoch(self, batch_size: int) -> int:
        """A constant, as sequences are drawn at random without end."""
        return STEPS_PER_EPOCH

    def depth_groups(self) -> Sequence[tuple[str, Sequence[nn.Parameter]]]:
        """Orthogonal matrices form a group of their own, which may have a lower learning rate."""
        slow = {p for name, p in self.network.named_parameters() if "parametrizations" in name}
        rest = [p for p in self.network.parameters() if p not in slow]
        groups: list[tuple[str, Sequence[nn.Parameter]]] = [("network", rest)]
        return [("orthogonal", list(slow)), *groups] if slow else groups

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Draw new sequences for the step."""
        x, target = self.problem.draw("training", batch_size, (self.seed << 32) + step)
        mine = slice(shard.index, None, shard.count)
        return Batch(x[:, mine], target[:, mine])

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Summed loss of all outputs, and their number."""
        losses = self.problem.loss(network(batch.x), batch.target)
        return Loss(losses.sum(), torch.tensor(float(losses.numel())))

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The problem's score on the validation part, which also chooses the best weights."""
        held_out = ProblemPart.held_out(self.problem, "validation")
        score, loss = (float(of.mean()) for of in held_out.scores(network))
        return {"loss": score, self.problem.unit: score, self.problem.loss_unit: loss}

    def score(self, network: nn.Module, part: Part) -> float:
        """The problem's mean score on held-out sequences."""
        return float(ProblemPart.held_out(self.problem, part).scores(network)[0].mean())
