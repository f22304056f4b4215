"""Partners: statistical methods, and how a forecaster takes whoever forecasts."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from tests.documents import write_document

from gated.errors import ConfigurationError, MissingExtraError, ModelFileError
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.tasks.forecast.mixture import trust
from gated.tasks.forecast.page import body
from gated.tasks.forecast.partners import MOST_REFITTED, PARTNERS
from gated.tasks.forecast.statistical import MODELS, statistical_forecast
from gated.tasks.learner import document
from gated.training.options import TrainingOptions

ROWS, HORIZON = 240, 6
CONFIG = ForecastConfig(
    time="t", target="y", horizon=HORIZON, history=12, hidden=4, test=30, members=1, season=12,
    partner=("pretrained", "ets"),
)  # fmt: skip
TRAINING = TrainingOptions(steps=2, threads=1)


def noise(rows=ROWS):
    """White noise, of which nobody knows the next value but whoever looks."""
    y = np.random.default_rng(3).normal(10, 1, rows)
    return pl.DataFrame({"t": np.arange(rows), "y": y})


def knows_all(prepared, origins):
    """A partner that looks at the rows to come, by a tenth too wide."""
    ahead = np.minimum(origins[:, None] + np.arange(1, HORIZON + 1), len(prepared.filled) - 1)
    return prepared.filled[ahead][..., None] + np.array([-0.1, 0, 0.1])


def knows_nothing(prepared, origins):
    return np.full((len(origins), HORIZON, 3), np.nan)


def knows_some(prepared, origins):
    """A partner without a forecast of every second window."""
    return np.where(origins[:, None, None] % 2, knows_all(prepared, origins), np.nan)


@pytest.fixture
def installed(monkeypatch):
    """As if statsforecast were there; partners are replaced besides."""
    monkeypatch.setitem(sys.modules, "statsforecast", ModuleType("statsforecast"))
    return lambda **fakes: [monkeypatch.setitem(PARTNERS, *fake) for fake in fakes.items()]


def test_whoever_forecasts_best_has_nearly_all_of_the_mixture(installed, tmp_path):
    installed(ets=knows_all)
    forecaster = Forecaster(CONFIG, TRAINING).fit(noise())
    assert forecaster.shares.shape == (2, 3)
    assert forecaster.shares[0, 2] > 0.85
    evaluation = forecaster.score()
    assert evaluation.overall["LSTM"]["mae"] < 0.3
    (parts,) = evaluation.parts.values()
    # After two steps the network's corrections of smoothing help nobody, and do not count.
    assert list(parts) == ["smoothing alone", "pretrained", "ets"]
    assert parts["ets"] == {"share": pytest.approx(forecaster.shares[0, 2]), "mae": 0}
    # Of white noise of deviation 1 a mean absolute error of 0.8 is left to who sees nothing of it.
    assert 0.5 < parts["smoothing alone"]["mae"] < 1.2
    assert f"smoothing alone {parts['smoothing alone']['mae']:.3g} (" in str(evaluation.verdict)
    assert document(evaluation)["parts"][""]["ets"]["mae"] == 0
    titles = {section.title: section for section in body(forecaster, evaluation).sections}
    _, table = titles["What is added up"].blocks
    trust(forecaster.network, 0.25)
    assert list(forecaster.score().parts[""]) == ["LSTM alone", "pretrained", "ets"]
    assert table.rows[0][3:] == (f"{parts['ets']['share']:.0%}", *table.rows[0][4:])
    forecaster.save(tmp_path)
    assert Forecaster.load(tmp_path).config.partner == ("pretrained", "ets")
    description = json.loads((tmp_path / "model.json").read_text())
    description["description"]["config"]["partner"] = "pretrained"
    write_document(tmp_path / "model.json", description)
    with pytest.raises(ModelFileError, match="earlier version of gated, without several partners"):
        Forecaster.load(tmp_path)


def test_where_a_partner_has_no_forecast_the_network_stands(installed):
    installed(ets=knows_nothing)
    config = replace(CONFIG, partner=("ets",))
    forecaster = Forecaster(config, TRAINING).fit(noise())
    (found,) = [of for of in forecaster.findings if of.kind == "partner"]
    assert (found.count, "ets" in found.what) == (len(forecaster.parts.validation), True)
    (parts,) = forecaster.score().parts.values()
    assert parts["ets"]["mae"] == parts["smoothing alone"]["mae"]
    # So it does of some windows alone, also where the forecast is put together from its own.
    installed(ets=knows_some)
    outlook = replace(forecaster.outlook, shares=np.array([[0.3, 0.7]] * 2))
    prepared, origins = forecaster.prepared, np.arange(150, 156)
    own = outlook.raw(prepared, origins)
    expected = outlook.calibrated(outlook.mixed(prepared, origins), prepared, origins)
    found = outlook.around(prepared, origins).forecast(own, config.quantiles)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_partner_that_takes_its_time_is_asked_for_few_windows(installed):
    asked = []
    installed(
        ets=lambda prepared, origins: asked.append(len(origins)) or knows_all(prepared, origins)
    )
    rows = 3000
    config = replace(CONFIG, partner=("ets",))
    forecaster = Forecaster(config, TRAINING).fit(noise(rows))
    assert len(forecaster.parts.validation) > 200
    assert asked == [MOST_REFITTED]
    assert forecaster.shares[0, 1] > 0.95


def test_partners_are_named_in_one_way_or_several():
    named = {"time": "t", "target": "y", "horizon": 1}
    for given, found in (
        ("ets", ("ets",)),
        (("theta", "pretrained"), ("theta", "pretrained")),
        ("none", ()),
        (("none",), ()),
        (None, None),
    ):
        assert ForecastConfig(**named, partner=given).partner == found
    for wrong in (("none", "ets"), ("ets", "ets"), ("arima",)):
        with pytest.raises(ConfigurationError, match="once, or 'none' alone"):
            ForecastConfig(**named, partner=wrong)


def test_what_is_not_installed_is_named_before_the_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gated\[statistics\]'"):
        Forecaster(CONFIG, TRAINING).prepare(noise())
    with pytest.raises(MissingExtraError, match="statistics"):
        statistical_forecast("ets", np.arange(20.0), (), 2, (0.5,))


def test_statistics_forecast_a_season_with_its_quantiles():
    pytest.importorskip("statsforecast.models", exc_type=ImportError)
    steps = np.arange(96)
    values = 50 + 10 * np.sin(2 * np.pi * steps / 12) + np.random.default_rng(0).normal(size=96)
    values[[5, 40, 41]] = np.nan
    ahead = np.arange(96, 108)
    truth = 50 + 10 * np.sin(2 * np.pi * ahead / 12)
    levels = (0.1, 0.3, 0.5, 0.9)
    for name in MODELS:
        found = statistical_forecast(name, values, (12, 60), 12, levels)
        assert np.abs(found[:, 2] - truth).max() < 2.5, name
        assert (np.diff(found, axis=-1) > 0).all(), name
        # Noise of deviation 1 lies within ± 1.28 of the median with 80 %; the parameters are known
        # less well than that.
        assert 1.8 < np.mean(found[:, 3] - found[:, 0]) < 6, name
        few = statistical_forecast(name, np.array([1.0, np.nan, 2.0, 3.0]), (12,), 5, levels)
        assert few.shape == (5, 4), name
        assert np.isnan(few).all(), name
