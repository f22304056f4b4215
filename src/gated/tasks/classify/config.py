"""Options of the network that predicts the target of a sequence, and of the split of the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from gated.cells.named import check_cell
from gated.configuration import Configuration
from gated.errors import ConfigurationError, option
from gated.training.options import TrainingOptions

MOST_MEMBERS = 32
"""Networks that are averaged, at the most."""


@dataclass(frozen=True, kw_only=True)
class ClassifyConfig(Configuration):
    """The network, augmentation, and the share of the sequences held back."""

    cell: str = "lstm"
    """Recurrent cell: lstm, gru, rnn, or another of gated.cells.library, such as mogrifier."""
    hidden: int = 64
    """H, units per layer and direction."""
    layers: int = 1
    """Recurrent layers."""
    one_way: bool = False
    """Read sequences forwards only; by default both ways."""
    pooling: Literal["last", "mean", "max", "attention"] = "mean"
    """How the outputs of all steps become one: the last of each direction, their mean, their
    maximum, or a mean with learned weights."""
    patch: int | None = None
    """Consecutive steps joined into one input; sequences become shorter by this factor. By default
    so many that the longest sequence has some 32 inputs."""
    filters: int | None = None
    """Filters of a convolutional branch beside the recurrent layers, as in LSTM-FCN (Karim et al.
    2018); with 0 there is none. By default 24."""
    filter_pool: int | None = None
    """Consecutive steps averaged into one before the convolutional branch. By default so many that
    it reads no more than 512 of the longest sequence."""
    kernel_features: int | None = None
    """Features of fixed kernels (MiniRocket, Dempster et al. 2021), read by a ridge regression
    beside the network; with 0 there are none. By default 9,996, and 2,016 of many sequences."""
    members: int | None = None
    """Networks that begin from different weights and are averaged. By default one."""
    dropout: float = 0.2
    """Dropout before and after the recurrent layers, and between them."""
    noise: float = 0.0
    """In training, Gaussian noise on the inputs, in standard deviations of each channel."""
    warp: float = 0.0
    """In training, sequences are stretched in time, and scaled, by up to this share."""
    cut: float = 0.0
    """In training, a stretch of each sequence, of up to this share of its steps, is missing."""
    balance: bool = False
    """Weigh sequences so that every class counts the same, however few it has."""
    validation: float = 0.0
    """Share of the training sequences that chooses the best weights; with 0 the last are kept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cell(self.cell)
        self._demand(hidden=1, layers=1, patch=1, filters=0, filter_pool=1)
        self._demand(kernel_features=0, members=1)
        if (self.members or 1) > MOST_MEMBERS:
            raise ConfigurationError(
                f"{option('members')} is {self.members}; at most {MOST_MEMBERS} are averaged."
            )
        self._demand_shares("dropout", "validation", "warp", "cut")
        if not 0 <= self.noise < float("inf"):
            raise ConfigurationError(f"{option('noise')} is {self.noise}; it is 0 or more.")


@dataclass(frozen=True, kw_only=True)
class SequenceTraining(TrainingOptions):
    """How to train, with defaults for some hundred sequences."""

    usual_steps: ClassVar[int] = 400

    batch_size: int = 16
    """Sequences per step, over all processes and accumulated parts."""
    learning_rate: float = 5e-3
    """Peak learning rate of AdamW."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions(Configuration):
    """Columns of a file of sequences, and which sequences are held back."""

    series: str | None = None
    """Column of a table that names the sequence a row belongs to. `.ts` files need none."""
    label: tuple[str, ...] | str | None = None
    """Column of a table with the label, or the number, of its sequence; `regress` takes several
    columns, whose numbers one network predicts."""
    group: str | None = None
    """Column of a table that says which sequences belong together, such as the person or the
    machine they are of: they stay on one side of every split and count as one for the judge. By
    default those that have stretches of steps in common."""
    time: str | None = None
    """Column of a table to sort the rows of a sequence by; by default their order."""
    channels: tuple[str, ...] = ()
    """Columns of a table to read; by default all others that hold numbers."""
    day_first: bool | None = None
    """Whether 01/02/2000 is the first of February, where the times alone cannot tell;
    `--no-day-first` where it is not."""
    decimal: Literal[".", ","] | None = None
    """The decimal separator, for columns that can be read in two ways (`1,234`)."""
    encoding: str | None = None
    """Encoding of a CSV file that is neither UTF-8 nor UTF-16 (`windows-1252`, `gb18030`)."""
    test_data: Path | None = None
    """Sequences to score on. By default a share of those that are given is held back."""
    test: float = 0.25
    """The share held back, where no test data are given."""
    skip_bad: bool = False
    """Leave out sequences that cannot be used, and list them, where otherwise the first is an
    error."""

    def __post_init__(self) -> None:
        if self.label is not None and not isinstance(self.label, str):
            one = len(self.label) == 1
            object.__setattr__(self, "label", self.label[0] if one else tuple(self.label))
        super().__post_init__()
        self._demand_shares("test")
        if len(set(self.labels)) < len(self.labels):
            raise ConfigurationError(f"{option('label')} names a column twice.")

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns of the label, or of the numbers."""
        return (self.label,) if isinstance(self.label, str) else self.label or ()


@dataclass(frozen=True, kw_only=True)
class SequenceConfig(ClassifyConfig, SourceOptions):
    """Options of the network, and of a file of sequences."""
