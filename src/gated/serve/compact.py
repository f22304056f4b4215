"""Weights in few bytes, for networks that a page loads: half floats, or a byte a weight.

Shapes: R rows, I columns.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gated.model_files import Arrays

SCALE = ".scale"
"""Added to the name of a matrix of bytes: the name of the scales of its rows, (R,)."""
LARGEST = 127


def halves(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return arrays rounded to 16-bit floats, with 11 significant bits."""
    return {name: array.astype(np.float16) for name, array in arrays.items()}


def in_bytes(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return matrices (R, I) as bytes with a scale for each row, and all else as 16-bit floats.

    >>> packed = in_bytes({"weight": np.array([[0.25, -1.0]], np.float32)})
    >>> packed["weight"].tolist(), packed["weight.scale"].shape
    ([[32, -127]], (1,))
    """
    packed: Arrays = {}
    for name, array in arrays.items():
        if array.ndim != 2:
            packed[name] = array.astype(np.float16)
            continue
        largest = np.abs(array).max(axis=1)
        # Rounded up, so that the largest weight of a row still fits into a byte.
        scale = np.nextafter((largest / LARGEST).astype(np.float16), np.float16(np.inf))
        packed[name] = np.rint(array / scale.astype(np.float32)[:, None]).astype(np.int8)
        packed[name + SCALE] = scale
    return packed


def expanded(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return what `halves` or `in_bytes` packed, and arrays of other floats, as 32-bit floats.

    >>> expanded(in_bytes({"weight": np.array([[0.5, -1.0]], np.float32)}))["weight"].round(2)
    array([[ 0.5, -1. ]], dtype=float32)
    """
    found = {name: array for name, array in arrays.items() if not name.endswith(SCALE)}
    return {
        name: array.astype(np.float32) * arrays[name + SCALE].astype(np.float32)[:, None]
        if array.dtype == np.int8
        else array.astype(np.float32)
        for name, array in found.items()
    }
