"""Options of speech recognition: features, letters, network and split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from gated.cells.named import check_cell
from gated.configuration import Configuration
from gated.errors import ConfigurationError, option
from gated.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class SpeechTraining(TrainingOptions):
    """How to train on recordings: with smaller batches and more steps."""

    usual_steps: ClassVar[int] = 3000

    batch_size: int = 16
    learning_rate: float = 2e-3
    validate_every: int = 100


@dataclass(frozen=True, kw_only=True)
class SpeechConfig(Configuration):
    """Options of features, letters and network."""

    path: str = "path"
    """Column of the recordings' paths, from the manifest's directory."""
    text: str = "text"
    """Column of the transcripts."""
    speaker: str = "speaker"
    """Column of who speaks, if there is one."""
    sample_rate: int = 16000
    """Samples a second; recordings at other rates are resampled."""
    mels: int = 40
    """Bands of the mel filterbank."""
    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    """In training, recordings are played at these speeds (Ko et al. 2015)."""
    keep_case: bool = False
    """Keep capital letters apart from small ones."""
    keep_punctuation: bool = False
    """Write punctuation; apostrophes within words are always kept."""
    alphabet: str = ""
    """Letters of the transcripts, by default all that occur; others are written by these where they
    differ in case or accents only, and are refused else."""
    spell: str | None = None
    """Language, such as en, in which numbers and symbols of the transcripts are spelled; by default
    they are refused, where `alphabet` does not hold them."""
    split_by: Literal["auto", "text", "recording", "speaker"] = "auto"
    """What the training, validation and test parts do not share; auto is text, and for commands, of
    which there are many recordings each, the speaker or, where that is not known, the recording."""
    test_manifest: Path | None = None
    """List of recordings to score on, in place of a share of the others."""
    streaming: bool = False
    """Read forwards only, so that words can be written while they are spoken."""
    look_ahead: int = 8
    """Steps of the future that a streaming network waits for before it writes."""
    subsampling: int = 2
    """Convolutions before the recurrent layers; each halves the number of steps, which begin as one
    every 10 ms."""
    channels: int = 16
    """Channels of these convolutions."""
    cell: str = "lstm"
    """Recurrent cell: lstm, gru, rnn, or another of gated.cells.library, such as mogrifier."""
    hidden: int = 192
    """H, units per layer and direction."""
    layers: int = 2
    """Recurrent layers."""
    dropout: float = 0.3
    """Dropout around the recurrent layers."""
    weight_drop: float = 0.0
    """Share of the recurrent weights that are set to zero for a training step (Merity et al. 2018).
    """
    mask_bands: int = 8
    """Widest mask over mel bands, two of them in each example (SpecAugment, Park et al. 2019)."""
    mask_steps: float = 0.05
    """Longest mask in time, as a share of the recording, two of them in each example."""
    test: float = 0.15
    """Share of the recordings held back for the score, or from 1 on their number."""
    validation: float = 0.08
    """Share of the recordings that chooses the weights, or from 1 on their number."""
    language_model: Path | None = None
    """Run of `gated fit language` whose probabilities are added in the search for transcripts;
    their weight is chosen on the validation part."""
    word_model: Path | None = None
    """Text of a sentence a line, or n-grams of words as an ARPA file: their probabilities are added
    in the search; their weight is chosen on the validation part."""
    cache: Path | None = None
    """Directory in which computed features are kept; by default ~/.cache/gated/speech."""
    skip_bad: bool = False
    """Leave out rows that cannot be used, and list them, where otherwise the first is an error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cell(self.cell)
        self._demand(sample_rate=4000, mels=4, look_ahead=0, subsampling=0, channels=1)
        self._demand(hidden=1, layers=1, mask_bands=0)
        self._demand_shares("dropout", "weight_drop", "mask_steps", counts=("test", "validation"))
        if not self.speeds or not all(0.5 <= speed <= 2 for speed in self.speeds):
            raise ConfigurationError(
                f"{option('speeds')} are {self.speeds}; give one or more from 0.5 to 2, 1 "
                f"being unchanged."
            )
