"""Beam search for the best translations, many sentences at once.

A translation Y of X is scored as by Wu et al. (2016), equation 14:

    s(Y, X) = log P(Y | X) / lp(Y) + cp(X, Y)
    lp(Y) = ((5 + |Y|) / 6)^α,   cp(X, Y) = β Σ_s log min(Σ_t a_ts, 1)

Shapes: B sentences, K hypotheses of each in the beam, S steps of the source, T steps of the
hypotheses so far, V subwords.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.phases import phase
from gated.tasks.translate.attention import Memory
from gated.tasks.translate.batches import BEGIN, END, PADDING, Codes, padded
from gated.tasks.translate.network import State, TranslateNetwork

AT_ONCE = 64
"""Sentences searched for together, those of like length."""
MOST_LOOKED = 2**26
"""Numbers of attention kept at most for the sentences searched for together: 256 MiB."""

Length = TypeVar("Length", int, Tensor)


class Wanted(NamedTuple):
    """Options of the beam search."""

    beam: int = 5
    """K, hypotheses kept at each step; 1 is greedy."""
    length_penalty: float = 1.0
    """α"""
    coverage_penalty: float = 0.0
    """β"""
    n_best: int = 1
    """Translations to return, at most K."""


class Hypothesis(NamedTuple):
    """A translation found by the search, with its attention."""

    codes: list[int]
    """Its subwords, without `END`."""
    score: float
    attention: NDArray[np.float32]
    """`(T + 1, S)`, attention weights of each subword and of `END` over the source with `END`."""


@torch.no_grad()
def search(
    network: TranslateNetwork, sources: Sequence[Codes], wanted: Wanted
) -> list[list[Hypothesis]]:
    """Return the best translations of each sentence, the best first.

    The search for a sentence ends with the K-th finished translation, or after 2 S + 10 steps,
    where all hypotheses are ended. Its time and memory grow with T·S.
    """
    found: list[list[Hypothesis]] = [[] for _ in sources]
    order = sorted(range(len(sources)), key=lambda place: -len(sources[place]))
    start = 0
    with phase("Translating", len(order)) as done:
        while start < len(order):
            longest = len(sources[order[start]]) + 1
            room = wanted.beam * longest * _most_steps(longest)
            places = order[start : start + max(1, min(AT_ONCE, MOST_LOOKED // room))]
            start += len(places)
            beams = _Beams(network, [sources[place] for place in places], wanted)
            while len(beams.places):
                beams.step()
            for number, place in enumerate(places):
                found[place] = beams.best(number)
                done()
    return found


def _most_steps(length: Length) -> Length:
    """Steps after which the translation of a source of `length`, with its end, must have ended."""
    return 2 * length + 11


class _Step(NamedTuple):
    """What is remembered of a step, to follow translations back from their end."""

    rows: NDArray[np.int64]
    """`(B,)`, the row of each sentence of the beginning in the tensors of this step."""
    parents: NDArray[np.int64]
    """`(B', K)`, which translation of the step before each of those kept goes on with."""
    words: NDArray[np.int64]
    """`(B', K)`, with which subword."""
    looked: NDArray[np.float32]
    """`(B', K, S)`, where the translations of the step before looked."""


class _Finished(NamedTuple):
    """A translation that has ended."""

    score: float
    step: int
    """At which its end was written."""
    parent: int
    """Which of the translations of the step before it ends."""


class _Beams:
    """The search between two steps, for the sentences that still have to be finished.

    What has been written is kept once, step by step, with the place of each translation's
    beginning in the step before, and is put together for those alone that are returned.
    """

    def __init__(self, network: TranslateNetwork, sources: Sequence[Codes], wanted: Wanted) -> None:
        self.network, self.wanted = network, wanted
        self.finished: list[list[_Finished]] = [[] for _ in sources]
        self.steps: list[_Step] = []
        device = next(network.parameters()).device
        source, lengths = padded(sources)
        state, memory = network.read(source.to(device), lengths)
        B, K = len(sources), wanted.beam
        self.memory: Memory = memory
        self.state: State = state.rows(torch.arange(B, device=device).repeat_interleave(K))
        self.source_lengths = lengths.tolist()
        self.lengths = lengths.to(device)
        self.places = torch.arange(B, device=device)
        """Which sentences these are."""
        self.totals = torch.full((B, K), -torch.inf, device=device)
        """log P of what is written; at first all K translations are the empty one, and one is
        enough."""
        self.totals[:, 0] = 0
        self.last = torch.full((B, K), BEGIN, device=device)
        """The subword that each translation ends with."""
        self.read = torch.zeros((B, K, len(source)), device=device)
        """How much of each subword of the source was looked at so far: Σ_t a_ts."""
        self.rows = np.arange(B)

    def step(self) -> None:
        """Extend the hypotheses by one subword."""
        B, K = self.totals.shape
        after, attention = self.network.decoder.step(self.last.flatten(), self.state, self.memory)
        likely = self._likely(after)
        V = likely.shape[-1]
        best, which = (self.totals[..., None] + likely).flatten(1).topk(min(2 * K, K * V))
        parents, words = which // V, which % V
        looked = attention.view(B, K, -1).float()
        self.read += looked
        ended = words == END
        self._finish(best[:, :K], parents[:, :K], ended[:, :K])

        self.totals, chosen = best.masked_fill(ended, -torch.inf).topk(K)
        parents, self.last = parents.gather(1, chosen), words.gather(1, chosen)
        kept = (tensor.cpu().numpy() for tensor in (parents, self.last, looked))
        self.steps.append(_Step(self.rows, *kept))
        rows = torch.arange(B, device=parents.device)[:, None]
        self.read = self.read[rows, parents]
        self.state = after.rows((rows * K + parents).flatten())
        self._drop_done()

    def best(self, place: int) -> list[Hypothesis]:
        """Return the best translations of a sentence, traced back from their ends."""
        chosen = sorted(self.finished[place], key=lambda finished: -finished.score)
        return [self._followed_back(place, one) for one in chosen[: self.wanted.n_best]]

    def _followed_back(self, place: int, finished: _Finished) -> Hypothesis:
        length, kept = self.source_lengths[place], finished.parent
        codes, looked = [], []
        for number in range(finished.step, -1, -1):
            step = self.steps[number]
            row = step.rows[place]
            if number < finished.step:
                codes.append(int(step.words[row, kept]))
                kept = int(step.parents[row, kept])
            looked.append(step.looked[row, kept, :length])
        return Hypothesis(codes[::-1], finished.score, np.stack(looked[::-1]))

    def _likely(self, state: State) -> Tensor:
        """Log P `(B, K, V)` of each subword; where a translation must end, of the end alone."""
        logits = self.network.decoder.logits(state.fed)
        logits[:, [PADDING, BEGIN]] = -torch.inf
        likely = logits.log_softmax(-1).view(*self.totals.shape, -1)
        last = len(self.steps) + 1 >= _most_steps(self.lengths)
        others = torch.arange(likely.shape[-1], device=likely.device) != END
        return likely.masked_fill(last[:, None, None] & others, -torch.inf)

    def _finish(self, totals: Tensor, parents: Tensor, ended: Tensor) -> None:
        """Put the translations that have ended where they belong, with their score."""
        for b, k in (ended & totals.isfinite()).nonzero().tolist():
            parent = int(parents[b, k])
            score = float(totals[b, k]) / self._length_penalty() + self._coverage(b, parent)
            self.finished[int(self.places[b])].append(_Finished(score, len(self.steps), parent))

    def _length_penalty(self) -> float:
        """Lp of what is written, and its end."""
        return float(((5 + len(self.steps) + 1) / 6) ** self.wanted.length_penalty)

    def _coverage(self, row: int, parent: int) -> float:
        """Cp of a translation."""
        if not self.wanted.coverage_penalty:
            return 0.0
        read = self.read[row, parent, : int(self.lengths[row])].clamp(min=1e-9, max=1)
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
        for name in ("places", "lengths", "totals", "last", "read"):
            setattr(self, name, getattr(self, name)[going])
        self.rows = np.full(len(self.finished), -1)
        self.rows[self.places.cpu().numpy()] = np.arange(len(going))
