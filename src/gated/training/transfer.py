"""Starting from another run's weights, and which parameters train when and how fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from gated.errors import ConfigurationError
from gated.training.history import Transfer
from gated.training.model_files import load_model
from gated.training.options import TrainingOptions
from gated.training.task import Task


class DepthGroup(NamedTuple):
    """Parameters of one depth that train: not those that the task itself holds fixed."""

    parameters: list[nn.Parameter]
    rate: float
    """Times the learning rate."""
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
        ConfigurationError: `freeze` names no group, or all; a group would never thaw.
    """
    groups = task.depth_groups()
    names = [name for name, _ in groups]
    _check_complete(task, [parameter for _, group in groups for parameter in group])
    if unknown := set(options.freeze) - set(names):
        raise ConfigurationError(
            f"freeze: this network has no depth group {', '.join(sorted(unknown))}. "
            f"It has: {', '.join(names)}."
        )
    trained = [name for name in names if name not in options.freeze]
    if not trained:
        raise ConfigurationError("freeze: every depth group is frozen, so nothing would train.")
    if steps is not None and options.thaw_every * (len(trained) - 1) >= steps:
        raise ConfigurationError(
            f"thaw_every={options.thaw_every}: with {len(trained)} depth groups, {trained[0]} "
            f"would not thaw in {steps} steps. Lower it, or name the group in freeze."
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


def load_matching(network: nn.Module, source: Path) -> Transfer:
    """Copy into `network` the weights of the model in `source` that match in name and shape.

    Raises:
        ConfigurationError: Nothing matches.
        ModelFileError: `source` holds no sound model.
    """
    theirs, _ = load_model(source)
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
            f"init_from: no weight of {source} has the name and shape of one here. It has "
            f"{_some(theirs)}; this network has {_some(ours)}. Give a run of the same task, cell "
            "and size."
        )
    network.load_state_dict(loaded, strict=False)
    return transfer


def _some(state: dict[str, Any]) -> str:
    shown = [f"{name} {tuple(tensor.shape)}" for name, tensor in list(state.items())[:3]]
    return ", ".join(shown) + (", …" if len(state) > len(shown) else "")
