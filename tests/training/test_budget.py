"""Steps, epochs and minutes: whichever comes first ends the training, and shapes the schedule."""

from __future__ import annotations

import time
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from adding import Adding, same_course

from gated.errors import ConfigurationError
from gated.training.budget import Budget
from gated.training.history import History
from gated.training.loop import FINISH, train
from gated.training.options import TrainingOptions


class Speech(TrainingOptions):
    usual_steps = 3000


@pytest.fixture
def seconds_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step and each validation takes a second, by a clock that nobody waits for."""
    for clock in "perf_counter", "process_time":
        ticks = count()
        monkeypatch.setattr(time, clock, lambda ticks=ticks: float(next(ticks)))


class Watcher:
    """Does something after a step."""

    def __init__(self, step: int, do: Any) -> None:
        self.at, self.do, self.shares = step, do, []

    def step(self, *, step: int, share: float, **_: Any) -> None:
        self.shares.append(share)
        if step == self.at:
            self.do()

    def validation(self, **_: Any) -> None:
        pass


def interrupt() -> None:
    raise KeyboardInterrupt


def test_without_a_budget_it_is_as_is_usual() -> None:
    assert (TrainingOptions().steps, Speech().steps) == (300, 3000)
    assert Speech(minutes=2).steps is None
    assert Speech(epochs=2).steps is None
    assert Speech(processor_minutes=2).steps is None
    assert Speech(steps=7, processor_minutes=1).budget == "7 steps or 1 processor minute"
    assert (Speech(steps=7, minutes=2).steps, Speech(steps=7, minutes=2).minutes) == (7, 2)


@pytest.mark.parametrize("bound", [{"minutes": 0.0}, {"epochs": -1.0}, {"minutes": float("inf")}])
def test_a_budget_of_nothing_is_refused(bound: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(bound))):
        TrainingOptions(**bound)


@pytest.mark.parametrize(
    ("options", "steps", "stopped"),
    [
        ({"steps": 5, "epochs": 0.12}, 5, "steps"),
        ({"epochs": 0.12}, 12, "epochs"),  # of 100 steps
        ({"steps": 20, "epochs": 0.07}, 7, "epochs"),
    ],
)
def test_whichever_comes_first(options: dict[str, Any], steps: int, stopped: str) -> None:
    history = train(Adding(), TrainingOptions(**options))
    assert (history.steps, history.stopped) == (steps, stopped)
    # The schedule falls to its end with the budget.
    assert history.learning_rate[-1] == pytest.approx(3e-3 * 1e-4)


@pytest.mark.parametrize(
    ("budget", "stopped", "other"),
    [("minutes", "minutes", "process_time"), ("processor_minutes", "time", "perf_counter")],
)
def test_minutes_are_those_of_steps_and_validations(
    budget: str,
    stopped: str,
    other: str,
    seconds_a_step: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = count(step=5)  # the clock that the budget does not go by
    monkeypatch.setattr(time, other, lambda: float(next(ticks)))
    watcher = Watcher(0, None)
    bound: dict[str, Any] = {budget: 0.2}
    history = train(
        Adding(), TrainingOptions(**bound, validate_every=4, warmup=0.25), progress=watcher
    )
    # 12 seconds: 4 steps, a validation, 4 steps, a validation, 2 steps.
    assert (history.steps, history.stopped) == (10, stopped)
    assert history.ended  # in words
    by_wall = {"minutes": 1, "time": 5}[stopped]
    assert [of.seconds for of in history.validations] == [by_wall] * 3
    assert (history.spent, history.processor_seconds) == (13 * by_wall, 13 * 5 / by_wall)
    assert watcher.shares == pytest.approx([*(k / 12 for k in (1, 2, 3, 4, 6, 7, 8, 9, 11, 12))])
    # The rate rises to its peak in a quarter of the time, and then falls.
    rates = history.learning_rate
    assert max(rates) == pytest.approx(3e-3)
    assert rates.index(max(rates)) == 3
    assert all(before > after for before, after in pairwise(rates[3:]))


@pytest.mark.parametrize("budget", ["minutes", "processor_minutes"])
def test_minutes_go_on_where_they_stood_after_an_interruption(
    budget: str, seconds_a_step: None, tmp_path: Path
) -> None:
    bound: dict[str, Any] = {budget: 0.2}
    options = TrainingOptions(**bound, validate_every=4, checkpoint_every=1)
    expected = train(Adding(), options)
    with pytest.raises(KeyboardInterrupt):
        train(Adding(), options, directory=tmp_path, progress=Watcher(6, interrupt))
    history = train(Adding(), options, directory=tmp_path, resume=True)
    assert same_course(history, expected)
    assert history.spent == expected.spent


def test_the_nearer_bound_shapes_the_schedule() -> None:
    budget = Budget(steps=11, seconds=100.0)
    assert budget.place(5, 10.0) == (5000.0, 10001)
    assert budget.place(5, 90.0) == (9000.0, 10001)
    assert budget.share(5, 90.0) == 0.9
    assert budget.ended_by(11, 1.0) == "steps"
    assert budget.ended_by(5, 100.0) == "minutes"
    assert budget.ended_by(5, 99.0) == ""


def test_it_finishes_after_the_step_in_which_it_is_asked_to(tmp_path: Path) -> None:
    task = Adding()
    asked = Watcher(12, (tmp_path / FINISH).touch)
    options = TrainingOptions(steps=40, validate_every=5)
    history = train(task, options, directory=tmp_path, progress=asked)
    assert (history.steps, history.stopped) == (13, "finish")
    assert [of.step for of in history.validations] == [5, 10, 13]
    again = Adding(seed=5)
    assert same_course(train(again, options, directory=tmp_path, resume=True), history)
    for name, weight in task.network.state_dict().items():
        assert torch.equal(weight, again.network.state_dict()[name]), name


def test_a_checkpoint_is_written_each_minute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ticks = count(step=50)  # seconds that a step takes
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    kept: list[int] = []

    def keep(path: Path, checkpoint: Any) -> None:
        kept.append(checkpoint.history.steps)

    monkeypatch.setattr("gated.training.loop.write_checkpoint", keep)
    train(Adding(), TrainingOptions(steps=5, validate_every=5), directory=tmp_path)
    assert kept == [2, 4, 5]


def test_the_history_keeps_how_long_validations_took(seconds_a_step: None) -> None:
    history = train(Adding(), TrainingOptions(steps=4, validate_every=2))
    assert History.from_json(history.to_json()).spent == history.spent == 6
