"""What a language model reads, and its network.

Annotations are evaluated here (no `from __future__ import annotations`): other tasks' options
extend these, and need not import the names in them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from gated.errors import ConfigurationError
from gated.tasks.language.vocabulary import MOST
from gated.training.options import TrainingOptions

FEWEST_SUBWORDS = 257
"""All bytes, and the unknown."""


@dataclass(frozen=True, kw_only=True)
class LanguageTraining(TrainingOptions):
    """How to train: as for every task, with a budget for some million characters."""

    steps: int = 1000
    """Optimiser steps in all."""
    batch_size: int = 32
    """Streams that are read side by side, over all processes and accumulated parts."""
    learning_rate: float = 4e-3
    """Peak learning rate of AdamW."""
    validate_every: int = 200
    """Steps between validations."""


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
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
        for name in ("embedding", "hidden", "layers"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        self._demand_shares("dropout", "embedding_dropout", "weight_drop")
        if not FEWEST_SUBWORDS <= self.vocabulary <= MOST:
            raise ConfigurationError(
                f"vocabulary is {self.vocabulary}; {FEWEST_SUBWORDS} to {MOST:,} subwords can be "
                "learnt: all bytes are among them."
            )

    def _demand_shares(self, *names: str) -> None:
        for name in names:
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}; it is a share, from 0 to below 1."
                )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what `to_dict` saved."""
        return cls(**saved)


@dataclass(frozen=True, kw_only=True)
class LanguageConfig(ReaderConfig):
    """The text, the network and its regularisation (Merity, Keskar and Socher 2018)."""

    documents: Literal["none", "file", "line"] = "none"
    """Where a document ends, of which the next one knows nothing: never, with a file, a line."""
    window: int = 128
    """T, steps of a stretch that gradients go back through; states go on to the next one."""
    overlap: int = 0
    """Steps at the end of a stretch that the next one reads again: gradients go back through so
    many at least."""
    fixed_window: bool = False
    """All stretches have `window` steps; by default some more or fewer, now and then half."""
    activation: float = 0.0
    """Weight of the penalty on large outputs (AR, alpha in the paper)."""
    change: float = 0.0
    """Weight of the penalty on outputs that change from step to step (TAR, beta in the paper)."""
    validation: float = 0.05
    """Share of the text, before the test part, that chooses the best weights."""
    test: float = 0.05
    """Share of the text, at its end, that is held back for the score."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 1:
            raise ConfigurationError(f"window is {self.window}; it must be 1 or more.")
        if not 0 <= self.overlap < self.window:
            raise ConfigurationError(
                f"overlap is {self.overlap}; it is from 0 to below window ({self.window})."
            )
        self._demand_shares("validation", "test")
        if self.validation + self.test >= 1:
            raise ConfigurationError(
                f"validation ({self.validation}) and test ({self.test}) leave no text to train on."
            )
        for name in ("activation", "change"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it is 0 or more.")
