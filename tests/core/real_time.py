"""Prints, for each cell and option, how many calls more a thousand steps make than one.

Run with the library of tests/native/real_time.cpp loaded before all else; its path is the argument.
"""

from __future__ import annotations

import ctypes
import sys

from tests.core.layers import RandomLayer, options_for, variants

from gated.core.layout import LAYOUTS
from gated.core.stream import Stream


def calls_of(library: ctypes.CDLL, stream: Stream, steps: int) -> int:
    """What is counted while a stream takes so many steps."""
    library.watch(1)
    stream._native.repeat(steps)
    library.watch(0)
    return int(library.count_of_calls())


def main() -> None:
    """Count for all of them, and for what must be counted."""
    library = ctypes.CDLL(sys.argv[1])
    for cell, variant in variants(list(LAYOUTS)):
        options = options_for(cell, variant)
        if options.keys() & {"hidden_mask", "weight_mask"}:
            continue
        layer = RandomLayer(cell, (1, 1, 5, 19), dtype="float32", **options)
        zoneout = layer.given()["regularisation"].zoneout
        stream = Stream(
            cell, layer.weights, zoneout=None if zoneout is None else zoneout._replace(seed=None)
        )
        calls_of(library, stream, 1)
        print(
            f"{cell}, {variant}: {calls_of(library, stream, 1000) - calls_of(library, stream, 1)}"
        )
    for disturb in (library.count_of_calls, library.allocate, library.lock):
        library.watch(1)
        disturb()
        library.watch(0)
        print(f"{disturb.__name__}: {library.count_of_calls()}")


if __name__ == "__main__":
    main()
