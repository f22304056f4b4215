"""Checkpoints: everything that a killed training needs to go on as if nothing had happened.

One safetensors file holds the network, the optimiser's state, the best weights so far and the
history's columns as tensors, under names like `optimizer/exp_avg/encoder.weight_ih`, and the rest
as a JSON document in its metadata, beside a digest of the whole file. Learning rate, batches and
dropout are functions of the step.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from gated.configuration import json_values
from gated.errors import ConfigurationError
from gated.files import read_bytes, write_atomically
from gated.model_files import NO_DIGEST, check_format, check_seal, damaged, seal
from gated.training.history import COLUMNS, History
from gated.training.options import TrainingOptions
from gated.training.task import Task
from gated.version import VERSION

CHECKPOINT_FORMAT = "gated-checkpoint"
CHECKPOINT_VERSION = 2
FILE_NAME = "checkpoint.safetensors"

Tensors = dict[str, Tensor]


@dataclass
class Checkpoint:
    """The state of a training after some step."""

    identity: dict[str, Any]
    """The options and the data of the training, as the function `identity` returns them."""
    network: Tensors
    optimizer: Tensors
    """The optimiser's state of each parameter, under `STATE/PARAMETER`."""
    best: Tensors
    """The best state dict so far; empty before the first validation."""
    carried: Tensors
    """States that pass from step to step, `(processes, …)` each, under `PART/NAME`."""
    history: History
    scaler: dict[str, Any]
    """The state of the loss scaler in half precision; empty without one."""


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` atomically: the file is the former checkpoint or this one."""
    history = checkpoint.history
    sections = {
        "network": checkpoint.network,
        "optimizer": checkpoint.optimizer,
        "best": checkpoint.best,
        "carried": checkpoint.carried,
        "history": {
            name: torch.tensor(getattr(history, name), dtype=torch.float64) for name in COLUMNS
        },
    }
    # Each tensor as its own contiguous copy: tied weights share memory.
    tensors = {
        f"{section}/{name}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for section, members in sections.items()
        for name, tensor in members.items()
    }
    document = {
        "format": CHECKPOINT_FORMAT,
        "version": CHECKPOINT_VERSION,
        "gated": VERSION,
        "identity": checkpoint.identity,
        "history": history.facts(),
        "scaler": checkpoint.scaler,
    }
    metadata = {"gated": json.dumps(document), "sha256": NO_DIGEST}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, seal(safetensors.torch.save(tensors, metadata)))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    Raises:
        ModelFileError: A damaged or foreign file, or one of another version.
    """
    data = read_bytes(path)
    metadata, whole = check_seal(path, data)
    try:
        document = json.loads(metadata.get("gated", "null"))
    except (ValueError, TypeError, RecursionError) as error:
        raise damaged(path, str(error)) from error
    check_format(path, document, CHECKPOINT_FORMAT, CHECKPOINT_VERSION, whole=whole)
    try:
        return _checkpoint(document, safetensors.torch.load(data))
    except Exception as error:  # any error that a foreign file may cause
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def steps_kept(path: Path) -> int | None:
    """Return after how many steps a checkpoint was written, from its header alone.

    None where there is no checkpoint that can be read.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(min(length, path.stat().st_size))
        return int(json.loads(header)["history/loss"]["shape"][0])
    except Exception:  # called while another error is handled
        return None


def _checkpoint(document: dict[str, Any], tensors: Tensors) -> Checkpoint:
    names = ("network", "optimizer", "best", "carried", "history")
    sections: dict[str, Tensors] = {name: {} for name in names}
    for key, tensor in tensors.items():
        section, _, name = key.partition("/")
        if section in ("network", "optimizer", "best") and not tensor.isfinite().all():
            raise ValueError(f"{key} holds a value that is NaN or infinite")
        sections[section][name] = tensor
    columns = {
        name: column.bool().tolist() if name.startswith("clipped") else column.tolist()
        for name, column in sections.pop("history").items()
    }
    if len({len(column) for column in columns.values()}) != 1 or set(columns) != set(COLUMNS):
        raise ValueError("the history's columns are not of one length")
    made = document["identity"]
    return Checkpoint(
        identity={"options": dict(made["options"]), "data": made["data"]},
        **sections,
        history=History.from_facts(document["history"], columns),
        scaler=dict(document["scaler"]),
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer, network: nn.Module) -> Tensors:
    """Return the optimiser's state by the names of `network`'s parameters."""
    return {
        f"{kind}/{name}": tensor
        for name, parameter in network.named_parameters()
        for kind, tensor in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, network: nn.Module, tensors: Tensors
) -> None:
    """Put back what `optimizer_tensors` returned.

    Raises:
        ValueError: A tensor does not have the shape of its parameter.
        KeyError: There is no such parameter.
    """
    parameters = dict(network.named_parameters())
    fused = optimizer.defaults["fused"]
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        parameter = parameters[name]
        if tensor.shape not in (parameter.shape, torch.Size()):
            raise ValueError(f"{key} has the shape {tuple(tensor.shape)}")
        # Only fused AdamW counts its steps on the device.
        on_device = kind != "step" or fused
        optimizer.state[parameter][kind] = tensor.to(parameter.device) if on_device else tensor


def identity(task: Task[Any], options: TrainingOptions) -> dict[str, Any]:
    """What must be the same for a checkpoint to be continued, as a JSON document."""
    chosen = json_values(options)
    for name in ("threads", "checkpoint_every"):  # these do not change the result
        del chosen[name]
    return {"options": chosen, "data": task.fingerprint()}


def check_identity(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Refuse to continue another training.

    Raises:
        ConfigurationError: Says which options differ, or that the data do.
    """
    before, now = theirs["options"], ours["options"]
    different = [
        f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
        for name in before | now
        if before.get(name) != now.get(name)
    ]
    if theirs["data"] != ours["data"]:
        different.append("the network or the data it is trained on are not the same")
    if different:
        raise ConfigurationError(
            f"{path} is of another training: {'; '.join(different)}. Resume with what it was "
            "started with, or train into a new directory."
        )
