"""The age of a memory: the ledgers of all units of a layer, at every step, summed by age.

Shapes: T steps of the sequence, U units of the trace, K entries up to a step, A classes of age.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError
from gated.explain._layer_trace import LayerTrace
from gated.explain._ledger import first_of, sums_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Entries:
    """The ledgers of all units of one sequence after a step."""

    step: int
    """The step after which the units hold `state`."""
    steps: NDArray[np.int64]
    """(K,), the step that wrote each entry, in the order in which the layer ran."""
    written: Floats
    """(K, U), what each step wrote, times the gates of all later steps."""
    initial: Floats
    """(U,), what is left of the first state."""
    state: Floats
    """(U,), the state of the network: the sum of `written` and `initial`, up to rounding."""


def entries(traced: LayerTrace, *, sequence: int = 0) -> Iterator[Entries]:
    """Yield the ledgers of all units after every step, in the order in which the layer ran.

    Args:
        traced: from `gated.explain.trace`, of all steps.
        sequence: index of one of the B sequences.

    Raises:
        ConfigurationError: as for `gated.explain.ledger`.
        DataError: there is no such sequence, or the trace does not have all steps.
    """
    if not np.array_equal(traced.steps, np.arange(traced.time)):
        raise DataError("a ledger is a sum over all steps: trace without steps=")
    if not 0 <= sequence < len(traced.lengths):
        raise DataError(f"sequence must be from 0 to {len(traced.lengths) - 1}, got {sequence}")
    wrote, keeps, states = (of[:, sequence].astype(np.float64) for of in sums_of(traced))
    order = np.arange(int(traced.lengths[sequence]))
    order = order[::-1] if traced.reverse else order
    held = np.zeros((len(order), wrote.shape[1]))
    initial = first_of(traced)[sequence].astype(np.float64)
    for count, step in enumerate(order):
        held[:count] *= keeps[step]
        held[count] = wrote[step]
        initial = initial * keeps[step]
        yield Entries(
            int(step), order[: count + 1], held[: count + 1].copy(), initial, states[step]
        )


def by_age(found: Entries, ages: Sequence[int], *, magnitudes: bool = False) -> Floats:
    """Return the entries summed by how many steps ago they were written, (A + 1, U).

    The last row is what is left of the first state.

    Args:
        found: from `entries`.
        ages: (A,), the smallest age of each class, ascending from 0, which is the step itself.
        magnitudes: whether to sum absolute values.

    Raises:
        DataError: the ages do not ascend from 0.

    >>> of = Entries(2, np.arange(3), np.array([[4.0], [2.0], [-1.0]]), np.zeros(1), np.ones(1))
    >>> by_age(of, [0, 1])[:, 0]
    array([-1.,  6.,  0.])
    """
    if not ages or ages[0] != 0 or np.any(np.diff(ages) <= 0):
        raise DataError(f"ages must ascend from 0, got {list(ages)}")
    amounts = np.abs(found.written) if magnitudes else found.written
    youngest = amounts[::-1]
    ends = [*ages[1:], len(youngest)]
    classes = [youngest[a:b].sum(axis=0) for a, b in zip(ages, ends, strict=True)]
    return np.array([*classes, np.abs(found.initial) if magnitudes else found.initial])


def shares_by_age(found: Entries, ages: Sequence[int]) -> Floats:
    """Return the share of each class of age in the memory of each unit, (A + 1, U).

    Shares are of the sum of absolute values, so that the shares of a unit add up to 1; those of a
    unit whose entries are all zero are 0.

    Args:
        found: from `entries`.
        ages: as for `by_age`.
    """
    amounts = by_age(found, ages, magnitudes=True)
    total = amounts.sum(axis=0)
    shares: Floats = np.divide(amounts, total, out=np.zeros_like(amounts), where=total > 0)
    return shares
