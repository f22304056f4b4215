"""A cache: what came after states like this one in the text so far (Grave, Joulin, Usunier 2017).

The cache holds the last N hidden states h_i of a text that is read in order, scaled to length 1,
each with the code x_{i+1} that came after it. In the state h_t the next code is w with the
probability

    Σ_i [x_{i+1} = w] exp(θ h_t · h_i) / Σ_i exp(θ h_t · h_i)

which is mixed with the other predictions; sharpness θ and share are chosen on the validation part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gated.core.ngrams import Floats
from gated.texts.text import Codes

SHARPNESSES = (16.0, 32.0, 64.0, 128.0, 256.0)
"""θ: those that are tried."""
ROUNDS = 20
"""Of expectation maximisation."""


class Remembered:
    """The cache while a text is read: call it with the states of each stretch in turn.

    Args:
        codes: (N,), of the text, two or more.
        size: how many of the last states are held.
        sharpnesses: (K,), each θ gives probabilities of its own.
    """

    def __init__(self, codes: Codes, size: int, sharpnesses: Sequence[float]) -> None:
        self.codes = torch.from_numpy(np.asarray(codes).astype(np.int64))
        self.size, self.sharpnesses = size, sharpnesses
        self.likely = np.zeros((len(sharpnesses), len(codes) - 1))
        """(K, N - 1), the probability of each code after the first; 0 where nothing is held."""
        self._states = torch.empty(0)
        self._first = 0

    def __call__(self, hidden: Tensor) -> None:
        """Predict the codes after the T next hidden states (T, H), and hold these."""
        if not self.sharpnesses:
            return
        held, steps = len(self._states), len(hidden)
        at = self._first + held
        hidden = functional.normalize(hidden, dim=1)
        states = torch.cat([self._states, hidden]) if held else hidden
        # What is asked at a state, and what came after those before it; no later one.
        place = torch.arange(held + steps)
        asked = place[held:, None]
        outside = (place >= asked) | (place < asked - self.size)
        after = self.codes[self._first + 1 : self._first + len(states) + 1]
        wrong = outside | (after != after[held:, None])
        alike = hidden @ states.T
        for k, sharpness in enumerate(self.sharpnesses):
            scores = (sharpness * alike).masked_fill_(outside, -torch.inf)
            every = scores.logsumexp(1)
            right = scores.masked_fill_(wrong, -torch.inf).logsumexp(1)
            likely = (right - every).exp().nan_to_num_(0.0)
            self.likely[k, at : at + steps] = likely.numpy()
        kept = min(self.size, len(states))
        self._first += len(states) - kept
        self._states = states[len(states) - kept :]


@dataclass(frozen=True)
class Cache:
    """How much a cache counts."""

    size: int
    sharpness: float
    """θ"""
    share: float
    """Of the cache beside the other predictions."""

    @classmethod
    def fitted(cls, others: Floats, seen: Remembered) -> Self | None:
        """Choose sharpness and share; None where a cache does not help beyond a standard error.

        Args:
            others: (N - 1,), the probability of each code after the first by all but the cache.
            seen: what a cache of each sharpness said of the same text.
        """
        best, most = None, 0.0
        for sharpness, likely in zip(seen.sharpnesses, seen.likely, strict=True):
            share = 0.1
            for _ in range(ROUNDS):
                ours = share * likely
                share = float((ours / np.maximum(ours + (1 - share) * others, 1e-300)).mean())
            tried = cls(seen.size, sharpness, share)
            saved = np.log(tried.probabilities(others, likely) / np.maximum(others, 1e-300))
            if saved.mean() > max(most, saved.std() / len(saved) ** 0.5):
                best, most = tried, float(saved.mean())
        return best

    def probabilities(self, others: Floats, likely: Floats) -> Floats:
        """Mix in the cache's probabilities, both (N - 1,)."""
        # Nothing is held at the first code.
        share = np.where(np.arange(len(others)) > 0, self.share, 0.0)
        mixed: Floats = (1 - share) * others + share * likely
        return mixed
