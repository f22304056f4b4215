"""Training batches, loss and validation of speech recognition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gated.tasks.speech.alphabet import Alphabet
from gated.tasks.speech.config import SpeechConfig
from gated.tasks.speech.features import Frames
from gated.tasks.speech.network import Batch, SpeechNetwork, ctc_loss
from gated.tasks.speech.score import error_rates
from gated.tasks.speech.search import greedy
from gated.training.bucketing import BucketedTask, LengthBuckets
from gated.training.task import Loss, Shard

VALIDATED_AT_ONCE = 32


@dataclass(frozen=True)
class Utterance:
    """A recording as training example."""

    name: str
    text: str
    codes: list[int]
    seconds: float
    versions: tuple[Frames, ...]
    """Normalised features (T, F) at each speed; of held-out recordings at the original one only."""
    speaker: str = ""


class SpeechTask(BucketedTask[Batch]):
    """CTC loss on recordings at random speeds, randomly masked (SpecAugment, Park et al. 2019)."""

    network: SpeechNetwork
    unit = "CTC loss", 1.0

    def __init__(
        self,
        network: SpeechNetwork,
        config: SpeechConfig,
        alphabet: Alphabet,
        training: Sequence[Utterance],
        validation: Sequence[Utterance],
        seed: int,
    ) -> None:
        """Take the utterances of both parts."""
        self.network, self.config, self.alphabet, self.seed = network, config, alphabet, seed
        self.training = training
        self.validation = sorted(validation, key=lambda utterance: -utterance.seconds)
        lengths = np.array([len(utterance.versions[0]) for utterance in training])
        self.buckets = LengthBuckets(lengths, seed)

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Return recordings of similar length, each with a random speed and random masks."""
        heard, codes = [], []
        for place, index in enumerate(self.buckets.batch(step, batch_size)):
            if place % shard.count == shard.index:
                random = np.random.default_rng((self.seed, step, place))
                utterance = self.training[index]
                version = utterance.versions[random.integers(len(utterance.versions))]
                heard.append(masked(version, self.config, random))
                codes.append(utterance.codes)
        return collate(heard, codes)

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """CTC loss summed over the texts; its weight is their number of letters."""
        likely, lengths = network(batch.frames, batch.lengths)
        return Loss(ctc_loss(likely, lengths, batch), batch.code_lengths.sum())

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Character error rate, which chooses the best weights; word error rate; CTC loss.

        The CTC loss grows with each overconfident error, long before the error rates do.
        """
        if not self.validation:
            return {}
        device = next(network.parameters()).device
        total, written = 0.0, []
        for start in range(0, len(self.validation), VALIDATED_AT_ONCE):
            part = self.validation[start : start + VALIDATED_AT_ONCE]
            batch = collate([one.versions[0] for one in part], [one.codes for one in part])
            batch = Batch(*(tensor.to(device) for tensor in batch))
            likely, lengths = network(batch.frames, batch.lengths)
            total += float(ctc_loss(likely, lengths, batch))
            for place, length in enumerate(lengths.tolist()):
                codes, _ = greedy(likely[:length, place].cpu().numpy())
                written.append(self.alphabet.decode(codes))
        rates = error_rates([one.text for one in self.validation], written)
        letters = sum(len(one.codes) for one in self.validation)
        return {"loss": rates.cer, "WER": rates.wer, "CTC loss": total / letters}

    def fingerprint(self) -> str:
        """Add the configuration, which the weights do not show."""
        return f"{super().fingerprint()} {self.config}"


def masked(frames: Frames, config: SpeechConfig, random: np.random.Generator) -> Frames:
    """Return `frames` with two bands and two stretches of time set to their mean, which is 0."""
    frames = frames.copy()
    steps, bands = frames.shape
    for _ in range(2):
        wide = int(random.integers(min(config.mask_bands, bands - 1) + 1))
        first = int(random.integers(bands - wide + 1))
        frames[:, first : first + wide] = 0
        long = int(random.integers(int(config.mask_steps * steps) + 1))
        first = int(random.integers(steps - long + 1))
        frames[first : first + long] = 0
    return frames


def collate(heard: Sequence[Frames], codes: Sequence[Sequence[int]]) -> Batch:
    """Pad recordings to the length of the longest, and concatenate the letters of their texts."""
    return Batch(
        nn.utils.rnn.pad_sequence([torch.from_numpy(frames) for frames in heard]),
        torch.tensor([len(frames) for frames in heard]),
        torch.tensor([code for text in codes for code in text], dtype=torch.long),
        torch.tensor([len(text) for text in codes]),
    )
