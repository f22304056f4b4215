"""Training on sequences and recordings of many lengths, beside the same network on torch.nn.

    python -m benchmarks.ragged

Both have the same weights, batches and loss, and take turns. The torch.nn network packs its
sequences (`pack_padded_sequence`), as its documentation has it; ours is given padded batches in any
order and their lengths, or, with `--packed`, is the torch.nn network itself after
`gated.accelerate`.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import gated
from benchmarks.machine import described
from benchmarks.side_by_side import side_by_side, training_step
from gated.tasks.classify.config import ClassifyConfig
from gated.tasks.classify.network import SequenceNetwork
from gated.tasks.classify.preprocessing import Preprocessing
from gated.tasks.classify.task import SequenceTask
from gated.tasks.speech.alphabet import Alphabet
from gated.tasks.speech.config import SpeechConfig
from gated.tasks.speech.network import Batch as SpeechBatch
from gated.tasks.speech.network import SpeechNetwork
from gated.tasks.speech.task import SpeechTask, Utterance
from gated.training.task import Shard, Task

Network = TypeVar("Network", SequenceNetwork, SpeechNetwork)
Line = dict[str, object]
PLAIN = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


def on_torch(network: Network, cell: str) -> Network:
    """Return a copy of `network` whose recurrent layers are torch.nn's."""
    other, ours = copy.deepcopy(network), network.recurrent
    layers = PLAIN[cell](
        ours.input_size, ours.hidden_size, ours.num_layers, bidirectional=ours.bidirectional
    )
    layers.load_state_dict(ours.state_dict())

    class Packed(nn.Module):
        bidirectional = ours.bidirectional

        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            packed = pack_padded_sequence(steps, lengths, enforce_sorted=False)
            states, last = self.layers(packed)
            return pad_packed_sequence(states, total_length=len(steps))[0], last

    other.recurrent = Packed()  # type: ignore[assignment]
    return other


def measured(
    config: ClassifyConfig,
    lengths: tuple[int, int],
    channels: int,
    size: int,
    steps: int,
    packed: bool,
) -> Line:
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

    return {
        "work": "classification, time steps a second",
        "cell": config.cell,
        "hidden": config.hidden,
        "both ways": not config.one_way,
        "lengths": list(lengths),
        "batch": size,
        **beside(task, config.cell, size, steps, packed, lambda batch: int(batch.lengths.sum())),
    }


def beside(
    task: Task[Any],
    cell: str,
    size: int,
    steps: int,
    packed: bool,
    amount: Callable[[Any], int],
) -> dict[str, Any]:
    """Train the network of `task` beside one on torch.nn; `amount` is what a batch holds."""
    network = on_torch(task.network, cell) if packed else task.network  # type: ignore[type-var]
    if packed:
        gated.accelerate(network)
    networks = network, on_torch(task.network, cell)  # type: ignore[type-var]
    both = (training_step(network, task, size) for network in networks)

    def done(number: int) -> int:
        return amount(task.training_batch(number, size, Shard(0, 1)))

    return side_by_side(*both, done, steps)


def recognised(
    config: SpeechConfig, seconds: tuple[float, float], size: int, steps: int, packed: bool
) -> Line:
    """Train a recogniser on noise of random lengths and texts, a letter for each tenth second."""
    random = np.random.default_rng(0)
    letters = Alphabet("abcdefghijklmnopqrstuvwxyz '")
    heard = []
    for number in range(256):
        long = float(random.uniform(*seconds))
        frames = random.standard_normal((round(100 * long), config.mels), np.float32)
        codes = random.integers(1, len(letters), round(10 * long)).tolist()
        text = letters.decode(codes)
        heard.append(Utterance(str(number), text, codes, long, (frames,)))
    torch.manual_seed(0)
    network = SpeechNetwork(config, len(letters))
    task = SpeechTask(network, config, letters, heard, [], 0)

    def spoken(batch: SpeechBatch) -> int:
        return round(int(batch.lengths.sum()) / 100)

    return {
        "work": "speech, seconds of recordings a second",
        "hidden": config.hidden,
        "layers": config.layers,
        "both ways": not config.streaming,
        "seconds": list(seconds),
        "batch": size,
        **beside(task, "lstm", size, steps, packed, spoken),
    }


def main() -> None:
    """Print the machine and a line for each network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ragged")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--packed", action="store_true", help="accelerated, in place of lengths")
    arguments = parser.parse_args()
    how = arguments.steps, arguments.packed
    print(json.dumps(described(torch.get_num_threads())), flush=True)
    for cell in ("lstm", "gru", "rnn"):
        config = ClassifyConfig(cell=cell, dropout=0.0)  # type: ignore[arg-type]
        print(json.dumps(measured(config, (7, 29), 12, 16, *how)), flush=True)
    for one_way in (False, True):
        config = ClassifyConfig(cell="lstm", hidden=128, dropout=0.0, one_way=one_way)
        print(json.dumps(measured(config, (10, 200), 40, 32, *how)), flush=True)
    for streaming in (False, True):
        speech = SpeechConfig(mels=40, hidden=192, layers=2, dropout=0.0, streaming=streaming)
        print(json.dumps(recognised(speech, (0.5, 8.0), 16, *how)), flush=True)


if __name__ == "__main__":
    main()
