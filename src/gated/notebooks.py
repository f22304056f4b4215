"""Who draws what a notebook shows, for rooms below the one that draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

cell_picture: Callable[[Any], str] | None = None
"""The picture of a cell as SVG. `gated` itself sets it; it imports what draws when it is called."""
