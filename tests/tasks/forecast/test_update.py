"""A forecaster that goes on with new rows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from gated.cli.app import run as gated_command
from gated.errors import ConfigurationError, DataError
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.tasks.forecast.mixture import trust
from gated.tasks.forecast.windows import member_of, training_origins, validation_origins
from gated.training.options import TrainingOptions

OLD, ROWS, HORIZON = 200, 280, 5
CONFIG = ForecastConfig(
    time="t", target="y", series="s", horizon=HORIZON, history=10, hidden=8, members=1, partner=()
)
TRAINING = TrainingOptions(steps=3, threads=1)
UNMOVED = {"steps": 1, "learning_rate": 1e-12}
"""Training that leaves what was read."""


def table(names="abcd", rows=ROWS):
    """Series of different levels that grow, so that later rows have other means and deviations."""
    random, steps = np.random.default_rng(0), np.arange(rows)
    parts = []
    for place, name in enumerate(names):
        y = 10.0 ** (place % 4) * (5 + steps / 20 + random.normal(size=rows))
        parts.append(pl.DataFrame({"t": steps, "s": name, "y": y}))
    return pl.concat(parts)


@pytest.fixture(scope="module")
def old():
    """Trained on the first rows of four series."""
    return Forecaster(CONFIG, TRAINING).fit(table(rows=OLD))


def test_what_is_known_of_a_series_stays_and_new_ones_join(old):
    # The names of the new ones come before and between those of the others.
    new = pl.concat([table(), table("AbBcC").filter(pl.col("s").is_in(["A", "B", "C"]))])
    updated = old.update(new, **UNMOVED)
    assert updated.preprocessing.series == ("A", "B", "C", "a", "b", "c", "d")
    for own, theirs in (
        (updated.preprocessing.target.location, old.preprocessing.target.location),
        (updated.preprocessing.target.scale, old.preprocessing.target.scale),
        (updated.preprocessing.remainder[:-1], old.preprocessing.remainder[:-1]),
    ):
        np.testing.assert_array_equal(own[3:], theirs)
    vectors, before = (of.network.series.weight.detach() for of in (updated, old))
    torch.testing.assert_close(vectors[3:], before, atol=1e-6, rtol=0)
    torch.testing.assert_close(vectors[0], before.mean(0), atol=1e-6, rtol=0)
    # The same weights in the same scales say the same of the same table.
    same = table()
    for forecaster in (old, updated):
        trust(forecaster.network, 1.0)
    np.testing.assert_allclose(updated.predict(same)["q50"], old.predict(same)["q50"], rtol=1e-4)
    assert updated.training.init_from is None
    # A tenth of all rows is the test part, as it was of the first ones.
    assert (old.held_out_from, updated.held_out_from) == (OLD * 9 // 10, ROWS * 9 // 10)


@pytest.mark.parametrize("members", [1, 4])
def test_no_network_is_validated_on_what_it_was_trained_on_before(members):
    config = replace(CONFIG, members=members)
    old = Forecaster(config, TRAINING).fit(table(rows=OLD))
    updated = old.update(table(), steps=1)
    prepared, horizon = updated.prepared, np.arange(1, HORIZON + 1)
    origins = validation_origins(prepared, 1)
    which = member_of(prepared, origins)
    later = 0
    for member in range(members):
        before = training_origins(old.prepared, member)
        learned = np.unique(old.prepared.panel.times[before[:, None] + horizon])
        now = training_origins(prepared, member)
        trained = np.unique(prepared.panel.times[now[:, None] + horizon])
        held = np.unique(prepared.panel.times[origins[which == member][:, None] + horizon])
        assert len(held)
        assert not np.isin(held, learned).any()
        assert not np.isin(held, trained).any()
        later += (held >= old.held_out_from).sum()
        assert (trained >= old.held_out_from).any()
    assert later >= HORIZON


def test_it_takes_a_third_of_the_steps_and_a_low_rate():
    old = Forecaster(CONFIG, TrainingOptions(threads=1, batch_size=8)).fit(table("ab", OLD))
    assert old.training.steps == 300
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Forecaster, "train", lambda self, **_: self)
        updated = old.update(table("ab"))
    assert (updated.training.steps, updated.training.learning_rate) == (100, 1e-3)
    assert updated.training.batch_size == 8


def test_tables_that_are_no_update_are_refused(old):
    with pytest.raises(DataError, match=r"nothing new to learn from.*what came before 180"):
        old.update(table(rows=OLD))
    with pytest.raises(DataError, match=r"80 steps of 'a', 0 of them from before .* whole table"):
        old.update(table().filter(pl.col("t") >= OLD))
    late = table().filter((pl.col("t") >= OLD - 25) | (pl.col("s") != "c"))
    assert old.update(late, steps=1).preprocessing.series == old.preprocessing.series
    with pytest.raises(DataError, match="none of the series"):
        old.update(table("xyz"))
    with pytest.raises(ConfigurationError, match="continues goes with init_from"):
        Forecaster(replace(CONFIG, continues=True), TRAINING).prepare(table())


def test_series_that_are_gone_are_a_finding(old):
    updated = old.update(table("bcd"), steps=1)
    (gone,) = [of for of in updated.findings if of.kind == "gone"]
    assert gone.series == ("a",)
    assert updated.preprocessing.series == ("b", "c", "d")


def test_the_command_writes_a_new_run(tmp_path, capsys):
    first, then = tmp_path / "first.csv", tmp_path / "then.csv"
    table("ab", OLD).write_csv(first)
    table("ab").write_csv(then)
    old, new = tmp_path / "old", tmp_path / "new"
    options = "--time t --target y --series s --horizon 5 --history 10 --hidden 8 --threads 1"
    fit = ["fit", "forecast", str(first), "--out", str(old), *options.split(), "--steps", "2"]
    assert gated_command(fit) == 0
    weights = [path.read_bytes() for path in old.glob("*.safetensors")]
    capsys.readouterr()
    update = ["update", str(old), str(then), "--out", str(new), "--steps", "2", "--test", "30"]
    assert gated_command([*update, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == str(new)
    assert Forecaster.load(new).held_out_from == ROWS - 30
    assert [path.read_bytes() for path in old.glob("*.safetensors")] == weights
    assert gated_command(["predict", str(new), str(then)]) == 0
    assert capsys.readouterr().out.count("\n") == 1 + 2 * HORIZON
