"""Beam search for the best translations, many sentences at once.

A translation Y of X is scored as by Wu et al. (2016), equation 14:

    s(Y, X) = log P(Y | X) / lp(Y) + cp(X, Y)
    lp(Y) = ((5 + |Y|) / 6)^α,   cp(X, Y) = β Σ_s log min(Σ_t a_ts, 1)

Shapes: B sentences, K translations that the beam keeps of each, S steps of the source, T steps
written so far, V subwords.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.tasks.translate.attention import Memory
from gated.tasks.translate.batches import BEGIN, END, PADDING, Codes, padded
from gated.tasks.translate.network import State, TranslateNetwork

AT_ONCE = 64
"""Sentences searched for together, those of like length."""


class Wanted(NamedTuple):
    """What to search for."""

    beam: int = 5
    """Translations kept at each step; 1 is greedy."""
    length_penalty: float = 1.0
    """α"""
    coverage_penalty: float = 0.0
    """β"""
    n_best: int = 1
    """Translations to return, of those kept at most."""


class Hypothesis(NamedTuple):
    """A translation."""

    codes: list[int]
    """Its subwords, without the end."""
    score: float
    attention: NDArray[np.float32]
    """`(T + 1, S)`: where each subword, and the end, looked; the source with its end."""


@torch.no_grad()
def search(
    network: TranslateNetwork, sources: Sequence[Codes], wanted: Wanted
) -> list[list[Hypothesis]]:
    """Return the best translations of each sentence, the best first.

    The search for a sentence ends with the K-th finished translation, or at twice its length and
    ten, where the translations must end.
    """
    found: list[list[Hypothesis]] = [[] for _ in sources]
    order = sorted(range(len(sources)), key=lambda place: -len(sources[place]))
    for start in range(0, len(order), AT_ONCE):
        places = order[start : start + AT_ONCE]
        beams = _Beams(network, [sources[place] for place in places], wanted)
        while len(beams.places):
            beams.step()
        for place, hypotheses in zip(places, beams.finished, strict=True):
            hypotheses.sort(key=lambda hypothesis: -hypothesis.score)
            found[place] = hypotheses[: wanted.n_best]
    return found


class _Beams:
    """The search between two steps, for the sentences that still have to be finished."""

    def __init__(self, network: TranslateNetwork, sources: Sequence[Codes], wanted: Wanted) -> None:
        self.network, self.wanted = network, wanted
        self.finished: list[list[Hypothesis]] = [[] for _ in sources]
        device = next(network.parameters()).device
        source, lengths = padded(sources)
        state, memory = network.read(source.to(device), lengths)
        B, K = len(sources), wanted.beam
        self.memory: Memory = memory
        self.state: State = state.rows(torch.arange(B, device=device).repeat_interleave(K))
        self.lengths = lengths.to(device)
        self.places = torch.arange(B, device=device)
        """Which sentences these are."""
        self.totals = torch.full((B, K), -torch.inf, device=device)
        """log P of what is written; at first all K translations are the empty one, and one is
        enough."""
        self.totals[:, 0] = 0
        self.written = torch.full((B, K, 1), BEGIN, device=device)
        self.looked = source.new_zeros((B, K, 0, len(source)), dtype=self.totals.dtype).to(device)

    def step(self) -> None:
        """Write one more subword."""
        B, K = self.totals.shape
        after, attention = self.network.decoder.step(
            self.written[:, :, -1].flatten(), self.state, self.memory
        )
        likely = self._likely(after)
        V = likely.shape[-1]
        best, which = (self.totals[..., None] + likely).flatten(1).topk(min(2 * K, K * V))
        parents, words = which // V, which % V
        looked = torch.cat([self.looked, attention.view(B, K, 1, -1)], dim=2)
        ended = words == END
        self._finish(best[:, :K], parents[:, :K], ended[:, :K], looked)

        self.totals, chosen = best.masked_fill(ended, -torch.inf).topk(K)
        parents, words = parents.gather(1, chosen), words.gather(1, chosen)
        rows = torch.arange(B, device=parents.device)[:, None]
        self.written = torch.cat([self.written[rows, parents], words[..., None]], dim=2)
        self.looked = looked[rows, parents]
        self.state = after.rows((rows * K + parents).flatten())
        self._drop_done()

    def _likely(self, state: State) -> Tensor:
        """Log P `(B, K, V)` of each subword; where a translation must end, of the end alone."""
        logits = self.network.decoder.logits(state.fed)
        logits[:, [PADDING, BEGIN]] = -torch.inf
        likely = logits.log_softmax(-1).view(*self.totals.shape, -1)
        last = self.written.shape[2] > 2 * self.lengths + 10
        others = torch.arange(likely.shape[-1], device=likely.device) != END
        return likely.masked_fill(last[:, None, None] & others, -torch.inf)

    def _finish(self, totals: Tensor, parents: Tensor, ended: Tensor, looked: Tensor) -> None:
        """Put the translations that have ended where they belong, with their score."""
        for b, k in (ended & totals.isfinite()).nonzero().tolist():
            parent, length = parents[b, k], int(self.lengths[b])
            attention = looked[b, parent, :, :length]
            score = float(totals[b, k]) / self._length_penalty() + self._coverage(attention)
            codes = self.written[b, parent, 1:].tolist()
            self.finished[int(self.places[b])].append(
                Hypothesis(codes, score, attention.float().cpu().numpy())
            )

    def _length_penalty(self) -> float:
        """Lp of what is written, and its end."""
        return float(((5 + self.written.shape[2]) / 6) ** self.wanted.length_penalty)

    def _coverage(self, attention: Tensor) -> float:
        """Cp of `attention` `(T, S)`."""
        read = attention.sum(0).clamp(min=1e-9, max=1)
        return self.wanted.coverage_penalty * float(read.log().sum())

    def _drop_done(self) -> None:
        """Go on with the sentences that have not yet K translations, and something to go on."""
        counts = [len(self.finished[place]) for place in self.places.tolist()]
        short = torch.tensor(counts, device=self.places.device) < self.wanted.beam
        going = (short & self.totals.isfinite().any(1)).nonzero().squeeze(1)
        if len(going) == len(self.places):
            return
        K = self.wanted.beam
        rows = (going[:, None] * K + torch.arange(K, device=going.device)).flatten()
        self.state, self.memory = self.state.rows(rows), self.memory.rows(going)
        for name in ("places", "lengths", "totals", "written", "looked"):
            setattr(self, name, getattr(self, name)[going])
