"""A program whose trainings are killed: each in a fork of its own, at an exact moment."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import torch
from adding import Adding

from gated.training.loop import train
from gated.training.options import TrainingOptions

OPTIONS: dict[str, Any] = {
    "steps": 40,
    "batch_size": 12,
    "validate_every": 8,
    "checkpoint_every": 10,
    "accumulate": 2,
    "clip_norm": 0.5,
    "clip_value": 0.1,
    "threads": 1,
}
DROPOUT = 0.3


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Doomed(Adding):
    """Dies when `loss` is called for the `at`-th time, where that is the moment."""

    def __init__(self, moment: str, at: int) -> None:
        super().__init__(dropout=DROPOUT)
        self.moment, self.left = moment, at

    def reached(self, moment: str) -> None:
        self.left -= moment == self.moment
        if self.left == 0:
            die()

    def loss(self, network, batch):
        self.reached("loss")
        return super().loss(network, batch)

    def step(self, **_: Any) -> None:
        self.reached("step")

    def validation(self, **_: Any) -> None:
        self.reached("validation")

    def fsync(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            self.reached("replaced")
        else:
            if self.moment == "writing" and self.left == 1:
                os.ftruncate(descriptor, status.st_size // 2)
            self.reached("writing")


def run(directory: str, moment: str, at: int, init_from: str | None, thaw_every: int) -> None:
    torch.set_num_threads(1)
    task = Doomed(moment, at)
    os.fsync = task.fsync
    source = Path(init_from) if init_from else None
    options = TrainingOptions(**OPTIONS, init_from=source, thaw_every=thaw_every)
    train(task, options, directory=Path(directory), progress=task)


if __name__ == "__main__":
    for job in json.loads(sys.argv[1]):
        pid = os.fork()
        if pid == 0:
            run(**job)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status))
