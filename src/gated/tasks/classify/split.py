"""The random choice of the sequences that are held back: whole clusters of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gated.tasks.classify.sequences import Values


def held_out_rows(
    values: Values, share: float, seed: int, *, stratified: bool, clusters: Values | None = None
) -> NDArray[np.int64]:
    """Return the indices of a share of the sequences, sorted; `stratified`: this share per class.

    At least one sequence of each class is not held back, and of `clusters`, (N,), all sequences or
    none, so that with these the share is met as nearly as they allow.

    >>> held_out_rows(np.array(["a"] * 4 + ["b"] * 8), 0.25, seed=0, stratified=True).size
    3
    >>> held_out_rows(np.zeros(6), 0.3, 0, stratified=False, clusters=np.array([1, 2, 3, 1, 2, 3]))
    array([1, 4])
    """
    random = np.random.default_rng((seed, 1))
    classes = (
        np.unique(values, return_inverse=True)[1] if stratified else np.zeros(len(values), int)
    )
    sizes = np.bincount(classes)
    left = np.minimum([round(share * of) for of in sizes.tolist()], sizes - 1)
    order = np.concatenate(
        [random.permutation(np.flatnonzero(classes == of)) for of in range(len(sizes))]
    )
    held, found = left * 0, []
    for rows in in_turn(order, clusters):
        counts = np.bincount(classes[rows], minlength=len(sizes))
        nearer = (counts * (counts - 2 * left)).sum() < 0
        if nearer and (held + counts < sizes).all():
            left, held = left - counts, held + counts
            found.append(rows)
    return np.sort(np.concatenate([np.zeros(0, np.int64), *found]))


def in_turn(order: Values, clusters: Values | None) -> Iterator[Values]:
    """Yield the places of each cluster, where the first of them comes in `order`."""
    if clusters is None or not len(clusters):
        yield from order[:, None]
        return
    numbers = np.unique(clusters, return_inverse=True)[1]
    for of in dict.fromkeys(numbers[order].tolist()):
        yield np.flatnonzero(numbers == of)
