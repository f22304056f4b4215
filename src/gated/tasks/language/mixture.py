"""The n-grams mixed into a language model: how much they count, by how much they know.

The network generalises; n-grams know by heart. What comes next has the probability
share · network + (1 - share) · n-grams, with a share for each length of the context that the
n-grams have met, and for how often; the shares are fitted on the validation part (expectation
maximisation, as by Jelinek and Mercer 1980).
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Self

import numpy as np

from gated.core import ngrams as mixed
from gated.core.ngrams import TIMES, Floats, NGrams
from gated.live.program import Writer
from gated.texts.text import Codes

ROUNDS = 30
"""Of expectation maximisation."""
BELIEF = 20.0
"""Codes that the share of all contexts counts for, in that of some."""


class Mixture(mixed.Mixture):
    """N-grams that are fitted beside a network, and saved."""

    @classmethod
    def fitted(cls, ngrams: NGrams, network: Floats, validation: Codes) -> Self | None:
        """Fit the shares; None where n-grams do not help beyond a standard error.

        Args:
            ngrams: counted in the training part.
            network: (N - 1,), the probability that it gives to each code after the first.
            validation: (N,), codes that neither was trained on.
        """
        counted, met = (of[1:] for of in ngrams.looked_up(validation))
        kinds = (ngrams.order + 1) * TIMES
        total = np.bincount(met, minlength=kinds)
        shares, every = np.full(kinds, 0.5), 0.5
        for _ in range(ROUNDS):
            ours = shares[met] * network
            by_network = ours / np.maximum(ours + (1 - shares[met]) * counted, 1e-300)
            every = float(by_network.mean())
            shares = (np.bincount(met, by_network, kinds) + BELIEF * every) / (total + BELIEF)
        mixture = cls(ngrams, shares)
        saved = np.log(mixture.probabilities(network, validation) / np.maximum(network, 1e-300))
        helps = saved.mean() > saved.std() / len(saved) ** 0.5
        return mixture if helps else None

    def write(self, writer: Writer, network: str, file: str) -> str:
        """Write the mixture as a layer of a program, of codes and the layer `network`.

        `file` is what the names of the arrays begin with.
        """
        return writer.add("ngrams", writer.input, network, arrays=file, order=self.ngrams.order)

    def to_bytes(self) -> bytes:
        """Return the content of a file for `from_bytes`."""
        ngrams, file = self.ngrams, BytesIO()
        arrays: dict[str, Any] = {"size": np.array(ngrams.size), "shares": self.shares}
        arrays |= ngrams.to_arrays()
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> Self:
        """Read what `to_bytes` returned, for a vocabulary of `size`.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not fit together.
        """
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            if "steps0" not in arrays or arrays["steps0"].dtype != np.uint8:
                raise ValueError("n-grams of an earlier version of gated; fit the run anew")
            if int(arrays["size"]) != size:
                raise ValueError(f"n-grams of {int(arrays['size'])} codes, not of {size}")
            return cls.from_arrays(arrays, size)
