"""Progress: bars on a terminal, lines in a log, and the summary of a training."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from gated.phases import listened_by
from gated.training.history import History
from gated.training.processes import is_main_process

SECONDS_BEFORE_A_BAR = 0.5
"""Shorter phases are not shown."""
SECONDS_BETWEEN_LINES = 10.0
"""The least time between lines in a log; up to a minute in a long job."""
SECONDS_BETWEEN_LOOKS = 1.0
"""How often to check whether a line is due."""
PART_BETWEEN_LINES = 1 / 30
"""The time between lines, as a part of the time that the job has taken so far."""


class Phase:
    """A long operation that is shown to the user: its name, status, progress and time left."""

    def __init__(self, name: str, total: int | None = None) -> None:
        self.name, self.total, self.done = name, total, 0
        self.status = ""
        self.began = time.monotonic()
        self.share = 0.0
        """The part that is done, from 0 to 1; 0 where that is not known."""
        self._first = self._last = (self.began, 0.0)

    def reached(self, share: float) -> None:
        """Record that this share of the whole is done."""
        now = time.monotonic()
        if self.share == 0.0 and self.total is None:  # a training that goes on where it stood
            self._first = now, share
        self.share, self._last = share, (now, share)

    @property
    def left(self) -> float | None:
        """Seconds left, at the speed so far; None where it is not known."""
        (began, before), (at, share) = self._first, self._last
        if share <= before:
            return None
        whole = (at - began) / (share - before) * (1 - share)
        return max(0.0, whole - (time.monotonic() - at))

    @property
    def time(self) -> str:
        """The time spent, and the time left, in words."""
        spent, left = duration(time.monotonic() - self.began), self.left
        return spent if left is None else f"{spent}, {duration(left)} left"

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(filter(None, (self.status, self.time)))}"


class Bars:
    """Phases and trainings, on standard error; a `gated.phases.Listener`."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._display = _Display(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            _Told(),
            console=self.console,
            expand=True,
            disable=not (self.console.is_terminal and is_main_process()),
        )
        self._phases: list[tuple[Phase, TaskID]] = []
        self._training: Phase | None = None
        self._began = self._written = time.monotonic()
        self._over = threading.Event()

    @contextmanager
    def shown(self) -> Iterator[Bars]:
        """Show all phases and trainings that run in the block."""
        if not is_main_process():
            yield self
            return
        writer = threading.Thread(target=self._write_lines, daemon=True)
        with self._display, listened_by(self):
            if self._display.disable:
                writer.start()
            try:
                yield self
            finally:
                self._over.set()
                if writer.is_alive():
                    writer.join()

    def begin(self, name: str, total: int | None) -> None:
        """Show a phase."""
        phase = Phase(name, total)
        self._phases.append((phase, self._add(phase)))

    def advance(self) -> None:
        """Show that one more item of the innermost phase is done."""
        phase, task = self._phases[-1]
        phase.done += 1
        if phase.total:
            phase.status = f"{phase.done:,} of {phase.total:,}"
            phase.reached(phase.done / phase.total)
        else:
            phase.status = f"{phase.done:,}"
        self.update(task, phase)

    def end(self) -> None:
        """Remove the innermost phase."""
        _, task = self._phases.pop()
        self._display.remove_task(task)

    def train(self, phase: Phase) -> TaskID:
        """Show a training, which stays until the end."""
        self._training = phase
        return self._add(phase)

    def update(self, task: TaskID, phase: Phase) -> None:
        """Show how far a phase is."""
        self._display.update(task, completed=phase.share, total=1.0)

    def _add(self, phase: Phase) -> TaskID:
        return self._display.add_task(phase.name, total=None, phase=phase)

    def _write_lines(self) -> None:
        """Write a line into a log from time to time, until the end."""
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            self.write_line()

    def write_line(self) -> None:
        """Write a line about the current phase, if one is due."""
        now = time.monotonic()
        longer = min(60.0, PART_BETWEEN_LINES * (now - self._began))
        if now - self._written < max(SECONDS_BETWEEN_LINES, longer):
            return
        phase = self._phases[-1][0] if self._phases else self._training
        if phase is not None:
            self._written = now
            self.console.print(str(phase), markup=False, highlight=False, soft_wrap=True)


class TrainingBar:
    """Shows steps, loss, gradient norm and validation score; a `gated.training.Progress`."""

    def __init__(self, bars: Bars, label: str) -> None:
        self._bars, self._phase = bars, Phase(f"Training {label}")
        self._task = bars.train(self._phase)
        self._step = self._held_out = ""

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
        """Show a step; a gradient that was clipped is marked ✂."""
        norm = f"gradient {gradient_norm:.3g}{' ✂' if clipped else ''}"
        self._step = f"step {step:,} ({share:.0%}), {unit} {loss:.4g}, {norm}"
        self._phase.reached(share)
        self._show()

    def validation(self, *, step: int, scores: Mapping[str, float], best: bool) -> None:
        """Show the score of a validation; the best so far is marked ★."""
        name = next((name for name in scores if name != "loss"), "loss")
        self._held_out = f"validation {name} {scores[name]:.4g}{' ★' if best else ''}"
        self._show()

    def _show(self) -> None:
        self._phase.status = ", ".join(filter(None, (self._step, self._held_out)))
        self._bars.update(self._task, self._phase)


class _Display(RichProgress):
    """Shows the bars of phases that take longer than `SECONDS_BEFORE_A_BAR`."""

    def get_renderables(self) -> Iterable[RenderableType]:
        now = time.monotonic()
        yield self.make_tasks_table(
            [of for of in self.tasks if now - of.fields["phase"].began > SECONDS_BEFORE_A_BAR]
        )


class _Told(ProgressColumn):
    """The column with a phase's status and time."""

    def render(self, task: Task) -> Text:
        phase: Phase = task.fields["phase"]
        return Text(", ".join(filter(None, (phase.status, phase.time))))


@contextmanager
def training_bars() -> Iterator[Bars]:
    """Show bars on standard error while the block runs."""
    with Bars().shown() as bars:
        yield bars


def duration(seconds: float) -> str:
    """Return a time in words, in two units at most.

    >>> duration(12.3), duration(200), duration(4000)
    ('12 s', '3 min', '1 h 7 min')
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def training_summary(history: History) -> dict[str, Any]:
    """Return the summary of a training, for JSON."""
    return {
        "steps": history.steps,
        "seconds": sum(history.seconds),
        "stopped": history.stopped,
        "best_step": history.best.step if history.best else history.steps,
        "clipped_by_norm": sum(history.clipped_by_norm),
        "clipped_by_value": sum(history.clipped_by_value),
    }


def in_words(history: History) -> str:
    """Return the summary of a training in words."""
    clipped = sum(
        by_norm or by_value
        for by_norm, by_value in zip(history.clipped_by_norm, history.clipped_by_value, strict=True)
    )
    best = f", best at step {history.best.step}" if history.best else ""
    return (
        f"{history.steps} step{'s' * (history.steps != 1)} in {sum(history.seconds):.1f} s "
        f"({history.ended}){best}, gradient clipped at {clipped} of them"
    )
