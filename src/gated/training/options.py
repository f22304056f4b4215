"""The options of the one training loop.

Annotations are evaluated here (no `from __future__ import annotations`): a task that gives defaults
of its own in a subclass need not import the names in them.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from gated.configuration import Configuration
from gated.errors import ConfigurationError, option


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Configuration):
    """How to train: budget, optimiser, regularisation, transfer, and where to compute."""

    usual_steps: ClassVar[int] = 300
    """The number of steps where no budget is given."""

    steps: int | None = None
    """Maximum number of optimiser steps. Without any budget, the task's default (see above)."""
    epochs: float | None = None
    """Maximum number of passes over the training examples."""
    minutes: float | None = None
    """Maximum minutes of training with its validations, without reading the data and scoring."""
    processor_minutes: float | None = None
    """In place of minutes: of processor time, summed over the threads of the main process. The
    result is then about the same on a busy machine as on an idle one."""
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
    """Gradient clipping by value: each element is clipped to ± this."""
    average: float | None = None
    """Decay of an exponential average of the weights over the steps, such as 0.999 (after Polyak
    and Juditsky 1992); it is what is validated and kept, in place of the last weights."""
    accumulate: int = 1
    """Parts that each batch is divided into, to need less memory; the result is the same."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"
    """Number format of weights and computation, by Lightning Fabric's name."""
    validate_every: int = 25
    """Steps between validations."""
    patience: int | None = None
    """Stop after this many validations without improvement."""
    goal: float | None = None
    """Stop as soon as the validation loss is below this value."""
    checkpoint_every: int = 100
    """Steps between checkpoints; one is written each minute besides."""
    no_baseline: bool = False
    """Leave out baselines that take long to compute; the verdict names them."""
    seed: int = 0
    """Seed of initial values, batches and dropout."""
    init_from: Path | None = None
    """Directory of a run whose weights the training begins with (transfer)."""
    freeze: tuple[str, ...] = ()
    """Depth groups (embedding, each layer, output) whose weights are not trained."""
    thaw_every: int = 0
    """With init_from: first train the last depth group alone, then one more every so many steps
    (gradual unfreezing, Howard and Ruder 2018); 0 trains all from the start."""
    layer_rate_decay: float = 1.0
    """Learning rate of each depth group, as a multiple of that of the group after it."""
    accelerator: str = "cpu"
    """Device to compute on, by Lightning Fabric's name: cpu, cuda, mps or auto."""
    devices: int = 1
    """Processes on this machine, data-parallel."""
    nodes: int = 1
    """Machines, under torchrun."""
    threads: int | None = None
    """Threads of each process; by default the machine's, divided among the processes."""

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        super().__post_init__()
        if self.minutes is not None and self.processor_minutes is not None:
            raise ConfigurationError(
                f"{option('minutes')} and {option('processor_minutes')} are two clocks for one "
                "budget: give one of them."
            )
        if self.steps is self.epochs is self.minutes is self.processor_minutes is None:
            object.__setattr__(self, "steps", self.usual_steps)
        self._demand(steps=1, batch_size=1, accumulate=1, validate_every=1, checkpoint_every=1)
        self._demand(patience=1, devices=1, nodes=1, threads=1)
        self._demand(seed=0, thaw_every=0, weight_decay=0)
        limits = "epochs", "minutes", "processor_minutes", "clip_norm", "clip_value"
        for name in ("learning_rate", "layer_rate_decay", *limits):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigurationError(f"{option(name)} must be above 0 and finite, not {value}.")
        if self.average is not None and not 0 < self.average < 1:
            raise ConfigurationError(
                f"{option('average')} is a decay between 0 and 1, not {self.average}."
            )
        if not 0 <= self.warmup <= 1:
            raise ConfigurationError(
                f"{option('warmup')} is a share of the budget, 0 to 1, not {self.warmup}."
            )
        parts = self.devices * self.nodes * self.accumulate
        if self.batch_size < parts:
            raise ConfigurationError(
                f"{option('batch_size', self.batch_size)} cannot be cut into {parts} parts "
                f"of one sequence or "
                "more (devices times nodes times accumulate)."
            )
        if self.thaw_every and self.init_from is None:
            raise ConfigurationError(
                f"{option('thaw_every')} thaws weights that came from another run: give "
                f"{option('init_from')} too."
            )

    @property
    def budget(self) -> str:
        """The budget in words.

        >>> TrainingOptions(steps=1000, minutes=2).budget
        '1,000 steps or 2 minutes'
        """
        bounds = {
            "step": self.steps,
            "epoch": self.epochs,
            "minute": self.minutes,
            "processor minute": self.processor_minutes,
        }
        return " or ".join(
            f"{of:,g} {name}{'s' * (of != 1)}" for name, of in bounds.items() if of is not None
        )
