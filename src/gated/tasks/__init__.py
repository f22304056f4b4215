"""The jobs that gated does, one folder each; none imports another."""

from __future__ import annotations

import pkgutil


def task_names() -> list[str]:
    """Names of the tasks, which are the names of their folders.

    >>> "forecast" in task_names()
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
