"""How fast, and how late, words are written: `python -m benchmarks.listening RUN CSV`.

Each recording of the manifest is heard in pieces of 50 ms by a network trained with `--streaming`,
on one thread. A word is late by the sound that came after its end before it was told, and by the
time that its piece took.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import described
from gated.core import native
from gated.data.bad_rows import BadRows
from gated.errors import DataError
from gated.tasks.speech.audio import blocks_of
from gated.tasks.speech.manifest import read_manifest
from gated.tasks.speech.transcriber import load

PIECE = 0.05
"""Seconds that are heard at once."""


def main() -> None:
    """Print the machine and the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.listening")
    parser.add_argument("run", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--every", type=int, default=1, help="hear every so-manieth recording")
    arguments = parser.parse_args()
    native.set_threads(1)
    print(json.dumps(described(1)), flush=True)
    transcriber = load(arguments.run)
    pieces: list[float] = []
    late: list[float] = []
    sound = 0.0
    rows = read_manifest(arguments.manifest, transcriber.config, BadRows(skip=True))[
        :: arguments.every
    ]
    for row in rows:
        rate, blocks = blocks_of(row.path, PIECE)
        listener, heard = transcriber.listener(rate), 0.0
        for block in blocks:
            started = time.perf_counter()
            words = listener.hear(block)
            took = time.perf_counter() - started
            heard += len(block) / rate
            pieces.append(took)
            late += [heard + took - word.end for word in words]
        started = time.perf_counter()
        try:
            listener.finish()
        except DataError:  # too short to hold speech
            continue
        pieces.append(time.perf_counter() - started)
        sound += heard
    told = {
        "recordings": len(rows),
        "seconds of sound": round(sound, 1),
        "real-time factor": round(sum(pieces) / sound, 4),
        "ms a piece, median and 99 %": [
            round(1e3 * float(of), 2) for of in np.percentile(pieces, [50, 99])
        ],
        "s that a word is late, median and 90 %": [
            round(float(of), 3) for of in np.percentile(late, [50, 90])
        ],
        "words": len(late),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
