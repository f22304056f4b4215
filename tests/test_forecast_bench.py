"""The forecast bench: the same windows for every method, a line for each, tables from the lines.

Only methods that need nothing but gated take part.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import forecast, forecast_methods, forecast_page, forecast_rows
from benchmarks.forecast_methods import METHODS, Method, Problem
from benchmarks.forecast_rows import Row, days, months

from gated.training.options import TrainingOptions

pl = pytest.importorskip("polars")

OWN = ("gated", "naive", "seasonal naive")
WEEKS = 12


def weekly() -> Any:
    """Two series that repeat each week, except that one lacks a day and grows by 7 a week."""
    day = np.arange(7 * WEEKS)
    parts = [
        pl.DataFrame({"series": name, "time": days(len(day)), "value": day % 7 + rise * (day // 7)})
        for name, rise in (("same", 0.0), ("rising", 7.0))
    ]
    table = pl.concat(parts)
    return table.filter((pl.col("series") == "same") | (pl.col("time") != days(21)[-1]))


ROW = Row("weekly", weekly, 7, 28, series="series")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where results go, of a small row and methods that are always there."""
    monkeypatch.setattr(forecast, "rows", lambda: [ROW])
    monkeypatch.setattr(forecast, "METHODS", {name: METHODS[name] for name in OWN})
    monkeypatch.setattr(forecast_methods, "TRAINING", TrainingOptions(steps=5, threads=1))
    return tmp_path / "forecast.jsonl"


def run(monkeypatch: pytest.MonkeyPatch, results: Path, *arguments: str) -> list[dict[str, Any]]:
    monkeypatch.setattr("sys.argv", ["forecast", "--results", str(results), *arguments])
    forecast.main()
    return forecast.finished(results)


def test_each_method_of_a_row_is_computed_once_and_scored_on_the_same_windows(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(run(monkeypatch, results, "--only", "weekly/seas", "other/")) == 1
    assert len(run(monkeypatch, results)) == 3
    text = results.read_text()
    run(monkeypatch, results)
    assert results.read_text() == text
    lines = {line["method"]: line for line in forecast.finished(results)}
    assert {line["windows"] for line in lines.values()} == {2 * 4}
    # A week later: 0 for the one that repeats, 7 for the one that rises by 7 a week.
    assert lines["seasonal naive"]["mae"] == pytest.approx(3.5)
    # The last value is that of a Sunday, 6: on average 3 from the week after, of one that rises 4.
    assert lines["naive"]["mae"] == pytest.approx((3 + 4) / 2)
    assert lines["seasonal naive"]["before"]["mae"] == pytest.approx(3.5)
    assert lines["gated"]["before"] is None
    by_time = lines["naive"]["by_time"]
    assert by_time["values"] == [14] * 4
    assert by_time["absolute"] == [49] * 4
    # Of the one that repeats, no change over a season: no scale, so it is not in the scaled errors.
    assert by_time["scaled_values"] == [7] * 4
    assert by_time["scaled"] == pytest.approx([28 / 7] * 4)


def test_a_method_that_fails_is_a_line_with_its_reason_and_the_others_go_on(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(problem: Problem, origins: Any) -> Any:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(
        forecast,
        "METHODS",
        {"gated": Method(fail), "absent": Method(fail, ("no_such_package",))}
        | {"naive": METHODS["naive"]},
    )
    lines = run(monkeypatch, results)
    assert [line["method"] for line in lines] == ["gated", "naive"]
    assert lines[0]["refused"] == "RuntimeError: no such luck"
    tables = forecast_page.tables(lines, ["weekly"], forecast_page.WORDS["en"])
    assert "- weekly, gated: RuntimeError: no such luck" in tables


def test_a_history_ends_with_the_window_and_has_no_gaps() -> None:
    problem = Problem(ROW, weekly())
    panel = problem.prepared.panel
    rising = panel.series.index("rising")
    end = panel.starts[rising] + 40
    history = problem.history(int(end))
    # Day 20 is missing, a line leads from the day before to the day after.
    assert len(history) == 41
    assert history[[19, 20, 21]].tolist() == [19, 20, 21]
    assert problem.history(int(end), 3).tolist() == history[-3:].tolist()
    assert problem.scales[rising] == 7  # of the other nothing changes over a week
    assert np.array_equal(problem.scales, problem.baselines.scales, equal_nan=True)
    assert np.array_equal(panel.ticks[problem.before] + 28, panel.ticks[problem.origins])


def test_a_series_without_a_model_gets_the_naive_forecast_and_is_counted() -> None:
    def none_of(seasons: tuple[int, ...], steps: int) -> Any:
        assert seasons == (7,)
        raise ValueError("too short")

    problem = Problem(ROW, weekly())
    found = forecast_methods.statistical(none_of)(problem, problem.origins)
    assert np.array_equal(found, problem.fallback(problem.origins))
    assert problem.fallbacks == 8


def line(method: str, mase: float, before: float | None, *errors: float) -> dict[str, Any]:
    ones = [1.0] * len(errors)
    sums = {"scaled": list(errors), "scaled_values": ones, "absolute": list(errors)}
    return {
        "row": "one", "method": method, "compared_by": "mase",
        "mae": 2 * mase, "mase": mase, "pinball": None,
        "coverage": 0.8 if method == "gated" else 0.5, "seconds": 1.0, "windows": len(errors),
        "before": before and {"mae": 2 * before, "mase": before},
        "by_time": sums | {"values": ones},
    }  # fmt: skip


def test_the_page_names_the_best_in_hindsight_and_the_one_chosen_before() -> None:
    random = np.random.default_rng(0)
    own, low, high = (base + 0.1 * random.random(20) for base in (1.0, 2.0, 4.0))
    lines = [
        line("gated", 1.0, None, *own),
        line("naive", 4.0, 1.0, *high) | {"shift": 2.04},
        line("AutoETS", 2.0, 3.0, *low),
    ]
    early = forecast_page.tables(lines, ["one"], forecast_page.WORDS["en"])
    assert not any("AutoETS | 0.50" in row for row in early)  # others might be better
    untried = set(forecast_page.STATISTICAL) - {"naive", "AutoETS"}
    failed = [{"row": "one", "method": name, "refused": "too slow"} for name in untried]
    lines += failed
    table = forecast_page.tables(lines, ["one", "absent"], forecast_page.WORDS["en"])
    assert "| one | 20 | 1 | 2, AutoETS | 0.50 | 4, naive | 0.25 | ahead |" in table
    assert "| geometric mean of ours ÷ theirs, 1 rows | | | | **0.50** | | **0.25** | |" in table
    assert "| one | **1** | 4 | 2 |" in table
    assert "| one | 2 | **80** | 50 | 50 |" in table
    assert "| geometric mean of the error ÷ the best in hindsight | 0.50 | 2.00 | 1.00 |" in table
    lines[0] |= {"by_time": lines[1]["by_time"]}
    assert forecast_page.verdict({of["method"]: of for of in lines[:3]}, "gated") == "worse"
    by_mae = [of | {"compared_by": "mae", "mase": None} for of in lines[:3]] + failed
    table = forecast_page.tables(by_mae, ["one"], forecast_page.WORDS["en"])
    assert "| one | 20 | 2 | 4, AutoETS | 0.50 |" in "".join(table)
    assert len(forecast_page.WORDS["zh"]["tables"]) == len(forecast_page.WORDS["en"]["tables"])


def test_every_row_has_a_name_of_its_own_and_synthetic_ones_are_the_same_again() -> None:
    rows = forecast_rows.rows()
    assert len({row.name for row in rows}) == len(rows) == 20
    for row in rows:
        assert row.config.horizon == row.horizon
    for name in ("growth", "level shift", "random walk", "two seasons", "family", "intermittent"):
        (row,) = (row for row in rows if row.name == name)
        assert row.table().equals(row.table())
    assert [str(day) for day in months(14)[-2:]] == ["2001-01-01", "2001-02-01"]


def test_lines_are_json(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, results, "--method", "naive")
    assert "NaN" not in results.read_text()
    assert json.loads(results.read_text())["method"] == "naive"


def test_a_test_part_that_is_harder_to_forecast_is_said_to_be() -> None:
    table = weekly()
    same = Problem(ROW, table).shift
    late = pl.int_range(pl.len()).over("series") >= pl.len().over("series") - ROW.test
    noise = pl.Series(np.random.default_rng(1).normal(0, 100, len(table)))
    rougher = table.with_columns(pl.when(late).then(pl.col("value") + noise).otherwise("value"))
    found = Problem(ROW, rougher.rename({"value": ROW.target})).shift
    assert same is not None
    assert found is not None
    assert found > 3 * same > 0
