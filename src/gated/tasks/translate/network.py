"""The translator's network: encoder, attention and decoder.

The encoder is bidirectional (Bahdanau, Cho and Bengio 2015), the decoder is that of Luong, Pham and
Manning (2015), and its inputs and outputs share one embedding (Press and Wolf 2017).

Shapes: S steps of the source, T steps of the target, B sentences, K hypotheses of each in the
beam, E features of an embedding, H units of the decoder, V subwords of the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gated.nn import GRU, LSTM, LSTMCell
from gated.tasks.translate.attention import Attention, Memory
from gated.tasks.translate.batches import Batch
from gated.tasks.translate.config import TranslateConfig
from gated.tasks.translate.decoder import AdditiveWeights, LoopWeights, unroll

ENCODERS: dict[str, type[GRU | LSTM]] = {"lstm": LSTM, "gru": GRU}


class State(NamedTuple):
    """State of the decoder between two steps; `(N, H)` each."""

    fed: Tensor
    """The attentional state ĥ."""
    hidden: Tensor
    cell: Tensor

    def rows(self, chosen: Tensor) -> State:
        """Return the states of the sentences with these indices."""
        return State(*(tensor[chosen] for tensor in self))


class Encoder(nn.Module):
    """Bidirectional recurrent layers over embedded sentences."""

    def __init__(self, config: TranslateConfig, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        nn.init.normal_(self.embedding.weight, std=config.embedding**-0.5)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = ENCODERS[config.cell](
            config.embedding,
            config.hidden // 2,
            num_layers=config.layers,
            dropout=config.dropout if config.layers > 1 else 0.0,
            bidirectional=True,
        )

    def forward(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read `source` `(S, B)`; return every state, `(S, B, H)`, and the last, `(B, H)`."""
        read, final = self.layers(self.dropout(self.embedding(source)), lengths=lengths)
        hidden = final[0] if isinstance(final, tuple) else final
        return read, torch.cat([hidden[-2], hidden[-1]], dim=-1)


class Decoder(nn.Module):
    """LSTM with attention that predicts the translation, one subword a step."""

    def __init__(self, config: TranslateConfig, vocabulary: int) -> None:
        super().__init__()
        E, H = config.embedding, config.hidden
        self.input_feeding = not config.no_input_feeding
        self.embedding = nn.Embedding(vocabulary, E)
        nn.init.normal_(self.embedding.weight, std=E**-0.5)
        self.start = nn.Linear(H, 2 * H)
        self.attention = Attention(config.attention, memory=H, units=H)
        self.combine = nn.Linear(H, H, bias=False)
        if self.input_feeding:
            self.cell = LSTMCell(E + H, H)
        else:
            self.lstm = LSTM(E, H)
        self.dropout = nn.Dropout(config.dropout)
        self.readout = nn.Linear(H, E)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def begin(self, last: Tensor) -> State:
        """Return the initial state, from the encoder's last state `(B, H)`."""
        hidden, cell = self.start(last).chunk(2, dim=-1)
        return State(torch.zeros_like(hidden), hidden.tanh(), cell.contiguous())

    def forward(self, words: Tensor, state: State, memory: Memory) -> Tensor:
        """Return the attentional states `(T, B, H)` over given `words` `(T, B)`."""
        embedded = self.dropout(self.embedding(words))
        if not self.input_feeding:
            initial = (state.hidden[None], state.cell[None])
            hidden, _ = self.lstm(embedded, initial)
            return self.attend(hidden.transpose(0, 1), memory)[0].transpose(0, 1)
        E, cell, attention = embedded.shape[-1], self.cell, self.attention
        of_words, of_fed = cell.weight_ih[:, :E], cell.weight_ih[:, E:]
        sums = functional.linear(embedded, of_words, cell.bias_ih + cell.bias_hh)
        weights = LoopWeights(torch.cat([of_fed, cell.weight_hh], dim=1), self.combine.weight)
        if attention.kind == "additive":
            query = attention.query
            additive = AdditiveWeights(query.weight, query.bias, attention.energy)
            weights = weights._replace(additive=additive)
        return unroll(sums, state.hidden, state.cell, weights, memory)

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[State, Tensor]:
        """Run one step after `words` `(B·K,)`, the K hypotheses of each sentence in a row.

        Returns:
            The new state, whose attentional state is the input of `logits`, and the attention
            weights `(B·K, S)`.
        """
        embedded = self.dropout(self.embedding(words))
        if self.input_feeding:
            hidden, cell = self.cell(
                torch.cat([embedded, state.fed], dim=-1), (state.hidden, state.cell)
            )
        else:
            initial = (state.hidden[None], state.cell[None])
            hidden, cell = (last[0] for last in self.lstm(embedded[None], initial)[1])
        queries = hidden.unflatten(0, (len(memory.keys), -1))
        fed, attention = self.attend(queries, memory)
        return State(fed.flatten(0, 1), hidden, cell), attention.flatten(0, 1)

    def attend(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return attentional states `(B, Q, H)`, and weights `(B, Q, S)`, of `queries`."""
        context, weights = self.attention(queries, memory)
        return torch.tanh(self.combine(queries) + context), weights

    def logits(self, fed: Tensor) -> Tensor:
        """Return logits `(…, V)` of every subword from attentional states `(…, H)`."""
        return functional.linear(self.readout(self.dropout(fed)), self.embedding.weight, self.bias)


class TranslateNetwork(nn.Module):
    """Encoder, attention and decoder."""

    def __init__(self, config: TranslateConfig, source: int, target: int) -> None:
        """Build for vocabularies of `source` and `target` subwords."""
        super().__init__()
        self.encoder = Encoder(config, source)
        self.decoder = Decoder(config, target)

    def read(self, source: Tensor, lengths: Tensor) -> tuple[State, Memory]:
        """Encode sentences `(S, B)`; return the decoder's initial state and the memory."""
        encoded, last = self.encoder(source, lengths)
        return self.decoder.begin(last), self.decoder.attention.memory(encoded, lengths)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits `(N, V)` of the N subwords of the targets, sentence after sentence."""
        state, memory = self.read(batch.source, batch.source_lengths)
        fed = self.decoder(batch.before, state, memory)
        logits: Tensor = self.decoder.logits(fed.transpose(0, 1)[batch.real])
        return logits

    def depth_groups(self) -> Sequence[tuple[str, list[nn.Parameter]]]:
        """Parameters by depth, nearest the input first."""
        return [
            ("encoder", list(self.encoder.parameters())),
            ("decoder", list(self.decoder.parameters())),
        ]


def smoothed_loss(logits: Tensor, wanted: Tensor, smoothing: float) -> Tensor:
    """Summed cross-entropy of logits `(N, V)` with smoothed labels `(N,)`."""
    return functional.cross_entropy(logits, wanted, label_smoothing=smoothing, reduction="sum")
