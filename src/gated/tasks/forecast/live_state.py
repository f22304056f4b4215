"""The state of a live forecaster as bytes: a safetensors file with its digest, format and version.

Arrays hold the latest rows and what is carried on; one of them is a JSON document, which holds
names. Nothing here unpickles.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.errors import ModelFileError, require
from gated.model_files import NO_DIGEST, check_seal, seal
from gated.tasks.forecast.preprocessing import Preprocessing

FORMAT, VERSION = "gated-forecaster-state", 1
DOCUMENT = "document"
"""The array of bytes that holds the JSON document."""
Arrays = dict[str, NDArray[Any]]


class LiveState(NamedTuple):
    """Arrays by name, and the rest as JSON values."""

    arrays: Arrays
    document: dict[str, Any]

    def array(self, name: str, kind: type[np.generic], *shape: int) -> NDArray[Any]:
        """Return an array of a kind of numbers and a shape; -1 is any size.

        Raises:
            ValueError: there is none, or another one.
        """
        found = self.arrays.get(name)
        fits = found is not None and found.ndim == len(shape) and found.dtype == kind
        if (
            found is None
            or not fits
            or any(n not in (-1, m) for n, m in zip(shape, found.shape, strict=True))
        ):
            got = "none" if found is None else f"{found.dtype} of {found.shape}"
            raise ValueError(f"{name} must be {kind.__name__} of {shape}, and is {got}")
        return found

    def texts(self, name: str, count: int | None = None, *, gaps: bool = False) -> tuple[Any, ...]:
        """Return a list of texts, `count` of them or any; with `gaps` some may be None.

        Raises:
            ValueError: there is none, or another one.
        """
        return texts_of(self.document.get(name), name, count, gaps=gaps)


def texts_of(
    found: Any, name: str, count: int | None = None, *, gaps: bool = False
) -> tuple[Any, ...]:
    """Return a list of texts from JSON; raises as `LiveState.texts`."""
    fits = isinstance(found, list) and (count is None or len(found) == count)
    if not fits or not all(isinstance(of, str) or (gaps and of is None) for of in found):
        raise ValueError(f"{name} must be {'some' if count is None else count} texts")
    return tuple(found)


def identity_of(weights: Mapping[str, NDArray[Any]], fitted: Preprocessing) -> str:
    """Return the SHA-256 of a forecaster's weights and scales, by which states know their own."""
    found = hashlib.sha256(json.dumps([*fitted.series, fitted.config.horizon]).encode())
    scaling = {"location": fitted.target.location, "scale": fitted.target.scale}
    for name, array in (*sorted(weights.items()), *scaling.items()):
        found.update(name.encode("utf-8", "surrogatepass"))
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def packed(state: LiveState, identity: str) -> bytes:
    """Return a state of the forecaster with this identity as bytes; the same for the same state."""
    safetensors = require("safetensors.numpy", extra="train")
    written = {"format": FORMAT, "version": VERSION, "forecaster": identity, **state.document}
    text = np.frombuffer(json.dumps(written).encode(), np.uint8)
    arrays = {name: np.ascontiguousarray(of) for name, of in state.arrays.items()}
    # The order of several entries in the metadata would be another one each time.
    return seal(safetensors.save({**arrays, DOCUMENT: text}, {"sha256": NO_DIGEST}))


def identity_in(data: bytes) -> str | None:
    """Return the identity of the forecaster that a state is of; None where it cannot be read."""
    try:
        return str(_read(data, "The state").document.get("forecaster"))
    except ModelFileError:
        return None


def unpacked(data: bytes, identity: str, what: str) -> LiveState:
    """Return what `packed` was given.

    Args:
        data: the bytes.
        identity: of the forecaster that is to go on.
        what: names the bytes, in messages.

    Raises:
        ModelFileError: they are damaged, no such state, of another version or another forecaster.
    """
    found = _read(data, what)
    version, owner = (found.document.get(name) for name in ("version", "forecaster"))
    if version != VERSION:
        raise ModelFileError(
            f"{what} is of version {version}, and this gated reads version {VERSION}: use the "
            "gated that wrote it, or update a forecaster with the rows."
        )
    if owner != identity:
        raise ModelFileError(
            f"{what} is that of another forecaster, such as one before a new training: go on with "
            "the run it came from, or update this one with the rows."
        )
    return found


def _read(data: bytes, what: str) -> LiveState:
    """Check format and digest of a state, and read it."""
    try:
        metadata, whole = check_seal(Path(what), data)
    except ModelFileError:
        metadata, whole = {}, False
    if not whole:
        reason = "its digest does not match" if metadata else "it is no safetensors file of gated"
        raise damaged_state(what, f"{len(data):,} bytes: {reason}")
    safetensors = require("safetensors.numpy", extra="train")
    try:
        arrays = safetensors.load(data)
        document = json.loads(arrays.pop(DOCUMENT).tobytes())
    except Exception as error:  # of foreign content the libraries raise various errors
        raise damaged_state(what, str(error)) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelFileError(f"{what} is no state of a forecaster: give what `state` returned.")
    return LiveState(arrays, document)


def damaged_state(what: str, reason: str) -> ModelFileError:
    """Return the error for a damaged state."""
    return ModelFileError(
        f"{what} is damaged ({reason}). Restore it from a copy, or update a forecaster with the "
        "latest rows of each series."
    )


def without_unused(
    codes: NDArray[np.int64], values: Sequence[str]
) -> tuple[NDArray[np.int64], list[str]]:
    """Return codes, -1 for none, and their texts, without texts that no code stands for."""
    used = np.unique(codes[codes >= 0])
    places = np.full(len(values) + 1, -1)
    places[used] = np.arange(len(used))
    return places[codes], [values[of] for of in used]
