"""Streaming recognition: samples in, words out while somebody speaks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gated.errors import ConfigurationError, DataError, require
from gated.tasks.speech.alphabet import BLANK, Alphabet
from gated.tasks.speech.audio import Samples
from gated.tasks.speech.features import Frames, filterbank
from gated.tasks.speech.network import SpeechNetwork
from gated.tasks.speech.search import Span, Word, words_of


class Listener:
    """Transcribes a stream of samples: a word is returned once the space after it is recognised.

    The transcript equals that of the whole recording with greedy search. Memory does not grow
    with the length: only some frames and steps are kept.

    Args:
        network: a streaming network, in evaluation mode.
        alphabet: letters of the network's outputs.
        mean: (F,), of each feature in the training part.
        deviation: (F,), standard deviation of the same.
        sample_rate: sampling rate of the features.
        rate: sampling rate of the stream, in samples per second.

    Raises:
        ConfigurationError: the network reads both ways.
    """

    def __init__(
        self,
        network: SpeechNetwork,
        alphabet: Alphabet,
        mean: Frames,
        deviation: Frames,
        *,
        sample_rate: int,
        rate: int,
    ) -> None:
        if not network.streaming:
            raise ConfigurationError(
                "This network reads both ways, from the end too. Train one that reads forwards: "
                "gated fit speech --streaming."
            )
        self._network, self._alphabet = network, alphabet
        self._mean, self._deviation = mean, deviation
        self._rate, self._resampler = sample_rate, None
        if rate != sample_rate:
            soxr = require("soxr", extra="speech")
            self._resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
        self._bank: Any = filterbank(sample_rate, len(mean))
        self._layers = network.recurrent.stream()
        self._shrinks = 2 ** len(network.convolutions)
        self._frames: Frames = np.zeros((0, len(mean)), np.float32)
        self._first = 0
        """Number of the first of the frames that are kept."""
        self._taken = 0
        """Frames that were taken from the filterbank."""
        self._steps = 0
        """Steps that the recurrent layers took."""
        self._waiting: list[Tensor] = []
        """What the recurrent layers said, and still waits for the steps after it."""
        self._told = 0
        """Steps whose letters are known."""
        self._before = BLANK
        self._letters: list[int] = []
        self._spans: list[Span] = []
        self._sure: list[float] = []
        """The highest log-probability of each letter so far."""

    def hear(self, samples: Samples) -> list[Word]:
        """Take the next samples (n,), from -1 to 1; return the words that are complete."""
        return self._heard(samples, last=False)

    def finish(self) -> list[Word]:
        """End the stream; return the remaining words.

        Raises:
            DataError: the stream is too short to hold speech.
        """
        words = self._heard(np.zeros(0, np.float32), last=True)
        if not self._steps:
            raise DataError("The sound is too short to hold speech.")
        return words + self._complete(len(self._letters))

    @property
    def partial(self) -> str:
        """Letters so far of the word that is being spoken."""
        return self._alphabet.decode(self._letters).strip()

    @property
    def heard_seconds(self) -> float:
        """Seconds of sound that have been read, counted in complete frames."""
        return self._taken / 100

    @torch.no_grad()
    def _heard(self, samples: Samples, *, last: bool) -> list[Word]:
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        self._bank.accept_waveform(self._rate, samples.tolist())
        if last:
            self._bank.input_finished()
        ready = self._bank.num_frames_ready
        # Copies: popping frees what the filterbank shows.
        new = [np.array(self._bank.get_frame(k)) for k in range(self._taken, ready)]
        self._bank.pop(ready - self._taken)
        self._taken = ready
        if new:
            normal = (np.array(new, np.float32) - self._mean) / self._deviation
            self._frames = np.concatenate([self._frames, normal])
        for step in self._shortened(last=last):
            self._waiting.append(torch.from_numpy(self._layers.step(step).copy()))
            self._tell_those_with_a_future()
        if last:
            for _ in range(self._network.look_ahead):
                if self._told < self._steps:
                    self._waiting.append(torch.zeros_like(self._waiting[0]))
                    self._tell_those_with_a_future()
        spaces = [place for place, code in enumerate(self._letters) if self._is_space(code)]
        # The space stays: it may last for some steps more.
        return self._complete(spaces[-1]) if spaces else []

    def _shortened(self, *, last: bool) -> Iterator[Frames]:
        """Yield the next steps that the convolutions give, each (features,).

        A step reaches over the frames around it, up to one fewer than it stands for on each side.
        So the first one of a piece is not that of the whole, unless it is the first of all.
        """
        shrinks = self._shrinks
        there = self._first + len(self._frames)
        count = -(-there // shrinks) if last else there // shrinks
        if count <= self._steps:
            return
        maps = torch.from_numpy(self._frames).T[None, None]
        for convolution in self._network.convolutions:
            maps = functional.relu(convolution(maps))
        said = self._network.norm(maps.flatten(1, 2)[0].T).numpy()
        begin = self._first // shrinks
        yield from said[self._steps - begin : count - begin]
        self._steps = count
        keep = max(0, count - 2) * shrinks
        self._frames = self._frames[keep - self._first :]
        self._first = keep

    def _tell_those_with_a_future(self) -> None:
        """Write the letter of the oldest step that waits, if what it looks ahead to is there."""
        network = self._network
        if len(self._waiting) <= network.look_ahead:
            return
        said = self._waiting[0]
        if network.future is not None:
            ahead = torch.stack(self._waiting, -1)
            said = said + network.future(ahead[None])[0, :, 0]
        del self._waiting[0]
        sure, place = network.head(said).log_softmax(-1).max(-1)
        code = int(place)
        if code != BLANK and code == self._before:
            self._spans[-1] = (self._spans[-1][0], self._told)
            self._sure[-1] = max(self._sure[-1], float(sure))
        elif code != BLANK:
            self._letters.append(code)
            self._spans.append((self._told, self._told))
            self._sure.append(float(sure))
        self._before = code
        self._told += 1

    def _is_space(self, code: int) -> bool:
        return self._alphabet.decode([code]) == " "

    def _complete(self, count: int) -> list[Word]:
        """Return the words of the first letters, and forget these."""
        text = self._alphabet.decode(self._letters[:count])
        sure = [math.exp(of) for of in self._sure[:count]]
        words = words_of(text, self._spans[:count], sure, self._shrinks / 100)
        del self._letters[:count], self._spans[:count], self._sure[:count]
        return words
