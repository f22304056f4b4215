"""The errors that gated raises on its own account, and how to ask for a missing extra.

Every message names the thing that is wrong, what was expected, what came, and what to do.
The command prints it as one paragraph; Python code can catch `GatedError`.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class GatedError(Exception):
    """Base of the errors that the person who meets them can mend."""


class DataError(GatedError, ValueError):
    """The data given cannot be used as they are."""


class ConfigurationError(GatedError, ValueError):
    """An option has a value that cannot be meant."""


class CellError(GatedError, ValueError):
    """A definition cannot be a cell."""


class ModelFileError(GatedError, ValueError):
    """A model, checkpoint or run directory is missing, damaged or of another format."""


class InUseError(GatedError, RuntimeError):
    """Another process writes in the directory."""


class TrainingDivergedError(GatedError, ArithmeticError):
    """The loss became NaN or infinite."""


class MissingExtraError(GatedError, ImportError):
    """A library of an optional part of gated is not installed."""


class MissingNativeError(GatedError, ImportError):
    """The compiled extension is not there, or cannot be loaded."""


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or say which extra of gated brings it.

    Raises:
        MissingExtraError: `module` is not installed.

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
