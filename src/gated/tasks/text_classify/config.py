"""Options of the network that labels texts, and of the split.

Annotations are evaluated here (no `from __future__ import annotations`), as in `texts.config`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from gated.texts.config import ReaderConfig
from gated.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class TextClassifyTraining(TrainingOptions):
    """How to train, with defaults for some thousand sentences; for more, steps are added."""

    usual_steps: ClassVar[int] = 400

    batch_size: int = 32
    """Texts per step, over all processes and accumulated parts."""
    clip_norm: float | None = 5.0
    """Gradient clipping by total norm (Pascanu et al. 2013): here only of rare, large gradients."""


@dataclass(frozen=True, kw_only=True)
class TextClassifyConfig(ReaderConfig):
    """Options of the network, and of the split."""

    unit: Literal["character", "byte", "subword"] = "subword"
    """What is read at a step."""
    vocabulary: int = 4000
    """Largest number of subwords, which are learnt from the training part by byte-pair encoding; by
    default one for each hundred characters of it, 500 to 16,000."""
    no_linear: bool = False
    """Leave out the linear model of words and letters, which scores labels too, and which the
    network corrects by as much as the validation part says."""
    text: str = "text"
    """Column of the texts."""
    label: str = "label"
    """Column of their labels."""
    dropout: float = 0.3
    """Variational dropout of the inputs and between layers, and dropout before the output."""
    longest: int = 1000
    """Most characters, bytes or subwords of a text that are read; the rest is ignored."""
    balance: bool = False
    """Weigh labels so that each counts the same, however few its texts."""
    validation: float = 0.1
    """Share of the texts that chooses the best weights."""
    test: float = 0.2
    """Share of the texts that is held back for the score, unless test data are given."""
    test_data: Path | None = None
    """Texts to score on, in a file of their own."""
    skip_bad: bool = False
    """Leave out rows that cannot be used, and list them, where otherwise the first is an error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._demand(longest=1)
        self._demand_rest("text")
