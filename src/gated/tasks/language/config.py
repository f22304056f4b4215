"""What a language model reads, and its network."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from gated.errors import ConfigurationError
from gated.texts.config import ReaderConfig
from gated.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class LanguageTraining(TrainingOptions):
    """How to train: as for every task, with a budget for some million characters."""

    usual_steps: ClassVar[int] = 1000

    batch_size: int = 32
    """Streams that are read side by side, over all processes and accumulated parts."""
    learning_rate: float = 4e-3
    """Peak learning rate of AdamW."""
    validate_every: int = 200
    """Steps between validations."""


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
    skip_bad: bool = False
    """Leave out files that cannot be used, and list them, where otherwise the first is an error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._demand(window=1)
        if not 0 <= self.overlap < self.window:
            raise ConfigurationError(
                f"overlap is {self.overlap}; it is from 0 to below window ({self.window})."
            )
        self._demand_rest("text")
        for name in ("activation", "change"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it is 0 or more.")
