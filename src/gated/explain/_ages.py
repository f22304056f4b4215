"""How old a memory is: the ledger of all units of a layer, at every step, added up by age.

Shapes: T steps of the sequence, U units of the trace, K entries written by a step, A classes of
age.
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
    """What each step wrote of what the units of one sequence hold after a step."""

    step: int
    """After which."""
    steps: NDArray[np.int64]
    """(K), when each entry was written, the first to write first."""
    written: Floats
    """(K, U), as far as it is still there."""
    initial: Floats
    """(U), what is left of the first state."""
    state: Floats
    """(U), as the network has it: the sum of `written` and `initial`, to rounding."""


def entries(traced: LayerTrace, *, sequence: int = 0) -> Iterator[Entries]:
    """The ledgers of all units after every step, in the order of the layer's time.

    Args:
        traced: from `gated.explain.trace`, of all steps.
        sequence: of the B.

    Raises:
        ConfigurationError: as for `gated.explain.ledger`.
        DataError: there is no such sequence, or the trace has not all steps.
    """
    if not np.array_equal(traced.steps, np.arange(traced.time)):
        raise DataError("a ledger adds up all steps: trace without steps=")
    if not 0 <= sequence < len(traced.lengths):
        raise DataError(f"sequence: there are {len(traced.lengths)}, got {sequence}")
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
    """(A + 1, U), what the units hold by how long ago it was written; the first state last.

    Args:
        found: of `entries`.
        ages: (A) the least age of each class, ascending from 0, which is the step itself.
        magnitudes: add up how much each entry is, whatever its sign, and not the entries.

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
    """(A + 1, U), the share that each class of age has of all that a unit holds, signs aside.

    Entries of either sign are shares of the sum of their magnitudes, so that the shares of a unit
    add up to 1; 0 for a unit that holds nothing.

    Args:
        found: of `entries`.
        ages: as for `by_age`.
    """
    amounts = by_age(found, ages, magnitudes=True)
    total = amounts.sum(axis=0)
    shares: Floats = np.divide(amounts, total, out=np.zeros_like(amounts), where=total > 0)
    return shares
