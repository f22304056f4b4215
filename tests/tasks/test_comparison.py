import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from gated.errors import ConfigurationError, DataError
from gated.tasks.comparison import COSTS, compare
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.training.options import TrainingOptions

CONFIG = ForecastConfig(time="t", target="y", horizon=4, history=12, hidden=6)
TRAINING = TrainingOptions(steps=10, validate_every=5, threads=1)


@pytest.fixture(scope="module")
def wave() -> pl.DataFrame:
    steps = np.arange(300)
    rng = np.random.default_rng(0)
    return pl.DataFrame({"t": steps, "y": np.sin(steps / 4) + 0.1 * rng.normal(size=300)})


def test_each_cell_and_seed_has_a_row_and_the_same_budget(wave: pl.DataFrame) -> None:
    told = []

    def progress(cell: str, seed: int):
        told.append((cell, seed))

    comparison = compare(Forecaster, wave, CONFIG, TRAINING, seeds=(0, 1), progress=progress)
    expected = [(cell, seed) for cell in ("rnn", "gru", "lstm") for seed in (0, 1)]
    assert told == expected
    assert [(row.cell, row.seed) for row in comparison.rows] == expected
    assert {row.history.steps for row in comparison.rows} == {10}
    parameters = [row.parameters for row in comparison.rows[::2]]
    assert parameters == sorted(set(parameters))  # the RNN has the fewest, the LSTM the most
    for row in comparison.rows:
        assert row.gradient_norms.shape == (12,)
        assert row.gradient_norms.max() == 1
        assert 1 <= row.gradient_reach <= 12
        assert row.scores["MAE"] > 0
        assert row.seconds_to_best <= sum(row.history.seconds)
    assert {"naive"} <= set(comparison.baselines)
    best = min(comparison.summary().items(), key=lambda item: item[1]["MAE"][0])
    assert comparison.verdict.startswith(f"{best[0].upper()} has the best MAE")


def test_summary_is_mean_and_spread_over_seeds(wave: pl.DataFrame) -> None:
    comparison = compare(Forecaster, wave, CONFIG, TRAINING, cells=("gru",), seeds=(3, 4))
    first, second = (row.scores["MAE"] for row in comparison.rows)
    assert first != second
    mean, spread = comparison.summary()["gru"]["MAE"]
    assert mean == pytest.approx((first + second) / 2)
    assert spread == pytest.approx(abs(first - second) / np.sqrt(2))
    document = json.loads(json.dumps(comparison.document))
    assert set(document["summary"]["gru"]) == {*COSTS, "MAE", "MASE", "pinball loss"}
    assert comparison.verdict.startswith("GRU has the best MAE")


def test_nothing_held_back_is_nothing_to_compare_on(wave: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="no test part to score on"):
        compare(Forecaster, wave, replace(CONFIG, test=0), TRAINING)


def test_an_unknown_cell_is_refused(wave: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="elman"):
        compare(Forecaster, wave, CONFIG, TRAINING, cells=("elman",))
    with pytest.raises(ConfigurationError, match="at least one"):
        compare(Forecaster, wave, CONFIG, TRAINING, seeds=())


@pytest.mark.parametrize(
    ("seeds", "gap", "end"),
    [
        (3, 5.0, "; too few seeds to tell them apart (3; it takes 10)."),
        (12, 5.0, "; the difference is clear over 12 seeds."),
        (12, 0.01, "; the difference is not clear over 12 seeds."),
    ],
)
def test_cells_are_told_apart_by_the_judge(
    wave: pl.DataFrame, seeds: int, gap: float, end: str
) -> None:
    found = compare(Forecaster, wave, CONFIG, TRAINING, cells=("gru",), seeds=(0,))
    draw, (row,) = np.random.default_rng(0), found.rows
    rows = tuple(
        replace(
            row,
            cell=cell,
            seed=seed,
            scores={"MAE": 9 + draw.normal() + gap * (cell == "rnn")},
            instead="",
        )
        for cell in ("rnn", "gru")
        for seed in range(seeds)
    )
    assert replace(found, rows=rows, baselines={}).verdict.endswith(end)
    untrusted = (*rows[:-1], replace(rows[-1], instead="smoothing"))
    said = f"With 1 of {seeds} seeds the GRU has no part in its MAE, which is that of smoothing."
    assert replace(found, rows=untrusted, baselines={}).verdict.endswith(said)
