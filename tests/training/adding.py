"""A tiny task: a recurrent network that adds up products of two numbers, of ragged lengths."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from gated.training.history import History
from gated.training.loop import train
from gated.training.options import TrainingOptions
from gated.training.processes import is_main_process
from gated.training.task import Loss, Shard, Task

T = 8


class AddingNetwork(nn.Module):
    def __init__(self, hidden: int, dropout: float, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = nn.LSTM(2, hidden)
            self.middle = nn.Linear(hidden, hidden)
            self.head = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, 2) → (T, B)."""
        hidden, _ = self.encoder(x)
        return self.head(self.dropout(torch.tanh(self.middle(hidden))))[..., 0]


class Adding(Task[tuple[Tensor, Tensor, Tensor]]):
    """Sequences of different lengths, so that the weight of equal shards differs."""

    def __init__(
        self,
        *,
        hidden: int = 8,
        dropout: float = 0.0,
        seed: int = 0,
        data_seed: int = 0,
        held_out: int = 16,
    ) -> None:
        self.network = AddingNetwork(hidden, dropout, seed)
        self.data_seed = data_seed
        self.held_out = held_out

    def steps_per_epoch(self, batch_size: int) -> int:
        return 100

    def training_batch(
        self, step: int, batch_size: int, shard: Shard
    ) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1000 * self.data_seed + step)
        x = torch.rand(T, batch_size, 2, generator=generator)
        lengths = torch.randint(1, T + 1, (batch_size,), generator=generator)
        mine = slice(shard.index, None, shard.count)
        counts = torch.arange(T)[:, None] < lengths[mine]
        return x[:, mine], x.prod(-1).cumsum(0)[:, mine], counts.float()

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Loss:
        x, y, counts = batch
        return Loss(((network(x) - y) ** 2 * counts).sum(), counts.sum())

    def validate(self, network: nn.Module) -> dict[str, float]:
        if not self.held_out:
            return {}
        total, weight = self.loss(network, self.training_batch(10**6, self.held_out, Shard(0, 1)))
        return {"loss": float(total / weight)}

    def depth_groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        return [
            (name, list(getattr(self.network, name).parameters()))
            for name in ("encoder", "middle", "head")
        ]


def same_course(one: History, other: History) -> bool:
    """Whether two histories say the same but for the clock."""
    return replace(one, seconds=[]) == replace(other, seconds=[])


if __name__ == "__main__":
    # Trainings, each as JSON; under several processes, all of them run this.
    for argument in sys.argv[1:]:
        chosen = json.loads(argument)
        if "init_from" in chosen:
            chosen["init_from"] = Path(chosen["init_from"])
        task = Adding()
        history = train(task, TrainingOptions(**chosen))
        if is_main_process():
            weights = {name: tensor.tolist() for name, tensor in task.network.state_dict().items()}
            print(json.dumps({"history": history.to_json(), "weights": weights}))
