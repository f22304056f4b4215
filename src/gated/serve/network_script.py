"""What the page loads: scripts, since a page that is opened as a file may request nothing else.

`exhibit.js` lists what there is to see. The script of a network hands over its safetensors file in
base64; `web/explorer/src/readers.ts` takes it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gated.serve.exhibit import Exhibit

EXHIBIT = "exhibit.js"


def network_script(path: str, weights: bytes) -> bytes:
    """Return the script at `path` with the safetensors file of a network.

    >>> network_script("networks/run/lstm.js", b"abc")
    b'gatedNetwork("networks/run/lstm.js","YWJj");'
    """
    return f'gatedNetwork("{path}","{base64.b64encode(weights).decode()}");'.encode()


def series_script(path: str, packed: bytes) -> bytes:
    """Return the script at `path` with the deflated file of a series.

    >>> series_script("series/run/lstm-0.js", b"abc")
    b'gatedSeries("series/run/lstm-0.js","YWJj");'
    """
    return f'gatedSeries("{path}","{base64.b64encode(packed).decode()}");'.encode()


def exhibit_script(exhibits: Iterable[Exhibit]) -> bytes:
    """Return the script that lists `exhibits`."""
    listed = json.dumps([exhibit.offered for exhibit in exhibits], ensure_ascii=False)
    return f"window.gatedExhibits={listed};".encode()
