"""gated: recurrent networks, fast, with gates that can be read and changed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gated import notebooks, version

if TYPE_CHECKING:
    from pathlib import Path

    from gated import cells, live, nn
    from gated.cells import Cell
    from gated.core.arguments import StoredAs
    from gated.live import from_keras, from_onnx, from_torch
    from gated.nn.accelerate import accelerate, restore, stream

    def load(run: Path | str, stored_as: StoredAs | None = None) -> Any:
        """Load what a run has learned: `gated.tasks.runtime.load`, above those who import this."""


__version__: str
"""The version of this package."""
__all__ = [
    "__version__",
    "accelerate",
    "cells",
    "from_keras",
    "from_onnx",
    "from_torch",
    "live",
    "load",
    "nn",
    "predict_partition",
    "restore",
    "stream",
]


def __getattr__(name: str) -> Any:
    """Import modules on first use, so that `import gated` needs no torch and takes no time."""
    if name == "__version__":
        return version.VERSION
    if name in ("cells", "live", "nn"):
        return importlib.import_module(f"gated.{name}")
    if name in ("accelerate", "restore", "stream"):
        return getattr(importlib.import_module("gated.nn.accelerate"), name)
    if name in ("from_keras", "from_onnx", "from_torch"):
        return getattr(importlib.import_module("gated.live"), name)
    if name == "load":
        return importlib.import_module("gated.tasks.runtime").load
    if name == "predict_partition":
        return importlib.import_module("gated.tasks.partition").predict_partition
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _cell_picture(cell: Cell) -> str:
    picture: str = importlib.import_module("gated.report.cell_picture").cell_picture(cell)
    return picture


notebooks.cell_picture = _cell_picture
