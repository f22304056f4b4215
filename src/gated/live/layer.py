"""What the layers of a program have in common, and the values that pass between them.

Shapes: T steps, B sequences, F features of a step. Values are (T, B, F); what is known of a
sequence as a whole has one step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gated.live.entry import MOST_FEATURES, Entry

Array: TypeAlias = NDArray[Any]
State: TypeAlias = tuple[Array, ...]
"""What a layer remembers from step to step; of every array the first axis is B."""
Kind = Literal["text", "codes", "steps", "sequence"]


class Form(NamedTuple):
    """What the values of a layer are, known before any data."""

    kind: Kind
    """Characters as code points, whole numbers at each step, numbers at each step, or numbers of
    the sequence as a whole."""
    features: int
    """F; of codes, how many there are."""
    rate: tuple[int, ...] = ()
    """How the steps came from those of the input: p joined p of them, -p divided each into p; 0 and
    a number for those of which there are as many as a layer says."""


class Steps(NamedTuple):
    """Values of some sequences."""

    values: Array
    """(T, B, F), or (T, B) codes."""
    lengths: NDArray[np.int64] | None
    """(B,), the steps of each that are no padding; None where all have T."""

    @property
    def ends(self) -> NDArray[np.int64]:
        """(B,), the same as numbers where all have T steps."""
        T, B = self.values.shape[:2]
        return np.full(B, T) if self.lengths is None else self.lengths

    def at_the_end(self) -> Steps:
        """Return the last step of each sequence, (1, B, F)."""
        places = self.ends - 1
        return Steps(self.values[places, np.arange(len(places))][None], None)

    def without_padding(self) -> Array:
        """Return the values, 0 in the padding."""
        if self.lengths is None:
            return self.values
        there = np.arange(len(self.values))[:, None] < self.lengths
        return np.where(there[..., None], self.values, self.values.dtype.type(0))


class Layer(ABC):
    """A layer: reads its options and weights with checks, and runs over steps from a state.

    Args:
        entry: its options.
        given: the forms of its inputs.
    """

    form: Form
    """Of what it returns."""
    streams: bool = True
    """Whether each step depends on those before it alone."""
    without: ClassVar[str] = ""
    """The option of `gated fit` that leaves out a layer that does not stream, or not in C."""
    pools: ClassVar[bool] = False
    """Whether it turns steps into one result for the sequence: in a stream, the result so far."""
    waits: ClassVar[bool] = False
    """Whether it gives results at some steps only, for which a stream waits."""
    inputs: ClassVar[int | None] = 1
    """How many inputs it has; None for one or more."""
    takes: ClassVar[tuple[Kind, ...]] = ("steps", "sequence")
    """The kinds of its inputs."""

    @abstractmethod
    def __init__(self, entry: Entry, *given: Form) -> None: ...

    def begin(self, sequences: int) -> State:
        """Return the state before the first step, of B sequences."""
        return ()

    @abstractmethod
    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Run over T steps, one or more: the same bits in whichever parts the steps come."""

    def finish(self, given: Sequence[Steps], state: State) -> Steps:
        """Return what is left at the end of a stream, after these last steps, of which T may be 0.

        Together with what `run` gave before these are the results of the whole sequence.
        """
        return self.run(given, state)[0] if len(given[0].values) else self.nothing(given)

    def nothing(self, given: Sequence[Steps]) -> Steps:
        """Return results of no step."""
        return Steps(np.zeros((0, given[0].values.shape[1], self.form.features), np.float32), None)

    def at_the_end(self, given: Sequence[Steps]) -> Steps:
        """Return the one result of whole sequences, (1, B, F); of layers that pool."""
        found, _ = self.run(given, self.begin(given[0].values.shape[1]))
        return Steps(found.values, given[0].lengths).at_the_end()


class Pointwise(Layer):
    """A layer that treats each step by itself."""

    @abstractmethod
    def apply(self, *values: Array) -> Array:
        """Map (T, B, F) of each input to (T, B, features)."""

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Apply to all steps at once."""
        return Steps(self.apply(*(of.values for of in given)), given[0].lengths), state


def checked_width(entry: Entry, features: int) -> int:
    """Refuse more features than `MOST_FEATURES`."""
    if not 0 < features <= MOST_FEATURES:
        raise entry.wrong(f"has {features:,} features; there are 1 to {MOST_FEATURES:,}")
    return features
