"""Training on sequences of many lengths, beside the same network on torch.nn.

    python -m benchmarks.ragged

Both have the same weights, batches and loss, and take turns. The torch.nn network packs its
sequences (`pack_padded_sequence`), as its documentation has it; ours is given padded batches in any
order and their lengths.
"""

from __future__ import annotations

import argparse
import copy
import json

import numpy as np
import torch
from benchmarks.machine import described
from benchmarks.side_by_side import Step, side_by_side
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gated.tasks.classify.config import ClassifyConfig
from gated.tasks.classify.network import Batch, SequenceNetwork
from gated.tasks.classify.preprocessing import Preprocessing
from gated.tasks.classify.task import SequenceTask
from gated.training.task import Shard

PLAIN = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


def on_torch(network: SequenceNetwork, config: ClassifyConfig) -> SequenceNetwork:
    """Return a copy of `network` that computes with torch.nn alone."""
    other, ours = copy.deepcopy(network), network.recurrent
    layers = PLAIN[config.cell](
        ours.input_size, config.hidden, config.layers, bidirectional=not config.one_way
    )
    layers.load_state_dict(ours.state_dict())

    class Packed(nn.Module):
        bidirectional = not config.one_way

        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            packed = pack_padded_sequence(steps, lengths, enforce_sorted=False)
            states, last = self.layers(packed)
            return pad_packed_sequence(states, total_length=len(steps))[0], last

    other.recurrent = Packed()  # type: ignore[assignment]
    return other


def training_step(network: SequenceNetwork, task: SequenceTask, size: int) -> Step:
    """Return a function that trains on the batch of a step and gives its loss."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def step(number: int) -> Tensor:
        total, weight = task.loss(network, task.training_batch(number, size, Shard(0, 1)))
        loss = total / weight
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def measured(
    config: ClassifyConfig, lengths: tuple[int, int], channels: int, size: int, steps: int
) -> dict[str, object]:
    """Train on sequences of random lengths, some short and some long, in batches as they come."""
    random = np.random.default_rng(0)
    arrays = [
        random.normal(size=(int(random.integers(lengths[0], lengths[1] + 1)), channels))
        for _ in range(512)
    ]
    read = Preprocessing.fit(arrays, config.patch)
    torch.manual_seed(0)
    network = SequenceNetwork(config, read.inputs, 9)
    classes = random.integers(0, 9, len(arrays))
    held = ([], classes[:0])
    task = SequenceTask(network, config, read, arrays, classes, np.ones(len(arrays)), held, 0)
    # As a shuffled loader gives them: without buckets of like length.
    task.buckets = type(task.buckets)(task.buckets.lengths, 0, pool=1)

    def amount(number: int) -> int:
        batch: Batch = task.training_batch(number, size, Shard(0, 1))
        return int(batch.lengths.sum())

    plain = on_torch(network, config)
    found = side_by_side(
        training_step(network, task, size), training_step(plain, task, size), amount, steps
    )
    return {
        "work": "training, time steps a second",
        "cell": config.cell,
        "hidden": config.hidden,
        "both ways": not config.one_way,
        "lengths": list(lengths),
        "batch": size,
        **found,
    }


def main() -> None:
    """Print the machine and a line for each network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ragged")
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    print(json.dumps(described(torch.get_num_threads())), flush=True)
    for cell in ("lstm", "gru", "rnn"):
        config = ClassifyConfig(cell=cell, dropout=0.0)  # type: ignore[arg-type]
        print(json.dumps(measured(config, (7, 29), 12, 16, arguments.steps)), flush=True)
    for one_way in (False, True):
        config = ClassifyConfig(cell="lstm", hidden=128, dropout=0.0, one_way=one_way)
        print(json.dumps(measured(config, (10, 200), 40, 32, arguments.steps)), flush=True)


if __name__ == "__main__":
    main()
