"""The binary format in which arrays are sent to the page: a JSON header, then float32 numbers.

    bytes 0 to 3          length n of the header, little-endian
    bytes 4 to 4 + n      header in UTF-8, padded with spaces so that the numbers are aligned;
                          `arrays` lists name and shape of each array, in order
    from there            the arrays, float32, little-endian, one after the other

`web/explorer/src/server.ts` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from gated.core.layout import Array

MEDIA_TYPE = "application/octet-stream"


def pack(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """Return the message with `header` and `arrays`.

    >>> message = pack({}, {"gate": np.ones(2, np.float32)})
    >>> np.frombuffer(message[-8:], "<f4")
    array([1., 1.], dtype=float32)
    """
    listed = [{"name": name, "shape": array.shape} for name, array in arrays.items()]
    text = json.dumps({**header, "arrays": listed}, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 4)
    numbers = [np.ascontiguousarray(array, "<f4").tobytes() for array in arrays.values()]
    return b"".join([len(text).to_bytes(4, "little"), text, *numbers])
