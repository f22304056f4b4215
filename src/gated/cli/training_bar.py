"""What a training tells: the bar while it runs, and what it came to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from gated.training.history import History

SECONDS_BETWEEN_LINES = 60.0
"""At least, in the log of a training that no terminal shows."""


class TrainingBar:
    """Draws steps, loss, gradient norm and validation score; a `gated.training.Progress`.

    Where standard error is no terminal, it writes a line now and then in place of the bar.
    """

    def __init__(self, bars: Progress, label: str) -> None:
        self._bars, self._label = bars, label
        self._task: TaskID = bars.add_task(label, total=None, loss="", norm="", held_out="")
        self._began = self._told = time.monotonic()

    def step(
        self,
        *,
        step: int,
        steps: int,
        loss: float,
        gradient_norm: float,
        clipped: bool,
        learning_rate: float,
    ) -> None:
        """Show a step; a gradient that was clipped is marked ✂."""
        self._bars.update(
            self._task,
            completed=step,
            total=steps,
            loss=f"loss {loss:.4f}",
            norm=f"grad {gradient_norm:.3g}{'✂' if clipped else ' '}",
        )

    def validation(self, *, step: int, scores: Mapping[str, float], best: bool) -> None:
        """Show the validation loss; the best so far is marked ★."""
        if "loss" in scores:
            held_out = f"valid {scores['loss']:.4f}{'★' if best else ' '}"
            self._bars.update(self._task, held_out=held_out)
            now = time.monotonic()
            if self._bars.disable and now - self._told >= SECONDS_BETWEEN_LINES:
                self._told = now
                task = next(task for task in self._bars.tasks if task.id == self._task)
                self._bars.console.print(
                    f"{self._label}: step {step} of {task.total}, {task.fields['loss']}, "
                    f"{held_out.strip()}, {(now - self._began) / 60:.0f} min",
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )


@contextmanager
def training_bars() -> Iterator[Progress]:
    """Room for training bars on standard error."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[norm]}"),
        TextColumn("{task.fields[held_out]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        expand=True,
        disable=not console.is_terminal,
    ) as bars:
        yield bars


def training_summary(history: History) -> dict[str, Any]:
    """Return what a training came to, for JSON."""
    return {
        "steps": history.steps,
        "seconds": sum(history.seconds),
        "stopped": history.stopped,
        "best_step": history.best.step if history.best else history.steps,
        "clipped_by_norm": sum(history.clipped_by_norm),
        "clipped_by_value": sum(history.clipped_by_value),
    }


def told(history: History) -> str:
    """Return what a training came to, in words."""
    clipped = sum(
        by_norm or by_value
        for by_norm, by_value in zip(history.clipped_by_norm, history.clipped_by_value, strict=True)
    )
    best = f", best at step {history.best.step}" if history.best else ""
    return (
        f"{history.steps} steps in {sum(history.seconds):.1f} s{best}, gradient clipped at "
        f"{clipped} of them"
    )
