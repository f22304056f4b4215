"""Pre-training and transfer: two airports teach, two weeks of a third suffice.

    python examples/weather_transfer.py

A network is pre-trained on the weather of JFK and LGA and tuned on the two weeks of EWR before the
last 28 days of the year; those 28 days are the test. Beside it the same network trained on the two
weeks alone, with the same steps. Nothing of the test days of any airport is seen in training.
"""

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import mean, stdev

import polars as pl

from data import locate
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.training.options import TrainingOptions

CONFIG = ForecastConfig(
    time="time_hour", target="temp", series="origin", horizon=24, history=72, test="28d"
)
TUNING = TrainingOptions(steps=100, validate_every=100)
LEARNED, NEW = ["JFK", "LGA"], "EWR"

weather = pl.read_csv(
    locate("weather"), null_values="NA", try_parse_dates=True, infer_schema_length=None
)
end = weather["time_hour"].max()
before = weather.filter(pl.col("origin").is_in(LEARNED))
# A column that two weeks leave constant, or without any value, is no input of the small network,
# and both networks must read the same inputs.
columns = ("dewp", "humid", "wind_speed", "pressure", "precip", "visib")
new = weather.filter(
    (pl.col("origin") == NEW) & (pl.col("time_hour") > end - timedelta(days=28 + 14))
)
config = replace(CONFIG, past=columns, validation=0.0)
errors: dict[str, list[float]] = {"two weeks alone": [], "pre-trained, then two weeks": []}
for seed in range(3):
    with tempfile.TemporaryDirectory() as directory:
        pretrained = Forecaster(config, TrainingOptions(steps=300, seed=seed)).fit(before)
        pretrained.save(Path(directory))
        options = replace(TUNING, seed=seed)
        alone = Forecaster(config, options).fit(new).score()
        tuned_options = replace(
            options, init_from=Path(directory), learning_rate=3e-4, layer_rate_decay=0.5
        )
        tuned = Forecaster(config, tuned_options).fit(new).score()
    for name, evaluation in zip(errors, (alone, tuned), strict=True):
        errors[name].append(evaluation.overall["LSTM"]["mae"])
    print(f"seed {seed}: " + ", ".join(f"{name} {mae[-1]:.2f}" for name, mae in errors.items()))
naive = alone.overall["naive"]["mae"]
print(f"MAE in °F over {len(alone.forecasts.truth)} windows, naive {naive:.2f}:")
for name, mae in errors.items():
    print(f"  {name}: {mean(mae):.2f} ± {stdev(mae):.2f}")
