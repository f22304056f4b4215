"""Long memory: six cells on problems that ask for 500 to 2,000 steps of it.

    python -m benchmarks.memory                       # whatever benchmarks/memory.jsonl lacks
    python -m benchmarks.memory --only adding/lem     # runs whose name begins so
    python -m benchmarks.memory --page                # tables and pictures from what is there

A run has ten minutes of two cores, counted as twenty minutes of processor time, training and
validation together, and ends early when the problem is solved. Each finished run is a line of the
file; after an interruption those that are there are not done again. With fewer `--minutes` a run is
shorter, and is done again once the whole budget is asked for.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import processor
from benchmarks.memory_page import write
from benchmarks.side_by_side import training_step
from gated.errors import TrainingDivergedError
from gated.tasks.memory.gradient import Reach, reach
from gated.tasks.memory.network import MemoryNetwork
from gated.tasks.memory.problems import problem_of
from gated.tasks.memory.task import MemoryTask
from gated.training.loop import train
from gated.training.options import TrainingOptions

RESULTS = Path("benchmarks/memory.jsonl")
LENGTHS = {"adding": 2000, "copy": 500, "fashion": 784, "permuted-fashion": 784}


@dataclass(frozen=True)
class Setting:
    """Sizes and rates, found with shorter sequences (200 and 400 steps)."""

    units: int
    learning_rate: float
    layers: int = 1
    batch: int = 32
    clip: float = 1.0
    recurrent_rate: float = 1.0
    """Of what stays orthogonal, a share of the learning rate."""


ORTHOGONAL = {"clip": 1.0, "recurrent_rate": 0.1}
SETTINGS: Mapping[str, Mapping[str, Setting]] = {
    "adding": {
        "lem": Setting(32, 5e-3),
        "gru-chrono": Setting(32, 5e-3),
        "janet-chrono": Setting(32, 5e-3),
        "indrnn": Setting(128, 2e-3, layers=2),
        "lstm-chrono": Setting(32, 5e-3),
        "rnn-modrelu-exp": Setting(128, 1e-3, **ORTHOGONAL),
    },
    "copy": {
        "rnn-modrelu-exp": Setting(128, 1e-3, **ORTHOGONAL),
        "indrnn": Setting(128, 1e-3, layers=2),
        "lstm-chrono": Setting(128, 2e-3),
        "gru-chrono": Setting(128, 2e-3),
        "janet-chrono": Setting(128, 2e-3),
        "lem": Setting(128, 2e-3),
    },
}
IMAGES = {
    "lem": Setting(128, 3e-3, batch=64),
    "gru-chrono": Setting(128, 3e-3, batch=64),
    "lstm-chrono": Setting(128, 3e-3, batch=64),
    "janet-chrono": Setting(128, 3e-3, batch=64),
    "rnn-modrelu-exp": Setting(128, 1e-3, batch=64, **ORTHOGONAL),
    "indrnn": Setting(128, 1e-3, layers=2, batch=64),
}


def runs() -> list[tuple[str, str, Setting]]:
    """Problem, cell and setting of every run, those of the most promising cells first."""
    every = {**SETTINGS, "fashion": IMAGES, "permuted-fashion": IMAGES}
    return [(problem, cell, of) for problem, cells in every.items() for cell, of in cells.items()]


class Curve:
    """The score on validation sequences by processor time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.began = time.process_time()
        self.points: list[tuple[float, int, float]] = []

    def step(self, **_: Any) -> None:
        """Only validations count."""

    def validation(self, *, step: int, scores: Mapping[str, float], best: bool) -> None:
        """Keep seconds, step and score."""
        self.points.append((round(time.process_time() - self.began, 1), step, scores["loss"]))
        print(f"{self.name}: {self.points[-1]}", flush=True)


def options_of(problem: str, of: Setting, minutes: float, seed: int) -> TrainingOptions:
    """What the training of a run is told; of images the steps are set once one has been timed."""
    images = "fashion" in problem
    return TrainingOptions(
        steps=1_000_000,
        batch_size=of.batch,
        learning_rate=of.learning_rate,
        schedule="one-cycle" if images else "constant",
        warmup=0.2 if images else 0.0,
        weight_decay=0.0,
        clip_norm=of.clip,
        layer_rate_decay=of.recurrent_rate,
        validate_every=100,
        goal=None if images else problem_of(problem, LENGTHS[problem]).solved,
        processor_minutes=minutes,
        seed=seed,
        threads=torch.get_num_threads(),
    )


def seconds_of_step(network: MemoryNetwork, task: MemoryTask, batch: int) -> float:
    """Processor time of a training step: the smallest of three."""
    step = training_step(copy.deepcopy(network), task, batch)
    times = []
    for number in range(4):
        began = time.process_time()
        step(number)
        times.append(time.process_time() - began)
    return min(times[1:])


def run(problem: str, cell: str, of: Setting, minutes: float, seed: int) -> dict[str, Any]:
    """Train once; all figures of it."""
    posed = problem_of(problem, LENGTHS[problem])
    network = MemoryNetwork(cell, of.units, posed, seed, layers=of.layers)
    task = MemoryTask(network, posed, seed)
    options = options_of(problem, of, minutes, seed)
    if options.schedule == "one-cycle":
        each = seconds_of_step(network, task, of.batch)
        steps = max(20, int(0.9 * 60 * minutes / each))
        options = replace(options, steps=steps, validate_every=max(1, steps // 20))
    before = reach(network, posed)
    curve = Curve(f"{problem}/{cell}")
    try:
        history = train(task, options, progress=curve)
    except TrainingDivergedError as error:  # weights are those before the step that it names
        print(f"{curve.name}: {error}", flush=True)
        stopped, steps, loss = "diverged", curve.points[-1][1], curve.points[-1][2]
    else:
        stopped, steps = history.stopped, history.steps
        loss = sum(history.loss[-50:]) / len(history.loss[-50:])
    with torch.no_grad():
        score = task.score(network, "test")
    return {
        "problem": problem,
        "cell": cell,
        "seed": seed,
        "minutes": minutes,
        "T": posed.length,
        "setting": asdict(of),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "unit": posed.unit,
        "chance": posed.chance,
        "solved_below": None if options.goal is None else posed.solved,
        "score": score,
        "stopped": stopped,
        "steps": steps,
        "seconds": curve.points[-1][0],
        "loss": loss,
        "curve": curve.points,
        "gradient": {"before": gradient(before), "after": gradient(reach(network, posed))},
        "machine": {"processor": processor(), "threads": torch.get_num_threads()},
    }


def gradient(of: Reach) -> dict[str, Any]:
    """As JSON."""
    return {"reach": of.steps, "every": of.every, "norms": [float(f"{n:.3g}") for n in of.norms]}


def finished(path: Path) -> list[dict[str, Any]]:
    """The runs that a file holds."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    """Do what has not been done yet, a line for each run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--only", default="", help="runs whose PROBLEM/CELL begins so")
    parser.add_argument("--minutes", type=float, default=10, help="of two cores, for each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="fill the docs' tables, run nothing")
    arguments = parser.parse_args()
    if arguments.page:
        write(finished(arguments.results))
        return
    minutes = 2 * arguments.minutes
    for problem, cell, of in runs():
        # Read anew each time: others may work on the same file.
        done = {
            (one["problem"], one["cell"], one["seed"])
            for one in finished(arguments.results)
            if one["minutes"] >= minutes or one["stopped"] == "goal"
        }
        wanted = f"{problem}/{cell}".startswith(arguments.only)
        if wanted and (problem, cell, arguments.seed) not in done:
            row = run(problem, cell, of, minutes, arguments.seed)
            with arguments.results.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
