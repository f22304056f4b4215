"""The network and stretches of a text, character by character, for `gated.explain`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gated.explain import Probe, Timeline
from gated.tasks.language.network import MOST_LOGITS, LanguageNetwork, Written
from gated.texts.text import Codes
from gated.texts.vocabulary import MARKS, Vocabulary

MOST_DRAWN, MOST_COUNTED = 8, 64
"""Stretches that can be drawn, and stretches that statistics go over; evenly chosen."""
STEPS = 240
"""Characters of a stretch."""


def language_probe(
    network: LanguageNetwork, title: str, codes: Codes, vocabulary: Vocabulary
) -> Probe:
    """Return the network, stretches of a text and the cross-entropy for `gated.explain`.

    Args:
        network: a trained one.
        title: what the network does, for headings.
        codes: (N,), of the text, two characters or more.
        vocabulary: of the codes.
    """
    steps = min(STEPS, len(codes) - 1)
    last = len(codes) - 1 - steps
    most = max(1, min(MOST_COUNTED, MOST_LOGITS // (steps * len(vocabulary))))
    starts = np.unique(np.linspace(0, last, most).round().astype(int))
    drawn = starts[:: -(-len(starts) // MOST_DRAWN)]
    parts = [part for part in (drawn, np.setdiff1d(starts, drawn)) if len(part)]
    read = [
        torch.from_numpy(np.asarray(codes)[part + np.arange(steps + 1)[:, None]].astype(np.int64))
        for part in parts
    ]
    following = read[0][1:]
    pieces = [piece.decode("utf-8", "replace") for piece in vocabulary.pieces()]
    texts = [[pieces[code] for code in column] for column in read[0][:-1].T.tolist()]

    def loss(written: Written) -> Tensor:
        return functional.cross_entropy(written.logits.flatten(0, 1), following.flatten())

    return Probe(
        title=title,
        model=network,
        batches=[(of[:-1], None) for of in read],
        sequences=["".join(text[:40]) for text in texts],
        timelines={
            f"layers.{k}": [
                Timeline(labels=[MARKS.get(of, of) for of in text], unit=vocabulary.unit)
                for text in texts
            ]
            for k in range(len(network.layers))
        },
        loss=loss,
    )
