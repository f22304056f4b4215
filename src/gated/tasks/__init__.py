"""The jobs that gated does, one folder each; none imports another."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

from gated.errors import ModelFileError


def task_names() -> list[str]:
    """Names of the tasks, which are the names of their folders.

    >>> "forecast" in task_names()
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def task_module(name: str) -> ModuleType:
    """Import the room of task `name`.

    Raises:
        ModelFileError: there is no such task, as when a run comes from a newer gated.
    """
    if name not in task_names():
        raise ModelFileError(
            f"This run is of the task {name!r}, which this version of gated does not know; "
            f"it knows {', '.join(task_names())}. Install a newer gated to use the run."
        )
    return import_module(f"{__name__}.{name}")
