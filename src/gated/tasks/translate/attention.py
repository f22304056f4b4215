"""Attention: where in the source sentence the decoder looks.

Shapes: S steps of the source, B sentences, Q queries of each, M features of the encoder's states,
H units of the decoder.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Kind = Literal["multiplicative", "additive"]


class Memory(NamedTuple):
    """The source sentences as attention reads them, computed once for all steps."""

    keys: Tensor
    """`(B, S, H)`, what queries are compared with."""
    values: Tensor
    """`(B, S, H)`, what is read; already multiplied with the weights that would mix the context
    into the attentional state, so that no step needs that product."""
    padding: Tensor
    """`(B, S)`, 0 where there is a subword and -inf where there is none."""

    def rows(self, chosen: Tensor) -> Memory:
        """Return the memory of some of the sentences."""
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
        """Prepare the encoder's states `(S, B, M)` of sentences of `lengths` `(B,)`."""
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
