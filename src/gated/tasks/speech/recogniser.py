"""The learner of speech recognition."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

import gated.tasks
from gated.configuration import demand_numbers
from gated.data.findings import Finding
from gated.data.manifest import Bad, BadRows
from gated.data.split_by_text import split_by_text
from gated.errors import ConfigurationError, DataError, option
from gated.explain import Probe
from gated.phases import counted, phase
from gated.scoring.seen import Seen
from gated.scoring.verdict import NOT_WANTED
from gated.tasks.learner import Learner, Parts, Purpose
from gated.tasks.speech.alphabet import Alphabet, normalised
from gated.tasks.speech.baseline import NEAREST, nearest
from gated.tasks.speech.config import SpeechConfig, SpeechTraining
from gated.tasks.speech.features import FeatureStore, Frames, Heard
from gated.tasks.speech.listening import Listener
from gated.tasks.speech.manifest import Recording, read_manifest
from gated.tasks.speech.network import SpeechNetwork, steps_after
from gated.tasks.speech.probe import speech_probe
from gated.tasks.speech.score import Evaluation, error_rates, substitutions
from gated.tasks.speech.search import (
    Letters,
    LetterScorer,
    Search,
    Word,
    greedy,
    letter_confidences,
    prefix_beam,
    words_of,
)
from gated.tasks.speech.task import SpeechTask, Utterance
from gated.training.options import TrainingOptions

SECONDS_A_FRAME = 0.01
WEIGHTS = (0.2, 0.4, 0.6, 0.9)
BONUSES = (0.0, 0.5, 1.0)
"""Of a language model, and for each letter: what is tried on the validation part."""


@dataclass(frozen=True)
class Transcript:
    """The transcript of a recording."""

    text: str
    words: list[Word]
    seconds: float


class SpeechRecogniser(Learner[SpeechConfig, list[Utterance], Evaluation]):
    """Learns to transcribe recordings.

    Args:
        config: options of features, letters and network.
        training: how to train.
    """

    task = "speech"
    config_type, training_type = SpeechConfig, SpeechTraining
    learned = ("alphabet", "search", "mean", "deviation", "seen")
    adopts = (
        "sample_rate",
        "mels",
        "keep_case",
        "keep_punctuation",
        "streaming",
        "look_ahead",
        "subsampling",
        "channels",
        "cell",
        "hidden",
        "layers",
    )
    does = "transcribe speech"
    data = (
        "Table (CSV, Parquet or a sheet) with the columns path (from the manifest's directory) and "
        "text."
    )
    made_of = "recordings"

    network: SpeechNetwork
    alphabet: Alphabet
    search: Search
    """Options of the beam search."""
    mean: Frames
    """(F,), of each feature in the training part."""
    deviation: Frames
    seen: Seen
    """Digests of the examples that were trained on."""

    def __init__(
        self, config: SpeechConfig | None = None, training: TrainingOptions | None = None
    ) -> None:
        super().__init__(config, training)
        self.search = Search()
        self.language: Letters | None = None
        """What is expected of the letters of the alphabet, where transcripts are searched for."""
        self._store = self._new_store()

    def adopt(self) -> Self:
        """Take the options that belong to the weights of `init_from`, with its features."""
        super().adopt()
        self._store = self._new_store()
        return self

    @property
    def name(self) -> str:
        """Name of the network in tables."""
        return f"{super().name}, {'forwards' if self.config.streaming else 'both ways'}"

    def split(self, source: Path | str, bad: BadRows) -> Parts[list[Utterance]]:
        """Read a manifest and its recordings; equal texts stay in one part of the split."""
        config = self.config
        read = self._heard(read_manifest(Path(source), self.config, bad), bad)
        texts = [text for _, text, _ in read]
        sides = [(text,) for text in texts]
        places = split_by_text(sides, config.test, config.validation, self.seed)
        if not places.training:
            raise DataError(
                f"Of {len(read)} recordings none is left to train on: hold back fewer, give more."
                f"{bad.summary}"
            )
        if self.origin:
            self._adopt_letters_and_scale()
        else:
            every = np.concatenate([read[place][2].frames for place in places.training])
            self.mean, self.deviation = every.mean(0), np.maximum(every.std(0), 1e-3)
            self.alphabet = Alphabet(
                config.alphabet or "".join(texts[place] for place in places.training)
            )
        parts = Parts(
            *(
                self._utterances([read[place] for place in chosen], bad, speeds)
                for chosen, speeds in (
                    (places.training, config.speeds),
                    (places.validation, (1.0,)),
                    (places.test, (1.0,)),
                )
            )
        )
        if not parts.training:
            raise DataError(f"{source} holds no recording to train on.{bad.summary}")
        plain = int(np.argmin([abs(speed - 1) for speed in config.speeds]))
        heard = [one.versions[plain] for one in parts.training]
        heard += [one.versions[0] for one in parts.validation]
        self.seen = Seen.of(frames.tobytes() for frames in heard)
        self.findings = tuple(_changed([one for *_, one in read], config.sample_rate))
        near = sorted([*places.near_training, *places.near_validation])
        if near:
            self.findings += (
                Finding(
                    kind="near",
                    count=len(near),
                    what="recordings whose text is nearly that of one held back",
                    action="left out",
                    example=texts[near[0]][:60],
                ),
            )
        if config.language_model:
            self.language = self.letters_by(config.language_model)
        return parts

    def read(self, source: Path | str, purpose: Purpose, bad: BadRows) -> list[Utterance]:
        """Read a manifest and its recordings."""
        return self._utterances(
            self._heard(read_manifest(Path(source), self.config, bad), bad), bad, (1.0,)
        )

    def check_learned(self) -> None:
        """Refuse mean and deviation of another number of features."""
        demand_numbers("The mean of a feature", self.mean, count=self.config.mels)
        demand_numbers(
            "The deviation of a feature", self.deviation, count=self.config.mels, above=0
        )

    def new_network(self) -> SpeechNetwork:
        """Make a network for the alphabet."""
        return SpeechNetwork(self.config, len(self.alphabet))

    def new_task(self) -> SpeechTask:
        """Return the training task, with recordings at several speeds and with masks."""
        parts = self.parts.training, self.parts.validation
        return SpeechTask(self.network, self.config, self.alphabet, *parts, self.seed)

    def settle(self) -> None:
        """With a language model, choose its weight on the validation part."""
        if self.language and self.parts.validation:
            self.choose_search(self.language)

    def scored(self, data: list[Utterance], known: Parts[list[Utterance]] | None) -> Evaluation:
        """Compare greedy and beam search with the nearest recording."""
        searches: dict[str, tuple[Search, Letters | None]] = {}
        searches[self.name] = replace(self.search, beam=1), None
        if self.search.beam > 1:
            beam = f"{self.name}, beam of {self.search.beam}"
            searches[beam] = self.search, None
            if self.language is not None:
                searches[f"{beam} and language model"] = self.search, self.language
        methods, factors = {}, {}
        for name, way in searches.items():
            began = time.perf_counter()
            methods[name] = [
                self._written(one.versions[0], *way)[0]
                for one in counted(f"Transcribing, {name}", data)
            ]
            spent = time.perf_counter() - began
            factors[name] = spent / sum(one.seconds for one in data)
        left_out = {}
        if known and self.training.no_baseline:
            left_out[NEAREST] = NOT_WANTED
        elif known:
            with phase(f"Baseline: {NEAREST}"):
                methods[NEAREST] = nearest(known.training, data, self.config.speeds)
        references = [one.text for one in data]
        return Evaluation(
            references=references,
            methods=methods,
            scores={name: error_rates(references, texts) for name, texts in methods.items()},
            substitutions=substitutions(references, methods[list(searches)[-1]]),
            real_time_factors=factors,
            left_out=left_out,
            known=self.seen.count(one.versions[0].tobytes() for one in data),
        )

    def probed(self, data: list[Utterance]) -> Probe:
        """Return the network and recordings with their texts for `gated.explain`."""
        return speech_probe(self.network, f"{self.name} that hears", data, self.step_seconds)

    def letters_by(self, run: Path) -> Letters:
        """Return the language model of a run, as a predictor of the next letter of the alphabet.

        Raises:
            ConfigurationError: `run` is not such a language model.
            ModelFileError: `run` holds no model, or a damaged one.
        """
        model: Any = gated.tasks.load(run)
        if not hasattr(model, "next_letter"):
            raise ConfigurationError(
                f"{option('language_model')}: {run} is of the task {model.task!r}; give a run of "
                "`gated fit language`."
            )
        letters: Letters = model.next_letter(self.alphabet.letters)
        return letters

    def transcribe(self, path: Path | str, language: Letters | None = None) -> Transcript:
        """Transcribe a recording.

        Args:
            path: of the recording.
            language: language model over the letters of the alphabet, if any.

        Raises:
            DataError: it cannot be decoded, is silent, or too short.
            FileNotFoundError: there is no such file.
        """
        try:
            heard = self._store.heard(Path(path))
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        text, words = self._written(self._normal(heard.frames), self.search, language)
        return Transcript(text, words, heard.seconds)

    def listener(self, rate: int) -> Listener:
        """Return a listener that transcribes a stream of samples at this sampling rate.

        Raises:
            ConfigurationError: the network reads both ways.
        """
        return Listener(
            self.network.eval(),
            self.alphabet,
            self.mean,
            self.deviation,
            sample_rate=self.config.sample_rate,
            rate=rate,
        )

    def choose_search(self, language: Letters) -> Search:
        """Choose weight and bonus of the language model on the validation part.

        Raises:
            DataError: there is no validation part.
        """
        held = self.parts.validation
        if not held:
            raise DataError("There is no validation part to choose the search on.")
        tried = [
            replace(self.search, weight=weight, bonus=bonus)
            for weight in WEIGHTS
            for bonus in BONUSES
        ]
        references = [one.text for one in held]
        likely = [self._likely(one.versions[0]) for one in held]

        def errors(search: Search) -> float:
            texts = [self._searched(of, search, language)[0] for of in likely]
            return error_rates(references, texts).wer

        self.search = min(counted("Choosing the search", tried), key=errors)
        return self.search

    def written_in_time(self, count: int) -> list[tuple[Utterance, list[Word]]]:
        """Return `count` or fewer recordings of the test part, with their words and times."""
        tested = self.parts.test
        chosen = tested[:: max(1, -(-len(tested) // count))]
        way = self.search, self.language
        return [(one, self._written(one.versions[0], *way)[1]) for one in chosen]

    @property
    def step_seconds(self) -> float:
        """Duration of a step of the recurrent layers, in seconds."""
        return float(SECONDS_A_FRAME * 2**self.config.subsampling)

    def _new_store(self) -> FeatureStore:
        return FeatureStore(self.config.sample_rate, self.config.mels, self.config.cache)

    def _adopt_letters_and_scale(self) -> None:
        """Write with the letters of the run of `init_from`, and hear as loud as it does.

        Raises:
            ConfigurationError: another alphabet is asked for.
        """
        self.mean, self.deviation = self.adopted("mean"), self.adopted("deviation")
        self.alphabet = self.adopted("alphabet")
        wanted = Alphabet(self.config.alphabet).letters
        if wanted and wanted != self.alphabet.letters:
            raise ConfigurationError(
                f"{option('alphabet')} is {wanted!r}, and {self.alphabet.letters!r} in "
                f"{self.training.init_from}, with whose weights {option('init_from')} "
                f"begins: leave it out to "
                "have that of the run, or begin anew."
            )

    def _heard(
        self, recordings: Sequence[Recording], bad: Bad
    ) -> list[tuple[Recording, str, Heard]]:
        """Return recordings with their normalised text and features; unusable ones go to `bad`."""
        config, read = self.config, []
        for one in counted("Computing features of recordings", recordings):
            text = normalised(
                one.text, keep_case=config.keep_case, keep_punctuation=config.keep_punctuation
            )
            try:
                if not text:
                    raise DataError(f"its text {one.text!r} has nothing that is spoken.")
                read.append((one, text, self._store.heard(one.path)))
            except (DataError, FileNotFoundError) as error:
                bad(DataError(f"{one}: {error}"))
        return read

    def _utterances(
        self,
        read: Sequence[tuple[Recording, str, Heard]],
        bad: Bad,
        speeds: Sequence[float],
    ) -> list[Utterance]:
        """Encode texts and normalise features; what cannot be written or told goes to `bad`."""
        utterances = []
        for one, text, heard in counted("Computing features at each speed", read):
            try:
                codes = self.alphabet.encode(text)
                versions = tuple(
                    heard.frames if speed == 1 else self._store.heard(one.path, speed).frames
                    for speed in speeds
                )
                doubled = sum(a == b for a, b in pairwise(codes))
                shortest = torch.tensor(min(map(len, versions)))
                steps = int(steps_after(shortest, self.config.subsampling))
                if steps < len(codes) + doubled:
                    raise DataError(
                        f"it lasts {heard.seconds:.2f} s, {steps} steps, too short for the "
                        f"{len(codes)} characters of its text; is the text right?"
                    )
            except DataError as error:
                bad(DataError(f"{one}: {error}"))
                continue
            normal = tuple(self._normal(frames) for frames in versions)
            utterances.append(Utterance(str(one), text, codes, heard.seconds, normal))
        return utterances

    def _normal(self, frames: Frames) -> Frames:
        normal: Frames = (frames - self.mean) / self.deviation
        return normal

    @torch.no_grad()
    def _likely(self, frames: Frames) -> Frames:
        """Return (S, C), the log-probabilities of normalised features."""
        self.network.eval()
        likely, _ = self.network(torch.from_numpy(frames)[:, None], torch.tensor([len(frames)]))
        found: Frames = likely[:, 0].numpy()
        return found

    def _written(
        self, frames: Frames, search: Search, language: Letters | None = None
    ) -> tuple[str, list[Word]]:
        """Return the text of normalised features, and its words in time."""
        return self._searched(self._likely(frames), search, language)

    def _searched(
        self, likely: Frames, search: Search, language: Letters | None
    ) -> tuple[str, list[Word]]:
        if search.beam == 1:
            codes, steps = greedy(likely)
        else:
            scorer = LetterScorer(language, search.weight, search.bonus) if language else None
            codes, steps = prefix_beam(likely, search, scorer)
        text, sure = self.alphabet.decode(codes), letter_confidences(likely, codes, steps)
        words = words_of(text, steps, sure, self.step_seconds)
        return " ".join(word.text for word in words), words


def _changed(heard: Sequence[Heard], rate: int) -> list[Finding]:
    """Return findings of the recordings that were resampled or mixed down."""
    other = [one for one in heard if one.rate != rate]
    mixed = [one for one in heard if one.channels > 1]
    findings = []
    if other:
        findings.append(
            Finding(
                kind="rate",
                count=len(other),
                what="recordings at another sample rate",
                action=f"resampled to {rate:,} a second",
                example=f"{other[0].rate:,} a second",
            )
        )
    if mixed:
        findings.append(
            Finding(
                kind="channels",
                count=len(mixed),
                what="recordings of several channels",
                action="mixed down to one",
                example=f"{mixed[0].channels} channels",
            )
        )
    return findings
