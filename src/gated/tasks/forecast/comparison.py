"""RNN, GRU and LSTM on the same data with the same budget: the comparison, measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray

from gated.errors import ConfigurationError
from gated.explain import flow
from gated.scoring.verdict import Verdict
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.network import Batch, mean_pinball
from gated.tasks.forecast.score import Forecasts, absolute_errors, judged
from gated.tasks.forecast.task import ForecastTask, thinned
from gated.tasks.forecast.windows import gather, training_origins
from gated.training.history import History
from gated.training.options import TrainingOptions
from gated.training.progress import Progress
from gated.training.raw_table import Source

Floats = NDArray[np.float64]

FIGURES = (
    "parameters",
    "seconds_per_epoch",
    "seconds_to_best",
    "mae",
    "mase",
    "pinball",
    "coverage",
    "gradient_reach",
)
"""Fields of a `Row` that are numbers to compare."""
MOST_WINDOWS = 128
"""Windows that the gradient is measured on."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell with one seed."""

    cell: str
    seed: int
    parameters: int
    seconds_per_epoch: float
    """Time in which each training window would be seen once."""
    seconds_to_best: float
    """Training time up to the weights that were best on validation."""
    mae: float
    mase: float
    pinball: float
    coverage: float
    gradient_norms: Floats
    """`(history,)` of the loss with respect to the encoder's states, each as a share of the
    largest, oldest step first."""
    gradient_reach: int
    """Steps of history that the gradient spans, see `gated.explain.flow`."""
    history: History


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All cells and seeds, and what the baselines score on the same windows."""

    config: ForecastConfig
    training: TrainingOptions
    rows: tuple[Row, ...]
    baselines: dict[str, dict[str, float]]
    """`[method][metric]`."""
    verdict: Verdict
    """Whether the best cell, over all its seeds, beats the best baseline; and the next cell."""

    def summary(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Return mean and sample standard deviation over the seeds: `[cell][figure]`."""
        return {
            cell: {
                figure: _mean_and_spread([float(getattr(row, figure)) for row in rows])
                for figure in FIGURES
            }
            for cell, rows in self._by_cell()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all figures, for JSON."""
        return {
            "config": self.config.to_dict(),
            "training": self.training.to_dict(),
            "verdict": str(self.verdict),
            "judged": self.verdict.to_dict(),
            "summary": {
                cell: {name: {"mean": mean, "spread": spread} for name, (mean, spread) in s.items()}
                for cell, s in self.summary().items()
            },
            "rows": [
                {name: getattr(row, name) for name in ("cell", "seed", *FIGURES)}
                | {"gradient_norms": row.gradient_norms.tolist()}
                for row in self.rows
            ],
            "baselines": self.baselines,
        }

    def _by_cell(self) -> Iterator[tuple[str, list[Row]]]:
        for cell in dict.fromkeys(row.cell for row in self.rows):
            yield cell, [row for row in self.rows if row.cell == cell]


def compare(
    data: Source,
    config: ForecastConfig,
    training: TrainingOptions | None = None,
    *,
    cells: Sequence[str] = ("rnn", "gru", "lstm"),
    seeds: Sequence[int] = (0, 1, 2),
    progress: Callable[[str, int], Progress] | None = None,
) -> Comparison:
    """Train each of `cells` with each of `seeds`, everything else the same, and score them.

    Args:
        data: as `Forecaster.fit` takes them.
        config: its `cell` is replaced.
        training: its `seed` is replaced.
        cells: of `rnn`, `gru`, `lstm`.
        seeds: of initial values and batches.
        progress: from cell and seed, what is told of each step.

    Raises:
        ConfigurationError: a cell is unknown, or no cell or seed is given.
        DataError: the data cannot be used.
    """
    known = get_args(get_type_hints(ForecastConfig)["cell"])
    for cell in cells:
        if cell not in known:
            raise ConfigurationError(f"cells: '{cell}' is not one of {', '.join(known)}.")
    if not cells or not seeds:
        raise ConfigurationError("cells, seeds: give at least one of each.")
    training = training or TrainingOptions()
    rows, errors = [], {}
    for cell in cells:
        of_seeds = []
        for seed in seeds:
            chosen: Any = cell
            forecaster = Forecaster(replace(config, cell=chosen), replace(training, seed=seed))
            forecaster.fit(data, progress=progress(cell, seed) if progress else None)
            evaluation = forecaster.score()
            rows.append(_row(forecaster, evaluation.overall[cell.upper()]))
            own, *others = absolute_errors(evaluation.forecasts).values()
            of_seeds.append(own)
        errors[cell.upper()] = np.mean(of_seeds, axis=0)
    _, *names = evaluation.forecasts.methods
    return Comparison(
        config=config,
        training=training,
        rows=tuple(rows),
        baselines={name: evaluation.overall[name] for name in names},
        verdict=verdict_of(
            errors, dict(zip(names, others, strict=True)), evaluation.forecasts, rows
        ),
    )


def verdict_of(
    cells: dict[str, Floats], baselines: dict[str, Floats], forecasts: Forecasts, rows: list[Row]
) -> Verdict:
    """Judge the cell with the smallest error beside the baselines, and beside the next cell.

    Args:
        cells: `(N, horizon)` absolute errors by cell, the mean over its seeds.
        baselines: the same, by method.
        forecasts: what they are errors of.
        rows: what each seed came to.
    """
    best, *others = sorted(cells, key=lambda cell: float(np.nanmean(cells[cell])))
    chosen = {best: cells[best]}
    found = judged(chosen | baselines, forecasts, networks=len(cells))
    if not others:
        return found
    beside = judged(chosen | {of: cells[of] for of in others}, forecasts, networks=len(cells))
    spreads = [
        _mean_and_spread([row.mae for row in rows if row.cell.upper() == cell])
        for cell in (best, beside.baseline)
    ]
    (ours, own), (theirs, other) = spreads
    seeds = "more" if theirs - ours > np.hypot(own, other) else "no more"
    chance = "chance does not explain it" if beside.better else "that is within chance"
    return found.adding(
        f"Of the cells {best} has the smallest error, {beside.baseline} the next: "
        f"{beside.figure}; {chance}, and it is {seeds} than the spread over seeds."
    )


def _row(forecaster: Forecaster, scores: dict[str, float]) -> Row:
    history, config, options = forecaster.history, forecaster.config, forecaster.training
    norms, reach = _gradient(forecaster)
    task = ForecastTask(forecaster.network, forecaster.prepared, options.seed)
    best = history.best.step if history.best else history.steps
    return Row(
        cell=config.cell,
        seed=options.seed,
        parameters=forecaster.parameters,
        seconds_per_epoch=float(np.median(history.seconds))
        * task.steps_per_epoch(options.batch_size),
        seconds_to_best=sum(history.seconds[:best]),
        mae=scores["mae"],
        mase=scores["mase"],
        pinball=scores["pinball"],
        coverage=scores["coverage"],
        gradient_norms=norms,
        gradient_reach=reach,
        history=history,
    )


def _gradient(forecaster: Forecaster) -> tuple[Floats, int]:
    """Follow the training loss back through the trained encoder."""
    prepared = forecaster.prepared
    batch = Batch.of(gather(prepared, thinned(training_origins(prepared), MOST_WINDOWS)))
    quantiles = torch.tensor(forecaster.config.quantiles)
    followed = flow(
        forecaster.network,
        batch,
        lambda forecast: mean_pinball(quantiles, forecast, batch),
        samples=0,
    )
    measured = [layer for layer in followed.layers if layer.name == "encoder"][-1]
    return measured.strongest, measured.reach()


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
