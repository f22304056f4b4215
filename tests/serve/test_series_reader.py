"""A forecaster in the explorer: what is read is what it computes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree

from gated.cli.explore import _exhibits
from gated.cli.run_directory import FILE_NAME
from gated.errors import ConfigurationError, ModelFileError
from gated.serve.reading import Clamp, Exhibit, Passage
from gated.serve.series_reader import SeriesReader, forecasts
from gated.tasks.forecast.network import Batch
from gated.tasks.forecast.windows import gather

HISTORY, HORIZON = 48, 12
STEPS = HISTORY + HORIZON


@pytest.fixture(scope="module")
def exhibit(runs: Path) -> Exhibit:
    (exhibit,) = _exhibits(runs, None)
    return exhibit


@pytest.fixture(scope="module")
def readers(exhibit: Exhibit) -> dict[str, SeriesReader]:
    return {reader.name: reader for reader in exhibit.readers}


def test_each_layer_is_a_reader(exhibit: Exhibit, readers: dict[str, SeriesReader]) -> None:
    assert list(readers) == ["gru", "lstm 1", "lstm 2"]
    assert exhibit.offered["history"] == HISTORY
    series = exhibit.offered["series"]
    assert [one["name"] for one in series] == ["EWR", "JFK", "LGA"]
    # Five days are held back; the last forecast begins one horizon before their end.
    assert [len(one["moments"]) for one in series] == [5 * 24 - HORIZON + 1] * 3
    assert series[0]["moments"][:2] == ("2013-12-25 23:00", "2013-12-26 00:00")


@pytest.mark.parametrize("name", ["gru", "lstm 2"])
def test_the_forecast_is_that_of_a_backtest(
    readers: dict[str, SeriesReader], weather_csv: Path, name: str
) -> None:
    reader = readers[name]
    evaluation = reader.forecaster.backtest(weather_csv, start="2013-12-26 00:00", stride=1)
    found = evaluation.forecasts
    own = [place for place, series in enumerate(found.series) if series == "JFK"]
    reading = reader.read(Passage(series=1, moment=7), None)
    expected = found.methods[reader.forecaster.config.cell.upper()][own[7]]
    forecast = reading.outputs["forecast"][HISTORY:]
    assert_agree(forecast.astype(np.float32), expected.astype(np.float32), "forecast")
    np.testing.assert_array_equal(reading.outputs["observed"][HISTORY:, 0], found.truth[own[7]])
    assert np.isnan(reading.outputs["forecast"][:HISTORY]).all()
    assert reading.score == pytest.approx(
        np.abs(expected[:, 1] - found.truth[own[7]]).mean(), rel=1e-5
    )
    assert len(reading.labels) == STEPS
    assert reading.labels[HISTORY - 1] == "2013-12-26 06:00"


@pytest.mark.parametrize("name", ["lstm 1", "lstm 2"])
def test_the_state_goes_on_from_the_history_into_the_forecast(
    readers: dict[str, SeriesReader], name: str
) -> None:
    values = readers[name].read(Passage(series=2, moment=3), None).values
    kept = values["forget_gate"][1:] * values["cell"][:-1]
    written = values["input_gate"] * values["candidate"]
    assert values["cell"].shape == (STEPS, 20)
    assert_agree(values["cell"][1:], kept + written[1:], "c_t")


@pytest.mark.parametrize(("first", "last"), [(0, None), (10, 20), (40, 52), (50, 50)])
def test_a_gate_is_held_in_history_and_forecast(
    readers: dict[str, SeriesReader], first: int, last: int | None
) -> None:
    reader, passage = readers["lstm 2"], Passage(series=0, moment=5)
    plain = reader.read(passage, None)
    held = reader.read(passage, Clamp("forget_gate", 0.25, 7, first, last))
    steps = np.arange(STEPS)
    inside = (steps >= first) & (steps <= (STEPS if last is None else last))
    gate = held.values["forget_gate"]
    assert_agree(gate[inside, 7], np.full(inside.sum(), 0.25, np.float32), "held")
    assert (np.abs(gate[~inside, 7] - 0.25) > 1e-6).all()
    assert_agree(held.values["cell"][:first], plain.values["cell"][:first], "what comes before")
    changed = np.abs(held.outputs["forecast"] - plain.outputs["forecast"])[HISTORY:]
    if inside[HISTORY - 8 :].any():
        assert changed[:, 1].max() > 1e-4
    assert_agree(
        reader.read(passage, None).outputs["forecast"][HISTORY:],
        plain.outputs["forecast"][HISTORY:],
        "set free",
    )


def test_the_gradient_is_that_of_finite_differences(readers: dict[str, SeriesReader]) -> None:
    from gated.serve import series_reader

    reader = readers["gru"]
    network = reader.forecaster.network
    origin = reader.origins[0][4:5]
    batch = Batch.of(gather(reader.prepared, origin))
    told = series_reader.gradient_by_distance(network, batch)
    assert told.shape == (HISTORY + 1,)

    def medians(step: int, feature: int, nudge: float) -> np.ndarray:
        def add(module: torch.nn.Module, arguments: tuple) -> tuple:
            x = arguments[0].clone()
            x[step, 0, feature] += nudge
            return (x, *arguments[1:])

        part = network.encoder if step >= 0 else network.decoder
        hook = part.register_forward_pre_hook(add)
        with torch.no_grad():
            median = network(batch)[:, 0, network.middle].double().numpy()
        hook.remove()
        return median

    distance = HORIZON  # always in the history
    norms = []
    for ahead in range(HORIZON):
        step = HISTORY + ahead - distance
        slopes = [
            (medians(step, k, 0.1)[ahead] - medians(step, k, -0.1)[ahead]) / 0.2
            for k in range(network.encoder.input_size)
        ]
        norms.append(np.linalg.norm(slopes))
    np.testing.assert_allclose(told[distance], np.mean(norms), rtol=0.02, atol=1e-7)


@pytest.mark.parametrize(
    ("passage", "clamp", "said"),
    [
        (Passage(series=3), None, "series must be from 0 to 2, got 3"),
        (Passage(moment=109), None, "moment must be from 0 to 108, got 109"),
        (Passage(), Clamp("update_gate", 0.5), "gate must be one of input_gate, forget_gate"),
        (Passage(), Clamp("forget_gate", 0.5, 20), "unit must be from 0 to 19, got 20"),
    ],
)
def test_what_cannot_be_read_is_explained(
    readers: dict[str, SeriesReader], passage: Passage, clamp: Clamp | None, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        readers["lstm 1"].read(passage, clamp)


def test_runs_that_cannot_stand_side_by_side_are_refused(
    runs: Path, weather_csv: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match="have the same cell, by which the page names them"):
        forecasts([runs / "gru", runs / "gru"], weather_csv)
    shutil.copytree(runs / "gru", tmp_path / "gru")
    (tmp_path / "gru" / FILE_NAME).unlink()
    with pytest.raises(ConfigurationError, match="does not say which table"):
        _exhibits(tmp_path, None)
    assert _exhibits(tmp_path, weather_csv)[0].offered["kind"] == "series"
    with pytest.raises(ConfigurationError, match="only a forecaster takes a table"):
        _exhibits(None, weather_csv)
