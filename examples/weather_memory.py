"""What the forecast at noon remembers of yesterday: the README's weather forecaster, looked into.

    python examples/weather_memory.py --picture noon.png

The forecaster is trained as in `make demo`, once for each seed. At every noon (12:00 in New York)
of the test part, and at every midnight beside it, the ledger of the encoder says how long ago each
share of its memory was written; then gates are held, and the forecast made with that is set
against the plain one. Nothing here is fitted to the test part.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from data import locate
from gated.explain import Intervention, entries, intervene, trace
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.tasks.forecast.network import Batch
from gated.tasks.forecast.windows import gather, held_out_origins
from gated.training.options import TrainingOptions

CONFIG = ForecastConfig(time="time_hour", target="temp", series="origin", horizon=24, test="28d")
SEEDS = (0, 1, 2)
MOMENTS = {"noon": 12, "midnight": 0}
HOURS_TO_UTC = 5  # The test part is in December: Eastern standard time throughout.
HOUR = 3_600_000_000  # microseconds
# Hours before the forecast is made: at noon, noon itself, the rest of today, yesterday, older.
HOURS = {"0": (0, 0), "1 to 12": (1, 12), "13 to 36": (13, 36), "37 to 71": (37, 71)}
YESTERDAY = HOURS["13 to 36"]


def windows_at(forecaster: Forecaster, hour: int) -> np.ndarray:
    """(N), the origins in the test part whose last known step is at that hour in New York."""
    origins = held_out_origins(forecaster.prepared, stride=1)
    times = forecaster.prepared.panel.times[origins]
    return origins[(times // HOUR - HOURS_TO_UTC) % 24 == hour]


def shares_of(network: torch.nn.Module, batch: Batch) -> np.ndarray:
    """(N, units, history), the share of what a unit holds at the end, by hours since written."""
    encoder = trace(network, batch, layers=[0]).layers[0]
    found = []
    for sequence in range(len(encoder.lengths)):
        *_, last = entries(encoder, sequence=sequence)
        written = np.abs(last.written[::-1].T)
        found.append(written / written.sum(axis=1, keepdims=True))
    return np.array(found)


class Forecasts:
    """Median forecasts in °F of some windows, plain and with gates held."""

    def __init__(self, forecaster: Forecaster, origins: np.ndarray) -> None:
        self.network, self.prepared = forecaster.first_network.eval(), forecaster.prepared
        self.origins = origins
        self.batch = Batch.of(gather(self.prepared, origins))
        ahead = origins[:, None] + np.arange(1, CONFIG.horizon + 1)
        self.truth = self.prepared.panel.target[ahead]
        self.plain = self.median()

    @torch.no_grad()
    def median(self, *held: Intervention) -> np.ndarray:
        with intervene(self.network, *held):
            return self.in_degrees(self.network(self.batch))

    @torch.no_grad()
    def without_seasonal_input(self) -> np.ndarray:
        """The decoder is shown the last value in place of those of seasons before each step."""
        _, state = self.network.encoder(self.network.encoder_inputs(self.batch))
        lags = self.batch.last[:, None].expand_as(self.batch.future_lags)
        return self.in_degrees(self.network.decode(self.batch._replace(future_lags=lags), state))

    def in_degrees(self, scaled: torch.Tensor) -> np.ndarray:
        median = scaled[..., self.network.middle].T.double().numpy()
        return self.prepared.unscaled(median, self.origins)

    def errors(self, forecast: np.ndarray) -> np.ndarray:
        """(N), the mean absolute error of each window over what was observed."""
        return np.nanmean(np.abs(forecast - self.truth), axis=1)


def hours(first: int, last: int) -> slice:
    """The encoder's steps from `last` to `first` hours before the end."""
    return slice(-1 - last, None if first == 0 else -first)


def cleared(hours_ago: int) -> tuple[Intervention, Intervention]:
    """Both states set to zero after the step so many hours before the end."""
    step = hours(hours_ago, hours_ago)
    return (
        Intervention("cell", value=0.0, step=step),
        Intervention("hidden", value=0.0, step=step),
    )


HELD = {
    "nothing written yesterday": (Intervention("input_gate", value=0.0, step=hours(13, 36)),),
    "all forgotten a day ago": cleared(24),
    "all forgotten at midnight": cleared(13),
    "nothing written today": (Intervention("input_gate", value=0.0, step=hours(0, 12)),),
    "never forgets": (Intervention("forget_gate", value=1.0),),
}
SEASONAL = "yesterday hidden from the decoder"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    shares = {moment: [] for moment in MOMENTS}  # of each seed (N, units, history)
    moved, cost, plain = {}, {}, []  # of each seed (N), in °F
    for seed in SEEDS:
        forecaster = Forecaster(CONFIG, TrainingOptions(seed=seed)).fit(locate("weather"))
        for moment, hour in MOMENTS.items():
            forecasts = Forecasts(forecaster, windows_at(forecaster, hour))
            shares[moment].append(shares_of(forecaster.first_network, forecasts.batch))
            if moment != "noon":
                continue
            plain.append(forecasts.errors(forecasts.plain))
            changed = {name: forecasts.median(*held) for name, held in HELD.items()}
            changed[SEASONAL] = forecasts.without_seasonal_input()
            for name, forecast in changed.items():
                moved.setdefault(name, []).append(np.abs(forecast - forecasts.plain).mean(axis=1))
                cost.setdefault(name, []).append(forecasts.errors(forecast) - plain[-1])
    tell_shares(shares)
    tell_effects(moved, cost, plain)
    if options.picture:
        draw(options.picture, shares)


def tell_shares(shares: dict[str, list[np.ndarray]]) -> None:
    """Mean share of each stretch, and its deviation over windows, over units and over seeds."""
    for moment, of_seeds in shares.items():
        windows, units, _ = of_seeds[0].shape
        print(f"\nWhat is remembered at {moment}, % ({windows} windows, {units} units, "
              f"{len(of_seeds)} seeds)")  # fmt: skip
        columns = ("mean", "windows", "units", "seeds", "fullest unit")
        print(f"{'hours ago':>12}" + "".join(f"{column:>13}" for column in columns))
        for name, (first, last) in HOURS.items():
            part = [100 * of[..., first : last + 1].sum(axis=-1) for of in of_seeds]  # (N, units)
            mean = np.array([of.mean() for of in part])
            over_windows = np.mean([of.mean(axis=1).std() for of in part])
            over_units = np.mean([of.mean(axis=0).std() for of in part])
            most = max(of.mean(axis=0).max() for of in part)
            figures = (mean.mean(), over_windows, over_units, mean.std(ddof=1), most)
            print(f"{name:>12}" + "".join(f"{figure:13.2f}" for figure in figures))
    print("\nof single hours of yesterday, % at noon")
    at_noon = 100 * np.mean([of.mean(axis=(0, 1)) for of in shares["noon"]], axis=0)
    for age in (13, 16, 19, 22, 25, 28, 31, 34):
        print(f"  {(12 - age) % 24:02}:00 ({age} hours ago) {at_noon[age]:.4f}")


def tell_effects(moved: dict, cost: dict, plain: list[np.ndarray]) -> None:
    """How far the forecast moves, and what that costs."""
    mae = np.array([of.mean() for of in plain])
    print(f"\nForecasts at noon: MAE {mae.mean():.2f} ± {mae.std(ddof=1):.2f} °F over seeds")
    print(f"{'':34}{'moves it by':>14}{'costs, °F of MAE':>26}{'windows worse':>15}")
    for name, of_seeds in cost.items():
        by = np.array([of.mean() for of in moved[name]])
        costs = np.array([of.mean() for of in of_seeds])
        over_windows = np.mean([of.std() for of in of_seeds])
        worse = np.mean(np.concatenate(of_seeds) > 0)
        print(f"{name:34}{by.mean():8.2f} ±{by.std(ddof=1):4.2f}"
              f"{costs.mean():+9.2f} ±{costs.std(ddof=1):4.2f} (windows ±{over_windows:.2f})"
              f"{worse:10.0%}")  # fmt: skip


def draw(path: Path, shares: dict[str, list[np.ndarray]]) -> None:
    """The share of each hour, with the middle 80 % of windows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 3.6), layout="constrained")
    for (moment, of_seeds), colour in zip(shares.items(), ("#0072b2", "#e69f00"), strict=True):
        each = 100 * np.concatenate([of.mean(axis=1) for of in of_seeds])  # (windows, history)
        low, high = np.percentile(each, [10, 90], axis=0)
        ages = np.arange(each.shape[1])
        axes.fill_between(ages, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(ages, each.mean(axis=0), color=colour, label=f"at {moment}")
    first, last = YESTERDAY
    axes.axvspan(first - 0.5, last + 0.5, color="#999999", alpha=0.15, linewidth=0)
    axes.text((first + last) / 2, 30, "yesterday, seen from noon", ha="center", fontsize=9)
    axes.set(xlabel="hours since it was written", ylabel="% of the memory", xlim=(71.5, -0.5))
    axes.set_yscale("log")
    axes.set_ylim(1e-4, 100)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
