"""Options of a language model: text, network and regularisation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from gated.errors import ConfigurationError, option
from gated.texts.config import ReaderConfig
from gated.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class LanguageTraining(TrainingOptions):
    """How to train, with defaults for some million characters."""

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

    fewest: int = 3
    """How often a word must be in the training part to be in the vocabulary of `unit` word; rarer
    ones are unknown words."""
    softmax: Literal["auto", "full", "adaptive"] = "auto"
    """The output layer of words: over all of them, or in clusters by how frequent they are (Grave
    et al. 2017), which is faster; by default the latter for more than 10,000 words."""
    documents: Literal["none", "file", "line"] = "none"
    """Where a document ends, after which the state begins anew: nowhere, at the end of each file,
    or at that of each line."""
    window: int = 128
    """T, steps of a stretch of text. Gradients go back through one stretch; the state is carried on
    into the next (truncated backpropagation)."""
    overlap: int = 0
    """Steps at the end of a stretch that are read again with the next, so that every gradient goes
    back through at least this many."""
    fixed_window: bool = False
    """Give all stretches the same length; by default it varies at random about `window`."""
    no_ngrams: bool = False
    """Do not mix n-grams of the training part into the predictions; by default they are where they
    help on the validation part, and make the saved model larger."""
    dynamic_evaluation: bool = False
    """In scores, go on learning from what has been scored (Krause et al. 2018), where that helps on
    the validation part; the text is then read in one stream, which takes longer."""
    cache: int = 0
    """In scores, mix in what came after the states, of so many before, that are like the present
    one (Grave et al. 2017), where that helps on the validation part; 0 for none."""
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
        self._demand(window=1, cache=0, fewest=1)
        if self.softmax == "adaptive" and (self.unit != "word" or self.tied):
            raise ConfigurationError(
                f"{option('softmax', 'adaptive')} is for {option('unit', 'word')} without "
                f"{option('tied')}: its clusters have weights of their own."
            )
        if not 0 <= self.overlap < self.window:
            raise ConfigurationError(
                f"{option('overlap')} is {self.overlap}; it is from 0 to below "
                f"{option('window')} ({self.window})."
            )
        self._demand_rest("text")
        for name in ("activation", "change"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigurationError(
                    f"{option(name)} is {getattr(self, name)}; it is 0 or more."
                )
