"""The network: the layers of a language model, their states pooled over time, and a linear map.

As in ULMFiT (Howard and Ruder 2018, section 3.3), last state, mean and maximum over time are
concatenated, and two linear maps give the logits of the labels; without batch normalisation, so
that the prediction for a text does not depend on the others in its batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gated.live.program import Writer
from gated.nn.pooling import last_over_time, max_over_time, mean_over_time
from gated.tasks.text_classify.config import TextClassifyConfig
from gated.texts.reader import Reader

BETWEEN = 50
"""Units between the pooled states and the labels."""


class Batch(NamedTuple):
    """Texts of several lengths, and their labels."""

    codes: Tensor
    """(T, B), codes; those beyond a text's length are padding."""
    lengths: Tensor
    """(B,), steps of each text."""
    targets: Tensor
    """(B,), indices of the labels."""
    scores: Tensor
    """(B, C), logits by the linear part, to which the network's are added; zeros without one."""


class TextNetwork(Reader):
    """Maps texts to the logits of their labels.

    Args:
        config: options of the network.
        codes: V, size of the vocabulary.
        labels: C, number of labels.
    """

    def __init__(self, config: TextClassifyConfig, codes: int, labels: int) -> None:
        super().__init__(config, codes)
        last = nn.Linear(BETWEEN, labels)
        if not config.no_linear:  # at first nothing is corrected
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.head = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(3 * self.output_size, BETWEEN),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            last,
        )

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """Map codes (T, B) and lengths (B,) to logits (B, C)."""
        output, dropped, _ = self.read(codes, lengths=lengths)
        pooled = (
            last_over_time(output, lengths),
            max_over_time(dropped, lengths),
            mean_over_time(dropped, lengths),
        )
        logits: Tensor = self.head(torch.cat(pooled, -1))
        return logits

    def write(self, writer: Writer, codes: str) -> str:
        """Write the network as layers of a program that read `codes`; return its logits' name."""
        states = self.write_reading(writer, codes)
        found = writer.add(
            "concatenate", *(writer.add(pool, states) for pool in ("last", "max", "mean"))
        )
        first = writer.add("linear", found, weight="head.1.weight", bias="head.1.bias")
        between = writer.add("activation", first, function="relu")
        return writer.add("linear", between, weight="head.4.weight", bias="head.4.bias")

    def depth_groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        """Parameters by depth, nearest the input first."""
        return [*super().depth_groups(), ("head", list(self.head.parameters()))]
