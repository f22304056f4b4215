"""Several targets, forecast by one network."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import gated
from gated.cli.app import run as gated_command
from gated.configuration import from_json_values, json_values
from gated.errors import ConfigurationError, DataError
from gated.tasks import partition
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.tasks.forecast.page import notes, score_table
from gated.tasks.forecast.panel import build_panel
from gated.tasks.forecast.reading import read_table
from gated.tasks.forecast.score import Forecasts, evaluate
from gated.tasks.forecast.targets import by_target, told_apart
from gated.tasks.learner import document
from gated.training.options import TrainingOptions

LAG = 5
CONFIG = ForecastConfig(
    time="t", target=("lead", "follow"), series="s", horizon=4, history=12, hidden=24, test=60
)
ALONE = {"members": 1, "partner": "none"}


def test_one_target_is_written_as_before():
    one = replace(CONFIG, target=("lead",))
    assert one.target == "lead"
    assert one.targets == ("lead",)
    for config in (one, CONFIG):
        assert from_json_values(ForecastConfig, json_values(config)) == config
    assert json_values(one)["target"] == "lead"
    assert json_values(CONFIG)["target"] == ["lead", "follow"]


@pytest.mark.parametrize(
    ("target", "message"),
    [((), "names no column"), (("a", "a"), "'a' is named for two"), (("a", "t"), "'t' is named")],
)
def test_targets_are_columns_of_their_own(target, message):
    with pytest.raises(ConfigurationError, match=message):
        replace(CONFIG, target=target)


def test_each_target_of_each_series_is_a_series():
    table = pl.DataFrame(
        {
            "t": [1, 3, 1, 2],
            "s": [*"bbaa"],
            "lead": [1.0, 2.0, 3.0, None],
            "follow": [10, 20, 30, 40],
            "x": [5.0, 6.0, 7.0, 8.0],
        }
    )
    wide = build_panel(read_table(table, CONFIG), CONFIG)
    panel = by_target(wide, CONFIG)
    assert panel.series == ("a · lead", "a · follow", "b · lead", "b · follow")
    assert panel.starts.tolist() == [0, 2, 4, 7, 10]
    nan = np.nan
    np.testing.assert_array_equal(panel.target, [3, nan, 30, 40, 1, nan, 2, 10, nan, 20])
    lead, follow = [3, nan] * 2 + [1, nan, 2] * 2, [30, 40] * 2 + [10, nan, 20] * 2
    np.testing.assert_array_equal(panel.numbers["lead"], lead)
    np.testing.assert_array_equal(panel.numbers["follow"], follow)
    np.testing.assert_array_equal(panel.numbers["x"], [7, 8] * 2 + [5, nan, 6] * 2)
    assert panel.times.tolist() == [1, 2] * 2 + [1, 2, 3] * 2
    assert told_apart(panel) == (("a", "a", "b", "b"), ("lead", "follow") * 2)
    # The gap is one row of the table, and not one for each target.
    assert [of.count for of in panel.findings if of.kind == "gap"] == [1]
    one = replace(CONFIG, target="lead")
    assert by_target(wide, one) is wide


def test_targets_that_are_no_numbers_are_named():
    table = pl.DataFrame({"t": [1, 2], "s": [*"aa"], "lead": [1, 2], "follow": ["x", "y"]})
    with pytest.raises(DataError, match="'follow'"):
        read_table(table, CONFIG)


def pairs(steps: int = 360, seed: int = 0) -> pl.DataFrame:
    """In each of two series one target says what the other is five steps later."""
    draw, parts = np.random.default_rng(seed), []
    for name, level in (("A", 100.0), ("B", 5.0)):
        wave = np.convolve(draw.normal(size=steps + 20), np.ones(3) / 2, "same")
        lead, follow = wave[LAG : steps + LAG], wave[:steps]
        columns = {"lead": level * (2 + 0.3 * lead), "follow": level * (0.05 * follow - 0.1)}
        parts.append(pl.DataFrame({"t": range(steps), "s": name, **columns}))
    return pl.concat(parts)


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return pairs()


@pytest.fixture(scope="module")
def fitted(table: pl.DataFrame) -> Forecaster:
    training = TrainingOptions(steps=250, learning_rate=1e-2, threads=1)
    return Forecaster(replace(CONFIG, **ALONE), training).fit(table)


def test_the_past_of_each_target_serves_the_others(fitted):
    evaluation = fitted.score()
    assert set(evaluation.by_target) == {"lead", "follow"}
    follow, lead = (evaluation.by_target[name] for name in ("follow", "lead"))
    # What follows is in the past of what leads; of that nothing is known beyond two steps.
    assert follow["LSTM"]["mase"] < 0.5 * follow["naive"]["mase"]
    assert lead["LSTM"]["mase"] > 1.5 * follow["LSTM"]["mase"]
    assert str(evaluation.verdict).startswith("LSTM beats the best baseline (naive): MASE ")
    scores = evaluation.by_series
    assert list(scores) == ["A · lead", "A · follow", "B · lead", "B · follow"]
    # Each target is scored in its own unit, over as many values of either series.
    each = [scores[f"{name} · follow"]["LSTM"]["mae"] for name in "AB"]
    assert follow["LSTM"]["mae"] == pytest.approx(np.mean(each))
    both = [of["LSTM"]["mase"] for of in evaluation.by_target.values()]
    assert evaluation.overall["LSTM"]["mase"] == pytest.approx(np.mean(both))
    assert score_table(evaluation).header == (
        "", "sMAPE %", "MASE", "pinball, scaled", "coverage",
    )  # fmt: skip
    assert notes(evaluation)[0].startswith("MAE of lead: LSTM ")
    assert set(document(evaluation)["by_target"]) == {"lead", "follow"}


def test_a_forecast_has_rows_for_each_target(fitted, table):
    forecast = fitted.predict(table)
    assert forecast.columns == ["s", "target", "t", "q10", "q50", "q90"]
    assert forecast["s"].to_list() == ["A"] * 8 + ["B"] * 8
    assert forecast["target"].to_list() == (["lead"] * 4 + ["follow"] * 4) * 2
    assert forecast["t"].to_list() == [360, 361, 362, 363] * 4
    assert fitted.no_predictions().schema == forecast.schema
    paths = fitted.sample_paths(table, 2)
    assert paths.columns == ["s", "target", "t", "path", "value"]
    assert paths["target"].to_list() == (["lead"] * 8 + ["follow"] * 8) * 2
    assert paths.filter(pl.col("target") == "follow")["value"].max() < 5
    assert paths.filter(pl.col("target") == "lead")["value"].median() > 5


def test_each_target_is_forecast_from_its_own_end(fitted, table):
    early = table.with_columns(
        follow=pl.when(pl.col("t") < 350).then(pl.col("follow")).otherwise(None)
    )
    forecast = fitted.predict(early).filter(pl.col("s") == "A")
    times = forecast.group_by("target", maintain_order=True).agg("t")["t"].to_list()
    assert times == [[360, 361, 362, 363], [350, 351, 352, 353]]
    # The target that is longer says nothing of what lies after the end of the other.
    rest = fitted.predict(table.filter(pl.col("t") < 350)).filter(pl.col("s") == "A")
    follow = pl.col("target") == "follow"
    assert_frame_equal(forecast.filter(follow), rest.filter(follow), abs_tol=1e-4)


def test_the_units_of_the_targets_do_not_matter_to_the_score_of_all():
    draw = np.random.default_rng(0)
    truth, targets = draw.normal(5, 1, (24, 3)), ("a", "b") * 12
    values = truth[..., None] + draw.normal(0, 0.2, (24, 3, 1)) + np.array([-0.3, 0, 0.3])
    methods = {"LSTM": values, "naive": values + 0.5}

    def scored(factor: float):
        unit = np.where(np.array(targets) == "a", 1.0, factor)
        return evaluate(
            Forecasts(
                series=targets,
                targets=targets,
                times=np.repeat(np.arange(12), 2)[:, None] * 3 + np.arange(3),
                truth=truth * unit[:, None],
                quantiles=(0.1, 0.5, 0.9),
                methods={name: of * unit[:, None, None] for name, of in methods.items()},
                scales=2 * unit,
                observed=(),
            ),
            "a, b",
        )

    one, other = scored(1.0), scored(1000.0)
    for method, scores in one.overall.items():
        assert other.overall[method] == pytest.approx(scores)
    assert str(other.verdict) == str(one.verdict)
    error = np.abs(truth - values[..., 1])
    assert other.by_target["b"]["LSTM"]["mae"] == pytest.approx(1000 * error[1::2].mean())
    assert other.overall["LSTM"]["mase"] == pytest.approx(error.mean() / 2)
    assert list(other.figures["LSTM"]) == ["MASE", "pinball loss, scaled"]


def test_what_cannot_be_negative_is_so_for_each_target():
    draw = np.random.default_rng(2)
    table = pl.DataFrame(
        {
            "t": range(120),
            "sold": draw.poisson(0.4, 120),
            "warmth": draw.normal(0, 5, 120).round(1),
            "target": draw.normal(size=120),
        }
    )
    config = ForecastConfig(
        time="t", target=("sold", "warmth"), horizon=3, history=6, past=(), hidden=4, **ALONE
    )
    forecaster = Forecaster(config, TrainingOptions(steps=2, threads=1)).fit(table)
    assert forecaster.calibration.at_least == (0.0, None)
    forecast = forecaster.predict(table)
    assert forecast.columns == ["target", "t", "q10", "q50", "q90"]
    lowest = forecast.group_by("target").agg(pl.col("q10").min())
    assert dict(lowest.iter_rows())["sold"] >= 0 > dict(lowest.iter_rows())["warmth"]
    assert not [of for of in forecaster.findings if "(target)" in str(of)]
    named = table.rename({"target": "other", "t": "target"})
    config = replace(config, time="target")
    other = Forecaster(config, TrainingOptions(steps=1, threads=1)).fit(named)
    assert other.predict().columns == ["target_", "target", "q10", "q50", "q90"]


def test_a_saved_forecaster_and_its_partitions_say_the_same(tmp_path, fitted, table):
    fitted.save(tmp_path / "run")
    expected = fitted.predict(table)
    loaded = Forecaster.load(tmp_path / "run")
    assert loaded.config.target == ("lead", "follow")
    assert_frame_equal(loaded.predict(table), expected)
    parts = [gated.predict_partition(of, tmp_path / "run") for of in table.partition_by("s")]
    assert_frame_equal(pl.concat(parts), expected, abs_tol=1e-4)
    assert gated.predict_partition(table[:0], tmp_path / "run").schema == expected.schema
    later = pairs(420, seed=3)
    scores = loaded.backtest(later, start=300)
    assert set(loaded.evaluate(later).by_target) == set(scores.by_target) == {"lead", "follow"}
    probe = loaded.probed(loaded.windows_after_training(later))
    assert probe.title.endswith("forecasts lead, follow, 4 steps ahead")


def test_the_commands_take_several_targets(tmp_path, monkeypatch, capsys, table):
    table.write_parquet(tmp_path / "pairs.parquet")
    options = "--time t --series s --target lead follow --horizon 4 --history 12 --test 60"
    options += " --members 1 --hidden 4 --steps 2 --threads 1 --partner none --json"
    data, run = str(tmp_path / "pairs.parquet"), str(tmp_path / "run")
    assert gated_command(["fit", "forecast", data, "--out", run, *options.split()]) == 0
    assert set(json.loads(capsys.readouterr().out)["by_target"]) == {"lead", "follow"}
    assert (tmp_path / "run" / "report.html").exists()
    for out in ("whole.csv", "parts.csv"):
        assert gated_command(["predict", run, data, "--out", str(tmp_path / out)]) == 0
        monkeypatch.setattr(partition, "MOST_ROWS", 400)
    whole, parts = (pl.read_csv(tmp_path / name) for name in ("whole.csv", "parts.csv"))
    assert whole.columns == ["s", "target", "t", "q10", "q50", "q90"]
    assert_frame_equal(parts.sort("s", "target", "t"), whole.sort("s", "target", "t"), abs_tol=1e-4)
