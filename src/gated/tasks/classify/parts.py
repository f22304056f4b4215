"""The sequences of a file, split into training part and test part."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gated.data.bad_rows import Bad, BadRows
from gated.data.findings import Finding, RowError
from gated.data.single_labels import single_labels
from gated.errors import DataError
from gated.scoring.seen import Seen, refuse_known
from gated.tasks.classify.clusters import clustered, shared_with
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.sequences import Floats, Sequences, key_of
from gated.tasks.classify.split import held_out_rows
from gated.tasks.classify.table import read_sequences


@dataclass(frozen=True)
class Parts:
    """The training part (validation included) and the test part."""

    training: Sequences
    test: Sequences
    findings: tuple[Finding, ...]


def those_that_fit(
    read: Sequences, bad: Bad, *, channels: int, labels: Collection[str] | None = None
) -> Sequences:
    """Return the sequences that a learner can read; the others go to `bad`.

    Args:
        read: the sequences of a file.
        bad: is given each that has other channels, or an unknown label.
        channels: number of channels that the learner reads.
        labels: the classes it was trained on; None where it predicts numbers.
    """
    stay = []
    for place, name in enumerate(read.names):
        try:
            _check_channels(read.arrays[place], name, channels)
            values = np.atleast_1d(read.values[place]) if len(read.values) else ()
            for column, value in zip(read.labels or (None,), values, strict=False):
                where = name if column is None else f"{name}, column '{column}'"
                _check_value(str(value), where, labels)
            stay.append(place)
        except DataError as error:
            row = read.rows[place] if read.rows else None
            bad(RowError(str(error), row, of=name))
    return read.take(np.array(stay)) if len(stay) < len(read) else read


def _check_channels(array: Floats, name: str, channels: int) -> None:
    if array.shape[1] != channels:
        raise DataError(
            f"{name}: it has {array.shape[1]} channels, where those of training have {channels}."
        )


def _check_value(value: str, name: str, labels: Collection[str] | None) -> None:
    if labels is not None:
        if value not in labels:
            raise DataError(
                f"{name}: the label {value!r} was not trained on; known are "
                f"{', '.join(sorted(labels))}."
            )
        return
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise DataError(f"{name}: the label {value!r} is not a finite number, as regress needs.")


def read_parts(
    data: Path,
    options: SourceOptions,
    seed: int,
    *,
    stratified: bool,
    columns: tuple[str, ...] = (),
) -> Parts:
    """Read a file; hold a share of its sequences back as test part, or read that from another file.

    Args:
        data: a `.ts` file, or a table.
        options: names of its columns, and share or file of the test part.
        seed: of the random split.
        stratified: hold back the same share of each class.
        columns: the channel columns of a table; by default all that have no other role.

    Raises:
        ConfigurationError: the data are a table, and its columns are not named.
        DataError: a sequence cannot be used, none is left for the test, or most of the test data
            are training data.
        FileNotFoundError: there is no such file.
    """
    bad = BadRows(skip=options.skip_bad)
    read = read_sequences(data, options, labelled=True, columns=columns, bad=bad)
    if not stratified:
        read = those_that_fit(read, bad, channels=read.channels)
    if stratified:
        own_test = options.test_data is not None
        bad.findings += single_labels(map(str, read.values), data, own_test=own_test)
    read, found = clustered(read)
    bad.findings += found
    if options.test_data is not None:
        test = read_sequences(
            options.test_data,
            options,
            labelled=True,
            columns=read.columns,
            channels=read.channels,
            bad=bad,
        )
        labels = set(read.values.tolist()) if stratified else None
        test = those_that_fit(test, bad, channels=read.channels, labels=labels)
        if not len(test):
            raise DataError(f"{options.test_data} holds no usable sequence.{bad.summary}")
        known = Seen.of(map(key_of, read.arrays)).count(map(key_of, test.arrays))
        refuse_known(known, len(test), "sequences")
        bad.findings += shared_with(read, test)
        return Parts(read, clustered(test)[0], tuple(bad.findings))
    # Numbers of a regression are all different: they are not stratified.
    held = held_out_rows(
        read.values, options.test, seed, stratified=stratified, clusters=read.clusters
    )
    if not len(held):
        groups = len(set(read.clusters.tolist()))
        what = f"sequences ({len(read)}{f', in {groups} groups' if groups else ''})"
        raise DataError(
            f"{data} has too few {what} to hold back a share of "
            f"{options.test:g} of them for the test; give test data, or a larger share."
        )
    stay = np.setdiff1d(np.arange(len(read)), held)
    return Parts(read.take(stay), read.take(held), tuple(bad.findings))
