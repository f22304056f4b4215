"""Predictions by partitions, as engines of large tables ask for them."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import gated
from gated.cli.app import run as gated_command
from gated.errors import DataError
from gated.tasks import partition
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.forecaster import Forecaster
from gated.training.options import TrainingOptions

SHOPS = 6


@pytest.fixture(scope="module")
def shops() -> pl.DataFrame:
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 3, 20), eager=True).alias("day")
    steps = np.arange(len(days))
    return pl.concat(
        pl.DataFrame({"shop": f"shop {s}", "day": days, "sales": 10.5 * (s + 1) + steps % 7})
        for s in range(SHOPS)
    )


@pytest.fixture(scope="module")
def run(shops: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = ForecastConfig(time="day", target="sales", series="shop", horizon=7, hidden=4)
    directory = tmp_path_factory.mktemp("runs") / "shops"
    Forecaster(config, TrainingOptions(steps=2, threads=1)).fit(shops).save(directory)
    return directory


def by_series(table: pl.DataFrame) -> pl.DataFrame:
    return table.sort("shop", "day")


def test_a_partition_has_the_predictions_of_the_whole(shops, run):
    whole = gated.predict_partition(shops, run)
    parts = [
        gated.predict_partition(shops.filter(pl.col("shop").is_in(names)), run)
        for names in (["shop 0"], ["shop 1", "shop 5"], ["shop 2", "shop 3", "shop 4"])
    ]
    assert len(whole) == SHOPS * 7
    # A product of one row has other roundings than one of many.
    assert_frame_equal(by_series(pl.concat(parts)), by_series(whole), abs_tol=1e-4)


def test_frames_of_pandas_come_back_as_such(shops, run):
    given = pd.DataFrame({name: shops[name].to_list() for name in shops.columns})
    given["day"] = pd.to_datetime(given["day"])
    found, expected = gated.predict_partition(given, run), gated.predict_partition(shops, run)
    assert isinstance(found, pd.DataFrame)
    assert list(found) == ["shop", "day", "q10", "q50", "q90"]
    assert found["day"].dt.date.tolist() == expected["day"].to_list()
    np.testing.assert_array_equal(found["q50"], expected["q50"])


@pytest.mark.parametrize("pandas", [False, True])
def test_no_rows_give_no_rows_of_the_same_types(shops, run, pandas):
    given = shops
    if pandas:
        given = pd.DataFrame({name: shops[name].to_list() for name in shops.columns})
    some, none = gated.predict_partition(given, run), gated.predict_partition(given[:0], run)
    assert len(none) == 0
    assert list(none.dtypes) == list(some.dtypes)
    assert list(none.columns) == list(some.columns)


def test_it_is_pickled(shops, run):
    predict = pickle.loads(pickle.dumps(partial(gated.predict_partition, run=run)))
    assert len(predict(shops)) == SHOPS * 7


def test_a_run_that_is_trained_anew_is_read_anew(shops, run, tmp_path):
    here = tmp_path / "run"
    forecaster = Forecaster.load(run)
    forecaster.save(here)
    before = gated.predict_partition(shops, here)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "_written", lambda path: -1)
        forecaster.shares[:] = 0, 1
        forecaster.save(here)
        assert (gated.predict_partition(shops, here)["q50"] != before["q50"]).all()


def test_dask_predicts_with_two_workers(shops, run, tmp_path):
    distributed = pytest.importorskip("distributed")
    dataframe = pytest.importorskip("dask.dataframe")
    parts = []
    for part in range(3):
        path = tmp_path / f"part-{part}.parquet"
        shops.filter(
            pl.col("shop").is_in([f"shop {2 * part}", f"shop {2 * part + 1}"])
        ).write_parquet(path)
        parts.append(str(path))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        table = dataframe.read_parquet(parts)
        empty = gated.predict_partition(table.partitions[0].head(0), run)
        found = table.map_partitions(gated.predict_partition, run, meta=empty).compute()
    expected = gated.predict_partition(shops, run)
    assert len(found) == len(expected)
    found = found.sort_values(["shop", "day"])
    np.testing.assert_allclose(found["q50"], by_series(expected)["q50"], atol=1e-4)


def test_a_large_file_is_predicted_in_parts(shops, run, tmp_path, monkeypatch, capsys):
    path = tmp_path / "shops.parquet"
    shops.sort("day").write_parquet(path)
    whole, parts = tmp_path / "whole.csv", tmp_path / "parts.csv"
    assert gated_command(["predict", str(run), str(path), "--out", str(whole)]) == 0
    monkeypatch.setattr(partition, "MOST_ROWS", 100)
    assert partition.is_large(path)
    assert gated_command(["predict", str(run), str(path), "--out", str(parts)]) == 0
    expected = by_series(pl.read_csv(whole))
    assert_frame_equal(by_series(pl.read_csv(parts)), expected, abs_tol=1e-4)


def test_parts_have_whole_series(shops, tmp_path):
    path = tmp_path / "shops.parquet"
    shops.sample(fraction=1, shuffle=True, seed=1).write_parquet(path)
    parts = list(partition.series_in_parts(path, "shop", most_rows=100))
    assert len(parts) > 1
    assert sum(len(part) for part in parts) == len(shops)
    names = [set(part["shop"]) for part in parts]
    assert not any(one & other for i, one in enumerate(names) for other in names[:i])


def test_an_error_in_a_part_names_the_file_and_leaves_nothing(
    shops, run, tmp_path, monkeypatch, capsys
):
    path, out = tmp_path / "shops.parquet", tmp_path / "out.csv"
    wrong = shops.with_columns(
        sales=pl.when(pl.col("shop") == "shop 3").then(float("inf")).otherwise("sales")
    )
    wrong.write_parquet(path)
    monkeypatch.setattr(partition, "MOST_ROWS", 100)
    assert gated_command(["predict", str(run), str(path), "--out", str(out)]) != 0
    assert "shops.parquet, among the series" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


def test_other_tasks_say_that_they_need_a_row():
    from gated.tasks.classify.learner import ClassLearner

    with pytest.raises(DataError, match="no row to predict for"):
        ClassLearner.no_predictions(object.__new__(ClassLearner))
