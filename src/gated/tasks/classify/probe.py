"""The network and sequences of a sequence learner, for `gated.explain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from gated.explain import Probe, Timeline
from gated.tasks.classify.network import SequenceNetwork, summed_loss
from gated.tasks.classify.preprocessing import Preprocessing
from gated.tasks.classify.sequences import Floats, Values
from gated.tasks.classify.task import batch_of

MOST_DRAWN, MOST_COUNTED = 16, 256
"""Sequences that can be drawn, and sequences that statistics go over; evenly chosen."""
MOST_LINES = 4
"""Channels that are drawn as lines; more make a heat map."""


def sequence_probe(
    network: SequenceNetwork,
    preprocessing: Preprocessing,
    title: str,
    arrays: Sequence[Floats],
    targets: Values | None,
    names: Sequence[str],
) -> Probe:
    """Return the network and some sequences for `gated.explain`.

    Args:
        network: trained with `preprocessing`.
        preprocessing: from sequences to inputs.
        title: what the network does, for headings.
        arrays: N sequences, one or more.
        targets: (N,), for the loss; None where they are unknown.
        names: (N,), or none.
    """
    rows = np.arange(len(arrays))[:: -(-len(arrays) // MOST_COUNTED)]
    parts = [part for part in (rows[:MOST_DRAWN], rows[MOST_DRAWN:]) if len(part)]
    ones = np.ones(len(arrays))
    known = ones if targets is None else targets
    batches = [
        batch_of([preprocessing.read(arrays[k]) for k in part], known[part], ones[part])
        for part in parts
    ]
    first = batches[0]

    def loss(answers: Tensor) -> Tensor:
        return summed_loss(answers, first) / len(first.targets)

    return Probe(
        title=title,
        model=network,
        batches=[(batch.steps, batch.lengths) for batch in batches],
        sequences=[names[k] if len(names) else f"sequence {k}" for k in parts[0]],
        timelines={"recurrent": [_timeline(arrays[k], preprocessing.patch) for k in parts[0]]},
        loss=None if targets is None else loss,
    )


def _timeline(array: Floats, patch: int) -> Timeline:
    read = array[::patch]
    signals: dict[str, Any] = {"channels": read}
    if read.shape[1] <= MOST_LINES:
        signals = {f"channel {k}": read[:, k] for k in range(read.shape[1])}
    unit = "step" if patch == 1 else f"{patch} steps"
    return Timeline(labels=np.arange(len(read)), unit=unit, signals=signals)
