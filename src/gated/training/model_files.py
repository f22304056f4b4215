"""Models on disk: safetensors for the weights, JSON for what they mean.

A model is two files in a directory. `model.json` says format, version, the task's description and
the name and digest of the weights; `weights-DIGEST.safetensors` holds the state dict. The JSON is
written last and names its weights by their content, so at every moment the pair is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from gated.errors import ModelFileError

MODEL_FORMAT = "gated-model"
MODEL_VERSION = 1


def save_model(directory: Path, network: nn.Module, description: Mapping[str, Any]) -> None:
    """Write the weights of `network` and their `description`, a JSON document, atomically."""
    weights = to_safetensors(network.state_dict(), {"format": "pt"})
    digest = hashlib.sha256(weights).hexdigest()
    name = f"weights-{digest[:12]}.safetensors"
    document = {
        "format": MODEL_FORMAT,
        "version": MODEL_VERSION,
        "weights": name,
        "sha256": digest,
        "description": description,
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / name, weights)
    write_atomically(directory / "model.json", text.encode())
    for other in directory.glob("weights-*.safetensors"):
        if other.name != name:
            other.unlink()


def load_model(
    directory: Path, task: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the state dict and the description that `save_model` wrote, of `task` if one is named.

    Raises:
        ModelFileError: No model, a damaged or foreign one, one of an unknown version or of another
            task.
    """
    path = directory / "model.json"
    document = _document(path)
    if task not in (None, document["description"].get("task")):
        raise ModelFileError(
            f"{directory} holds a model of the task {document['description'].get('task')!r}, "
            f"not of {task!r}."
        )
    try:
        name, digest = document["weights"], document["sha256"]
        weights_path = directory / Path(name).name
    except (KeyError, TypeError) as error:
        raise _damaged(path, f"{error} is missing") from error
    data = read_bytes(weights_path)
    if hashlib.sha256(data).hexdigest() != digest:
        raise _damaged(weights_path, f"{len(data)} bytes, not those that {path.name} was made for")
    return from_safetensors(weights_path, data), document["description"]


def load_description(directory: Path) -> dict[str, Any]:
    """Read the description that `save_model` wrote, without the weights; raises as `load_model`."""
    description: dict[str, Any] = _document(directory / "model.json")["description"]
    return description


def _document(path: Path) -> dict[str, Any]:
    """Read `model.json`, and see that it describes a model."""
    document: dict[str, Any] = read_json(path)
    check_format(path, document, MODEL_FORMAT, MODEL_VERSION)
    description = document.get("description")
    if not isinstance(description, dict):
        raise _damaged(path, "description is missing")
    return document


def to_safetensors(tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Serialise `tensors`, each as its own contiguous copy: tied weights share memory."""
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    return safetensors.torch.save(copies, metadata)


def from_safetensors(path: Path, data: bytes) -> dict[str, Tensor]:
    """Parse `data`, the content of `path`.

    Raises:
        ModelFileError: It is not a whole safetensors file.
    """
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error


def check_format(path: Path, document: Any, kind: str, version: int) -> None:
    """Refuse a `document` that is not of this kind and version.

    Raises:
        ModelFileError: Says which.
    """
    if not isinstance(document, dict) or document.get("format") != kind:
        raise ModelFileError(
            f"{path} is not a {kind} file, so gated did not write it. Give the directory of a run."
        )
    if document.get("version") != version:
        raise ModelFileError(
            f"{path} is of format version {document.get('version')}, and this gated reads version "
            f"{version}. Use the version of gated that wrote it, or train again."
        )


def write_atomically(path: Path, data: bytes) -> None:
    """Write `path` so that at every moment it holds its old content or all of `data`."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # some file systems cannot sync a directory
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ModelFileError: It is missing or damaged.
    """
    data = read_bytes(path)
    try:
        return json.loads(data)
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        ModelFileError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"{path} cannot be read ({error.strerror}). Give the directory of a run."
        ) from error


def _damaged(path: Path, reason: str) -> ModelFileError:
    return ModelFileError(
        f"{path} is damaged ({reason}). Restore it from a copy, or train again; a training that "
        "was cut off is completed by resuming it."
    )
