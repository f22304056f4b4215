"""The sequences of a file, those for training and those for the test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gated.errors import DataError
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.sequences import Sequences
from gated.tasks.classify.split import held_out_rows
from gated.tasks.classify.table import read_sequences
from gated.training.findings import Finding
from gated.training.manifest import BadRows


@dataclass(frozen=True)
class Parts:
    """What is trained on and what is scored on."""

    training: Sequences
    test: Sequences
    findings: tuple[Finding, ...]


def read_parts(data: Path, options: SourceOptions, seed: int, *, stratified: bool) -> Parts:
    """Read a file, and hold a share of its sequences back, or read the test from another file.

    Args:
        data: a `.ts` file, or a table.
        options: its columns, and what is for the test.
        seed: of the choice.
        stratified: hold back the same share of each class.

    Raises:
        ConfigurationError: it is a table, and its columns are not named.
        DataError: a sequence cannot be used, or none is left for the test.
        FileNotFoundError: there is no such file.
    """
    bad = BadRows(skip=options.skip_bad)
    read = read_sequences(data, options, labelled=True, bad=bad)
    if options.test_data is not None:
        test = read_sequences(options.test_data, options, labelled=True, bad=bad)
        return Parts(read, test, tuple(bad.findings))
    # Numbers of a regression are all different: they are not stratified.
    held = held_out_rows(read.values, options.test, seed, stratified=stratified)
    if not len(held):
        raise DataError(
            f"{data} has too few sequences ({len(read)}) to hold back a share of "
            f"{options.test:g} of them for the test; give test data, or a larger share."
        )
    stay = np.setdiff1d(np.arange(len(read)), held)
    return Parts(read.take(stay), read.take(held), tuple(bad.findings))
