"""One training of a forecaster by several processes, which torchrun starts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.training.history import History
from gated.training.options import TrainingOptions

CONFIG = {"time": "t", "target": "y", "horizon": 6, "history": 12, "hidden": 8, "partner": "none"}
TRAINING = {"steps": 6, "batch_size": 10, "validate_every": 3, "threads": 1}
PROGRAM = f"""
import sys
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.training.options import TrainingOptions
from gated.training.processes import is_main_process

training = TrainingOptions(devices=2, **{TRAINING})
forecaster = Forecaster(ForecastConfig(**{CONFIG}), training).fit(sys.argv[1])
if is_main_process():
    forecaster.save(sys.argv[2])
    print(forecaster.history.to_json())
"""


@pytest.mark.slow
def test_torchrun_with_two_processes_trains_as_one(tmp_path):
    steps, table = np.arange(200), tmp_path / "wave.csv"
    y = 20 + 5 * np.sin(steps / 4) + np.random.default_rng(0).normal(size=200)
    pl.DataFrame({"t": steps, "y": y}).write_csv(table)
    program, saved = tmp_path / "program.py", tmp_path / "run"
    program.write_text(PROGRAM)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    started = [*torchrun, "--nproc-per-node", "2", program, table, saved]
    done = subprocess.run(started, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    history = History.from_json(done.stdout.splitlines()[-1])
    one = Forecaster(ForecastConfig(**CONFIG), TrainingOptions(**TRAINING)).fit(table)
    assert history.loss == pytest.approx(one.history.loss, rel=1e-5)
    assert [of.loss for of in history.validations] == pytest.approx(
        [of.loss for of in one.history.validations], rel=1e-5
    )
    two = Forecaster.load(saved)
    np.testing.assert_allclose(two.predict(table)["q50"], one.predict()["q50"], rtol=1e-4)
