"""What a network that reads text is made of.

Annotations are evaluated here (no `from __future__ import annotations`): tasks' options extend
these, and need not import the names in them.
"""

from dataclasses import dataclass
from typing import Literal

from gated.configuration import Configuration
from gated.errors import ConfigurationError
from gated.texts.vocabulary import MOST

FEWEST_SUBWORDS = 257
"""All bytes, and the unknown."""


OF_THE_READER = ("unit", "vocabulary", "cell", "embedding", "hidden", "layers", "tied")
"""Options that go with the weights of a network that reads."""


@dataclass(frozen=True, kw_only=True)
class ReaderConfig(Configuration):
    """What a network that reads text is made of, whatever it then says.

    With `init_from` in training, all but the dropouts are those of the run that it names.
    """

    unit: Literal["character", "byte", "subword"] = "character"
    """What is read at a step."""
    vocabulary: int = 4000
    """Subwords that are learnt at most, from the training part, by byte pairs."""
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """Recurrent cell."""
    embedding: int = 64
    """E, numbers that stand for a character."""
    hidden: int = 256
    """H, units per layer."""
    layers: int = 1
    """Recurrent layers."""
    tied: bool = False
    """The last layer has E units, so that a language model can write with the embedding that reads
    (Press and Wolf 2017)."""
    dropout: float = 0.1
    """Variational dropout of what is read, of what passes between layers, and of the output."""
    embedding_dropout: float = 0.0
    """Share of the characters whose embedding is dropped from a stretch."""
    weight_drop: float = 0.0
    """Share of the recurrent weights that is dropped from a stretch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._demand(embedding=1, hidden=1, layers=1)
        self._demand_shares("dropout", "embedding_dropout", "weight_drop")
        if not FEWEST_SUBWORDS <= self.vocabulary <= MOST:
            raise ConfigurationError(
                f"vocabulary is {self.vocabulary}; {FEWEST_SUBWORDS} to {MOST:,} subwords can be "
                "learnt: all bytes are among them."
            )
