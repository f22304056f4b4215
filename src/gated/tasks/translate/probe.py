"""The encoder of a translator and some sentences, by subword, for `gated.explain`."""

from __future__ import annotations

from collections.abc import Sequence

from gated.explain import Probe, Timeline
from gated.tasks.translate.batches import Batch, Codes
from gated.tasks.translate.network import TranslateNetwork, smoothed_loss

MOST_DRAWN, MOST_COUNTED = 16, 128
"""Sentences that can be drawn, and sentences that statistics go over; evenly chosen."""


def translate_probe(
    network: TranslateNetwork,
    title: str,
    encoded: Sequence[tuple[Codes, Codes]],
    names: Sequence[str],
) -> Probe:
    """Return the network, pairs of sentences and the cross-entropy for `gated.explain`.

    Args:
        network: a trained one.
        title: what the network does, for headings.
        encoded: codes of sources and targets, one pair or more.
        names: of the source's subwords.
    """
    counted = encoded[:: max(1, -(-len(encoded) // MOST_COUNTED))]
    parts = [part for part in (counted[:MOST_DRAWN], counted[MOST_DRAWN:]) if part]
    batches = [Batch.of(*zip(*part, strict=True)) for part in parts]
    first = batches[0]
    read = [
        [names[code] for code in column[:length]]
        for column, length in zip(first.source.T.tolist(), first.source_lengths, strict=True)
    ]
    return Probe(
        title=title,
        model=network,
        # A pair with None, as a batch of several tensors is a tuple itself.
        batches=[(batch, None) for batch in batches],
        sequences=["".join(labels[:-1]).replace("▁", " ").strip() for labels in read],
        timelines={"encoder.layers": [Timeline(labels=of, unit="subword") for of in read]},
        loss=lambda logits: smoothed_loss(logits, first.wanted, 0.0) / len(first.wanted),
    )
