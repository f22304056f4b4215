"""The random choice of the sequences that are held back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gated.tasks.classify.sequences import Values


def held_out_rows(
    values: Values, share: float, seed: int, *, stratified: bool
) -> NDArray[np.int64]:
    """Return the indices of a share of the sequences, sorted; `stratified`: this share per class.

    At least one sequence of each class is not held back.

    >>> held_out_rows(np.array(["a"] * 4 + ["b"] * 8), 0.25, seed=0, stratified=True).size
    3
    """
    random = np.random.default_rng((seed, 1))
    groups = [np.full(len(values), True)]
    if stratified:
        groups = [values == label for label in np.unique(values)]
    held = [
        random.permutation(rows)[: min(round(share * len(rows)), len(rows) - 1)]
        for rows in map(np.flatnonzero, groups)
    ]
    return np.sort(np.concatenate(held)).astype(np.int64)
