"""Language models over many words: `python -m benchmarks.words`.

Prints JSON lines: a training step with the full softmax and with the one in clusters, turn by turn
on the same words drawn from Zipf's distribution, and how long counting Kneser–Ney 5-grams takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import torch
from gated.core.kneser_ney import KneserNey

from benchmarks.machine import described
from benchmarks.side_by_side import training_step
from gated.tasks.language import LanguageConfig
from gated.tasks.language.network import LanguageNetwork
from gated.tasks.language.task import LanguageTask
from gated.texts.text import Coded

STREAMS = 32


def main() -> None:
    """Print a line for the training, and one for the counting."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.words")
    parser.add_argument("--words", type=int, default=50_000, help="in the vocabulary")
    parser.add_argument("--text", type=int, default=1_000_000, help="words to count n-grams in")
    parser.add_argument("--turns", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    likely = 1 / np.arange(1, asked.words + 1)
    drawn = np.random.default_rng(0).choice(asked.words, asked.text, p=likely / likely.sum())
    text = Coded(drawn.astype(np.uint32), np.array([], np.int64))
    print(json.dumps({"machine": described(1), **training(text, asked.words, asked.turns)}))
    started = time.perf_counter()
    KneserNey.of(text.codes, asked.words, 4)
    took = time.perf_counter() - started
    print(json.dumps({"work": "counting 5-grams", "words": asked.text, "seconds": round(took, 2)}))


def training(text: Coded, words: int, turns: int) -> dict[str, object]:
    """Return median seconds of a step by output layer, and what full takes over adaptive."""
    config = LanguageConfig(unit="word", hidden=256, embedding=128, window=32)
    steps, parameters = {}, {}
    for softmax in ("full", "adaptive"):
        torch.manual_seed(0)
        network = LanguageNetwork(config, words, softmax)
        parameters[softmax] = sum(of.numel() for of in network.parameters())
        task = LanguageTask(network, config, text, text.part(0, 0), 0)
        steps[softmax] = training_step(network, task, STREAMS)
        steps[softmax](0)
    took: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(1, turns + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step(number)
            took[name].append(time.perf_counter() - started)
    medians = {name: round(statistics.median(of), 3) for name, of in took.items()}
    ratios = [full / adaptive for full, adaptive in zip(*took.values(), strict=True)]
    ratio = round(statistics.median(ratios), 1)
    return {"work": "a training step", **medians, "ratio": ratio, "parameters": parameters}


if __name__ == "__main__":
    main()
