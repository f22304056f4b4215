"""A forecaster as files: what the page computes of a window is what gated.explain says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.serve import series_reference
from tests.serve.conftest import Ask, settle
from tests.serve.reading import Clamp, Reading
from tests.serve.series_reference import assert_read

from gated.cli.app import run
from gated.cli.explore import _exhibits
from gated.cli.run_directory import FILE_NAME
from gated.errors import ConfigurationError, ModelFileError
from gated.serve import series_exhibit
from gated.serve.exhibit import Exhibit
from gated.serve.series_exhibit import forecasts
from gated.serve.static_page import write_page
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.forecaster import Forecaster
from gated.training.options import TrainingOptions

HISTORY, HORIZON = 48, 12
STEPS = HISTORY + HORIZON


def reference(
    forecasters: Any, name: str, series: int, moment: int, clamp: Clamp | None = None
) -> Reading:
    cell, _, layer = name.partition(" ")
    forecaster, after = forecasters[cell]
    series_of = after.prepared.panel.series_of[after.origins]
    row = after.origins[series_of == np.unique(series_of)[series]][moment]
    return series_reference.read(forecaster, after.prepared, int(row), int(layer or 1) - 1, clamp)


HELD = [
    None,
    Clamp("forget_gate", 0.25, 7, 0, None),
    Clamp("input_gate", 0.5, None, 10, 20),
    Clamp("forget_gate", 0.0, None, 40, 52),
    Clamp("output_gate", 1.0, None, 50, 50),
]


@pytest.mark.parametrize("held", HELD)
def test_the_page_computes_what_explain_says(
    ask: Callable[[Path], Ask], written: Path, forecasters: Any, held: Clamp | None
) -> None:
    asks = ask(written)
    names = ["gru", "lstm 1", "lstm 2"] if held is None else ["lstm 1", "lstm 2"]
    for place, name in enumerate(names):
        header, arrays = asks(name, place, 7 + place, held)
        expected = reference(forecasters, name, place, 7 + place, held)
        assert_read(arrays, expected)
        assert header["score"] == pytest.approx(expected.score, rel=2e-5)
        assert len(header["labels"]) == STEPS
    assert header["labels"][HISTORY - 1] == f"2013-12-26 0{6 + place}:00"


def test_a_held_gate_moves_the_forecast_from_then_on(
    ask: Callable[[Path], Ask], written: Path
) -> None:
    asks = ask(written)
    (_, plain), (_, held) = asks("lstm 2", 0, 5), asks("lstm 2", 0, 5, HELD[3])
    changed = np.abs(held["forecast"] - plain["forecast"])[HISTORY:]
    assert changed[:, 1].max() > 1e-3
    np.testing.assert_array_equal(held["cell"][:40], plain["cell"][:40])


def test_the_forecast_is_that_of_a_backtest(
    ask: Callable[[Path], Ask], written: Path, forecasters: Any, weather_csv: Path
) -> None:
    forecaster, _ = forecasters["lstm"]
    found = forecaster.backtest(weather_csv, start="2013-12-26 00:00", stride=1).forecasts
    own = [place for place, series in enumerate(found.series) if series == "JFK"]
    _, arrays = ask(written)("lstm 1", 1, 7)
    expected = found.methods["LSTM"][own[7]]
    np.testing.assert_allclose(arrays["forecast"][HISTORY:], expected, rtol=2e-5)
    np.testing.assert_array_equal(
        arrays["observed"][HISTORY:, 0], found.truth[own[7]].astype(np.float32)
    )


def test_each_layer_is_offered(exhibit: Exhibit) -> None:
    offered = exhibit.offered
    assert [one["name"] for one in offered["networks"]] == ["gru", "lstm 1", "lstm 2"]
    assert offered["history"] == HISTORY
    # Five days are held back; the last forecast begins one horizon before their end.
    assert offered["series"] == [
        {"name": name, "windows": 5 * 24 - HORIZON + 1} for name in ("EWR", "JFK", "LGA")
    ]
    assert offered["left_out"] == {"series": 0, "windows": 0}
    sizes = {path: len(script) for path, script in exhibit.files.items()}
    assert max(sizes.values()) <= series_exhibit.LARGEST_NETWORK
    assert len(sizes) == 2 + 2 * 3


def test_what_is_too_large_is_left_out_and_rounded_and_the_page_says_so(
    runs: Path,
    weather_csv: Path,
    tmp_path: Path,
    ask: Callable[[Path], Ask],
    opened: Callable[[str], Any],
    forecasters: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(series_exhibit, "LARGEST_NETWORK", 50_000)
    monkeypatch.setattr(series_exhibit, "LARGEST_SERIES", 25_000)
    monkeypatch.setattr(series_exhibit, "MOST_SERIES", 2)
    assert run(["explore", str(runs / "lstm"), "--out", str(tmp_path)]) == 0
    sizes = [path.stat().st_size for path in tmp_path.glob("series/run/*.js")]
    assert len(sizes) == 2
    assert 15_000 < sum(sizes) <= 25_000
    assert next(tmp_path.glob("networks/run/*.js")).stat().st_size <= 50_000
    listed = json.loads((tmp_path / "exhibit.js").read_text()[len("window.gatedExhibits=") : -1])
    windows = listed[0]["series"][0]["windows"]
    left = 3 * 109 - 2 * windows
    assert 0 < windows < 109
    assert f"{left} earlier windows" in " ".join(capsys.readouterr().out.split())
    page = opened((tmp_path / "index.html").as_uri() + "#language=en&theme=light")
    settle(page)
    said = page.locator("#notices").inner_text()
    assert f"{left} earlier windows are left out, among them all windows of 1 series" in said
    assert "rounded to 16 bits" in said
    _, arrays = ask(tmp_path)("lstm 2", 1, windows - 1)
    expected = reference(forecasters, "lstm 2", 1, 108)
    forecast = expected.outputs["forecast"]
    np.testing.assert_allclose(arrays["forecast"], forecast, rtol=2e-3)


SHORT = TrainingOptions(steps=2)


def counts(seed: int) -> pl.DataFrame:
    """Two series of counts, of which the second begins later, with a known column and texts."""
    random = np.random.default_rng(seed)
    frames = []
    for name, steps in (("a", 160), ("b", 120)):
        when = np.arange(160 - steps, 160)
        frames.append(
            pl.DataFrame(
                {
                    "t": when,
                    "y": random.poisson(6 + 3 * np.sin(when / 7 * 2 * np.pi)).astype(float),
                    "name": [name] * steps,
                    "kind": random.choice(["x", "y", "z"], steps),
                    "offer": random.normal(size=steps),
                }
            )
        )
    return pl.concat(frames)


@pytest.mark.parametrize(
    ("distribution", "cell"),
    [("quantiles", "lstm"), ("student-t", "rnn"), ("negative-binomial", "gru")],
)
def test_every_distribution_and_column_is_read(
    distribution: Any, cell: Any, tmp_path: Path, ask: Callable[[Path], Ask]
) -> None:
    table = counts(3)
    config = ForecastConfig(
        time="t",
        target="y",
        series="name",
        horizon=5,
        history=12,
        season=7,
        test=20,
        known=("kind", "offer"),
        distribution=distribution,
        cell=cell,
        hidden=6,
        partner="pretrained" if distribution == "quantiles" else "none",
    )
    forecaster = Forecaster(config, SHORT).fit(table)
    forecaster.first_network.trust.fill_(1.0)
    torch.nn.init.normal_(forecaster.first_network.head.weight)
    forecaster.save(tmp_path / "run")
    # A series that it was not fitted to is scaled by its own past.
    later = pl.concat([table, table.filter(pl.col("name") == "a").with_columns(name=pl.lit("c"))])
    later.write_csv(tmp_path / "later.csv")
    write_page(tmp_path / "page", [forecasts([tmp_path / "run"], tmp_path / "later.csv")])
    after = Forecaster.load(tmp_path / "run").windows_after_training(tmp_path / "later.csv")
    asks = ask(tmp_path / "page")
    series_of = after.prepared.panel.series_of[after.origins]
    for series in range(3):
        row = int(after.origins[series_of == series][4])
        expected = series_reference.read(forecaster, after.prepared, row, 0)
        assert_read(asks(cell, series, 4)[1], expected)


def test_runs_that_cannot_stand_side_by_side_are_refused(
    runs: Path, weather_csv: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match="have the same cell, by which the page names them"):
        forecasts([runs / "gru", runs / "gru"], weather_csv)
    shutil.copytree(runs / "gru", tmp_path / "gru")
    (tmp_path / "gru" / FILE_NAME).unlink()
    with pytest.raises(ConfigurationError, match="does not say which table"):
        _exhibits(tmp_path, None)
    with pytest.raises(ConfigurationError, match="only a forecaster takes a table"):
        _exhibits(None, weather_csv)


def test_what_is_around_the_network_is_what_the_forecaster_does(forecasters: Any) -> None:
    forecaster, after = forecasters["gru"]
    outlook, origins = forecaster.outlook, after.origins[::50]
    quantiles = forecaster.config.quantiles
    own = outlook.raw(after.prepared, origins)
    around = outlook.around(after.prepared, origins)
    expected = outlook.forecast(after.prepared, origins)
    np.testing.assert_allclose(around.forecast(own, quantiles), expected, rtol=1e-12)
    whole = replace(around, whole=True, least=np.full_like(around.least, 20.0))
    rounded = np.floor(np.maximum(expected, 20) + 0.5)
    np.testing.assert_array_equal(whole.forecast(own, quantiles), rounded)
