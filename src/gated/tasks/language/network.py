"""The network: a recurrent reader of text, and a linear map to the logits of the next code.

Shapes: T steps, B streams, V codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gated.live.program import Writer
from gated.texts.config import ReaderConfig
from gated.texts.reader import Reader
from gated.texts.text import Coded, Codes
from gated.training.streams import Streams, Stretches

PADDING = -100
"""Target that does not count in the loss."""
MANY_WORDS = 10_000
"""From more words on, the output layer is in clusters."""
CUTOFFS = (2_000, 10_000)
"""Codes, the most frequent words first, at which a cluster ends."""
MOST_LOGITS = 1 << 25
"""Logits that are held at once while a text is scored."""


class Clusters(nn.AdaptiveLogSoftmaxWithLoss):
    """An output layer in clusters of words (Grave et al. 2017): log-probabilities in its logits."""

    def __init__(self, features: int, codes: int) -> None:
        cutoffs = [of for of in CUTOFFS if of < codes - 1] or [max(1, codes // 2)]
        super().__init__(features, codes, cutoffs, head_bias=True)

    def forward(self, hidden: Tensor) -> Tensor:  # type: ignore[override]
        """Return the log-probability of every code, (…, V), from hidden states (…, S)."""
        return self.log_prob(hidden.flatten(0, -2)).view(*hidden.shape[:-1], self.n_classes)

    def nats(self, hidden: Tensor, following: Tensor) -> Tensor:
        """Return the cross-entropy (T, B) of codes (T, B) after states (T, B, S); 0 in padding."""
        there = following != PADDING
        found = hidden.new_zeros(following.shape)
        likely: Tensor = super().forward(hidden[there], following[there]).output
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # Processes add up the gradients of all weights, also of clusters without a word here.
            likely = likely + 0 * torch.stack([of.sum() for of in self.parameters()]).sum()
        return found.masked_scatter(there, -likely)


class Stretch(NamedTuple):
    """Codes of some streams, and the next code after each as target."""

    codes: Tensor
    """(T, B)"""
    following: Tensor
    """(T, B), the targets; `PADDING` after the end of a stream's stretch, and where a target was
    already in the loss of the stretch before."""
    lengths: Tensor | None
    """(B,), steps of each stream; None where all have T."""
    anew: Tensor
    """(B,), which streams begin with this stretch."""
    carried: Tensor | None
    """(B,), the steps whose states the next stretches start from; None for the last step."""

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
        """(T, B), which steps count in the loss."""
        return self.following != PADDING

    def before(self, states: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the initial states: `states` of the stretches before, 0 for streams that begin."""
        if self.anew.all():
            return {}
        kept = ~self.anew[:, None]
        return {name: state * kept for name, state in states.items()}


class Written(NamedTuple):
    """The network's outputs for a stretch."""

    logits: Tensor
    """(T, B, V), of the code after each step; without values where what follows was given."""
    states: dict[str, Tensor]
    """Recurrent states after the last step, or after the steps `carried`."""
    output: Tensor
    """(T, B, ·), hidden states of the last layer."""
    dropped: Tensor
    """The same after dropout."""
    nats: Tensor
    """(T, B), the cross-entropy of what follows, 0 in padding; empty where that was not given."""


class LanguageNetwork(Reader):
    """Reads codes, and predicts after each the next one.

    Args:
        config: options of the network.
        codes: V, size of the vocabulary.
        softmax: the output layer, as in the options of a language model.
    """

    def __init__(self, config: ReaderConfig, codes: int, softmax: str = "auto") -> None:
        super().__init__(config, codes)
        clusters = config.unit == "word" and not config.tied and softmax != "full"
        if clusters and (softmax == "adaptive" or codes > MANY_WORDS):
            self.readout: nn.Linear | Clusters = Clusters(self.output_size, codes)
        else:
            self.readout = nn.Linear(self.output_size, codes)
        if config.tied and isinstance(self.readout, nn.Linear):
            self.readout.weight = self.embedding.weight

    def forward(
        self,
        codes: Tensor,
        states: Mapping[str, Tensor] | None = None,
        lengths: Tensor | None = None,
        carried: Tensor | None = None,
        following: Tensor | None = None,
    ) -> Written:
        """Read as `read` does, and compute the logits of the next codes.

        Or, if what follows is given, (T, B), only its cross-entropy.
        """
        output, dropped, after = self.read(codes, states, lengths, carried)
        none = dropped.new_empty(0)
        if following is None:
            return Written(self.readout(dropped), after, output, dropped, none)
        if isinstance(self.readout, Clusters):
            nats = self.readout.nats(dropped, following)
        else:
            nats = functional.cross_entropy(
                self.readout(dropped).flatten(0, 1),
                following.flatten(),
                ignore_index=PADDING,
                reduction="none",
            ).view(following.shape)
        return Written(none, after, output, dropped, nats)

    def write(self, writer: Writer) -> str:
        """Write the network as layers of a program; return the name of the next code's logits."""
        names = {"weight": "readout.weight", "bias": "readout.bias"}
        return writer.add(
            "linear", self.write_reading(writer, writer.input), name="readout", **names
        )

    def depth_groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        """Parameters by depth, nearest the input first."""
        known = set(self.embedding.parameters())
        head = [of for of in self.readout.parameters() if of not in known]
        return [*super().depth_groups(), ("readout", head)]


def penalty(written: Written, there: Tensor, activation: float, change: float) -> Tensor:
    """Activation regularisation and its temporal form (Merity et al. 2018, section 4.6).

    The mean over the steps without padding, `there` (T, B).
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
    """Return (N - 1,), the cross-entropy of each code after the first, in nats.

    The text is cut into `streams` that are read side by side. Each starts `context` codes early,
    to build up its state; the losses of these codes are left out.
    """
    count = len(text.codes) - 1
    length = -(-count // streams)
    first = np.arange(0, count, length)
    reading = Streams(np.maximum(first - context, 0), np.minimum(first + length, count), text.ends)
    found = torch.zeros(count)
    # Of a large vocabulary, shorter stretches at once.
    codes = max(of.num_embeddings for of in network.modules() if isinstance(of, nn.Embedding))
    window = min(window, max(1, MOST_LOGITS // (streams * codes)))
    states: Mapping[str, Tensor] = {}
    while not reading.rounds.all():
        counted = torch.from_numpy(reading.rounds == 0)
        stretches = reading.advance(window)
        batch = Stretch.read(text.codes, stretches)
        written = network(
            batch.codes, batch.before(states), batch.lengths, following=batch.following
        )
        states = written.states
        places = torch.from_numpy(stretches.at) + torch.arange(len(batch.codes))[:, None]
        counted = counted & batch.there & (places >= torch.from_numpy(first))
        found[places[counted]] = written.nats[counted]
    return found
