"""neuralforecast's LSTM on the windows of the forecast bench, run by an environment that has it.

    python benchmarks/forecast_peer.py GIVEN.npz FOUND.npy

Reads the training part and the histories of the windows; writes forecasts `(N, horizon, 3)`.
"""

import logging
import sys
import warnings

import numpy as np
import pandas as pd
import torch


def main(given: str, found: str) -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MQLoss
    from neuralforecast.models import LSTM

    torch.set_num_threads(1)
    data = np.load(given)
    horizon = int(data["horizon"])
    training = pd.DataFrame({"unique_id": data["series"], "ds": data["steps"], "y": data["values"]})
    quiet = {"enable_progress_bar": False, "logger": False, "enable_model_summary": False}
    shortest = int(training.groupby("unique_id").size().min())
    model = LSTM(
        h=horizon,
        input_size=max(3 * horizon, int(data["season"])) if shortest > 4 * horizon else horizon,
        loss=MQLoss(level=[80]),
        scaler_type="robust",
        start_padding_enabled=True,
        random_seed=0,
        accelerator="cpu",
        **quiet,
    )
    forecaster = NeuralForecast(models=[model], freq=1)
    forecaster.fit(training)
    ends = np.cumsum(data["lengths"])
    values = np.full((len(ends), horizon, 3), np.nan)
    # Every window is a series of its own here: the network does not know which is which.
    frames = [
        pd.DataFrame(
            {"unique_id": place, "ds": np.arange(end - begin), "y": data["histories"][begin:end]}
        )
        for place, (begin, end) in enumerate(zip(ends - data["lengths"], ends, strict=True))
        if end > begin
    ]
    forecasts = forecaster.predict(df=pd.concat(frames, ignore_index=True))
    columns = ["LSTM-lo-80", "LSTM-median", "LSTM-hi-80"]
    for place, of in forecasts.groupby("unique_id"):
        values[place] = of[columns].to_numpy()
    np.save(found, values)


if __name__ == "__main__":
    main(*sys.argv[1:])
