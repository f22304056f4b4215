"""When a training ends, and how far the learning rate schedule is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gated.training.options import TrainingOptions

FINE = 10_000
"""The length, in steps, of a schedule that follows the time."""

Bound = Literal["", "steps", "epochs", "minutes", "time"]
"""`minutes` by the clock, `time` of the processors."""


@dataclass(frozen=True)
class Budget:
    """A limit on the steps and one on the time; the first to be reached ends a training."""

    steps: int | None
    """None where only the time is limited."""
    seconds: float | None
    by_epochs: bool = False
    """Whether `steps` follows from a number of epochs."""
    of_processors: bool = False
    """Whether `seconds` are processor time, summed over threads, not time by the clock."""

    @classmethod
    def of(cls, options: TrainingOptions, steps_per_epoch: int) -> Budget:
        """Return the budget of a training with this many steps in an epoch.

        >>> Budget.of(TrainingOptions(epochs=2.5, steps=100), steps_per_epoch=10).steps
        25
        """
        bounds = [] if options.steps is None else [options.steps]
        if options.epochs is not None:
            bounds.append(max(1, round(options.epochs * steps_per_epoch)))
        steps = min(bounds, default=None)
        minutes = options.minutes or options.processor_minutes
        return cls(
            steps=steps,
            seconds=None if minutes is None else 60 * minutes,
            by_epochs=options.epochs is not None and steps != options.steps,
            of_processors=options.processor_minutes is not None,
        )

    def share(self, steps: int, seconds: float) -> float:
        """Return the share of the budget, 0 to 1, that this many steps and seconds use."""
        by_steps = steps / self.steps if self.steps else 0.0
        return min(1.0, max(by_steps, seconds / (self.seconds or math.inf)))

    def place(self, step: int, seconds: float) -> tuple[float, int]:
        """Return the position in the learning rate schedule at `step`, and the schedule's length.

        Both are in steps, counted from 0. Without a limit on the time they are `step` and all
        steps, so that the rates are the same in each run; otherwise they follow whichever limit is
        nearer.

        >>> Budget(steps=100, seconds=None).place(40, 7.5)
        (40, 100)
        >>> Budget(steps=None, seconds=30.0).place(40, 7.5)
        (2500.0, 10001)
        """
        if self.seconds is None:
            assert self.steps is not None  # noqa: S101 - options always bound something
            return step, self.steps
        by_steps = step / max(1, self.steps - 1) if self.steps else 0.0
        return FINE * min(1.0, max(by_steps, seconds / self.seconds)), FINE + 1

    def ended_by(self, steps: int, seconds: float) -> Bound:
        """Return which limit is reached after this many steps and seconds, if any."""
        if self.steps is not None and steps >= self.steps:
            return "epochs" if self.by_epochs else "steps"
        if self.seconds is None or seconds < self.seconds:
            return ""
        return "time" if self.of_processors else "minutes"
