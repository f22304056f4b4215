"""The network: an embedding, recurrent layers, and scores of what comes next.

Regularised as Merity, Keskar and Socher (2018) do.

Shapes: T steps, B streams, V codes, E features of an embedding, H units.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import gated.nn
from gated.nn import VariationalDropout
from gated.tasks.language.config import ReaderConfig
from gated.tasks.language.text import Coded, Codes
from gated.training.streams import Streams, Stretches

PADDING = -100
"""What comes after nothing; cross-entropy does not count it."""
STATES = ("hidden", "cell")
LAYERS = {"rnn": gated.nn.RNN, "gru": gated.nn.GRU, "lstm": gated.nn.LSTM}


class Stretch(NamedTuple):
    """Codes of some streams, and those that come after each."""

    codes: Tensor
    """(T, B)"""
    following: Tensor
    """(T, B); `PADDING` after the end of a stream's stretch, and where it was counted before."""
    lengths: Tensor | None
    """(B,), where some streams have fewer steps than others."""
    anew: Tensor
    """(B,), which streams begin here."""
    carried: Tensor | None
    """(B,), the steps whose states the next stretches begin with, where these are not the last."""

    @classmethod
    def read(cls, codes: Codes, stretches: Stretches) -> Stretch:
        """Look up the codes of the next stretches."""
        at, steps, anew, known, again = stretches
        longest = int(steps.max())
        place = np.arange(longest + 1)[:, None]
        found = torch.from_numpy(codes[at + np.minimum(place, steps)].astype(np.int64))
        following, ragged = found[1:], steps.min() < longest
        if ragged or known.any():
            left_out = (place[:-1] >= steps) | (place[:-1] < known)
            following = following.masked_fill(torch.from_numpy(left_out), PADDING)
        return cls(
            found[:-1],
            following,
            torch.from_numpy(steps) if ragged else None,
            torch.from_numpy(anew),
            torch.from_numpy(steps - again - 1) if again.any() else None,
        )

    @property
    def there(self) -> Tensor:
        """(T, B), which steps count."""
        return self.following != PADDING

    def before(self, states: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the states to begin with, given those after the stretches before these."""
        if self.anew.all():
            return {}
        kept = ~self.anew[:, None]
        return {name: state * kept for name, state in states.items()}


class Written(NamedTuple):
    """What the network says of a stretch."""

    logits: Tensor
    """(T, B, V), scores of what comes after each step."""
    states: dict[str, Tensor]
    """After the last step, or the one asked for."""
    output: Tensor
    """(T, B, ·), of the last layer."""
    dropped: Tensor
    """The same, as dropout leaves it."""


class Read(NamedTuple):
    """What was made of a stretch."""

    output: Tensor
    """(T, B, S), of the last layer."""
    dropped: Tensor
    """The same, as dropout leaves it."""
    states: dict[str, Tensor]
    """After the last step, or the one asked for."""


class Reader(nn.Module):
    """Reads codes: an embedding and recurrent layers.

    Args:
        config: what it is made of.
        codes: V.
    """

    def __init__(self, config: ReaderConfig, codes: int) -> None:
        super().__init__()
        E, H = config.embedding, config.hidden
        sizes = [E, *[H] * (config.layers - 1), E if config.tied else H]
        # A forget gate that begins open (Jozefowicz, Zaremba and Sutskever 2015).
        begin = {"forget_bias": 1.0} if config.cell == "lstm" else {}
        self.embedding_dropout = config.embedding_dropout
        self.embedding = nn.Embedding(codes, E)
        if config.tied:  # the scores begin small; what is read alone learns sooner from 1 each
            nn.init.normal_(self.embedding.weight, std=E**-0.5)
        self.layers = nn.ModuleList(
            LAYERS[config.cell](read, units, weight_drop=config.weight_drop, **begin)
            for read, units in pairwise(sizes)
        )
        self.dropout = VariationalDropout(config.dropout)
        self.output_size = sizes[-1]
        """S, units of the last layer."""

    def read(
        self,
        codes: Tensor,
        states: Mapping[str, Tensor] | None = None,
        lengths: Tensor | None = None,
        carried: Tensor | None = None,
    ) -> Read:
        """Read `codes` (T, B) on from `states`; there are none at the start.

        With `lengths` (B,), the steps of each stream; the others are padding. The states that are
        returned are those after the steps `carried` (B,), by default the last.
        """
        states = states or {}
        weight = self.embedding.weight
        if self.training and self.embedding_dropout:
            weight = weight * functional.dropout(
                weight.new_ones(len(weight), 1), self.embedding_dropout
            )
        output = dropped = self.dropout(functional.embedding(codes, weight))
        after: dict[str, Tensor] = {}
        for place, layer in enumerate(self.layers):
            if carried is None:
                output, last = layer(dropped, _before(states, place), lengths=lengths)
                kept = last if isinstance(last, tuple) else (last,)
            else:
                output, _, (every,) = layer(
                    dropped, _before(states, place), lengths=lengths, return_gates=True
                )
                at = carried, torch.arange(len(carried), device=carried.device)
                kept = tuple(every[name][at][None] for name in STATES if name in every)
            dropped = self.dropout(output)
            after |= {f"{place}.{name}": of for name, of in zip("hc", kept, strict=False)}
        return Read(output, dropped, after)

    def depth_groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        """Parameters by depth, nearest the input first; above all, those of a subclass."""
        layers = [(f"layer{k}", list(of.parameters())) for k, of in enumerate(self.layers)]
        return [("embedding", list(self.embedding.parameters())), *layers]


class LanguageNetwork(Reader):
    """Reads codes, and says after each what comes next.

    Args:
        config: what it is made of.
        codes: V.
    """

    def __init__(self, config: ReaderConfig, codes: int) -> None:
        super().__init__(config, codes)
        self.readout = nn.Linear(self.output_size, codes)
        if config.tied:
            self.readout.weight = self.embedding.weight

    def forward(
        self,
        codes: Tensor,
        states: Mapping[str, Tensor] | None = None,
        lengths: Tensor | None = None,
        carried: Tensor | None = None,
    ) -> Written:
        """Read as `read` does, and score what comes next."""
        output, dropped, after = self.read(codes, states, lengths, carried)
        return Written(self.readout(dropped), after, output, dropped)

    def depth_groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        """Parameters by depth, nearest the input first."""
        known = set(self.embedding.parameters())
        head = [of for of in self.readout.parameters() if of not in known]
        return [*super().depth_groups(), ("readout", head)]


def _before(states: Mapping[str, Tensor], place: int) -> Tensor | tuple[Tensor, Tensor] | None:
    """The states of a layer as it takes them."""
    hidden, cell = states.get(f"{place}.h"), states.get(f"{place}.c")
    if hidden is None or cell is None:
        return hidden
    return hidden, cell


def penalty(written: Written, there: Tensor, activation: float, change: float) -> Tensor:
    """Activation regularisation and its temporal form (Merity et al. 2018, section 4.6).

    The mean over the steps that are no padding, `there` (T, B).
    """
    features, kept = written.output.shape[-1], there[..., None]
    total = activation * (written.dropped * kept).square().sum() / (there.sum() * features)
    pairs = kept[1:] & kept[:-1]
    if change and pairs.any():
        changes = (written.output[1:] - written.output[:-1]) * pairs
        total = total + change * changes.square().sum() / (pairs.sum() * features)
    return total


@torch.no_grad()
def nats(network: nn.Module, text: Coded, context: int, streams: int, window: int) -> Tensor:
    """Return (N - 1,), how unlikely each code after the first was, in nats, states carried over.

    The text is cut into `streams` that are read side by side; each begins `context` codes early, to
    have its state, and what it says there is not counted.
    """
    count = len(text.codes) - 1
    length = -(-count // streams)
    first = np.arange(0, count, length)
    reading = Streams(np.maximum(first - context, 0), np.minimum(first + length, count), text.ends)
    found = torch.zeros(count)
    states: Mapping[str, Tensor] = {}
    while not reading.rounds.all():
        counted = torch.from_numpy(reading.rounds == 0)
        stretches = reading.advance(window)
        batch = Stretch.read(text.codes, stretches)
        written = network(batch.codes, batch.before(states), batch.lengths)
        states = written.states
        each = functional.cross_entropy(
            written.logits.flatten(0, 1), batch.following.flatten(), reduction="none"
        )
        places = torch.from_numpy(stretches.at) + torch.arange(len(batch.codes))[:, None]
        counted = counted & batch.there & (places >= torch.from_numpy(first))
        found[places[counted]] = each.view(batch.codes.shape)[counted]
    return found
