"""RNN, GRU and LSTM on the same data with the same budget: the comparison, measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from gated.cells.named import USUAL
from gated.configuration import Configuration, json_values
from gated.data.held_back import require_test_part
from gated.errors import ConfigurationError, option
from gated.explain import flow
from gated.phases import counted
from gated.scoring.judge import FEWEST, judge
from gated.scoring.verdict import Measure, Scope, Verdict
from gated.tasks.learner import Learner, Source
from gated.training.history import History
from gated.training.options import TrainingOptions
from gated.training.progress import Progress

Floats = NDArray[np.float64]

COSTS = ("parameters", "seconds_per_epoch", "seconds_to_best", "gradient_reach")
"""Fields of a `Row` that are compared beside its scores."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell with one seed."""

    cell: str
    seed: int
    parameters: int
    seconds_per_epoch: float
    """Training time of one epoch."""
    seconds_to_best: float
    """Training time in seconds up to the weights that were best on validation."""
    better: bool
    """Whether it beats the baselines by the verdict on its scores."""
    scores: Mapping[str, float]
    """Scores on the test part by name, the deciding one first."""
    gradient_norms: Floats
    """`(T,)`, norms of the loss's gradient with respect to the first recurrent layers' states, as
    shares of the largest norm, oldest step first."""
    gradient_reach: int
    """Steps that the gradient reaches back, see `gated.explain.flow`."""
    history: History
    instead: str = ""
    """What made the scores, where the network had no part in them; see `Verdict.instead`."""

    def figure(self, name: str) -> float:
        """Return a score or a cost."""
        return float(self.scores[name] if name in self.scores else getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Results of all cells and seeds, and the baselines' scores on the same examples."""

    task: str
    config: Configuration
    training: TrainingOptions
    rows: tuple[Row, ...]
    baselines: Mapping[str, Mapping[str, float]]
    """Scores, `[method][score]`."""
    higher_is_better: frozenset[str]
    """Names of the scores that are better when higher; all others are errors."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores, the deciding one first."""
        return tuple(self.rows[0].scores)

    def summary(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Return mean and sample standard deviation over the seeds: `[cell][figure]`."""
        return {
            cell: {
                name: _mean_and_spread([row.figure(name) for row in rows])
                for name in (*COSTS, *self.scores)
            }
            for cell, rows in self._by_cell()
        }

    def better(self, score: str) -> Callable[[float], float]:
        """Return a sort key for values of a score: the best value has the smallest key."""
        return (lambda value: -value) if score in self.higher_is_better else (lambda value: value)

    @property
    def best_baseline(self) -> str | None:
        """Name of the baseline with the best deciding score; None where there is no baseline."""
        score = self.scores[0]
        key = self.better(score)
        known = [name for name, of in self.baselines.items() if score in of]
        return min(known, key=lambda name: key(self.baselines[name][score]), default=None)

    @property
    def beaten(self) -> bool:
        """Whether the best cell beats the baselines with every seed, see `Row.better`."""
        means, key = self.summary(), self.better(self.scores[0])
        best = min(means, key=lambda cell: key(means[cell][self.scores[0]][0]))
        return all(row.better for row in self.rows if row.cell == best)

    @property
    def verdict(self) -> str:
        """Which cell has the best mean score, and whether its lead over the next is significant."""
        score = self.scores[0]
        key = self.better(score)
        means = {cell: summary[score][0] for cell, summary in self.summary().items()}
        best, *others = sorted(means, key=lambda cell: key(means[cell]))
        text = f"{best.upper()} has the best {score}: {means[best]:.3g}"
        if others:
            text += f", {others[0].upper()} {means[others[0]]:.3g}; {self._apart(best, others[0])}"
        if (name := self.best_baseline) is not None:
            text += f". The best baseline ({name}) has {self.baselines[name][score]:.3g}"
        for cell, rows in self._by_cell():
            made = [row.instead for row in rows if row.instead]
            if made:
                text += (
                    f". With {len(made)} of {len(rows)} seeds the {cell.upper()} has no part in "
                    f"its {score}, which is that of {made[0]}"
                )
        return f"{text}."

    def _apart(self, best: str, other: str) -> str:
        """Whether the seeds tell two cells apart: each seed is one case."""
        score = self.scores[0]
        of = {
            cell: [row.figure(score) for row in rows]
            for cell, rows in self._by_cell()
            if cell in (best, other)
        }
        measure = Measure("{}", higher_is_better=score in self.higher_is_better)
        found = judge(
            {best: of[best], other: of[other]},
            measure,
            Scope("seeds"),
            networks=len(self.summary()),
        )
        seeds = len(of[best])
        if found.outcome == "too few":
            return f"too few seeds to tell them apart ({seeds}; it takes {FEWEST})"
        clear = "clear" if found.outcome == "better" else "not clear"
        return f"the difference is {clear} over {seeds} seed{'s' * (seeds != 1)}"

    @property
    def document(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "task": self.task,
            "config": json_values(self.config),
            "training": json_values(self.training),
            "verdict": self.verdict,
            "summary": {
                cell: {name: {"mean": mean, "spread": spread} for name, (mean, spread) in s.items()}
                for cell, s in self.summary().items()
            },
            "rows": [
                {"cell": row.cell, "seed": row.seed}
                | {name: row.figure(name) for name in (*COSTS, *self.scores)}
                | {"gradient_norms": row.gradient_norms.tolist()}
                for row in self.rows
            ],
            "baselines": {name: dict(scores) for name, scores in self.baselines.items()},
        }

    def _by_cell(self) -> Iterator[tuple[str, list[Row]]]:
        for cell in dict.fromkeys(row.cell for row in self.rows):
            yield cell, [row for row in self.rows if row.cell == cell]


def cells_of(kind: type[Learner[Any, Any, Any]]) -> tuple[str, ...]:
    """Return the cells that a task supports, the smallest first."""
    known = get_args(get_type_hints(kind.config_type)["cell"])
    return tuple(cell for cell in USUAL if cell in known or not known)


def compare(
    kind: type[Learner[Any, Any, Any]],
    source: Source,
    config: Any = None,
    training: TrainingOptions | None = None,
    *,
    cells: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    progress: Callable[[str, int], Progress] | None = None,
) -> Comparison:
    """Train each of `cells` with each of `seeds`, everything else the same, and score them.

    Args:
        kind: the learner of a task.
        source: the data, as its `fit` takes them.
        config: its `cell` is replaced.
        training: its `seed` is replaced.
        cells: which to compare; by default all that the task supports.
        seeds: of initial weights and batches.
        progress: returns the `Progress` of the training with this cell and seed.

    Raises:
        ConfigurationError: a cell is unknown, or no seed is given.
        DataError: the data cannot be used.
    """
    config, training = config or kind.config_type(), training or kind.training_type()
    known = cells_of(kind)
    if training.init_from:
        config = kind(config, training).adopt().config
        known = (config.cell,)
        if strange := [cell for cell in cells if cell not in known]:
            raise ConfigurationError(
                f"{option('cells')}: '{strange[0]}' is not one of {known[0]} (the cell of "
                f"{training.init_from})."
            )
    configs = [replace(config, cell=cell) for cell in cells or known]  # refused before any trains
    if not seeds:
        raise ConfigurationError(f"{option('seeds')}: give at least one.")
    rows, scores, higher = [], {}, frozenset[str]()
    networks = [(of, seed) for of in configs for seed in seeds]
    for of, seed in counted("Networks", networks):
        cell, learner = of.cell, kind(of, replace(training, seed=seed))
        learner.prepare(source).check_test_part()
        require_test_part(len(learner.parts.test), what=learner.counted)
        learner.train(progress=progress(cell, seed) if progress else None)
        evaluation = learner.score()
        scores = dict(evaluation.figures)
        own = scores.pop(next(iter(scores)))
        rows.append(_row(learner, cell, own, evaluation.verdict))
        higher = evaluation.higher_is_better
    return Comparison(
        task=kind.task,
        config=config,
        training=training,
        rows=tuple(rows),
        baselines=scores,
        higher_is_better=higher,
    )


def _row(
    learner: Learner[Any, Any, Any], cell: str, scores: Mapping[str, float], verdict: Verdict
) -> Row:
    history, options = learner.history, learner.training
    norms, reach = _gradient(learner)
    best = history.best.step if history.best else history.steps
    epoch = learner.new_task().steps_per_epoch(options.batch_size)
    return Row(
        cell=cell,
        seed=options.seed,
        parameters=learner.parameters,
        seconds_per_epoch=float(np.median(history.seconds)) * epoch,
        seconds_to_best=sum(history.seconds[:best]),
        better=verdict.better,
        scores=scores,
        gradient_norms=norms,
        gradient_reach=reach,
        history=history,
        instead=verdict.instead,
    )


def _gradient(learner: Learner[Any, Any, Any]) -> tuple[Floats, int]:
    """Follow the loss on the test part back through the first recurrent layers."""
    probe = learner.probed(learner.parts.test)
    if probe.loss is None:
        return np.zeros(0), 0
    x, lengths = probe.batches[0]
    followed = flow(probe.model, x, probe.loss, lengths=lengths, samples=0)
    first = followed.layers[0].name
    measured = [layer for layer in followed.layers if layer.name == first][-1]
    return measured.strongest, measured.reach()


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
