"""The options of the one training loop.

Annotations are evaluated here (no `from __future__ import annotations`): a task that gives defaults
of its own in a subclass need not import the names in them.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from gated.configuration import Configuration
from gated.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Configuration):
    """How to train: budget, optimiser, the note's techniques, and where to run."""

    usual_steps: ClassVar[int] = 300
    """The budget where none is given."""

    steps: int | None = None
    """Optimiser steps at most; as is usual for the task where no other budget is given."""
    epochs: float | None = None
    """How often each training example is seen at most."""
    minutes: float | None = None
    """Time to train at most, with validations; to read and to score are not counted."""
    batch_size: int = 64
    """Sequences per step, over all processes and accumulated parts."""
    learning_rate: float = 3e-3
    """Peak learning rate of AdamW."""
    schedule: Literal["one-cycle", "cosine", "constant", "slanted-triangular"] = "one-cycle"
    """Shape of the learning rate over the budget."""
    warmup: float = 0.2
    """Share of the budget in which the rate rises to its peak."""
    weight_decay: float = 1e-2
    """Decoupled weight decay of matrices (biases are exempt)."""
    clip_norm: float | None = 1.0
    """Gradient clipping by total norm (Pascanu et al. 2013)."""
    clip_value: float | None = None
    """Gradient clipping by value: each element is held within ± this."""
    accumulate: int = 1
    """Parts that a batch is cut into to save memory; the result is the same."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"
    """Number format, as Lightning Fabric names it."""
    validate_every: int = 25
    """Steps between validations."""
    patience: int | None = None
    """Stop after this many validations without improvement."""
    goal: float | None = None
    """Stop as soon as the validation loss is below this."""
    processor_minutes: float | None = None
    """Stop after so many minutes of processor time, summed over the threads of this process."""
    checkpoint_every: int = 100
    """Steps between checkpoints; one is written each minute besides."""
    no_baseline: bool = False
    """Leave out what the network has to beat, where to score that takes its time; it is said."""
    seed: int = 0
    """Of initial values, batches and dropout."""
    init_from: Path | None = None
    """A run whose weights to start from (transfer)."""
    freeze: tuple[str, ...] = ()
    """Depth groups that never train."""
    thaw_every: int = 0
    """With init_from: start with the last depth group alone and thaw one more every so many steps
    (Howard and Ruder 2018); 0 trains all from the start."""
    layer_rate_decay: float = 1.0
    """Each depth group trains at this times the rate of the one above it."""
    accelerator: str = "cpu"
    """Where to compute, as Lightning Fabric names it."""
    devices: int = 1
    """Processes on this machine, data-parallel."""
    nodes: int = 1
    """Machines, under torchrun."""
    threads: int | None = None
    """Threads of each process; by default what the machine allows, shared out."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        super().__post_init__()
        if self.steps is self.epochs is self.minutes is None:
            object.__setattr__(self, "steps", self.usual_steps)
        self._demand(steps=1, batch_size=1, accumulate=1, validate_every=1, checkpoint_every=1)
        self._demand(patience=1, devices=1, nodes=1, threads=1)
        self._demand(seed=0, thaw_every=0, weight_decay=0)
        limits = "epochs", "minutes", "processor_minutes", "clip_norm", "clip_value"
        for name in ("learning_rate", "layer_rate_decay", *limits):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigurationError(f"{name} must be above 0 and finite, not {value}.")
        if not 0 <= self.warmup <= 1:
            raise ConfigurationError(f"warmup is a share of the budget, 0 to 1, not {self.warmup}.")
        parts = self.devices * self.nodes * self.accumulate
        if self.batch_size < parts:
            raise ConfigurationError(
                f"batch_size={self.batch_size} cannot be cut into {parts} parts of one sequence or "
                "more (devices times nodes times accumulate)."
            )
        if self.thaw_every and self.init_from is None:
            raise ConfigurationError(
                "thaw_every thaws weights that came from another run: give init_from too."
            )

    @property
    def budget(self) -> str:
        """The budget in words.

        >>> TrainingOptions(steps=1000, minutes=2).budget
        '1,000 steps or 2 minutes'
        """
        bounds = {"steps": self.steps, "epochs": self.epochs, "minutes": self.minutes}
        return " or ".join(f"{of:,g} {name}" for name, of in bounds.items() if of is not None)
