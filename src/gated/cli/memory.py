"""`gated memory-test`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gated.cli.outcome import tell_of_many
from gated.cli.output import to_json
from gated.cli.places import check_place
from gated.cli.run_directory import claimed, terminable
from gated.cli.training_bar import TrainingBar, training_bars
from gated.configuration import from_json_values, json_values
from gated.errors import ConfigurationError, GatedError, require
from gated.files import locked, write_atomically
from gated.model_files import read_document, to_document
from gated.tasks.memory.config import MemoryTraining
from gated.tasks.memory.longest import DONE, memory_test
from gated.tasks.memory.longest_page import memory_table, write_memory_report
from gated.tasks.memory.problems import ProblemName

FORMAT, VERSION = "gated-memory-test", 1
FILE_NAME = "memory-test.json"


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
        New directory for figures and report; or that of the same memory test, interrupted, which
        goes on where it stopped.
    cells
        Which networks: cells of gated.cells.library (lem, indrnn, janet, ...; rnn is rnn-tanh), and
        after a name its initialisation: -chrono (biases for memories of the length), -orthogonal
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
    asked = Asked(
        problem, cells, lengths, seeds, units, layers, training=training or MemoryTraining()
    )
    check_place(out)
    if is_memory_test(out):
        if asked_in(out) != asked:
            raise ConfigurationError(
                f"--out: {out} holds a memory test with other options. Give another directory, or "
                f"go on with that one: gated resume {shlex.quote(str(out))}"
            )
        go_on(out, json=json)
        return
    require("matplotlib", extra="explain")  # before the training, not after it
    with claimed(out):
        out.mkdir(exist_ok=True)
        write_atomically(out / FILE_NAME, to_document(FORMAT, VERSION, json_values(asked)))
        _test(out, asked, json=json)


@dataclass(frozen=True)
class Asked:
    """The arguments that a memory test was started with."""

    problem: ProblemName
    cells: tuple[str, ...]
    lengths: tuple[int, ...] | None
    seeds: tuple[int, ...]
    units: int
    layers: int
    training: MemoryTraining


def is_memory_test(out: Path) -> bool:
    """Whether a directory holds a memory test, ended or not."""
    return (out / FILE_NAME).is_file()


def asked_in(out: Path) -> Asked:
    """Read the arguments that a memory test was started with.

    Raises:
        ModelFileError: the file of them is damaged.
    """
    document = read_document(out / FILE_NAME, FORMAT, VERSION)
    names = [of.name for of in fields(Asked)]
    return from_json_values(Asked, {name: document.get(name) for name in names})


def go_on(out: Path, *, json: bool) -> None:
    """Resume an interrupted memory test; print the result of one that has ended."""
    require("matplotlib", extra="explain")
    asked = asked_in(out)
    with locked(out):
        _test(out, asked, json=json)


def _test(out: Path, asked: Asked, *, json: bool) -> None:
    """Run the part of a memory test that is not done yet, write its report and print it."""
    trials = out / "trials"
    try:
        with terminable(), training_bars() as bars:
            tested = memory_test(
                **{of.name: getattr(asked, of.name) for of in fields(Asked)},
                directory=trials,
                progress=lambda cell, length, seed: TrainingBar(
                    bars, f"{cell}, T = {length}, seed {seed}"
                ),
            )
    except GatedError:
        if not any(trials.rglob("*")):  # refused before any training
            (out / FILE_NAME).unlink()
        raise
    except BaseException as error:
        ended = len(list(trials.glob(f"*/{DONE}")))
        error.add_note(
            f"{ended:,} training{'s' * (ended != 1)} of the memory test ended; {out} keeps "
            f"them, and the last checkpoint. Go on with: gated resume {shlex.quote(str(out))}"
        )
        raise
    report = write_memory_report(out, tested, command=shlex.join(["gated", *sys.argv[1:]]))
    write_atomically(out / "memory.json", to_json(tested.document).encode())
    table = memory_table(tested)
    title = f"{asked.problem}, median score on test sequences"
    tell_of_many(tested.document, title, table.header, table.rows, report, json=json)
