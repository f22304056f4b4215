"""Processes and threads: how a training spreads over devices and machines."""

from __future__ import annotations

import logging
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gated.errors import ConfigurationError, option

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from gated.training.options import TrainingOptions


def is_main_process() -> bool:
    """Whether this process is the one that writes files and messages.

    With `devices` > 1 the program is started again for each further device and runs alongside;
    there, this is false from the first line on.
    """
    if "RANK" in os.environ:  # under torchrun
        return os.environ["RANK"] == "0"
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def launch(options: TrainingOptions) -> Fabric:
    """Start the processes that `options` ask for, unless they run already, and set the threads.

    Raises:
        ConfigurationError: This machine or this program cannot run such processes.
    """
    # Imported here, so that asking for the main process costs nothing.
    import torch

    processes = options.devices * options.nodes
    if processes > 1 and "LOCAL_RANK" not in os.environ and not _program_can_be_restarted():
        raise ConfigurationError(
            f"{option('devices', options.devices)}, {option('nodes', options.nodes)} start "
            f"this program once more for "
            "each further process, and it has no file to start. Put it into a script, or use the "
            "command gated."
        )
    if options.precision == "16-mixed" and options.accelerator == "cpu":
        raise ConfigurationError(
            f"{option('precision', '16-mixed')} needs a GPU. On a CPU use 'bf16-mixed' or "
            f"'32-true'."
        )
    fabric = _fabric(options)
    # Fabric logs a line for each process, which users need not see. Its import sets the level, so
    # this comes after it.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric.launch()
    share = max(1, available_cpus() // options.devices)
    torch.set_num_threads(options.threads or min(torch.get_num_threads(), share))
    return fabric


def check_device(options: TrainingOptions) -> None:
    """Refuse a device that this machine does not have, before anything is read.

    Raises:
        ConfigurationError: Says which, and what to use.
    """
    if options.accelerator != "cpu":
        _fabric(options)


def _fabric(options: TrainingOptions) -> Fabric:
    from lightning_fabric import Fabric

    try:
        return Fabric(
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.nodes,
            precision=options.precision,
            strategy="ddp" if options.devices * options.nodes > 1 else "auto",
        )
    except (RuntimeError, ValueError, ImportError) as error:  # what Fabric says of a device
        raise ConfigurationError(
            f"{option('accelerator', options.accelerator)}, "
            f"{option('devices', options.devices)}: this machine has no "
            f"such device. Use {option('accelerator', 'cpu')}, or auto for the best one. ({error})"
        ) from error


def available_cpus() -> int:
    """Processors that this process may use: its affinity, and the container's quota (cgroup 2)."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(allowed, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or no limit ("max")
        return allowed


def _program_can_be_restarted() -> bool:
    main = sys.modules["__main__"]
    return getattr(main, "__spec__", None) is not None or Path(sys.argv[0]).is_file()
