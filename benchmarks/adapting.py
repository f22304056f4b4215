"""What dynamic evaluation and a cache add to a language model: `python -m benchmarks.adapting`.

Reads a run of `gated fit language` and its text; fits each part on the validation part, and prints
a JSON line of bits a character on the first characters of the test part, without and with dynamic
evaluation: of the network, with n-grams mixed in, with the cache besides, and of the network with
the cache alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from gated.core.ngrams import Floats
from gated.tasks.language import LanguageModel
from gated.tasks.language.cache import SHARPNESSES, Cache, Remembered
from gated.tasks.language.dynamic import Dynamic, read_in_order
from gated.tasks.language.mixture import Mixture
from gated.texts.text import Coded, Text


def main() -> None:
    """Print a line for the trained weights, and one for weights that go on learning."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapting")
    parser.add_argument("run", type=Path)
    parser.add_argument("text", type=Path, nargs="+")
    parser.add_argument("--codes", type=int, default=60_000)
    parser.add_argument("--cache", type=int, default=2000)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model = LanguageModel.load(asked.run)
    config = model.config
    text = Text(asked.text, config.unit)
    last = len(text) - int(len(text) * config.test)
    first = last - int(len(text) * config.validation)
    training, validation, test = (
        text.coded(model.vocabulary, config.documents, *bounds)
        for bounds in ((0, first), (first, last), (last, len(text)))
    )
    held, test = (of.part(0, min(len(of), asked.codes)) for of in (validation, test))
    learning = Dynamic.fitted(model.network, training, held)
    for dynamic in (None, learning) if learning else (None,):
        print(json.dumps(_bits(model, dynamic, asked.cache, held, test)), flush=True)


def _bits(
    model: LanguageModel, dynamic: Dynamic | None, size: int, held: Coded, test: Coded
) -> dict[str, object]:
    """Fit n-grams and cache on `held`, and return bits a code of `test`."""

    def read(text: Coded) -> tuple[Floats, Remembered]:
        remembered = Remembered(text.codes, size, SHARPNESSES)
        nats = (
            dynamic.read(model.network, text, remembered)
            if dynamic
            else read_in_order(model.network, text, remember=remembered)
        )
        return np.exp(-nats), remembered

    (fitted, seen), (network, remembered) = read(held), read(test)
    likely = {"network": (fitted, network)}
    if model.mixture:
        mixture = Mixture.fitted(model.mixture.ngrams, fitted, np.asarray(held.codes))
        if mixture:
            likely["with n-grams"] = (
                mixture.probabilities(fitted, np.asarray(held.codes)),
                mixture.probabilities(network, np.asarray(test.codes)),
            )
    bits: dict[str, object] = {
        "dynamic": dynamic and {"rate": dynamic.rate, "decay": dynamic.decay},
        "codes": len(test),
    }
    for name, (before, tested) in likely.items():
        bits[name] = round(float(-np.log2(tested).mean()), 4)
        if cache := Cache.fitted(before, seen):
            place = SHARPNESSES.index(cache.sharpness)
            mixed = cache.probabilities(tested, remembered.likely[place])
            bits[f"{name} and cache"] = round(float(-np.log2(mixed).mean()), 4)
            bits[f"share of the cache, {name}"] = round(cache.share, 3)
    return bits


if __name__ == "__main__":
    main()
