"""The door to the native core: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from gated.errors import MissingNativeError


@cache
def _native() -> Any:
    """The extension module, which an uncompiled source tree lacks."""
    try:
        return importlib.import_module("gated._native")
    except ImportError as error:
        raise MissingNativeError(
            f"the native core of gated cannot be loaded ({error}). Install a wheel with: "
            "pip install gated, or, in a source tree with a C++ compiler: pip install -e ."
        ) from error


def instruction_sets() -> list[str]:
    """The instruction sets that this processor can run, slowest first.

    Raises:
        MissingNativeError: the extension is not built.
    """
    names: list[str] = _native().instruction_sets()
    return names


def instruction_set() -> str:
    """The instruction set in use: the fastest, unless the variable GATED_ISA names another.

    Raises:
        MissingNativeError: the extension is not built.
    """
    name: str = _native().instruction_set()
    return name
