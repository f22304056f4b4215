"""What the training loop reports while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Called in the main process after each step and each validation, to draw or to log."""

    def step(
        self,
        *,
        step: int,
        share: float,
        loss: float,
        unit: str,
        gradient_norm: float,
        clipped: bool,
        learning_rate: float,
    ) -> None:
        """Step number `step` is done, and a `share` of the budget is used up.

        The loss is in `unit`, the gradient's norm is the one before clipping.
        """

    def validation(self, *, step: int, scores: Mapping[str, float], best: bool) -> None:
        """After `step` steps the task scored `scores`, `best` if none was better before.

        `"loss"` chooses the weights; the others are for people, by the names that tables have.
        """
