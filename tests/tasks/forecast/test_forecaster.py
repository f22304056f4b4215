import re
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import torch
from holidays import country_holidays
from tests.documents import replace_in_document

from gated.configuration import json_values
from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.tasks.learner import document
from gated.training.model_files import load_model, save_model
from gated.training.options import TrainingOptions

ROWS, TEST = 500, 90
CONFIG = ForecastConfig(time="t", target="y", horizon=6, history=26, hidden=16, test=TEST)
TRAINING = TrainingOptions(steps=150, learning_rate=1e-2, threads=1)
SHORT = replace(TRAINING, steps=3)


def noisy_wave(rows: int = ROWS, noise: float = 0.5) -> pl.DataFrame:
    """A wave whose period of 8π steps is no whole number, so that no season repeats it."""
    steps = np.arange(rows)
    y = 20 + 5 * np.sin(steps / 4) + noise * np.random.default_rng(0).normal(size=rows)
    return pl.DataFrame({"t": steps, "y": y})


def same_weights(one: Forecaster, other: Forecaster) -> bool:
    weights = other.network.state_dict()
    return all(torch.equal(v, weights[k]) for k, v in one.network.state_dict().items())


@pytest.fixture(scope="module")
def wave() -> pl.DataFrame:
    return noisy_wave()


@pytest.fixture(scope="module")
def fitted(wave: pl.DataFrame) -> Forecaster:
    """Trained long enough to forecast well."""
    return Forecaster(CONFIG, TRAINING).fit(wave)


@pytest.fixture(scope="module")
def hasty(wave: pl.DataFrame) -> Forecaster:
    """Trained for a few steps: good enough where the forecasts need not be."""
    return Forecaster(CONFIG, SHORT).fit(wave)


def test_a_noisy_wave_is_forecast_far_better_than_by_both_baselines(wave):
    # The nearest whole season is the strongest one that the baseline can have.
    alone = replace(CONFIG, season=25, partner="none")
    evaluation = Forecaster(alone, TRAINING).fit(wave).score()
    overall = evaluation.overall
    assert set(overall) == {"LSTM", "naive", "seasonal naive"}
    # Noise of deviation 0.5 leaves a mean absolute error of 0.4 to the best of forecasts.
    assert 0.3 < overall["LSTM"]["mae"] < 0.6
    assert overall["LSTM"]["mae"] < 0.9 * overall["seasonal naive"]["mae"]
    assert overall["LSTM"]["mae"] < 0.3 * overall["naive"]["mae"]
    assert overall["LSTM"]["coverage"] > 0.7
    assert evaluation.verdict.better
    assert (evaluation.overlap, evaluation.forecasts.truth.shape) == (0, (TEST // 6, 6))


def test_prediction_has_the_steps_after_the_data_and_a_column_for_each_quantile(fitted):
    forecast = fitted.predict()
    assert forecast.columns == ["t", "q10", "q50", "q90"]
    assert forecast["t"].to_list() == list(range(ROWS, ROWS + 6))
    truth = 20 + 5 * np.sin(np.arange(ROWS, ROWS + 6) / 4)
    assert np.abs(forecast["q50"].to_numpy() - truth).max() < 1.5
    assert (forecast["q10"] < truth).all()
    assert (forecast["q90"] > truth).all()


def test_the_seed_decides_the_weights(wave, hasty):
    torch.manual_seed(99)
    assert same_weights(Forecaster(CONFIG, SHORT).fit(wave), hasty)
    other = Forecaster(CONFIG, replace(SHORT, seed=1)).fit(wave)
    assert not same_weights(other, hasty)


def test_the_test_part_changes_no_weight_and_no_earlier_forecast(wave, hasty):
    cut = ROWS - TEST
    changed = wave.with_columns(
        pl.when(pl.col("t") >= cut).then(1e3 - 7 * pl.col("y")).otherwise("y").alias("y")
    )
    other = Forecaster(CONFIG, SHORT).fit(changed)
    assert same_weights(other, hasty)
    assert other.predict(wave).equals(hasty.predict(wave))
    # The first window of the test part reads nothing of it, the second does.
    before, after = (forecaster.score().forecasts.methods["LSTM"] for forecaster in (hasty, other))
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[1] != after[1]).all()


def test_a_loaded_model_forecasts_and_scores_the_same(tmp_path, wave, fitted):
    fitted.save(tmp_path)
    loaded = Forecaster.load(tmp_path)
    assert loaded.config == fitted.config
    assert loaded.training == fitted.training
    assert loaded.predict(wave).equals(fitted.predict())
    assert document(loaded.score(wave)) == document(fitted.score())
    with pytest.raises(DataError, match="holds no data"):
        loaded.predict()


def test_saving_again_replaces_the_model(tmp_path, wave, fitted, hasty):
    fitted.save(tmp_path)
    hasty.save(tmp_path)
    assert same_weights(Forecaster.load(tmp_path), hasty)
    names = sorted(path.name.partition("-")[0] for path in tmp_path.iterdir())
    assert names == ["model.json", "past", "weights"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"calibration"', '"width"', "calibration"),
        ('"borrowed": "naive"', '"borrowed": "Theta"', "no baseline 'Theta'"),
        ('"hidden": 16', '"hidden": 17', "the shape of"),
        ('"hidden": 16', '"units": 16', "units"),
        ('"task": "forecast"', '"task": "labelling"', "labelling"),
    ],
)
def test_a_damaged_description_is_refused(tmp_path, hasty, old, new, message):
    hasty.save(tmp_path)
    replace_in_document(tmp_path / "model.json", old, new)
    with pytest.raises(ModelFileError, match=message):
        Forecaster.load(tmp_path)


def test_damaged_weights_are_refused(tmp_path, hasty):
    hasty.save(tmp_path)
    (path,) = tmp_path.glob("weights-*.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="damaged"):
        Forecaster.load(tmp_path)


def shop(rows: int = 400) -> pl.DataFrame:
    """Sales that only price and offer, both known ahead, explain."""
    rng = np.random.default_rng(1)
    price = rng.uniform(1, 3, rows)
    offer = rng.choice(["none", "half", "gift"], rows)
    effect = np.select([offer == "half", offer == "gift"], [8.0, -8.0])
    y = 10 * price + effect + 0.3 * rng.normal(size=rows)
    day = [date(2024, 1, 1) + timedelta(days=i) for i in range(rows)]
    return pl.DataFrame({"day": day, "y": y, "price": price, "offer": offer})


SHOP = ForecastConfig(
    time="day", target="y", known=("price", "offer"), horizon=4, history=14, hidden=16, test=80
)


@pytest.fixture(scope="module")
def seller() -> Forecaster:
    return Forecaster(SHOP, TRAINING).fit(shop())


def test_numbers_and_texts_known_ahead_are_used(seller):
    overall = seller.score().overall
    assert overall["LSTM"]["mae"] < 0.2 * overall["naive"]["mae"]
    assert overall["LSTM"]["mae"] < 0.2 * overall["seasonal naive"]["mae"]


def test_prediction_reads_the_plan_for_the_steps_ahead(seller):
    data = shop()
    price, offer = [1.2, 2.8, 2.0, 2.0], ["none", "none", "half", "gift"]
    plan = pl.DataFrame(
        {
            "day": [data["day"][-1] + timedelta(days=i) for i in range(1, 5)],
            "y": [None] * 4,
            "price": price,
            "offer": offer,
        },
        schema=data.schema,
    )
    forecast = seller.predict(pl.concat([data, plan]))
    assert forecast["day"].to_list() == plan["day"].to_list()
    np.testing.assert_allclose(forecast["q50"], [12, 28, 28, 12], atol=2.5)


def test_a_plan_that_is_missing_is_named(seller):
    with pytest.raises(DataError, match=r"'price' is missing for 2025-02-04.*4 steps to forecast"):
        seller.predict(shop())
    with pytest.raises(DataError, match="offer"):
        seller.predict(shop().drop("offer"))


def test_what_a_column_holds_for_a_series_need_not_be_repeated():
    sizes = {"a": ("small", 1.0), "b": ("large", 2.0), "c": ("large", 3.0)}
    table = pl.concat(
        several("abc")
        .filter(pl.col("name") == name)
        .with_columns(size=pl.lit(size), area=pl.lit(area), price=1 + pl.col("t") % 3)
        for name, (size, area) in sizes.items()
    ).with_columns(price=pl.when(pl.col("name") == "c").then(5).otherwise("price"))
    config = replace(CONFIG, series="name", known=("size", "area", "price"), test=30)
    forecaster = Forecaster(config, SHORT).fit(table)
    plan = pl.DataFrame({"name": ["a"] * 6 + ["b"] * 6, "t": [*range(200, 206)] * 2, "price": 2})
    forecast = forecaster.predict(pl.concat([table, plan], how="diagonal_relaxed"))
    assert forecast["name"].value_counts()["count"].to_list() == [6] * 3
    told = {of.column: (of.count, of.series) for of in forecaster.findings if of.kind == "held"}
    everyone = (3, ("a", "b", "c"))
    assert told == {"size": everyone, "area": everyone, "price": (1, ("c",))}
    given = plan.with_columns(size=pl.lit("large"), area=2.0).filter(pl.col("name") == "b")
    again = forecaster.predict(pl.concat([table, plan.head(6), given], how="diagonal_relaxed"))
    assert again.equals(forecast)
    # What changed in training is missing, however steady it was of late.
    short = table.filter(pl.col("t") > 150).with_columns(price=pl.lit(2))
    with pytest.raises(DataError, match=r"'price' is missing for 'a' at 200"):
        forecaster.predict(short)


def test_with_nothing_held_back_it_learns_from_all_data_and_has_no_score(wave):
    forecaster = Forecaster(replace(CONFIG, test=0, members=1), SHORT).fit(wave)
    forecaster.check_test_part()
    evaluation = forecaster.score()
    assert str(evaluation.verdict) == (
        "There is no score: the network learned from all data (test=0)."
    )
    assert not evaluation.verdict.better
    assert document(evaluation)["windows"] == 0
    assert np.isnan(evaluation.overall["LSTM"]["mae"])
    assert forecaster.prepared.split.test == ROWS
    assert max(forecaster.parts.training.origins) == ROWS - 6 - 1 - forecaster_held(forecaster)
    assert forecaster.predict()["t"].to_list() == list(range(ROWS, ROWS + 6))


def test_what_cannot_be_scored_says_why(wave, hasty):
    everything = Forecaster(replace(CONFIG, test=0, members=1), SHORT).fit(wave)
    with pytest.raises(DataError, match=r"trained on all of its table, since test was 0"):
        everything.evaluate(wave)
    with pytest.raises(ConfigurationError, match=r"start = 700 is not before end = 600"):
        hasty.backtest(wave, start=700, end=600)
    with pytest.raises(ConfigurationError, match=r"horizon is 9,999, but the data have"):
        Forecaster(replace(CONFIG, horizon=9999, history=None, test=None), SHORT).fit(wave)


def forecaster_held(forecaster: Forecaster) -> int:
    """Steps of the last stretch of validation, which ends with the data."""
    begin, end = forecaster.prepared.split.validation[-1]
    return end - begin


def test_holidays_of_the_past_and_of_the_steps_ahead_are_used():
    """Sales stop on public holidays, which nothing else in the table tells."""
    days = [date(2020, 1, 1) + timedelta(day) for day in range(1800)]
    # Those of Sri Lanka are many, and follow the moon.
    known = country_holidays("LK", years=range(2020, 2025))
    noise = 0.3 * np.random.default_rng(0).normal(size=1800)
    table = pl.DataFrame({"day": days, "y": [0 if day in known else 10 for day in days] + noise})
    config = ForecastConfig(
        time="day", target="y", horizon=4, history=8, hidden=16, test=0, country="LK"
    )
    forecaster = Forecaster(config, replace(TRAINING, steps=400)).fit(table)
    forecast = forecaster.predict(table.filter(pl.col("day") <= date(2024, 11, 13)))
    # 15 November 2024 had a full moon.
    np.testing.assert_allclose(forecast["q50"], [10, 0, 10, 10], atol=1)


def several(names: str) -> pl.DataFrame:
    """Waves of several series, each on a level of its own."""
    return pl.concat(
        noisy_wave(200).with_columns(pl.col("y") + 100 * i, name=pl.lit(name))
        for i, name in enumerate(names)
    )


def test_several_series_are_told_apart():
    forecaster = Forecaster(replace(CONFIG, series="name", test=30), SHORT).fit(several("ab"))
    forecast = forecaster.predict()
    assert forecast.columns[:2] == ["name", "t"]
    assert forecast["name"].to_list() == ["a"] * 6 + ["b"] * 6
    levels = forecast["q50"].to_numpy().reshape(2, 6)
    assert (np.abs(levels - [[20], [120]]) < 15).all()
    # One series alone is forecast as it is beside the other.
    alone = forecaster.predict(several("ab").filter(pl.col("name") == "b"))
    np.testing.assert_allclose(alone["q50"], levels[1], rtol=1e-5)


PANEL = replace(CONFIG, series="name", test=30)


def test_a_series_that_training_has_not_seen_is_forecast_in_its_own_scale():
    forecaster = Forecaster(PANEL, replace(TRAINING, steps=100)).fit(several("ab"))
    table = several("abz").with_columns(
        pl.when(pl.col("name") == "z").then(10 * pl.col("y")).otherwise("y").alias("y")
    )
    forecast = forecaster.predict(table)
    (finding,) = (of for of in forecaster.findings if of.kind == "unseen-series")
    assert finding.series == ("z",)
    # A wave on a level of its own, ten times as high.
    truth = 10 * (220 + 5 * np.sin(np.arange(200, 206) / 4))
    z = forecast.filter(pl.col("name") == "z")
    assert np.abs(z["q50"].to_numpy() - truth).max() < 25
    assert (z["q10"] < z["q50"]).all()
    assert forecast.filter(pl.col("name") != "z").equals(forecaster.predict(several("ab")))
    scores = forecaster.backtest(table, start=170).by_series["z"]
    assert scores["LSTM"]["mae"] < scores["naive"]["mae"]
    assert np.isnan(scores["LSTM"]["mase"])


def test_one_new_series_does_not_stop_a_table_nor_change_the_others(tmp_path):
    old, new = several("ab"), several("c").tail(4)
    without = Forecaster(PANEL, SHORT).fit(old)
    forecaster = Forecaster(PANEL, SHORT).fit(pl.concat([old, new]))
    assert forecaster.preprocessing.series == ("a", "b")
    assert same_weights(without, forecaster)
    told = {of.kind: of.series for of in forecaster.findings}
    assert told["padded"] == told["unseen-series"] == ("c",)
    forecast = forecaster.predict()
    assert forecast.filter(pl.col("name") != "c").equals(without.predict())
    # Four values are known of the third; it stays near them.
    c = forecast.filter(pl.col("name") == "c")["q50"].to_numpy()
    assert np.abs(c - new["y"].mean()).max() < 15
    forecaster.save(tmp_path)
    loaded = Forecaster.load(tmp_path).predict(pl.concat([old, new]))
    assert loaded.equals(forecast)
    assert set(forecaster.score().by_series) == {"a", "b"}


def test_short_series_are_learned_from_with_padded_windows():
    short = [several(name).tail(31) for name in "cde"]
    config = replace(PANEL, test=6, validation=0.05)
    forecaster = Forecaster(config, SHORT).fit(pl.concat([several("ab"), *short]))
    assert forecaster.preprocessing.series == ("a", "b", "c", "d", "e")
    (padded,) = (of for of in forecaster.findings if of.kind == "padded")
    assert padded.series == ("c", "d", "e")
    assert set(forecaster.score().by_series) == set("abcde")
    assert len(forecaster.predict()) == 5 * 6


def test_a_history_that_is_too_short_is_padded(wave, fitted):
    forecast = fitted.predict(wave.head(12))
    (padded,) = (of for of in fitted.findings if of.kind == "padded")
    assert str(padded) == (
        "fewer than 26 steps to read; their windows padded, and the padding masked."
    )
    assert np.abs(forecast["q50"].to_numpy() - wave["y"][12:18].to_numpy()).max() < 6
    assert len(fitted.predict(wave.head(1))) == 6
    with pytest.raises(DataError, match="'y' has no value to forecast from"):
        fitted.predict(wave.head(30).with_columns(y=pl.lit(None, pl.Float64)))


def test_series_that_end_early_or_have_no_value_stop_nothing():
    table = several("abc").with_columns(price=pl.col("t") % 5)
    table = table.filter((pl.col("name") != "b") | (pl.col("t") < 150))
    forecaster = Forecaster(replace(PANEL, known=("price",)), SHORT).fit(table)
    told = {of.kind: of.series for of in forecaster.findings}
    assert told["ended"] == ("b",)
    plan = pl.DataFrame(
        {
            "name": ["a"] * 6 + ["c"] * 6,
            "t": [*range(200, 206)] * 2,
            "price": [0, 1, 2, 3, 4, 0] * 2,
        }
    )
    empty = pl.DataFrame({"name": ["d"] * 6, "t": range(200, 206), "price": 1})
    forecast = forecaster.predict(pl.concat([table, plan, empty], how="diagonal_relaxed"))
    assert forecast["name"].unique().sort().to_list() == ["a", "c"]
    left = {of.series: of.what for of in forecaster.findings if of.kind == "no-forecast"}
    assert left == {
        ("d",): "series: no value of 'y'",
        ("b",): "series: ends before the others, and 'price' is not known for the steps after",
    }


def test_backtest_counts_the_windows_that_were_trained_on(wave, hasty):
    cut = ROWS - TEST
    early = hasty.backtest(wave, start=cut - 12, end=cut + 11)
    assert early.forecasts.times[:, 0].tolist() == [cut - 12, cut - 6, cut, cut + 6]
    assert early.overlap == 2
    assert "2 of them overlap the training data" in str(early.verdict)
    assert hasty.backtest(wave, start=cut).overlap == 0
    whole = hasty.backtest(wave, stride=1)
    assert len(whole.forecasts.truth) == ROWS - 26 - 6 + 1
    assert whole.overlap == cut - 26
    with pytest.raises(DataError, match="no window of"):
        hasty.backtest(wave, start=ROWS - 3)
    with pytest.raises(ConfigurationError, match="start"):
        hasty.backtest(wave, start="yesterday")


def test_training_starts_from_the_weights_of_another_run(tmp_path, wave, fitted):
    fitted.save(tmp_path)
    # A rate that changes next to nothing leaves what was read.
    training = replace(SHORT, init_from=tmp_path, learning_rate=1e-9)
    tuned = Forecaster(CONFIG, training).fit(wave)
    for name, weight in tuned.network.named_parameters():
        torch.testing.assert_close(weight, fitted.network.state_dict()[name], atol=1e-6, rtol=0)
    untrusted = {name for name in tuned.network.state_dict() if not name.endswith("trust")}
    assert set(tuned.history.transfer.loaded) == untrusted


def test_a_run_begins_as_another_forecasts(tmp_path, wave, fitted):
    fitted.save(tmp_path)
    training = replace(SHORT, init_from=tmp_path, steps=1, learning_rate=1e-9)
    short = ForecastConfig(time="t", target="y", horizon=6, test=TEST)
    tuned = Forecaster(short, training).fit(wave)
    assert (tuned.config.hidden, tuned.config.history) == (16, 26)
    assert json_values(tuned.config) == json_values(Forecaster(short, training).adopt().config) | {
        "history": 26,
        "every": tuned.config.every,
        "stride": tuned.config.stride,
        "partner": ["pretrained"],
    }
    ours, theirs = tuned.predict(wave)["q50"], fitted.predict(wave)["q50"]
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    with pytest.raises(ConfigurationError, match="cell is 'gru', and 'lstm' in"):
        Forecaster(replace(CONFIG, cell="gru"), training).prepare(wave)


def test_other_inputs_than_those_of_the_weights_are_refused(tmp_path, wave):
    more = wave.with_columns(z=pl.col("y").shift(1).fill_null(20))
    Forecaster(CONFIG, SHORT).fit(more).save(tmp_path)
    training = replace(SHORT, init_from=tmp_path)
    with pytest.raises(DataError, match="no column 'z'"):
        Forecaster(CONFIG, training).prepare(wave)
    renamed = Forecaster(replace(CONFIG, past=("a",)), training)
    with pytest.raises(DataError, match="columns of the past are a here, and z in the run"):
        renamed.prepare(more.with_columns(a="z"))
    again = Forecaster(CONFIG, training).prepare(more.with_columns(a="z"))
    assert again.preprocessing.past_numbers == ("z",)


def test_the_embedding_of_other_series_begins_anew(tmp_path, wave):
    named = wave.with_columns(s=pl.lit("here"))
    config = replace(CONFIG, series="s")
    Forecaster(config, SHORT).fit(named).save(tmp_path)
    tuned = Forecaster(config, replace(SHORT, init_from=tmp_path))
    tuned.fit(wave.with_columns(s=pl.lit("there")))
    absent = {f"members.{k}.{name}" for k in range(4) for name in ("series.weight", "trust")}
    assert set(tuned.history.transfer.absent) == absent


def test_nothing_can_be_asked_before_fit():
    for ask in (Forecaster(CONFIG).predict, Forecaster(CONFIG).score):
        with pytest.raises(DataError, match="holds no data"):
            ask()


@pytest.mark.parametrize("quantiles", [(0.9, 0.5, 0.1), (0.1, 0.5, 0.5)])
def test_quantiles_out_of_order_are_refused(quantiles):
    with pytest.raises(ConfigurationError, match="ascend"):
        replace(CONFIG, quantiles=quantiles)


def test_rows_that_cannot_be_used_can_be_left_out(tmp_path, wave):
    path = tmp_path / "wave.csv"
    rows = wave.with_columns(z=pl.col("y") * 2).write_csv().splitlines()
    rows[40], rows[50] = "40,twenty,1", "someday,20,1"
    rows[60], rows[70] = "60,20,1e99", "70,20,1,5"
    path.write_text("\n".join(rows))
    with pytest.raises(DataError, match="line 71: 4 values"):
        Forecaster(CONFIG, SHORT).prepare(path)
    forecaster = Forecaster(replace(CONFIG, skip_bad=True), SHORT).fit(path)
    told = [str(of) for of in forecaster.findings if of.kind == "row"]
    assert [int(re.search(r"line (\d+)", of)[1]) for of in told] == [71, 41, 61, 51]
    forecaster.config = replace(forecaster.config, skip_bad=True)
    assert forecaster.predict(path).columns == ["t", "q10", "q50", "q90"]


def test_quantiles_never_take_the_name_of_a_column(wave):
    forecaster = Forecaster(replace(CONFIG, time="q50"), SHORT).fit(wave.rename({"t": "q50"}))
    assert forecaster.predict().columns == ["q50", "q10", "q50_", "q90"]


def test_the_interval_follows_errors_that_have_become_known(tmp_path):
    table = noisy_wave(500)
    forecaster = Forecaster(CONFIG, SHORT).fit(table)
    forecaster.save(tmp_path)
    # From the end of the training data on, the wave has jumps that no training has seen.
    jumps = np.where(np.arange(500) >= ROWS - TEST, 30 * (-1.0) ** (np.arange(500) // 6), 0)
    wild = table.with_columns(pl.col("y") + jumps)
    calm, wide = (Forecaster.load(tmp_path).score(of).forecasts for of in (table, wild))
    widths = [np.ptp(of.methods["LSTM"], axis=2).mean(axis=1) for of in (calm, wide)]
    assert widths[0][0] == widths[1][0]
    assert (widths[1][-5:] > 1.5 * widths[0][-5:]).all()
    forecasts = [Forecaster.load(tmp_path).predict(of) for of in (table, wild)]
    predicted = [(of["q90"] - of["q10"]).mean() for of in forecasts]
    assert predicted[1] > 1.5 * predicted[0]


def test_the_value_forecast_changes_nothing_of_its_forecast(wave, hasty):
    """Nor do later ones: each window reads and is calibrated by what was known before it."""
    cut = ROWS - 30
    changed = wave.with_columns(pl.when(pl.col("t") >= cut).then(500.0).otherwise("y").alias("y"))
    one, other = (hasty.backtest(of, start=ROWS - TEST).forecasts for of in (wave, changed))
    before = one.times[:, 0] <= cut
    assert before.sum() == 11
    for name in one.methods:
        np.testing.assert_array_equal(one.methods[name][before], other.methods[name][before])
    assert (one.methods["LSTM"][~before] != other.methods["LSTM"][~before]).any()


def test_counts_have_no_negative_quantiles():
    sold = np.random.default_rng(0).poisson(0.3, 300)
    table = pl.DataFrame({"t": np.arange(300), "y": sold})
    forecaster = Forecaster(replace(CONFIG, season=7, test=60), SHORT).fit(table)
    assert forecaster.calibration.at_least == 0
    for values in forecaster.score().forecasts.methods.values():
        assert (values >= 0).all()
        assert (np.diff(values) >= 0).all()
    assert (forecaster.predict().select("q10", "q50", "q90").to_numpy() >= 0).all()
    below = Forecaster(replace(CONFIG, test=60), SHORT).fit(table.with_columns(pl.col("y") - 1))
    assert below.calibration.at_least is None
    assert (below.predict()["q10"] < 0).all()


def test_an_interval_that_rests_on_few_windows_borrows_and_says_so(wave):
    short = Forecaster(replace(CONFIG, test=12, members=1), SHORT).fit(wave.head(80))
    (finding,) = (of for of in short.findings if of.kind == "calibration")
    # One stretch of a horizon and a bit is held out: 7 of 68 steps, of which each is forecast.
    assert short.calibration.windows == pytest.approx(7 / 6)
    assert str(finding) == (
        "1.2 independent validation windows to set the interval by; 63% of its width is that of "
        "naive."
    )
    none = Forecaster(replace(CONFIG, test=12, validation=0), SHORT).fit(wave.head(80))
    assert none.calibration.windows == 0
    assert none.score().coverage.inside > 0
    # Nothing says how good the partner is: it has its usual share.
    np.testing.assert_allclose(none.shares, [[0.8, 0.2]] * 2)


def test_what_comes_after_the_table_is_what_predict_says():
    forecaster = Forecaster(replace(PANEL, known=()), SHORT).fit(several("abc"))
    forecasts = forecaster.ahead(["c", "a"])
    assert forecasts.series == ("a", "c")
    assert forecasts.times.tolist() == [list(range(200, 206))] * 2
    said = forecaster.predict().filter(pl.col("name") != "b").select("q10", "q50", "q90")
    np.testing.assert_allclose(forecasts.methods["LSTM"].reshape(12, 3), said.to_numpy())
    assert np.isnan(forecasts.truth).all()
    planned = Forecaster(replace(PANEL, known=("price",)), SHORT)
    planned.fit(several("ab").with_columns(price=pl.col("t") % 3))
    with pytest.raises(DataError, match="'price' is missing"):
        planned.ahead(["a"])


def test_what_grows_in_percent_is_forecast_growing():
    rng = np.random.default_rng(0)
    month = [date(2015 + i // 12, 1 + i % 12, 1) for i in range(60)]
    sales = 100 * 1.06 ** np.arange(60) * np.exp(0.02 * rng.normal(size=60))
    table = pl.DataFrame({"month": month, "sales": sales})
    config = ForecastConfig(time="month", target="sales", horizon=6, test=12)
    forecaster = Forecaster(config, replace(TRAINING, steps=20)).fit(table)
    evaluation = forecaster.score()
    assert evaluation.overall["LSTM"]["mae"] < 0.3 * evaluation.overall["naive"]["mae"]
    growth = forecaster.predict()["q50"][-1] / sales[-1]
    assert growth == pytest.approx(1.06**6, rel=0.15)


def test_a_network_that_does_not_help_is_not_trusted():
    """Noise around a level: nothing can be learned, and a network that trains long says much."""
    noise = 50 + np.random.default_rng(2).normal(size=70)
    config = ForecastConfig(time="t", target="y", horizon=5, test=20, members=3)
    forecaster = Forecaster(config, replace(TRAINING, steps=60, validate_every=60))
    forecaster.fit(pl.DataFrame({"t": range(70), "y": noise}))
    trusts = {float(member.trust) for member in forecaster.network.members}
    assert trusts <= {0.0, 0.25}
    overall = forecaster.score().overall["LSTM"]
    assert overall["mae"] < 0.95  # the mean of |noise| is 0.8


def test_a_run_of_before_smoothing_is_refused_clearly(tmp_path, hasty):
    hasty.save(tmp_path)
    _, description = load_model(tmp_path, "forecast")
    del description["preprocessing"]["smoothing"]
    save_model(tmp_path, hasty.network, description, {})
    with pytest.raises(ModelFileError, match="fitted by an earlier version of gated"):
        Forecaster.load(tmp_path)


def test_what_smoothing_does_not_know_yet_is_not_learned_from():
    """In three years of months the season is known in the third; before, it is all left over."""
    rng = np.random.default_rng(5)
    month = [date(2015 + i // 12, 1 + i % 12, 1) for i in range(48)]
    season = 3 * rng.normal(size=12)[np.arange(48) % 12]
    tables = [
        pl.DataFrame(
            {"month": month, "shop": f"{s}", "sales": s * (10 + season) + rng.normal(size=48)}
        )
        for s in range(1, 7)
    ]
    config = ForecastConfig(
        time="month", target="sales", series="shop", horizon=12, test=12, partner="none"
    )
    overall = Forecaster(config, TRAINING).fit(pl.concat(tables)).score().overall
    assert overall["LSTM"]["mae"] < 1.1 * overall["seasonal naive"]["mae"]
