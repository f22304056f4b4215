"""Streaming recognition: samples in, words out while somebody speaks."""

from __future__ import annotations

from typing import Any

import numpy as np

from gated.errors import ConfigurationError, DataError, require
from gated.live.layer import Array
from gated.live.model import Model
from gated.tasks.speech.alphabet import BLANK, Alphabet
from gated.tasks.speech.audio import Samples
from gated.tasks.speech.features import filterbank
from gated.tasks.speech.search import Span, Word, words_of


class Listener:
    """Transcribes a stream of samples: a word is returned once the space after it is recognised.

    The transcript equals that of the whole recording with greedy search. Memory does not grow
    with the length: only some frames and steps are kept.

    Args:
        network: which reads features, and streams.
        alphabet: letters of the network's outputs.
        sample_rate: sampling rate of the features.
        rate: sampling rate of the stream, in samples per second.
        step_seconds: duration of a step of the network's outputs.

    Raises:
        ConfigurationError: the network reads both ways.
    """

    def __init__(
        self, network: Model, alphabet: Alphabet, sample_rate: int, rate: int, step_seconds: float
    ) -> None:
        if not network.streams:
            raise ConfigurationError(
                "This network reads both ways, from the end too. Train one that reads forwards: "
                "gated fit speech --streaming."
            )
        self._stream, self._alphabet = network.stream(), alphabet
        self._rate, self._resampler = sample_rate, None
        if rate != sample_rate:
            soxr = require("soxr", extra="speech")
            self._resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
        self._bank: Any = filterbank(sample_rate, network.program.input.form.features)
        self._step_seconds = step_seconds
        self._taken = 0
        """Frames that were taken from the filterbank."""
        self._told = 0
        """Steps whose letters are known."""
        self._before = BLANK
        self._letters: list[int] = []
        self._spans: list[Span] = []
        self._sure: list[float] = []
        """The highest probability of each letter so far."""

    def hear(self, samples: Samples) -> list[Word]:
        """Take the next samples (n,), from -1 to 1; return the words that are complete."""
        return self._heard(samples, last=False)

    def finish(self) -> list[Word]:
        """End the stream; return the remaining words.

        Raises:
            DataError: the stream is too short to hold speech.
        """
        words = self._heard(np.zeros(0, np.float32), last=True)
        if not self._told:
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
            self._tell(self._stream.push_many(np.array(new)))
        if last:
            self._tell(self._stream.finish())
        spaces = [place for place, code in enumerate(self._letters) if self._is_space(code)]
        # The space stays: it may last for some steps more.
        return self._complete(spaces[-1]) if spaces else []

    def _tell(self, likely: Array) -> None:
        """Write the letters of the next steps, by the probabilities (S, C) of blank and letters."""
        for sure, code in zip(likely.max(-1).tolist(), likely.argmax(-1).tolist(), strict=True):
            if code != BLANK and code == self._before:
                self._spans[-1] = (self._spans[-1][0], self._told)
                self._sure[-1] = max(self._sure[-1], sure)
            elif code != BLANK:
                self._letters.append(code)
                self._spans.append((self._told, self._told))
                self._sure.append(sure)
            self._before = code
            self._told += 1

    def _is_space(self, code: int) -> bool:
        return self._alphabet.decode([code]) == " "

    def _complete(self, count: int) -> list[Word]:
        """Return the words of the first letters, and forget these."""
        text = self._alphabet.decode(self._letters[:count])
        words = words_of(text, self._spans[:count], self._sure[:count], self._step_seconds)
        del self._letters[:count], self._spans[:count], self._sure[:count]
        return words
