"""The recurrent layers and some recordings, for `gated.explain`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from gated.explain import Probe, Timeline
from gated.tasks.speech.network import SpeechNetwork, ctc_loss
from gated.tasks.speech.task import Utterance, collate

MOST_DRAWN, MOST_COUNTED = 8, 32
"""Recordings that can be drawn, and recordings that statistics go over; evenly chosen."""


def speech_probe(
    network: SpeechNetwork, title: str, utterances: Sequence[Utterance], seconds: float
) -> Probe:
    """Return the network, recordings with their texts, and the CTC loss for `gated.explain`.

    Args:
        network: a trained one.
        title: what the network does, for headings.
        utterances: the recordings, one or more.
        seconds: duration of a step of the recurrent layers.
    """
    counted = utterances[:: -(-len(utterances) // MOST_COUNTED)]
    parts = [part for part in (counted[:MOST_DRAWN], counted[MOST_DRAWN:]) if part]
    batches = [collate([one.versions[0] for one in of], [one.codes for one in of]) for of in parts]
    first = batches[0]
    every = 2 ** len(network.convolutions)

    def loss(output: tuple[Tensor, Tensor]) -> Tensor:
        return ctc_loss(*output, first) / first.code_lengths.sum()

    def timeline(one: Utterance) -> Timeline:
        heard = one.versions[0][::every]
        times = np.round(np.arange(len(heard)) * seconds, 2)
        return Timeline(labels=times, unit="seconds", signals={"log-mel bands": heard})

    return Probe(
        title=title,
        model=network,
        batches=[(batch.frames, batch.lengths) for batch in batches],
        sequences=[one.text for one in parts[0]],
        timelines={"recurrent": [timeline(one) for one in parts[0]]},
        loss=loss,
    )
