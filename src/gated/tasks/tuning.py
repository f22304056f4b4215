"""Options chosen by trials: each trains a network, and is judged on the validation part alone.

The search is Optuna's (tree-structured Parzen estimator, Bergstra et al. 2011, with median
pruning). Its journal is a file that any number of processes append to, so that a search that was
interrupted goes on, and several processes, here or on other machines, work on one. Test data are
not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from gated.cells.named import USUAL
from gated.configuration import Configuration
from gated.errors import ConfigurationError, DataError, TrainingDivergedError, require
from gated.tasks.learner import Learner, Source
from gated.training.options import TrainingOptions

JOURNAL = "trials.journal"
FACTOR = 4
"""Sizes are tried between a quarter and four times of what is given."""
PRUNED_AFTER = 5
"""Trials that are always trained to their end."""
MOST_LAYERS = 3
SHARES = {"dropout": 0.5, "variational_dropout": 0.3}
"""Shares that are tried, from 0 to this."""
SIZES = ("hidden", "batch_size")
"""Whole numbers tried in steps of doubling."""
RATES = ("learning_rate", "weight_decay")
"""Positive numbers tried by their logarithm."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The outcome of the trials so far."""

    chosen: Mapping[str, Any]
    """Options of the best trial, by name."""
    loss: float
    """Its validation loss."""
    usual: float
    """The validation loss of the first trial, with the options as given."""
    trials: int
    """Trials that were trained to their end."""
    pruned: int
    """Trials that were given up, behind the others."""
    importance: Mapping[str, float]
    """How much of the losses' spread each option explains (fANOVA, Hutter et al. 2014); empty while
    there are too few trials."""


def choices(kind: type[Learner[Any, Any, Any]], options: object) -> dict[str, Any]:
    """Return what is tried for each option of a configuration: a pair of bounds, or the values.

    Args:
        kind: the learner.
        options: its configuration, or how to train it. What was given by name stays as it is.
    """
    hints = get_type_hints(type(options))
    given = options.given if isinstance(options, Configuration) else frozenset()
    found: dict[str, Any] = {}
    for name in (of.name for of in fields(options)):  # type: ignore[arg-type]
        value = getattr(options, name)
        if name in given:
            continue
        if name in SIZES or name in RATES:
            found[name] = (value / FACTOR, value * FACTOR)
        elif name in SHARES:
            found[name] = (0.0, SHARES[name])
        elif name == "layers":
            found[name] = (1, MOST_LAYERS)
        elif name == "cell":
            found[name] = get_args(hints[name]) or USUAL
    return found


def tune(
    kind: type[Learner[Any, Any, Any]],
    source: Source,
    config: Configuration | None,
    training: TrainingOptions | None,
    *,
    directory: Path,
    trials: int,
    told: Callable[[int, float], None] | None = None,
) -> Tuned:
    """Try options until there are `trials` in the journal of `directory`, and return the best.

    Options that were given by name in `config` and `training` are not changed. The first trial is
    the options as they are.

    Args:
        kind: the learner.
        source: the data.
        config: options of the task.
        training: how to train: the budget of each trial.
        directory: of the journal, which other processes may work on at the same time.
        trials: how many there shall be in all.
        told: called with the number and the loss of each trial that ends here.

    Raises:
        ConfigurationError: there is no option left to choose.
        DataError: the data cannot be used, or nothing of them is held out to judge by.
    """
    first = kind(config, training)
    space = {**choices(kind, first.config), **choices(kind, first.training)}
    if not space:
        raise ConfigurationError("Every option that can be tuned was given: none is left to try.")
    study = open_study(directory)
    optuna = require("optuna", extra="tune")
    usual = {name: getattr(_holder(first, name), name) for name in space}
    if not study.trials:
        study.enqueue_trial(usual, skip_if_exists=True)

    def objective(trial: Any) -> float:
        picked = {name: _pick(trial, name, space[name], usual[name]) for name in space}
        learner = kind(*(_with(of, picked) for of in (first.config, first.training)))
        learner.prepare(source)
        try:
            learner.train(progress=_Pruning(trial))
        except TrainingDivergedError as error:
            raise optuna.TrialPruned(str(error)) from error
        losses = [of.loss for of in learner.history.validations]
        if not losses:
            raise DataError(
                "Nothing is held out to judge the trials by: give more data, or hold more of them "
                "out for validation."
            )
        return min(losses)

    def after(study: Any, trial: Any) -> None:
        if told and trial.value is not None:
            told(trial.number, trial.value)

    states = optuna.trial.TrialState
    study.optimize(
        objective,
        callbacks=[
            optuna.study.MaxTrialsCallback(trials, states=(states.COMPLETE, states.PRUNED)),
            after,
        ],
    )
    return outcome(study)


def open_study(directory: Path) -> Any:
    """Return the search whose journal is in a directory, begun if there is none."""
    optuna = require("optuna", extra="tune")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backend = optuna.storages.journal.JournalFileBackend(str(directory / JOURNAL))
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        study_name="gated",
        load_if_exists=True,
        direction="minimize",
        sampler=optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=None),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=PRUNED_AFTER),
    )


def outcome(study: Any) -> Tuned:
    """Return what a search has found so far."""
    optuna = require("optuna", extra="tune")
    states = optuna.trial.TrialState
    complete = study.get_trials(states=(states.COMPLETE,))
    best = study.best_trial
    importance: Mapping[str, float] = {}
    if len(complete) > 2 * len(best.params):
        importance = optuna.importance.get_param_importances(study)
    return Tuned(
        chosen=best.params,
        loss=best.value,
        usual=complete[0].value,
        trials=len(complete),
        pruned=len(study.get_trials(states=(states.PRUNED,))),
        importance=importance,
    )


def _holder(learner: Learner[Any, Any, Any], name: str) -> object:
    """The options that `name` is one of."""
    return learner.config if hasattr(learner.config, name) else learner.training


def _with(options: Any, picked: Mapping[str, Any]) -> Any:
    own = {of.name for of in fields(options)}
    return replace(options, **{name: value for name, value in picked.items() if name in own})


def _pick(trial: Any, name: str, tried: Any, usual: Any) -> Any:
    if name == "cell":
        return trial.suggest_categorical(name, tried)
    low, high = tried
    if isinstance(usual, int):
        return trial.suggest_int(name, max(1, math.ceil(low)), int(high), log=name in SIZES)
    return trial.suggest_float(name, low, high, log=name in RATES)


class _Pruning:
    """Reports validations to a trial, and ends it where it is behind the others."""

    def __init__(self, trial: Any) -> None:
        self.trial = trial

    def step(self, **of: Any) -> None:
        """Do nothing."""

    def validation(self, *, step: int, scores: Mapping[str, float], best: bool) -> None:
        """Report the loss."""
        self.trial.report(scores["loss"], step)
        if self.trial.should_prune():
            raise require("optuna", extra="tune").TrialPruned
