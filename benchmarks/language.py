"""A language model, beside the same network on torch.nn.

    python -m benchmarks.language                                      # training and writing
    python -m benchmarks.language --text *.txt --config TOML --seconds 1200   # bits for the time

Both have the same weights, stretches and loss, and take turns in one process. With texts, the
torch.nn network alone is trained by the same loop for as many steps as it does in the time, to be
compared with a run of `gated fit language` that took as long.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.machine import described
from benchmarks.side_by_side import side_by_side, training_step
from gated.tasks.language import LanguageConfig, LanguageModel, LanguageTraining
from gated.tasks.language.generation import Sampling, written_codes
from gated.tasks.language.network import LanguageNetwork
from gated.tasks.language.task import LanguageTask
from gated.texts.text import Coded
from gated.training.task import Shard

CODES, STREAMS, TRIED = 97, 32, 40
PLAIN: Mapping[str, type[nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class StepByStep:
    """A stream of a layer of torch.nn: one call for each step."""

    def __init__(self, layer: nn.RNNBase) -> None:
        self.layer, self.states = layer, [()]

    def step(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Read (B, E), and return (B, H)."""
        begin = tuple(torch.as_tensor(of).view(1, len(x), -1) for of in self.states[0])
        output, after = self.layer(
            torch.from_numpy(x)[None], begin if len(begin) > 1 else begin[0], None
        )
        self.states = [after if isinstance(after, tuple) else (after,)]
        return output[0].numpy()


def on_torch(network: LanguageNetwork, cell: str) -> LanguageNetwork:
    """Return a copy of `network` whose layers are those of torch.nn."""
    other = copy.deepcopy(network)

    class Plain(PLAIN[cell]):  # type: ignore[misc]
        def forward(self, x: Tensor, states: Any, lengths: None) -> Any:
            return super().forward(x, states)

        def stream(self, sequences: int, threads: int) -> StepByStep:
            return StepByStep(self)

    for place, layer in enumerate(network.layers):
        plain = Plain(layer.input_size, layer.hidden_size)
        plain.load_state_dict(layer.state_dict())
        other.layers[place] = plain
    return other


def throughput(config: LanguageConfig, steps: int) -> list[dict[str, Any]]:
    """Measure training, and writing by one and by many at once."""
    codes = np.random.default_rng(0).integers(1, CODES, 500_000).astype(np.uint16)
    text = Coded(codes, np.array([], np.int64))
    torch.manual_seed(0)
    network = LanguageNetwork(config, CODES)
    plain = on_torch(network, config.cell)
    task = LanguageTask(network, config, text, text.part(0, 0), 0)

    def amount(number: int) -> int:
        return task.training_batch(number, STREAMS, Shard(0, 1)).codes.numel()

    both = (training_step(of, task, STREAMS) for of in (network, plain))
    found = side_by_side(*both, amount, steps)
    about = {"cell": config.cell, "hidden": config.hidden, "layers": config.layers}
    lines = [{"work": "training, characters a second", **about, "streams": STREAMS, **found}]
    for batch in (1, 64):
        prompts = [torch.ones(1, dtype=torch.int64)] * batch
        speeds: dict[str, list[float]] = {"gated": [], "torch.nn": []}
        for _ in range(7):
            for name, of in (("gated", network), ("torch.nn", plain)):
                writing = written_codes(of, prompts, Sampling())
                next(writing)
                started = time.perf_counter()
                count = batch * sum(1 for _ in islice(writing, 300))
                speeds[name].append(count / (time.perf_counter() - started))
        ratios = [ours / theirs for ours, theirs in zip(*speeds.values(), strict=True)]
        medians = {name: round(statistics.median(of)) for name, of in speeds.items()}
        ratio = round(statistics.median(ratios), 2)
        work = {"work": "writing, characters a second", **about, "streams": batch}
        lines.append({**work, **medians, "ratio": ratio})
    return lines


def for_the_time(texts: list[Path], settings: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Train the torch.nn network for as many steps as fit into the time; return its bits."""
    known = {field.name for field in fields(LanguageConfig)}
    config = LanguageConfig(**{name: of for name, of in settings.items() if name in known})
    options = LanguageTraining(**{name: of for name, of in settings.items() if name not in known})

    def prepared(options: LanguageTraining) -> LanguageModel:
        model = LanguageModel(config, options).prepare(texts)
        model.network = on_torch(model.network, config.cell)
        return model

    tried = prepared(replace(options, steps=TRIED, validate_every=TRIED)).train()
    step = statistics.mean(tried.history.seconds[TRIED // 4 :])
    model = prepared(replace(options, steps=round(seconds / step))).train()
    return {
        "work": "torch.nn, bits a character of the test part",
        "bits": next(iter(model.score().bits.values())),
        "steps": model.history.steps,
        "seconds": sum(model.history.seconds),
    }


def main() -> None:
    """Print the machine and a line for each measurement."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.language")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--text", type=Path, nargs="+")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--seconds", type=float, default=1200)
    arguments = parser.parse_args()
    print(json.dumps(described(torch.get_num_threads())), flush=True)
    if arguments.text:
        settings = tomllib.loads(arguments.config.read_text()) if arguments.config else {}
        print(json.dumps(for_the_time(arguments.text, settings, arguments.seconds)))
        return
    for config in (
        LanguageConfig(hidden=512, window=64, fixed_window=True, dropout=0.0),
        LanguageConfig(hidden=256, window=64, fixed_window=True, dropout=0.0, layers=2),
        LanguageConfig(hidden=512, window=64, fixed_window=True, dropout=0.0, cell="gru"),
        LanguageConfig(
            hidden=512, embedding=512, layers=3, tied=True, window=64, fixed_window=True,
            dropout=0.0, activation=2.0, change=1.0,
        ),
    ):  # fmt: skip
        for line in throughput(config, arguments.steps):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
