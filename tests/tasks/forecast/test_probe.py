"""What a forecaster offers to be looked into: its windows, their times, and its training loss."""

import numpy as np
import polars as pl
import pytest
import torch

from gated.errors import DataError
from gated.explain import explain
from gated.tasks.forecast import Forecaster
from gated.tasks.forecast.distributions import pinball
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.network import Batch, ForecastNetwork
from gated.tasks.forecast.probe import MOST_DRAWN, forecast_probe
from gated.tasks.forecast.windows import gather, held_out_origins
from gated.training.options import TrainingOptions


def network_of(weather: Prepared) -> ForecastNetwork:
    torch.manual_seed(0)
    return ForecastNetwork(weather.preprocessing)


def test_timelines_are_what_each_window_reads_and_forecasts(weather: Prepared) -> None:
    network = network_of(weather)
    origins = held_out_origins(weather)
    probe = forecast_probe(network, weather, origins)
    drawn = origins[:: -(-len(origins) // MOST_DRAWN)]
    assert len(probe.sequences) == len(drawn) <= MOST_DRAWN
    assert probe.sequences[0].startswith("'EWR' at 2013-12-0")
    panel = weather.panel
    for place, origin in enumerate(drawn):
        read = probe.timelines["encoder"][place]
        times = panel.times[origin - 71 : origin + 1].astype("datetime64[us]")
        np.testing.assert_array_equal(read.labels, times)
        np.testing.assert_array_equal(
            read.signals["temp"], weather.filled[origin - 71 : origin + 1]
        )
        ahead = probe.timelines["decoder"][place]
        assert ahead.labels[0] == times[-1] + np.timedelta64(1, "h")
        with torch.no_grad():
            median = network(Batch.of(gather(weather, np.array([origin]))))[:, 0, 1].numpy()
        scaling, series = weather.preprocessing.target, weather.series_of[origin]
        expected = scaling.invert(median.astype(float), series)
        np.testing.assert_allclose(ahead.signals["temp forecast"], expected, rtol=1e-5)
        assert read.unit == "steps of 1h"


def test_batches_share_no_window_and_the_loss_is_that_of_training(weather: Prepared) -> None:
    network = network_of(weather)
    origins = held_out_origins(weather)
    probe = forecast_probe(network, weather, origins)
    batches = [batch for batch, _ in probe.batches]
    assert sum(batch.last.shape[0] for batch in batches) == len(origins)
    assert probe.loss is not None
    with torch.no_grad():
        forecast = network(batches[0])
        loss = float(probe.loss(forecast))
    quantiles = torch.tensor(weather.preprocessing.config.quantiles)
    observed = batches[0].weight > 0
    wanted = pinball(quantiles, forecast, batches[0].target) / batches[0].remainder
    wanted = wanted[observed].mean()
    assert loss == pytest.approx(float(wanted), rel=1e-5)
    found = explain(probe)
    assert [layer.title for layer in found.layers] == ["encoder, layer 0", "decoder, layer 0"]
    assert found.loss == pytest.approx(loss, rel=1e-5)


def test_windows_come_after_the_training_data_where_there_are_some(
    weather_csv, weather_config
) -> None:
    forecaster = Forecaster(weather_config, TrainingOptions(steps=1, threads=1)).fit(weather_csv)
    probe = forecaster.probe()
    split = forecaster.prepared.split
    assert split is not None
    panel = forecaster.prepared.panel
    first = panel.times[panel.ticks >= split.test].min()
    begins = [timeline.labels[0] for timeline in probe.timelines["decoder"]]
    assert min(begins) >= np.int64(first).astype("datetime64[us]")
    table = pl.read_csv(weather_csv, null_values="NA", infer_schema_length=None)
    earlier = forecaster.probe(table.filter(pl.col("month") <= 2))
    begins = [timeline.labels[0] for timeline in earlier.timelines["decoder"]]
    assert max(begins) < np.datetime64("2013-03-02")
    with pytest.raises(DataError, match="no window of 72 steps"):
        forecaster.probe(table.filter((pl.col("month") == 1) & (pl.col("day") <= 3)))
