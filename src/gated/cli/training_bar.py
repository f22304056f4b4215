"""The bar that a training draws on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


class TrainingBar:
    """Draws steps, loss, gradient norm and validation score; a `gated.training.Progress`."""

    def __init__(self, bars: Progress, label: str) -> None:
        self._bars = bars
        self._task: TaskID = bars.add_task(label, total=None, loss="", norm="", held_out="")

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


@contextmanager
def training_bars() -> Iterator[Progress]:
    """Room for training bars on standard error; nothing is drawn where that is no terminal."""
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
