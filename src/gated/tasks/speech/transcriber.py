"""Transcripts of recordings and streams by a trained network, without the framework it learnt in.

Shapes: T frames of F features, S steps after the convolutions, C letters and the blank.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gated import model_files
from gated.configuration import demand_numbers, from_json_values
from gated.errors import DataError, ModelFileError
from gated.live.model import Model, loaded
from gated.phases import phase
from gated.tasks.speech.alphabet import Alphabet
from gated.tasks.speech.audio import Samples, blocks_of, resampled, seconds_of
from gated.tasks.speech.config import SpeechConfig
from gated.tasks.speech.decoder import Decoder
from gated.tasks.speech.features import SHORTEST, FeatureStore, Frames, log_mel
from gated.tasks.speech.listening import Listener
from gated.tasks.speech.pieces import LONGEST, pieces_of
from gated.tasks.speech.search import Letters, Scorer, Search, Word
from gated.tasks.speech.words import WordModel


@dataclass(frozen=True)
class Transcript:
    """The transcript of a recording."""

    text: str
    words: list[Word]
    seconds: float


class Transcriber(Decoder):
    """Writes down the words of recordings, and of sound as it comes.

    Args:
        network: which reads features and gives, at each step, the probability of blank and letters.
        config: options of features and letters.
        alphabet: the letters.
        search: how texts are searched for; may be replaced.
        mean: (F,), of each feature in the training part.
    """

    def __init__(
        self, network: Model, config: SpeechConfig, alphabet: Alphabet, search: Search, mean: Frames
    ) -> None:
        super().__init__(config, alphabet)
        self.network, self.search, self.mean = network, search, mean
        self._store = FeatureStore(config.sample_rate, config.mels, config.cache)

    def transcribe(
        self,
        path: Path | str,
        language: Letters | None = None,
        words: WordModel | None = None,
        longest: float = LONGEST,
    ) -> Transcript:
        """Transcribe a recording; a long one in pieces that are cut where nobody speaks.

        Args:
            path: of the recording.
            language: language model over the letters of the alphabet, if any.
            words: word model, if any.
            longest: seconds of a piece at most.

        Raises:
            DataError: it cannot be decoded, is silent, or too short.
            FileNotFoundError: there is no such file.
        """
        path = Path(path)
        scorer = self.scorer(self.search, language, words)
        try:
            seconds = seconds_of(path) if path.is_file() else 0.0
            if seconds is None or seconds > longest:
                return self._in_pieces(*blocks_of(path, 1.0), scorer, longest, seconds)
            heard = self._store.heard(path)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        text, spoken = self.written(self.likely(heard.frames), self.search, scorer)
        return Transcript(text, spoken, heard.seconds)

    def transcribe_samples(
        self,
        blocks: Iterable[Samples],
        rate: int,
        language: Letters | None = None,
        words: WordModel | None = None,
        longest: float = LONGEST,
    ) -> Transcript:
        """Transcribe samples, some at a time; raises as `transcribe` does.

        Args:
            blocks: (n,) each, from -1 to 1.
            rate: samples per second.
            language: language model over the letters of the alphabet, if any.
            words: word model, if any.
            longest: seconds of a piece at most.
        """
        scorer = self.scorer(self.search, language, words)
        return self._in_pieces(rate, blocks, scorer, longest)

    def listener(self, rate: int) -> Listener:
        """Return a listener that transcribes a stream of samples at this sampling rate.

        Raises:
            ConfigurationError: the network reads both ways.
        """
        return Listener(
            self.network, self.alphabet, self.config.sample_rate, rate, self.step_seconds
        )

    def likely(self, frames: Frames) -> Frames:
        """Return (S, C), the log-probabilities of features (T, F)."""
        with np.errstate(divide="ignore"):
            found: Frames = np.log(self.network(frames))
        return found

    def _in_pieces(
        self,
        rate: int,
        blocks: Iterable[Samples],
        scorer: Scorer | None,
        longest: float,
        seconds: float | None = None,
    ) -> Transcript:
        """Transcribe piece by piece; of the samples only those of a piece are kept."""
        heard, told = 0.0, 0
        spoken: list[Word] = []

        def counting() -> Iterator[Samples]:
            nonlocal heard
            for block in blocks:
                heard += len(block) / rate
                yield block

        any_sound = False
        with phase("Transcribing", None if seconds is None else int(seconds)) as second:
            for piece in pieces_of(counting(), rate, longest):
                any_sound = True
                samples = resampled(piece.samples, rate, self.config.sample_rate)
                frames = log_mel(samples, self.config.sample_rate, self.config.mels)
                if len(frames):
                    likely = self.likely(frames)
                    spoken += self.written(likely, self.search, scorer, piece.begin)[1]
                while told < int(piece.begin + len(piece.samples) / rate):
                    second()
                    told += 1
        if heard < SHORTEST:
            raise DataError(f"it lasts {heard:.3f} s, too short to hold speech.")
        if not any_sound:
            raise DataError("it holds silence only, below -60 dB throughout.")
        return Transcript(" ".join(word.text for word in spoken), spoken, heard)


def load(run: Path | str, stored_as: Any = None) -> Transcriber:
    """Load the transcriber of a run of `gated fit speech`.

    Args:
        run: its directory.
        stored_as: how the weights of products are stored, see `gated.live.load`.

    Raises:
        ModelFileError: there is none, it is damaged, or an earlier version wrote it.
    """
    description = model_files.load_description(Path(run), "speech")
    network = loaded(run, description, stored_as)
    try:
        config = from_json_values(SpeechConfig, description["config"])
        mean = from_json_values(Frames, description["mean"])
        demand_numbers("The mean of a feature", mean, count=config.mels)
        alphabet = from_json_values(Alphabet, description["alphabet"])
        search = from_json_values(Search, description["search"])
        given, wanted = network.program.input.form, network.program.output.form
        if given.features != config.mels or wanted.features != len(alphabet):
            raise ModelFileError(
                f"a network of {given.features} features and {wanted.features} outputs for "
                f"{config.mels} mel bands and {len(alphabet.letters)} letters"
            )
    except Exception as error:  # no file may hold what leads to a traceback
        raise ModelFileError(f"The model in {run} is damaged: {error}.") from error
    return Transcriber(network, config, alphabet, search, mean)
