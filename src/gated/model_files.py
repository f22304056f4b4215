"""Reading and writing models and documents with digests, by which any damage is found.

A document is JSON whose last entry is the SHA-256 of every byte before that entry. A model is a few
files in a directory: the document `model.json` holds format, version, the task's description and
the SHA-256 of the other files; `weights-DIGEST.safetensors` holds the arrays. The document is
written last and the others are named by their content (DIGEST is the first 12 digits of the
SHA-256), so that the model is complete at every moment. A single safetensors file has its SHA-256
in its own metadata, computed with zeros in place of the digest.

This module needs only NumPy, so that networks can be loaded without torch.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated import version as of_gated
from gated.errors import ModelFileError, require
from gated.files import locked, read_bytes, write_atomically

Arrays = dict[str, NDArray[Any]]

MODEL_FORMAT = "gated-model"
MODEL_VERSION = 2
UNTRAINED = "untrained"
"""Directory, in that of a run, of the model as it is before its training, until that has ended."""
FILE_NAME = "model.json"
WEIGHTS = "weights.safetensors"

MOST = 127
"""Largest whole number of eight bits that a weight is stored as."""
SCALE = ":scale"
"""What the name of the scales of a weight's rows ends with."""
SEAL = "sha256_of_the_above"
SEAL_BEGINS = f',\n  "{SEAL}": "'.encode()
NO_DIGEST = "0" * 64
MOST_UNPACKED = 1 << 32
"""Bytes of the arrays of a compressed file."""


def save_model(
    directory: Path,
    arrays: Mapping[str, NDArray[Any]],
    description: Any,
    attached: Mapping[str, bytes] | None = None,
) -> None:
    """Write the weights of a network and their `description`, a JSON document, atomically.

    Args:
        directory: created if it is missing; a model in it is replaced.
        arrays: the weights by name.
        description: what is needed to use the weights, such as task and configuration.
        attached: contents of further files, by names like `pairs.tsv`, for `attached_file`.
    """
    safetensors = require("safetensors.numpy", extra="train")
    # safetensors writes bytes as they lie, in whichever order the axes are.
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    files = {WEIGHTS: safetensors.save(ordered, {"format": "pt"}), **(attached or {})}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    content = {"files": digests, "description": description}
    document = to_document(MODEL_FORMAT, MODEL_VERSION, content)
    paths = {name: _path_of(directory, name, digest) for name, digest in digests.items()}
    with locked(directory):
        new = [path for path in paths.values() if not path.exists()]
        try:
            for name, path in paths.items():
                write_atomically(path, files[name])
            write_atomically(directory / FILE_NAME, document)
        except BaseException:
            _remove(new)
            raise
        for name, path in paths.items():
            _remove(set(directory.glob(_path_of(directory, name, "*").name)) - {path})


def _path_of(directory: Path, name: str, digest: str) -> Path:
    stem, dot, suffix = name.partition(".")
    return directory / f"{stem}-{digest[:12]}{dot}{suffix}"


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):  # a file that no document names does no harm
            path.unlink(missing_ok=True)


def load_model(directory: Path, task: str | None = None) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays and the description that `save_model` wrote.

    Args:
        directory: of the model.
        task: the task that the model must be of; by default any.

    Raises:
        ModelFileError: There is no model, or it is damaged, foreign, of another version or of
            another task.
    """
    document = _model_document(directory)
    description = _of_task(directory, document, task)
    path, data = _file_of(directory, document, WEIGHTS)
    arrays = _widened(path, _arrays(path, data), description.get("stored"))
    _check_finite(path, arrays)
    return arrays, description


def digest_of(directory: Path) -> bytes:
    """Return the SHA-256 of a model's document, which names those of all its files.

    Raises:
        ModelFileError: there is no model.
    """
    return hashlib.sha256(read_bytes(directory / FILE_NAME)).digest()


def save_narrow(
    run: Path, directory: Path, names: Iterable[str], stored_as: str
) -> tuple[int, int]:
    """Write the model of `run` with some of its weights in fewer bits, and nothing else changed.

    Args:
        run: whose weights are float32.
        directory: where it is written.
        names: of these weights.
        stored_as: "int8" or "bfloat16".

    Returns:
        How many bytes the weights took, and take.

    Raises:
        ModelFileError: as for `load_model`; or they are in fewer bits already.
    """
    arrays, description = load_model(run)
    if "stored" in description:
        raise ModelFileError(
            f"The weights in {run} are {description['stored']['as']} already: give the run that "
            "they came from."
        )
    document = _model_document(run)
    attached = {of: _file_of(run, document, of)[1] for of in document["files"] if of != WEIGHTS}
    narrow = {name: arrays[name] for name in names}
    stored = arrays | narrowed(narrow, stored_as)[0]
    kept = {"as": stored_as, "arrays": [*narrow]}
    save_model(directory, stored, description | {"stored": kept}, attached)
    return sum(of.nbytes for of in arrays.values()), sum(of.nbytes for of in stored.values())


def narrowed(arrays: Mapping[str, NDArray[Any]], stored_as: str) -> tuple[Arrays, Arrays]:
    """Return matrices as they are stored in fewer bits, and what they then stand for, float32.

    "int8": whole numbers, with the scale of each row under the name of the weight and `SCALE`;
    "bfloat16": the upper halves of the bits, rounded to the nearest, halves to even.
    """
    stored, meant = Arrays(), Arrays()
    for name, array in arrays.items():
        if stored_as == "int8":
            stored[name], stored[name + SCALE] = quantised(array)
        else:
            bits = np.asarray(array, np.float32, order="C").view(np.uint32)
            stored[name] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        meant[name] = _wide(stored, name, stored_as)
    return stored, meant


def quantised(weight: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return whole numbers (O, …) and the scale of each row, (O,): their product is the weight.

    Halves are rounded away from zero; a weight is off by at most half of 1/127 of the largest of
    its row.

    >>> quantised(np.array([[1.0, -0.5], [0.0, 0.0]]))[0].tolist()
    [[127, -64], [0, 0]]
    """
    flat = np.asarray(weight, np.float64).reshape(len(weight), -1)
    scale = (np.abs(flat).max(1) / MOST).astype(np.float32)
    parts = flat / np.where(scale > 0, scale, 1)[:, None].astype(np.float64)
    whole = np.sign(parts) * np.floor(np.abs(parts) + 0.5)
    return np.clip(whole, -MOST, MOST).astype(np.int8).reshape(weight.shape), scale


def _wide(stored: Mapping[str, NDArray[Any]], name: str, stored_as: str) -> NDArray[np.float32]:
    """Return what a weight in fewer bits stands for."""
    array = stored[name]
    if stored_as == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # of a damaged file: what is infinite is refused
        wide: NDArray[np.float32] = array * stored[name + SCALE].reshape(
            -1, *[1] * (array.ndim - 1)
        )
    return wide


def _widened(path: Path, arrays: Arrays, stored: Any) -> Arrays:
    """Return arrays with float32 in place of those in fewer bits."""
    if stored is None:
        return arrays
    try:
        stored_as, names = stored["as"], stored["arrays"]
        kind = {"int8": np.int8, "bfloat16": np.uint16}[stored_as]
        wide = {}
        for name in names:
            scale = arrays.get(name + SCALE, np.ones(len(arrays[name]), np.float32))
            fits = scale.dtype == np.float32 and scale.shape == arrays[name].shape[:1]
            if arrays[name].dtype != kind or not fits:
                raise TypeError(f"{name} is not {stored_as}")
            wide[name] = _wide(arrays, name, stored_as)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, f"its weights are not stored as {FILE_NAME} says: {error}") from error
    scales = {name + SCALE for name in names}
    return {name: of for name, of in arrays.items() if name not in scales} | wide


def attached_file(directory: Path, name: str) -> Path | None:
    """Return the path of a file that is attached to the model, or None; raises as `load_model`."""
    document = _model_document(directory)
    return _file_of(directory, document, name)[0] if name in document["files"] else None


def attached_arrays(directory: Path) -> Arrays:
    """Return the arrays of all attached safetensors and npz files; raises as `load_model`.

    Their names begin with that of their file: `weights` of `linear.safetensors` is
    `linear.weights`.
    """
    document, found = _model_document(directory), Arrays()
    for name in sorted(document["files"]):
        stem, _, kind = name.partition(".")
        if kind in ("safetensors", "npz") and name != WEIGHTS:
            path, data = _file_of(directory, document, name)
            arrays = (_arrays if kind == "safetensors" else _compressed_arrays)(path, data)
            _check_finite(path, arrays)
            found |= {f"{stem}.{key}": array for key, array in arrays.items()}
    return found


def _check_finite(path: Path, arrays: Arrays) -> None:
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise damaged(path, f"{name} holds a value that is NaN or infinite")


def _file_of(directory: Path, document: dict[str, Any], name: str) -> tuple[Path, bytes]:
    """Return path and content of a file of the model; the content has the right digest."""
    digest = document["files"].get(name)
    if not isinstance(digest, str):
        raise damaged(directory / FILE_NAME, f"{name} is missing")
    path = _path_of(directory, name, digest)
    data = read_bytes(path)
    if hashlib.sha256(data).hexdigest() != digest:
        raise damaged(path, f"{len(data)} bytes, not those that {FILE_NAME} was made for")
    return path, data


def load_description(directory: Path, task: str | None = None) -> dict[str, Any]:
    """Read the description that `save_model` wrote, without the weights; raises as `load_model`."""
    return _of_task(directory, _model_document(directory), task)


def _of_task(directory: Path, document: Mapping[str, Any], task: str | None) -> dict[str, Any]:
    """Return the description of a document, of a task if one is given."""
    description: dict[str, Any] = document["description"]
    if task not in (None, description.get("task")):
        raise ModelFileError(
            f"{directory} holds a model of the task {description.get('task')!r}, not of {task!r}."
        )
    return description


def _model_document(directory: Path) -> dict[str, Any]:
    """Return `model.json`, checked."""
    document = read_document(directory / FILE_NAME, MODEL_FORMAT, MODEL_VERSION)
    for name in ("files", "description"):
        if not isinstance(document.get(name), dict):
            raise damaged(directory / FILE_NAME, f"{name} is missing")
    return document


def to_document(kind: str, version: int, content: Mapping[str, Any]) -> bytes:
    """Return `content` as a document of a format and version, with its digest."""
    document = {"format": kind, "version": version, "gated": of_gated.VERSION, **content}
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    # Names of files need not be Unicode: Python represents other bytes as surrogates.
    return _sealed(text.removesuffix("\n}").encode("utf-8", "surrogatepass"))


def _sealed(body: bytes) -> bytes:
    return body + SEAL_BEGINS + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'


def read_document(path: Path, kind: str, version: int) -> dict[str, Any]:
    """Read what `to_document` made.

    Raises:
        ModelFileError: It is missing, damaged, of another format or of another version.
    """
    data = read_bytes(path)
    try:
        document = json.loads(data, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from error
    body, _, _ = data.rpartition(SEAL_BEGINS)
    check_format(path, document, kind, version, whole=data == _sealed(body))
    checked: dict[str, Any] = document
    return checked


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text}")
    return number


def check_format(path: Path, document: Any, kind: str, version: int, *, whole: bool) -> None:
    """Refuse a `document` of another kind or version, or one that is not `whole`.

    Args:
        path: of the document, for messages.
        document: its content.
        kind: the expected format.
        version: the expected version.
        whole: whether its digest is right.

    Raises:
        ModelFileError: The message says which.
    """
    if not isinstance(document, dict) or document.get("format") != kind:
        raise ModelFileError(
            f"{path} is not a {kind} file as gated writes it: foreign, or damaged. Give the "
            "directory of a run."
        )
    theirs = document.get("version")
    if theirs == version and whole:
        return
    # Former versions had no digest, so that damage cannot be detected.
    former = isinstance(theirs, int) and 0 < theirs < version
    if not (former or whole):
        raise damaged(path, "its digest does not match its content")
    by = document.get("gated")
    writer = f"gated {by}" if by else "an older gated"
    todo = "train again" if former else "install a newer gated"
    raise ModelFileError(
        f"{path} is of format version {theirs}, written by {writer}, and this gated "
        f"({of_gated.VERSION}) reads version {version}. Use the gated that wrote it, or {todo}."
    )


def seal(data: bytes) -> bytes:
    """Return a safetensors file with its digest in place of `NO_DIGEST` in its metadata.

    Raises:
        ValueError: Its metadata do not hold `NO_DIGEST` exactly once.
    """
    place = _place_of(NO_DIGEST, data)
    digest = _digest_around(data, place)
    return data[:place] + digest.encode() + data[place + len(digest) :]


def check_seal(path: Path, data: bytes) -> tuple[dict[str, Any], bool]:
    """Return the metadata of `data`, the content of `path`, and whether its digest is right.

    Raises:
        ModelFileError: It is not a safetensors file.
    """
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise damaged(path, f"{len(data)} bytes, with a header of {length}")
    try:
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        digest = metadata["sha256"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return {}, False
    try:
        return metadata, digest == _digest_around(data, _place_of(digest, data))
    except (ValueError, AttributeError):
        return metadata, False


def _place_of(digest: str, data: bytes) -> int:
    header = data[: 8 + int.from_bytes(data[:8], "little")]
    entry = f'"sha256":"{digest}"'.encode()
    if len(digest) != len(NO_DIGEST) or header.count(entry) != 1:
        raise ValueError("the digest has no place of its own")
    return header.index(entry) + entry.index(digest.encode())


def _digest_around(data: bytes, place: int) -> str:
    """Return the SHA-256 of `data` with zeros in place of the digest."""
    view = memoryview(data)
    digest = hashlib.sha256(view[:place])
    digest.update(NO_DIGEST.encode())
    digest.update(view[place + len(NO_DIGEST) :])
    return digest.hexdigest()


def _arrays(path: Path, data: bytes) -> Arrays:
    safetensors = require("safetensors.numpy", extra="train")
    try:
        arrays: Arrays = safetensors.load(data)
    except Exception as error:  # the library raises various errors for foreign files
        raise damaged(path, str(error)) from error
    return arrays


def _compressed_arrays(path: Path, data: bytes) -> Arrays:
    import zipfile  # not what loading other networks waits for

    try:
        with zipfile.ZipFile(BytesIO(data)) as file:
            size = sum(of.file_size for of in file.infolist())
        if size > MOST_UNPACKED:
            raise ValueError(f"it unpacks to {size:,} bytes")
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # the libraries raise various errors for foreign files
        raise damaged(path, str(error)) from error


def damaged(path: Path, reason: str) -> ModelFileError:
    """Return the error for a damaged file."""
    return ModelFileError(
        f"{path} is damaged ({reason}). Restore it from a copy, or train again; a training that "
        "was cut off is completed by resuming it."
    )
