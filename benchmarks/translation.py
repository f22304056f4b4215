"""Training a translator, beside the same network on torch.nn: `python -m benchmarks.translation`.

Both have the same weights, batches and loss, take turns step by step in one process, and print
medians as JSON lines. The torch.nn network packs its sequences and calls LSTMCell and attention
step by step, with gradients by autograd, as input feeding is usually written.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.machine import described
from benchmarks.side_by_side import side_by_side, training_step
from gated.tasks.translate.attention import Memory
from gated.tasks.translate.batches import SPECIAL
from gated.tasks.translate.config import TranslateConfig
from gated.tasks.translate.network import State, TranslateNetwork
from gated.tasks.translate.search import Wanted, search
from gated.tasks.translate.task import TranslateTask
from gated.training.task import Shard

VOCABULARY = 4000
Encoded = tuple[list[int], list[int]]


def sentences(count: int) -> list[Encoded]:
    """Pairs with lengths like those of help texts in English and Chinese."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(2.5, 0.8, count), 1, 110).astype(int)

    def codes(length: int) -> list[int]:
        drawn: list[int] = random.integers(len(SPECIAL), VOCABULARY, length).tolist()
        return drawn

    return [(codes(n), codes(max(1, int(n * random.normal(0.9, 0.1))))) for n in lengths]


def on_torch(network: TranslateNetwork, config: TranslateConfig) -> TranslateNetwork:
    """Return a copy of `network` that computes with torch.nn alone."""
    other = copy.deepcopy(network)
    layers = nn.LSTM(config.embedding, config.hidden // 2, config.layers, bidirectional=True)
    layers.load_state_dict(network.encoder.layers.state_dict())
    encoder, decoder = other.encoder, other.decoder

    def read(source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        embedded = encoder.dropout(encoder.embedding(source))
        packed = pack_padded_sequence(embedded, lengths, enforce_sorted=False)
        states, (hidden, _) = encoder.layers(packed)
        return pad_packed_sequence(states)[0], torch.cat([hidden[-2], hidden[-1]], dim=-1)

    def write(words: Tensor, state: State, memory: Memory) -> Tensor:
        fed = []
        for step in words:
            state, _ = decoder.step(step, state, memory)
            fed.append(state.fed)
        return torch.stack(fed)

    encoder.layers = layers  # type: ignore[assignment]
    encoder.forward = read  # type: ignore[method-assign]
    if not config.no_input_feeding:
        cell = nn.LSTMCell(config.embedding + config.hidden, config.hidden)
        cell.load_state_dict(decoder.cell.state_dict())
        decoder.cell = cell  # type: ignore[assignment]
        decoder.forward = write  # type: ignore[method-assign]
    else:
        lstm = nn.LSTM(config.embedding, config.hidden)
        lstm.load_state_dict(decoder.lstm.state_dict())
        decoder.lstm = lstm  # type: ignore[assignment]
    return other


def training(config: TranslateConfig, steps: int) -> dict[str, object]:
    """Time steps of both networks, turn by turn."""
    pairs = sentences(4000)
    torch.manual_seed(0)
    network = TranslateNetwork(config, VOCABULARY, VOCABULARY)
    task = TranslateTask(network, pairs, [], config, seed=0)
    plain = on_torch(network, config)

    def words(number: int) -> int:
        return len(task.training_batch(number, 64, Shard(0, 1)).wanted)

    both = (training_step(of, task, 64) for of in (network, plain))
    found = side_by_side(*both, words, steps)
    return {
        "work": "training, target subwords a second",
        "input_feeding": not config.no_input_feeding,
        "attention": config.attention,
        **found,
    }


def generation(config: TranslateConfig, count: int) -> dict[str, object]:
    """Time the search for translations of both networks, many sentences at once and one by one."""
    torch.manual_seed(0)
    network = TranslateNetwork(config, VOCABULARY, VOCABULARY).eval()
    plain = on_torch(network, config).eval()
    sources = [source for source, _ in sentences(count)]
    wanted = Wanted(beam=5)

    def each(one: TranslateNetwork) -> Sequence[object]:
        return [search(one, [source], wanted) for source in sources[: count // 8]]

    def rate(work: Callable[[], Sequence[object]]) -> float:
        started = time.perf_counter()
        done = len(work())
        return round(done / (time.perf_counter() - started), 1)

    work = {
        "gated": lambda: search(network, sources, wanted),
        "torch.nn": lambda: search(plain, sources, wanted),
        "gated, one by one": lambda: each(network),
    }
    rates = {name: [rate(call) for _ in range(3)] for name, call in work.items()}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {"work": "beam of 5, untrained: sentences a second", **medians}


def main() -> None:
    """Print the machine and a line for each piece of work."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=384)
    arguments = parser.parse_args()
    print(json.dumps(described(torch.get_num_threads())), flush=True)
    for options in ({}, {"no_input_feeding": True}, {"attention": "additive"}):
        config = TranslateConfig(hidden=arguments.hidden, dropout=0.0, **options)  # type: ignore[arg-type]
        print(json.dumps(training(config, arguments.steps)), flush=True)
    print(json.dumps(generation(TranslateConfig(hidden=arguments.hidden), 64)), flush=True)


if __name__ == "__main__":
    main()
