"""Probabilities of the next letter by a language model, for the beam search of transcripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.tasks.language.network import LanguageNetwork

State = Mapping[str, Tensor]
Floats = NDArray[np.float32]


class NextLetter:
    """Predicts the next of a fixed list of letters by a language model of characters.

    Args:
        network: reads characters; in evaluation mode.
        letters: (N,), the codes of the letters to predict.
        begin: (1,), the code before the first letter of a text.
    """

    def __init__(self, network: LanguageNetwork, letters: Tensor, begin: Tensor) -> None:
        self._network, self._codes, self._begin = network, letters, begin

    def begin(self) -> tuple[State, Floats]:
        """Return the state at the beginning, and (N,), the log-probability of each first letter."""
        return self._read([{}], self._begin)[0]

    def after(self, states: Sequence[State], letters: Sequence[int]) -> list[tuple[State, Floats]]:
        """Return the same after one more letter, counted from 0, for each of several states."""
        return self._read(states, self._codes[list(letters)])

    @torch.no_grad()
    def _read(self, states: Sequence[State], codes: Tensor) -> list[tuple[State, Floats]]:
        together = {name: torch.cat([of[name] for of in states], 1) for name in states[0]}
        said = self._network(codes[None], together)
        likely = torch.log_softmax(said.logits[-1], -1)[:, self._codes].numpy()
        return [
            ({name: of[:, row : row + 1] for name, of in said.states.items()}, likely[row])
            for row in range(len(states))
        ]
