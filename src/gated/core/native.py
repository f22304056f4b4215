"""The compiled extension: how it is loaded, and the threads and instruction set that it uses."""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import Any

import numpy as np

from gated.errors import ConfigurationError, MissingNativeError


@cache
def extension() -> Any:
    """Return the extension module, which an uncompiled source tree does not have.

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
    _keep_pages()
    return native


def _keep_pages() -> None:
    """Let malloc keep the memory that calls free for those that follow.

    To start with, glibc gives more than 256 kB at the heap's end back to the system, and every
    training step takes its pages anew. Whoever frees a block of up to 32 MB has it keep twice as
    much from then on, unless MALLOC_TRIM_THRESHOLD_ or its like were set.
    """
    np.empty(31 << 20, np.uint8)  # never written to: no page is taken


def _loaded(path: str | None) -> Any:
    """Return the extension of this installation, or that at `path`, such as a debug build."""
    if not path:
        return importlib.import_module("gated._native")
    spec = importlib.util.spec_from_file_location("gated._native", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"GATED_NATIVE={path} is not an extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Setting:
    """The setting of `set_threads`; None by default."""

    threads: int | None = None


def threads() -> int:
    """Return how many threads a call may use: as set by `set_threads`, else all processors.

    Processors are those that the process may use, by its affinity and the quota of its container.

    Raises:
        MissingNativeError: the extension is not built.
    """
    if _Setting.threads is None:
        return int(extension().available_threads())
    return _Setting.threads


def set_threads(count: int | None) -> None:
    """Let later calls use `count` threads; None for all processors.

    Results do not depend on it.

    Raises:
        ConfigurationError: `count` is below 1.
    """
    if count is not None and count < 1:
        raise ConfigurationError(f"threads must be at least 1, got {count}")
    _Setting.threads = count


@cache  # not again in a forked child, which does not have the library's threads
def share_threads(library: str) -> bool:
    """Let later calls run on the OpenMP threads of a library that the process has loaded.

    OpenMP's threads spin for milliseconds after each piece of work; threads of our own beside them
    would compete with them for the cores.

    Args:
        library: name of its file, as it was loaded: `libtorch_cpu.so`.

    Returns:
        Whether the library is loaded and has such threads; otherwise calls use our own.

    Raises:
        MissingNativeError: the extension is not built.
    """
    return bool(extension().share_threads(library))


def instruction_sets() -> list[str]:
    """Return the instruction sets that this processor can run, slowest first.

    Some are another one with further instructions for products of narrow numbers, see `formats`:
    `avx_vnni` is `avx2`; `avx512_vnni`, `avx512_bf16` and `amx` are `avx512`, each with those of
    the one before; `dotprod`, on Arm, is `baseline`.

    Raises:
        MissingNativeError: the extension is not built.
    """
    return list(extension().instruction_sets())


def instruction_set() -> str:
    """Return the instruction set in use: the fastest, unless the variable GATED_ISA names another.

    Raises:
        ConfigurationError: GATED_ISA names one that this processor does not have.
        MissingNativeError: the extension is not built.
    """
    return str(extension().instruction_set())


def formats() -> dict[str, str]:
    """Return how products of each format of weights are computed by the instruction set in use.

    bfloat16 by AVX512-BF16 or AMX (`avx512_bf16`, `amx`: inputs and states are rounded too), else
    widened to float32, with the same results as float32 has with rounded weights; int8 as whole
    numbers, with the same results everywhere, by AVX-VNNI, AVX512-VNNI or Arm's dot products
    (`avx_vnni`, `avx512_vnni`, `dotprod`) or without them (`whole numbers`); bfloat16x3, three
    products of bfloat16 for one of float32, by AMX (`amx`), else as float32.

    Raises:
        ConfigurationError: GATED_ISA names one that this processor does not have.
        MissingNativeError: the extension is not built.
    """
    used = instruction_set()
    return {
        "float32": _WITHIN.get(used, used),
        "bfloat16": used if used in _PAIRS else "float32",
        "int8": "avx512_vnni" if used in _PAIRS else used if used in _WITHIN else "whole numbers",
        "bfloat16x3": used if used == "amx" else _WITHIN.get(used, used),
    }


_PAIRS = ("avx512_bf16", "amx")
"""Instruction sets that multiply pairs of bfloat16."""

_WITHIN = {
    "avx_vnni": "avx2",
    "dotprod": "baseline",
    **dict.fromkeys(("avx512_vnni", *_PAIRS), "avx512"),
}
"""For instruction sets with products of narrow numbers, the one that computes all else."""


def multiplies_bfloat16() -> bool:
    """Whether the instruction set in use has instructions for products of bfloat16.

    Raises:
        ConfigurationError: GATED_ISA names one that this processor does not have.
        MissingNativeError: the extension is not built.
    """
    return instruction_set() in _PAIRS


def set_instruction_set(name: str) -> None:
    """Let later calls run on one of `instruction_sets()`.

    Raises:
        ConfigurationError: this processor does not have it.
        MissingNativeError: the extension is not built.
    """
    try:
        extension().set_instruction_set(name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
