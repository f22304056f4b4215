"""Regularisation of a layer: masks of dropout and weight drop, and zoneout.

Shapes: B sequences, H hidden units, P units of the projected hidden state (H where nothing is
projected), G gates of the cell.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gated.core.arguments import check_array
from gated.core.layout import Array
from gated.errors import ConfigurationError

Words: TypeAlias = NDArray[np.unsignedinteger[Any]]


class Zoneout(NamedTuple):
    """Zoneout: some units keep their old value for a step (Krueger et al. 2017).

    s_t = k * s_{t-1} + (1 - k) * s̃_t, for any states, at the end of a step. With a seed, as in
    training, k is 1 with the given probability and otherwise 0, drawn for each unit, step and
    sequence; without a seed, as in evaluation, k is the probability itself.
    """

    rates: tuple[float, ...] = ()
    """Of each state, in the cell's order, the probability that a unit keeps its value; 0 for those
    behind the last."""
    seed: int | None = None
    """Seed of the draws, 0 to 2^64 - 1; None to use the probabilities themselves."""

    def kept(
        self, state: int, time: int, sequences: NDArray[Any], units: int, dtype: np.dtype[Any]
    ) -> Array:
        """Return how much of each unit is kept in one step: k, (B, units).

        It is a hash of seed, step, sequence and unit, not a stream of random numbers, so that the
        backward pass computes it again, in any order, and nothing has to be stored.

        Args:
            state: its index; 0 for the hidden state, 1 for the cell state.
            time: index of the step.
            sequences: (B,), indices of the sequences in the batch.
            units: number of units of the state.
            dtype: of the result.
        """
        probability = self.rates[state] if state < len(self.rates) else 0.0
        if self.seed is None or probability >= 1:
            return np.full((len(sequences), units), probability, dtype)
        place: Words = (sequences.astype(np.uint64) << np.uint64(32)) + np.uint64(time + 1)
        key = _mixed(_mixed(np.uint64(self.seed) + _GOLDEN * place) + np.uint64(state))
        low, high = (
            key.astype(np.uint32)[:, None],
            (key >> np.uint64(32)).astype(np.uint32)[:, None],
        )
        x: Words = np.arange(units, dtype=np.uint32) * np.uint32(0x9E3779B1) + low
        x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
        x = (x ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
        x = x ^ x >> np.uint32(16) ^ high
        kept: Array = (x < np.uint32(probability * 2**32)).astype(dtype)
        return kept


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(z: Words) -> Words:
    """The last steps of SplitMix64 (Steele, Lea and Flood 2014), modulo 2^64."""
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    mixed: Words = z ^ z >> np.uint64(31)
    return mixed


class Regularisation(NamedTuple):
    """Regularisation of a recurrent layer; all of it can be combined."""

    hidden_mask: Array | None = None
    """(B, P), multiplies the hidden state in a step's products, the same at every step: recurrent
    dropout (Gal and Ghahramani 2016)."""
    weight_mask: Array | None = None
    """(G·H, P), multiplies the recurrent weights: weight drop (Wan et al. 2013; Merity, Keskar and
    Socher 2018). The weights themselves do not change."""
    zoneout: Zoneout | None = None


def check_regularisation(
    regularisation: Regularisation,
    states: tuple[str, ...],
    hidden_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> None:
    """Check the shapes of masks and the values of zoneout.

    Args:
        regularisation: to be checked.
        states: names of the cell's states.
        hidden_shape: of the hidden state, (B, P).
        weight_shape: of the recurrent weights, (G·H, P).
        dtype: of the input.

    Raises:
        ConfigurationError: a probability is not from 0 to 1, or for a state that the cell does not
            have, or the seed not from 0 to 2^64 - 1.
        DataError: a mask has another shape or dtype.
    """
    check_array("hidden_mask", regularisation.hidden_mask, hidden_shape, dtype)
    check_array("weight_mask", regularisation.weight_mask, weight_shape, dtype)
    zoneout = regularisation.zoneout or Zoneout()
    if len(zoneout.rates) > len(states):
        raise ConfigurationError(
            f"zoneout has {len(zoneout.rates)} rates, but the cell has the states "
            f"({', '.join(states)})"
        )
    for name, probability in zip(states, zoneout.rates, strict=False):
        if not 0 <= probability <= 1:
            raise ConfigurationError(f"zoneout of {name} must be from 0 to 1, got {probability}")
    if zoneout.seed is not None and not 0 <= zoneout.seed < 2**64:
        raise ConfigurationError(f"zoneout's seed must be from 0 to 2^64 - 1, got {zoneout.seed}")
