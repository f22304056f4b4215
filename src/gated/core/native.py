"""The compiled extension: how it is found, and the threads and instruction set it runs on."""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import Any

from gated.errors import ConfigurationError, MissingNativeError


@cache
def extension() -> Any:
    """The extension module, which an uncompiled source tree lacks.

    Raises:
        ConfigurationError: the variable GATED_ISA names an instruction set that this processor
            does not have.
        MissingNativeError: the extension is not built.
    """
    try:
        native = _loaded(os.environ.get("GATED_NATIVE"))
    except ImportError as error:
        raise MissingNativeError(
            f"the native core of gated cannot be loaded ({error}). Install a wheel with: "
            "pip install gated, or, in a source tree with a C++ compiler: pip install -e ."
        ) from error
    try:
        native.instruction_set()
    except ValueError as error:
        raise ConfigurationError(f"GATED_ISA={os.environ.get('GATED_ISA')}: {error}") from None
    return native


def _loaded(path: str | None) -> Any:
    """The extension of this installation, or another build of it, for whoever looks for faults."""
    if not path:
        return importlib.import_module("gated._native")
    spec = importlib.util.spec_from_file_location("gated._native", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"GATED_NATIVE={path} is no extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Setting:
    """What `set_threads` sets; None until then."""

    threads: int | None = None


def threads() -> int:
    """The threads that a call may use: what `set_threads` said, or the processors there are.

    Processors count as far as the process may use them, by its affinity and by the quota of its
    container.

    Raises:
        MissingNativeError: the extension is not built.
    """
    if _Setting.threads is None:
        return int(extension().available_threads())
    return _Setting.threads


def set_threads(count: int | None) -> None:
    """Lets every later call use `count` threads; None lets it use all processors there are.

    Results do not depend on it.

    Raises:
        ConfigurationError: `count` is below 1.
    """
    if count is not None and count < 1:
        raise ConfigurationError(f"threads must be at least 1, got {count}")
    _Setting.threads = count


@cache  # not once more in a forked child, which the library's threads have not followed
def share_threads(library: str) -> bool:
    """Lets every later call run on the OpenMP threads of a library that the process has loaded.

    OpenMP's threads spin for milliseconds after each piece of work; with threads of our own beside
    them, both would fight for the cores.

    Args:
        library: its file's name, as it was loaded: `libtorch_cpu.so`.

    Returns:
        Whether the library is loaded and has such threads; calls go on using our own if not.

    Raises:
        MissingNativeError: the extension is not built.
    """
    return bool(extension().share_threads(library))


def instruction_sets() -> list[str]:
    """The instruction sets that this processor can run, slowest first.

    Raises:
        MissingNativeError: the extension is not built.
    """
    return list(extension().instruction_sets())


def instruction_set() -> str:
    """The instruction set in use: the fastest, unless the variable GATED_ISA names another.

    Raises:
        ConfigurationError: GATED_ISA names one that this processor does not have.
        MissingNativeError: the extension is not built.
    """
    return str(extension().instruction_set())


def set_instruction_set(name: str) -> None:
    """Lets every later call run on one of `instruction_sets()`.

    Raises:
        ConfigurationError: this processor does not have it.
        MissingNativeError: the extension is not built.
    """
    try:
        extension().set_instruction_set(name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
