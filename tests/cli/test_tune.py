"""`gated tune`: a search that is judged on the validation part, goes on, and is shared."""

from __future__ import annotations

import json
import math
import tomllib

import pytest

from gated.cli.app import run
from gated.errors import ConfigurationError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.tuning import choices, open_study, tune
from gated.training.options import TrainingOptions


@pytest.fixture
def sales(tmp_path):
    path = tmp_path / "sales.csv"
    rows = [f"{i},{10 + 3 * math.sin(i * math.pi / 6):.3f}" for i in range(150)]
    path.write_text("\n".join(["step,sales", *rows]) + "\n")
    return path


def asked(sales, out, *more):
    columns = ["--time", "step", "--target", "sales", "--horizon", "6", "--season", "12"]
    budget = ["--steps", "3", "--validate-every", "1", "--threads", "1"]
    return ["tune", "forecast", str(sales), *columns, *budget, "--out", str(out), *more]


def test_the_best_options_are_a_file_that_fit_reads(sales, tmp_path, capsys):
    out = tmp_path / "tuned"
    assert run(asked(sales, out, "--trials", "3", "--hidden", "4", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trials"] + told["pruned"] == 3
    assert told["loss"] <= told["usual"]
    best = tomllib.loads((out / "best.toml").read_text())
    assert "hidden" not in best  # it was given
    assert {"learning-rate", "layers", "cell"} <= set(best)
    fit = asked(sales, tmp_path / "run", "--config", str(out / "best.toml"), "--hidden", "4")
    fit[0] = "fit"
    assert run(fit) == 0
    learned = Forecaster.load(tmp_path / "run")
    assert learned.config.cell == best["cell"]
    assert learned.training.learning_rate == pytest.approx(best["learning-rate"])


def test_a_search_goes_on_and_is_not_mixed_with_another(sales, tmp_path, capsys):
    out = tmp_path / "tuned"
    assert run(asked(sales, out, "--trials", "1")) == 0
    assert run(asked(sales, out, "--trials", "2")) == 0
    assert len(open_study(out).trials) == 2
    assert run(asked(sales, out, "--trials", "3", "--hidden", "8")) != 0
    assert "search of other data or options" in capsys.readouterr().err


def test_several_processes_share_the_trials(sales, tmp_path, monkeypatch):
    out = tmp_path / "tuned"
    arguments = asked(sales, out, "--trials", "4", "--jobs", "2", "--hidden", "4")
    monkeypatch.setattr("sys.argv", ["gated", *arguments])
    assert run(arguments) == 0
    ended = [trial for trial in open_study(out).trials if trial.state.is_finished()]
    assert 4 <= len(ended) <= 5


def test_what_was_given_is_not_tried():
    config = ForecastConfig(time="t", target="y", horizon=3, cell="gru")
    found = choices(Forecaster, config) | choices(Forecaster, TrainingOptions(batch_size=8))
    assert "cell" not in found
    assert "batch_size" not in found
    assert found["hidden"] == (16, 256)
    assert found["layers"] == (1, 3)


def test_all_given_leaves_nothing_to_try(sales, tmp_path):
    config = ForecastConfig(
        time="step", target="sales", horizon=3, cell="gru", hidden=4, layers=1, dropout=0.0,
        variational_dropout=0.0,
    )  # fmt: skip
    training = TrainingOptions(batch_size=8, learning_rate=0.01, weight_decay=0.01)
    with pytest.raises(ConfigurationError, match="none is left to try"):
        tune(Forecaster, sales, config, training, directory=tmp_path, trials=1)
