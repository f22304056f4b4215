"""A network's weights to and from disk; the files are those of `gated.model_files`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from gated import model_files


def save_model(
    directory: Path,
    network: nn.Module,
    description: Mapping[str, Any],
    attached: Mapping[str, bytes] | None = None,
) -> None:
    """Write the weights of `network` and what is to go with them, atomically.

    Args:
        directory: made where it is missing; a model that is there is replaced.
        network: whose state dict is written.
        description: a JSON document.
        attached: more files, by name.
    """
    arrays = {
        name: tensor.detach().cpu().contiguous().numpy()
        for name, tensor in network.state_dict().items()
    }
    model_files.save_model(directory, arrays, description, attached)


def load_model(
    directory: Path, task: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the state dict and the description that `save_model` wrote, of `task` if one is named.

    Raises:
        ModelFileError: No model, a damaged or foreign one, one of another version or of another
            task.
    """
    arrays, description = model_files.load_model(directory, task)
    return {name: torch.tensor(array) for name, array in arrays.items()}, description


def check_shapes(make: Callable[[], nn.Module], weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not those of the network that `make` makes.

    The network is made on torch's meta device, and abandoned once it has more parameters than there
    are weights: whatever sizes a description asks for, no time or memory is spent on them.

    Raises:
        ValueError: A weight is missing, too many, or of another shape.
        RuntimeError: A size that no tensor can have.
    """
    here = threading.get_ident()
    left = 4 * len(weights) + 100  # a weight may be set more than once while a network is made

    def count(module: nn.Module, name: str, parameter: Any) -> None:
        nonlocal left
        left -= threading.get_ident() == here
        if left < 0:
            raise ValueError(f"its {len(weights)} weights are fewer than its network has")

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            expected = {name: tuple(of.shape) for name, of in make().state_dict().items()}
    finally:
        hook.remove()
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if found != expected:
        name = min(found.items() ^ expected.items())[0]
        raise ValueError(
            f"the shape of {name} is {found.get(name)}, and the description asks for "
            f"{expected.get(name)}"
        )
