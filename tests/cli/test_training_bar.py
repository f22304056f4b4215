"""What a long job tells of itself, by a clock that nobody waits for."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from gated.cli.training_bar import Bars, TrainingBar
from gated.phases import counted, listened_by, phase


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def log() -> tuple[Bars, io.StringIO]:
    written = io.StringIO()
    return Bars(Console(file=written, width=60)), written


def step(bar: TrainingBar, step: int, share: float) -> None:
    bar.step(
        step=step,
        share=share,
        loss=1.23456,
        unit="bits a character",
        gradient_norm=0.5,
        clipped=True,
        learning_rate=0.1,
    )


def test_a_log_has_a_line_whatever_takes_its_time(clock: Clock) -> None:
    bars, written = log()
    with listened_by(bars):
        with phase("Reading texts"):
            clock.now += 9
            bars.write_line()
            assert written.getvalue() == ""  # too soon
            clock.now += 2
            bars.write_line()
        for place in counted("Transcribing", [1, 2, 3, 4]):
            clock.now += 20
            if place == 4:
                bars.write_line()
    assert written.getvalue().splitlines() == [
        "Reading texts: 11 s",
        "Transcribing: 3 of 4, 80 s, 0 s left",  # the fourth takes as long as it should
    ]


def test_lines_come_less_often_the_longer_it_takes(clock: Clock) -> None:
    bars, written = log()
    with listened_by(bars), phase("Baseline: xz"):
        for _ in range(7200):
            clock.now += 1
            bars.write_line()
    lines = written.getvalue().splitlines()
    assert lines[:2] == ["Baseline: xz: 10 s", "Baseline: xz: 20 s"]
    assert lines[-1].startswith("Baseline: xz: 1 h 59 min") or lines[-1].startswith(
        "Baseline: xz: 2 h"
    )
    assert 120 < len(lines) < 180


def test_a_training_says_where_it_is_in_the_unit_of_the_result(clock: Clock) -> None:
    bars, written = log()
    bar = TrainingBar(bars, "LSTM on 9 windows")
    clock.now += 30  # to begin takes its time, which says nothing of what is left
    step(bar, 10, 0.1)
    clock.now += 20
    step(bar, 20, 0.2)
    bar.validation(step=20, scores={"loss": 0.9, "MAE": 12.0, "RMSE": 99.0}, best=True)
    bars.write_line()
    clock.now += 30
    bars.write_line()
    first, second = written.getvalue().splitlines()
    assert first == (
        "Training LSTM on 9 windows: step 20 (20%), bits a character 1.235, gradient 0.5 ✂, "
        "validation MAE 12 ★, 50 s, 3 min left"
    )
    assert second.endswith("80 s, 2 min left")


def test_a_validation_with_nothing_but_a_loss_shows_it(clock: Clock) -> None:
    bars, written = log()
    bar = TrainingBar(bars, "network")
    bar.validation(step=1, scores={"loss": 0.25}, best=False)
    clock.now += 11
    bars.write_line()
    assert written.getvalue() == "Training network: validation loss 0.25, 11 s\n"


def test_a_terminal_shows_bars_of_what_takes_longer_than_a_moment(clock: Clock) -> None:
    written = io.StringIO()
    bars = Bars(Console(file=written, force_terminal=True, width=100))
    with bars.shown(), phase("Long ago"):
        clock.now += 3
        with phase("Just now", 4) as done:
            done()
            bars._display.refresh()
        assert "Long ago" in written.getvalue()
        assert "Just now" not in written.getvalue()
        with phase("Later", 4) as done:
            clock.now += 3
            done()
            bars._display.refresh()
    assert "1 of 4, 3 s, 9 s left" in written.getvalue()
