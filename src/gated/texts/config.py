"""Options of a network that reads text.

Annotations are evaluated here (no `from __future__ import annotations`): options of tasks extend
these, and need not import the names in them.
"""

from dataclasses import dataclass
from typing import Literal

from gated.cells.named import check_cell
from gated.configuration import Configuration
from gated.errors import ConfigurationError, option
from gated.texts.vocabulary import MOST

FEWEST_SUBWORDS = 257
"""All 256 bytes, and the unknown code."""


OF_THE_READER = ("unit", "vocabulary", "cell", "embedding", "hidden", "layers", "tied")
"""Options that the weights depend on, and that another run of the same weights must share."""


@dataclass(frozen=True, kw_only=True)
class ReaderConfig(Configuration):
    """Options of a network that reads text.

    With `init_from` in training, all except the dropouts are adopted from that run.
    """

    unit: Literal["character", "byte", "subword", "word"] = "character"
    """What is read at a step."""
    vocabulary: int = 4000
    """Largest number of subwords, which are learnt from the training part by byte-pair encoding."""
    cell: str = "lstm"
    """Recurrent cell: lstm, gru, rnn, or another of gated.cells.library, such as mogrifier."""
    embedding: int = 64
    """E, size of the embedding."""
    hidden: int = 256
    """H, units per layer."""
    layers: int = 1
    """Number of recurrent layers."""
    tied: bool = False
    """Give the last layer E units, so that the output layer of a language model can share the
    weights of the embedding (Press and Wolf 2017)."""
    dropout: float = 0.1
    """Variational dropout of the embedding's output, between layers, and of the last output."""
    embedding_dropout: float = 0.0
    """Share of the vocabulary whose embeddings are set to zero for a training step."""
    weight_drop: float = 0.0
    """Share of the recurrent weights that are set to zero for a training step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cell(self.cell)
        self._demand(embedding=1, hidden=1, layers=1)
        self._demand_shares("dropout", "embedding_dropout", "weight_drop")
        if not FEWEST_SUBWORDS <= self.vocabulary <= MOST:
            raise ConfigurationError(
                f"{option('vocabulary')} is {self.vocabulary}; {FEWEST_SUBWORDS} to "
                f"{MOST:,} subwords can be "
                "learnt: all bytes are among them."
            )
