"""Attention of the decoder over the source sentence.

Shapes: S steps of the source, B sentences, Q queries of each, M features of an encoder state,
H units of the decoder.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Kind = Literal["multiplicative", "additive"]


class Memory(NamedTuple):
    """Keys and values of the source sentences, computed once for all steps of the decoder."""

    keys: Tensor
    """`(B, S, H)`, which queries are scored against."""
    values: Tensor
    """`(B, S, H)`, which are averaged; already multiplied with the weights from the context to the
    attentional state, so that no step needs that product."""
    padding: Tensor
    """`(B, S)`, mask added to the scores: 0 at subwords and -inf at padding."""

    def rows(self, chosen: Tensor) -> Memory:
        """Return the memory of the sentences with these indices."""
        return Memory(*(tensor[chosen] for tensor in self))


class Attention(nn.Module):
    """Attention with multiplicative or additive scores of query q and encoder state m.

    `multiplicative`: q · W m, the general form of Luong, Pham and Manning (2015), equation 8.
    `additive`: v · tanh(W q + U m) (Bahdanau, Cho and Bengio 2015, appendix A.1.2).
    """

    def __init__(self, kind: Kind, memory: int, units: int) -> None:
        super().__init__()
        self.kind = kind
        self.key = nn.Linear(memory, units, bias=False)
        self.value = nn.Linear(memory, units, bias=False)
        if kind == "additive":
            self.query = nn.Linear(units, units)
            self.energy = nn.Parameter(torch.empty(units).uniform_(-1, 1) / units**0.5)

    def memory(self, encoded: Tensor, lengths: Tensor) -> Memory:
        """Compute keys and values from the encoder's states `(S, B, M)` and `lengths` `(B,)`."""
        encoded = encoded.transpose(0, 1)
        steps = torch.arange(encoded.shape[1], device=encoded.device)
        there = steps < lengths.to(encoded.device)[:, None]
        padding = torch.zeros(there.shape, dtype=encoded.dtype, device=encoded.device)
        return Memory(
            self.key(encoded), self.value(encoded), padding.masked_fill(~there, -torch.inf)
        )

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attend with `queries` `(B, Q, H)`.

        Returns:
            The values' weighted mean `(B, Q, H)`, and the weights `(B, Q, S)`.
        """
        if self.kind == "multiplicative":
            scores = queries @ memory.keys.transpose(1, 2)
        else:
            projected = self.query(queries).unbind(1)
            scores = torch.stack([self._additive(query, memory.keys) for query in projected], dim=1)
        weights = (scores + memory.padding[:, None]).softmax(-1)
        return weights @ memory.values, weights

    def _additive(self, query: Tensor, keys: Tensor) -> Tensor:
        """Score `keys` `(B, S, H)` for a `query` `(B, H)`: `(B, S)`.

        The tanh of all queries at once would take Q times the room of the keys, so it is computed
        again in the backward pass.
        """
        if not torch.is_grad_enabled():
            return energies(query, keys, self.energy)
        scores: Tensor = checkpoint(energies, query, keys, self.energy, use_reentrant=False)
        return scores


def energies(query: Tensor, keys: Tensor, energy: Tensor) -> Tensor:
    """Additive scores `(B, S)` of a query `(B, H)` against keys `(B, S, H)`."""
    return torch.tanh(query[:, None] + keys) @ energy
