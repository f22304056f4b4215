"""Sequences that belong together: of one person or machine, or cut from one recording.

What is learnt from one of them is known of the others, so they stay on one side of every split, are
left out together, and count as one for the judge.

Shapes: N sequences, T steps, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gated.data.findings import Finding
from gated.errors import option, require
from gated.tasks.classify.sequences import Floats, Sequences, Values

Digests = NDArray[np.uint64]

SHORTEST, LONGEST = 8, 64
"""Steps of the stretches that are compared: a quarter of a sequence, within these bounds."""
SHARED = 0.1
"""Share of the stretches of the shorter of two sequences from which on they overlap."""
FEWEST = 8
"""Clusters from which on those that overlap are kept together: fewer leave nothing to compare."""
LARGEST = 1 / 3
"""Share of the sequences that one of these clusters may have."""
MOST_STRETCHES = 4_000_000
"""That are compared; of more, those with some digests."""


def clustered(read: Sequences) -> tuple[Sequences, tuple[Finding, ...]]:
    """Return sequences with clusters: those that are given, or those that overlap.

    Of sequences that overlap in a long chain nothing can be left out apart; they are taken as
    independent, and a finding says so.
    """
    if len(read.clusters) or len(read) < 2:
        return read, ()
    clusters = overlapping(read.arrays)
    _, place, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    count = int((sizes[place] > 1).sum())
    if not count:
        return read, ()
    what = "sequences have stretches of steps in common with others"
    example = read.names[int(np.argmax(sizes[place] > 1))]
    if len(sizes) < FEWEST or sizes.max() > LARGEST * len(read):
        action = (
            "taken as independent, for they hang together in too few groups to leave one out: "
            f"scores may flatter. Name the column that says which belong together "
            f"({option('group')}), or give test data of another time"
        )
        return read, (
            Finding(kind="overlap", count=count, what=what, action=action, example=example),
        )
    action = (
        f"those that have are kept together, which makes {len(sizes):,} groups "
        f"({option('group')} names others)"
    )
    found = Finding(kind="overlap", count=count, what=what, action=action, example=example)
    return replace(read, clusters=clusters), (found,)


def shared_with(known: Sequences, tested: Sequences) -> tuple[Finding, ...]:
    """Return a finding where test sequences belong together with training sequences."""
    if len(known.clusters) and len(tested.clusters):
        shared = np.isin(tested.clusters, known.clusters)
        what = "test sequences are of groups that are also trained on"
    else:
        clusters = overlapping([*known.arrays, *tested.arrays])
        shared = np.isin(clusters[len(known) :], clusters[: len(known)])
        what = "test sequences have stretches of steps in common with training sequences"
    if not shared.any():
        return ()
    example = tested.names[int(np.argmax(shared))]
    action = "scored all the same: scores may flatter"
    count = int(shared.sum())
    return (Finding(kind="known group", count=count, what=what, action=action, example=example),)


def overlapping(arrays: Sequence[Floats]) -> Values:
    """Return (N,), equal numbers for sequences that have stretches of equal steps in common.

    Stretches in which little changes are not compared: many sequences begin or end in silence.

    >>> wave = np.random.default_rng(0).normal(size=(60, 1))
    >>> overlapping([wave[:30], wave[20:50], wave[30:], -wave[:30]])
    array([0, 0, 0, 1])
    """
    sparse = require("scipy.sparse", extra="train")
    graphs = require("scipy.sparse.csgraph", extra="train")
    steps = int(np.clip(np.median([len(array) for array in arrays]) // 4, SHORTEST, LONGEST))
    found = [_digests(array, steps) for array in arrays]
    rarer = max(1, sum(map(len, found)) // MOST_STRETCHES)
    found = [of[of <= np.uint64((2**64 - 1) // rarer)] for of in found]
    counts = np.array([len(of) for of in found])
    digests, owners = np.concatenate(found), np.repeat(np.arange(len(arrays)), counts)
    order = np.lexsort((owners, digests))
    digests, owners = digests[order], owners[order]
    same = (digests[1:] == digests[:-1]) & (owners[1:] != owners[:-1])
    first, second = owners[:-1][same], owners[1:][same]
    shape = (len(arrays), len(arrays))
    pairs = sparse.coo_array((np.ones(len(first)), (first, second)), shape).tocsr().tocoo()
    a, b = pairs.coords
    kept = pairs.data >= SHARED * np.minimum(counts[a], counts[b])
    graph = sparse.coo_array((np.ones(int(kept.sum())), (a[kept], b[kept])), shape)
    clusters: Values = graphs.connected_components(graph, directed=False)[1].astype(np.int64)
    return clusters


def _digests(array: Floats, steps: int) -> Digests:
    """Return the different digests of stretches of (T, C) in which most steps differ."""
    if len(array) < steps:
        return np.zeros(0, np.uint64)
    random = np.random.default_rng(0)
    bits = (np.where(np.isnan(array), np.nan, array) + 0.0).view(np.uint64)
    odd = random.integers(1 << 63, size=array.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    of_steps = (_mixed(bits) * odd).sum(-1, dtype=np.uint64)
    count = len(array) - steps + 1
    found = np.zeros(count, np.uint64)
    for place in range(steps):
        found = found * np.uint64(0x9E3779B97F4A7C15) + of_steps[place : place + count]
    changes = np.concatenate([[0], np.cumsum(of_steps[1:] != of_steps[:-1])])
    alive = changes[steps - 1 :] - changes[:count] >= steps // 2
    return np.unique(_mixed(found[alive]))


def _mixed(bits: Digests) -> Digests:
    """Spread each number's bits (the finaliser of MurmurHash3)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        bits = (bits ^ (bits >> np.uint64(33))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(33))
