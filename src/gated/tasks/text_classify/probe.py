"""The network of a text classifier and some texts, for `gated.explain`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional

from gated.explain import Probe, Timeline
from gated.scoring.label_scores import Integers
from gated.tasks.text_classify.network import TextNetwork
from gated.tasks.text_classify.task import Scores, batch_of
from gated.texts.text import Codes
from gated.texts.vocabulary import MARKS, Vocabulary

MOST_DRAWN, MOST_COUNTED = 16, 64
"""Texts that can be drawn, and texts that statistics go over; evenly chosen."""


def text_probe(
    network: TextNetwork,
    name: str,
    labels: Sequence[str],
    vocabulary: Vocabulary,
    texts: Sequence[Codes],
    truth: Integers | None,
    scores: Scores,
) -> Probe:
    """Return the network and some texts for `gated.explain`; with labels, also the loss.

    To the network's logits the `scores` (N, C) of the linear part are added.
    """
    counted = list(range(len(texts)))[:: max(1, -(-len(texts) // MOST_COUNTED))]
    drawn = counted[:: max(1, -(-len(counted) // MOST_DRAWN))]
    others = [place for place in counted if place not in drawn]
    nothing = np.zeros(len(texts), np.int64)
    targets = nothing if truth is None else truth
    batches = [
        batch_of([texts[place] for place in part], targets[part], scores[part])
        for part in (drawn, others)
        if part
    ]
    first = batches[0]
    pieces = [MARKS.get(text, text) for text in map(_shown, vocabulary.pieces())]
    letters = [[pieces[code] for code in texts[place]] for place in drawn]

    def loss(logits: Tensor) -> Tensor:
        return functional.cross_entropy(logits + first.scores, first.targets)

    return Probe(
        title=f"{name} that predicts {', '.join(labels)}",
        model=network,
        batches=[(batch.codes, batch.lengths) for batch in batches],
        sequences=["".join(of[:40]) for of in letters],
        timelines={
            f"layers.{k}": [Timeline(labels=of, unit=vocabulary.unit) for of in letters]
            for k in range(len(network.layers))
        },
        loss=None if truth is None else loss,
    )


def _shown(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")
