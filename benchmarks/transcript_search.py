"""How long the search for a transcript takes a step: `python -m benchmarks.transcript_search`.

The probabilities are made, as a network of 28 outputs would give them that is sure of four letters
in five: a letter every fifth step, blanks between, and a few other letters that it may be as well.
A step is 40 ms of sound. Prints the machine and a JSON line for each beam and length.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import described
from gated.tasks.speech.search import BeamSearch, Search

OUTPUTS = 28
"""Blank, 26 letters and the space."""
EVERY = 5
"""Steps from a letter to the next."""
SECONDS = 0.04


def probabilities(steps: int, seed: int = 0) -> NDArray[np.float32]:
    """Return (steps, OUTPUTS), log-probabilities."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (steps, OUTPUTS))
    logits[:, 0] += 11
    spoken = np.arange(2, steps, EVERY)
    logits[spoken, random.integers(1, OUTPUTS, len(spoken))] += 12
    unsure = spoken[random.random(len(spoken)) < 0.2]
    logits[unsure, random.integers(1, OUTPUTS, len(unsure))] += 11
    normal = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
    return normal.astype(np.float32)


def main() -> None:
    """Print the machine and the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transcript_search")
    parser.add_argument("--beams", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.5, 2, 8, 30])
    arguments = parser.parse_args()
    print(json.dumps(described(1)), flush=True)
    for beam in arguments.beams:
        for minutes in arguments.minutes:
            heard = probabilities(round(minutes * 60 / SECONDS))
            search = BeamSearch(Search(beam=beam))
            began = time.process_time()
            search.take(heard)
            letters = len(search.best()[0])
            spent = time.process_time() - began
            tracemalloc.start()
            search = BeamSearch(Search(beam=beam))
            search.take(heard[:3000])
            search.best()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            row = {
                "beam": beam,
                "minutes": minutes,
                "letters": letters,
                "microseconds_a_step": round(spent / len(heard) * 1e6, 1),
                "seconds": round(spent, 2),
                "peak_bytes_of_3000_steps": peak,
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
