"""Every cell and variant on several threads, and several callers at once; for the thread sanitizer.

Only NumPy is imported, so that what the sanitizer watches is ours: `python tests/races.py`.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from gated.core import ops
from gated.core.layout import LAYOUTS, Weights, weight_shapes
from gated.core.stream import Stream
from gated.core.variants import Regularisation, Zoneout

T, I, H = 7, 20, 70  # noqa: E741


def layer(cell: str, sequences: int, variant: bool) -> dict[str, Any]:
    random = np.random.default_rng(sequences)
    lstm = cell.startswith("lstm")
    P = H // 2 if variant and lstm else H
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    names += ["weight_hr"] * (variant and lstm)
    if variant and LAYOUTS[cell].normalised_together:
        names += ["gain_ih", "gain_hh", *["gain_cell", "bias_cell"] * lstm]
    shapes = weight_shapes(cell, I, H, P)._asdict()
    regularisation = None
    if variant:
        mask = (random.random((sequences, P)) < 0.7).astype("f")
        regularisation = Regularisation(mask, None, Zoneout((0.2,) * len(LAYOUTS[cell].states), 3))
    return {
        "cell": cell,
        "x": random.standard_normal((T, sequences, I)).astype("f"),
        "weights": Weights(**{n: random.standard_normal(shapes[n]).astype("f") for n in names}),
        "lengths": np.arange(sequences) % 3 + T - 2,
        "regularisation": regularisation,
    }


def results(given: dict[str, Any], threads: int, recompute: bool) -> list[np.ndarray]:
    forward = ops.forward(**given, keep=True, recompute=recompute, threads=threads)
    if forward.kept is None:
        raise AssertionError("nothing was kept")
    grads = ops.backward(forward.kept, np.ones_like(forward.output), threads=threads)
    return [forward.output, grads.x, *(w for w in grads.weights if w is not None)]


def stream_results(cell: str, sequences: int, threads: int) -> np.ndarray:
    """Two layers, large enough that threads are worth waking."""
    random = np.random.default_rng(sequences)
    units = 600
    shapes = weight_shapes(cell, units, units, units)._asdict()
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    layers = [
        Weights(**{n: random.normal(0, 0.05, shapes[n]).astype("f") for n in names})
        for _ in range(2)
    ]
    stream = Stream(cell, layers, sequences=sequences, threads=threads)
    return stream.steps(random.standard_normal((4, sequences, units)).astype("f"))


def main() -> int:
    checked = 0
    for cell in LAYOUTS:
        for sequences in (1, 2, 9):
            for variant in (False, True):
                given = layer(cell, sequences, variant)
                alone = results(given, 1, False)
                with ThreadPoolExecutor(3) as callers:
                    calls = [(3, False), (2, True), (4, False)]
                    found = callers.map(lambda call, given=given: results(given, *call), calls)
                for others in found:
                    for one, other in zip(alone, others, strict=True):
                        np.testing.assert_array_equal(one, other)
                        checked += 1
            given = cell, sequences
            alone = stream_results(*given, 1)
            with ThreadPoolExecutor(2) as callers:
                for other in callers.map(lambda n, given=given: stream_results(*given, n), (2, 3)):
                    np.testing.assert_array_equal(alone, other)
                    checked += 1
    print(f"{checked} arrays are the same, whoever computed them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
