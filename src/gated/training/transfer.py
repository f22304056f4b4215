"""Starting from another run's weights, and which parameters train when and how fast."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from torch import nn

from gated.configuration import Configuration, from_json_values, json_values
from gated.errors import ConfigurationError, ModelFileError, option
from gated.model_files import FILE_NAME as MODEL
from gated.model_files import load_description
from gated.training.checkpoint import FILE_NAME as CHECKPOINT
from gated.training.history import Transfer
from gated.training.model_files import load_model
from gated.training.options import TrainingOptions
from gated.training.task import Task

Config = TypeVar("Config", bound=Configuration)


@dataclass(frozen=True)
class Origin:
    """The run whose weights a network begins with, as its `model.json` describes it."""

    run: Path
    description: dict[str, Any]

    @classmethod
    def of(cls, run: Path, tasks: Sequence[str]) -> Self:
        """Read the description of a run of one of some tasks.

        Raises:
            ModelFileError: `run` holds no such model.
        """
        if not (run / MODEL).exists() and (run / CHECKPOINT).exists():
            name = shlex.quote(str(run))
            raise ModelFileError(
                f"{option('init_from')}: the training in {run} has not ended. To end it and "
                f"begin with its "
                f"best weights so far: gated finish {name}; to go on with it: gated resume {name}"
            )
        description = load_description(run)
        task = description.get("task")
        if task not in tasks:
            wanted = " or ".join(repr(name) for name in tasks)
            raise ModelFileError(
                f"{option('init_from')}: {run} is a run of the task {task!r}; give one of {wanted}."
            )
        return cls(run, description)

    def adopted(self, config: Config, names: Sequence[str]) -> Config:
        """Return `config` with the run's values of the options `names`, which its weights need.

        Raises:
            ConfigurationError: another value of one of them was given.
            ModelFileError: the run does not say what they are.
        """
        chosen = json_values(config)
        try:
            saved = self.description["config"]
            # A run of before there was an option has what is now the default.
            theirs = {
                name: saved[name] if name in saved else getattr(type(config), name)
                for name in names
            }
        except (AttributeError, KeyError, TypeError) as error:
            raise ModelFileError(
                f"{option('init_from')}: the model in {self.run} lacks {error}."
            ) from error
        for name, value in theirs.items():
            if name in config.given and chosen[name] not in (None, value):
                raise ConfigurationError(
                    f"{option(name)} is {chosen[name]!r}, and {value!r} in {self.run}, with "
                    f"whose weights "
                    f"{option('init_from')} begins: leave it out to have that of the run, "
                    f"or begin anew."
                )
        try:
            return from_json_values(type(config), chosen | theirs)
        except ModelFileError as error:
            said = ", ".join(option(name, value) for name, value in theirs.items())
            raise ConfigurationError(
                f"{option('init_from')}: this task cannot begin with the weights of {self.run}, "
                f"whose options are {said}: {error}"
            ) from error

    def learned(self, name: str, kind: Any) -> Any:
        """Return what the run learned from its data, stored under a name; None if there is nothing.

        Raises:
            ModelFileError: it is damaged.
        """
        saved = self.description.get(name)
        return None if saved is None else from_json_values(kind, saved)


class DepthGroup(NamedTuple):
    """The parameters of one depth that are trained."""

    parameters: list[nn.Parameter]
    rate: float
    """A multiple of the learning rate."""
    first_step: int
    """The step, counted from 0, from which they train."""


def trained_groups(
    task: Task[Any], options: TrainingOptions, steps: int | None
) -> list[DepthGroup]:
    """Return the depth groups that train, nearest the input first.

    The topmost group starts at step 0 and each one below it `thaw_every` steps later (Howard and
    Ruder 2018); each trains at `layer_rate_decay` times the rate of the one above it. The training
    has `steps`, where that is known.

    Raises:
        ConfigurationError: `freeze` names no group, or all; a group would never be unfrozen.
    """
    groups = task.depth_groups()
    names = [name for name, _ in groups]
    _check_complete(task, [parameter for _, group in groups for parameter in group])
    if unknown := set(options.freeze) - set(names):
        raise ConfigurationError(
            f"{option('freeze')}: this network has no depth group {', '.join(sorted(unknown))}. "
            f"It has: {', '.join(names)}."
        )
    trained = [name for name in names if name not in options.freeze]
    if not trained:
        raise ConfigurationError(
            f"{option('freeze')}: every depth group is frozen, so nothing would train."
        )
    if steps is not None and options.thaw_every * (len(trained) - 1) >= steps:
        raise ConfigurationError(
            f"{option('thaw_every', options.thaw_every)}: with {len(trained)} depth groups, "
            f"{trained[0]} "
            f"would not thaw in {steps} steps. Lower it, or name the group in "
            f"{option('freeze')}."
        )
    return [
        DepthGroup(
            [parameter for parameter in parameters if parameter.requires_grad],
            rate=options.layer_rate_decay ** (len(names) - 1 - names.index(name)),
            first_step=options.thaw_every * (len(trained) - 1 - trained.index(name)),
        )
        for name, parameters in groups
        if name in trained
    ]


def _check_complete(task: Task[Any], grouped: list[nn.Parameter]) -> None:
    expected = {id(parameter): name for name, parameter in task.network.named_parameters()}
    if missing := set(expected) - {id(parameter) for parameter in grouped}:
        raise ConfigurationError(
            f"{type(task).__name__}.depth_groups leaves out "
            f"{', '.join(sorted(expected[key] for key in missing))}. Name each parameter once."
        )
    if len(grouped) != len(expected):
        raise ConfigurationError(
            f"{type(task).__name__}.depth_groups gives {len(grouped)} parameters, the network has "
            f"{len(expected)}. Name each parameter once."
        )


def load_matching(network: nn.Module, source: Path, anew: Sequence[str] = ()) -> Transfer:
    """Copy into `network` the weights of the model in `source` that match in name and shape.

    Those whose names begin with one of `anew` are not copied: they have another meaning there.

    Raises:
        ConfigurationError: Nothing matches.
        ModelFileError: `source` holds no sound model.
    """
    model, _ = load_model(source)
    theirs = {name: of for name, of in model.items() if not name.startswith(tuple(anew))}
    ours = network.state_dict()
    common = ours.keys() & theirs.keys()
    loaded = {name: theirs[name] for name in common if theirs[name].shape == ours[name].shape}
    transfer = Transfer(
        source=str(source),
        loaded=tuple(sorted(loaded)),
        other_shape=tuple(sorted(common - loaded.keys())),
        absent=tuple(sorted(ours.keys() - common)),
        unused=tuple(sorted(theirs.keys() - common)),
    )
    if not loaded:
        raise ConfigurationError(
            f"{option('init_from')}: no weight of {source} has the name and shape of one "
            f"here. It has "
            f"{_some(theirs)}; this network has {_some(ours)}. Give a run of the same task, cell "
            "and size."
        )
    network.load_state_dict(loaded, strict=False)
    return transfer


def _some(state: dict[str, Any]) -> str:
    shown = [f"{name} {tuple(tensor.shape)}" for name, tensor in list(state.items())[:3]]
    return ", ".join(shown) + (", …" if len(state) > len(shown) else "")
