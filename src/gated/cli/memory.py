"""`gated memory-test`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gated.cli.outcome import tell_of_many
from gated.cli.output import to_json
from gated.cli.run_directory import claimed
from gated.cli.training_bar import TrainingBar, training_bars
from gated.errors import require
from gated.files import write_atomically
from gated.tasks.memory.config import MemoryTraining
from gated.tasks.memory.longest import memory_test
from gated.tasks.memory.longest_page import memory_table, write_memory_report
from gated.tasks.memory.problems import ProblemName


def find_longest(
    problem: ProblemName = "adding",
    *,
    out: Path,
    cells: tuple[str, ...] = ("rnn", "gru", "lstm", "lstm-chrono"),
    lengths: tuple[int, ...] | None = None,
    seeds: tuple[int, ...] = (0, 1, 2),
    units: int = 128,
    layers: int = 1,
    training: Annotated[MemoryTraining | None, Parameter(name="*", group="Training")] = None,
    json: bool = False,
) -> None:
    """Find the longest sequences that recurrent networks learn to remember.

    Parameters
    ----------
    problem
        Kind of sequences: what must be remembered, and for how long.
    out
        New directory for figures and report.
    cells
        Which networks: cells of gated.cells.library (lem, indrnn, janet, ...; rnn is rnn-tanh), and
        behind a name how it starts: -chrono (biases for memories of the length), -orthogonal
        (recurrent weights), -exp (weights that stay orthogonal), -layer-norm.
    lengths
        Lengths to try, ascending; for images the number of pixels, a square. By default 50 to 600
        for adding, 100 to 2,000 for copy, 64 to 784 for images.
    seeds
        Seeds. Each cell is trained once with each seed at every length, and solves a length if it
        does so with more than half of the seeds.
    units
        Hidden units of each layer.
    layers
        Layers of each network; IndRNN needs two or more.
    json
        Print the result as one JSON document.
    """
    require("matplotlib", extra="explain")  # before the training, not after it
    with claimed(out):
        with training_bars() as bars:
            tested = memory_test(
                problem,
                cells=cells,
                lengths=lengths,
                seeds=seeds,
                units=units,
                layers=layers,
                training=training,
                progress=lambda cell, length, seed: TrainingBar(
                    bars, f"{cell}, T = {length}, seed {seed}"
                ),
            )
        report = write_memory_report(out, tested, command=shlex.join(["gated", *sys.argv[1:]]))
        write_atomically(out / "memory.json", to_json(tested.document).encode())
    table = memory_table(tested)
    title = f"{problem}, median score on test sequences"
    tell_of_many(tested.document, title, table.header, table.rows, report, json=json)
