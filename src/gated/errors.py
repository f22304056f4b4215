"""The errors that gated raises, and the import of optional packages.

Every message names what is wrong, what was expected, what was given, and what to do. The command
prints it as one paragraph; Python code can catch `GatedError`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_typed = False


@contextmanager
def options_as_typed() -> Iterator[None]:
    """Let messages within name options as they are typed, `--time-format` for `time_format`."""
    global _typed
    before, _typed = _typed, True
    try:
        yield
    finally:
        _typed = before


def option(name: str, value: object = None) -> str:
    """Return the name of an option, or its setting, as whoever reads the message gives it.

    >>> option("unit", "byte")
    "unit='byte'"
    >>> with options_as_typed():
    ...     option("time_format"), option("unit", "byte")
    ('--time-format', '--unit byte')
    """
    if _typed:
        typed = name.replace("_", "-")
        if value is False:
            return f"--no-{typed}"
        return f"--{typed}" if value is None or value is True else f"--{typed} {value}"
    return name if value is None else f"{name}={value!r}"


class GatedError(Exception):
    """Base class of errors that the user can correct."""


class DataError(GatedError, ValueError):
    """The given data cannot be used."""


class LayerArgumentError(DataError, RuntimeError):
    """An argument does not fit a layer of `gated.nn`: what catches torch's errors catches it."""


class LayerTypeError(LayerArgumentError, TypeError, AttributeError, IndexError):
    """An argument of a layer is not what it must be; torch has an error of each of these kinds."""


class ConfigurationError(GatedError, ValueError):
    """An option has a value that is not allowed."""


class CellError(GatedError, ValueError):
    """A definition is not a valid cell, or a cell does not support what was asked of it."""


class ModelFileError(GatedError, ValueError):
    """A model, checkpoint or run directory is missing, damaged or of another format."""


class ProgramError(GatedError, ValueError):
    """A network cannot be written as a program, to be run without a framework."""


class InUseError(GatedError, RuntimeError):
    """Another process writes into the directory."""


class TrainingDivergedError(GatedError, ArithmeticError):
    """The loss became NaN or infinite."""


class MissingExtraError(GatedError, ImportError):
    """A library of an optional part of gated is not installed."""


class MissingNativeError(GatedError, ImportError):
    """The compiled extension is missing, or cannot be loaded."""


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, which is installed with an optional extra of gated.

    Raises:
        MissingExtraError: `module` is not installed; the message names the extra.

    >>> require("json", extra="train").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{module} is not installed, and this part of gated needs it. "
            f"Install it with: pip install 'gated[{extra}]'",
            name=error.name,
        ) from error
