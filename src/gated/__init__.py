"""gated: recurrent networks whose gates are fast, visible and open to change."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gated import cells, nn
    from gated.nn.accelerate import accelerate, restore

try:
    __version__ = version("gated")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

__all__ = ["__version__", "accelerate", "cells", "nn", "restore"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for, so that `import gated` does not."""
    if name in ("cells", "nn"):
        return importlib.import_module(f"gated.{name}")
    if name in ("accelerate", "restore"):
        return getattr(importlib.import_module("gated.nn.accelerate"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
