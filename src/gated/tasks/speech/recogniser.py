"""The learner of speech recognition."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gated.configuration import demand_numbers
from gated.data.bad_rows import Bad, BadRows
from gated.data.findings import Finding
from gated.errors import ConfigurationError, DataError, option
from gated.explain import Probe
from gated.live.model import Model
from gated.live.program import Program, Writer
from gated.phases import counted, phase
from gated.scoring.seen import Seen
from gated.scoring.verdict import NOT_WANTED
from gated.tasks.learner import Learner, Parts, Purpose
from gated.tasks.speech.alphabet import Alphabet, normalised
from gated.tasks.speech.baseline import NEAREST, nearest
from gated.tasks.speech.config import SpeechConfig, SpeechTraining
from gated.tasks.speech.decoder import Decoder
from gated.tasks.speech.features import FeatureStore, Frames, Heard
from gated.tasks.speech.manifest import Recording, read_manifest
from gated.tasks.speech.network import SpeechNetwork, steps_after
from gated.tasks.speech.probe import speech_probe
from gated.tasks.speech.score import Evaluation, error_rates, substitutions
from gated.tasks.speech.search import (
    Letters,
    Scorer,
    Search,
    Word,
)
from gated.tasks.speech.split import By, split, split_beside, split_by
from gated.tasks.speech.spoken import Speller, check_spelled
from gated.tasks.speech.task import SpeechTask, Utterance
from gated.tasks.speech.transcriber import Transcriber, Transcript
from gated.tasks.speech.words import WordModel
from gated.training.options import TrainingOptions

WEIGHTS = (0.2, 0.4, 0.6, 0.9)
BONUSES = (0.0, 0.5, 1.0)
"""Of a language model, and for each letter: what is tried on the validation part."""
WORD_WEIGHTS = (0.2, 0.5, 0.8, 1.2)
WORD_BONUSES = (0.0, 1.0, 2.0)
"""Of a word model, and for each word."""


Read = tuple[Recording, str, Heard]
"""A recording with its normalised text and features."""


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
        self.words: WordModel | None = None
        """What is expected of words there."""
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
        """Read a manifest and its recordings, and split them: see `gated.tasks.speech.split`."""
        config = self.config
        if self.origin:
            self._adopt_letters_and_scale()
        known = self.alphabet.letters if self.origin else config.alphabet
        read = self._heard(read_manifest(Path(source), config, bad), bad, known)
        tested = []
        if config.test_manifest:
            tested = self._heard(read_manifest(config.test_manifest, config, bad), bad, known)
        texts = [text for _, text, _ in read]
        by = split_by(config.split_by, texts, [one.speaker for one, *_ in read])
        self.config = replace(config, split_by=by)
        keys = _keys(by, read)
        if config.test_manifest:
            held = texts_of(tested) if by == "text" else _keys(by, tested)
            places = split_beside(by, texts, keys, held, config.validation, self.seed)
        else:
            places = split(by, texts, keys, config.test, config.validation, self.seed)
            tested = [read[place] for place in places.test]
        if not places.training:
            raise DataError(
                f"Of {len(read)} recordings none is left to train on: hold back fewer, give more."
                f"{bad.summary}"
            )
        if not self.origin:
            every = np.concatenate([read[place][2].frames for place in places.training])
            self.mean, self.deviation = every.mean(0), np.maximum(every.std(0), 1e-3)
            self.alphabet = Alphabet(config.alphabet or "".join(texts + texts_of(tested)))
        self.findings += self._mapped([*read, *tested] if config.test_manifest else read)
        trained = [read[place] for place in places.training]
        parts = Parts(
            self._utterances(trained, bad, config.speeds),
            self._utterances([read[place] for place in places.validation], bad, (1.0,)),
            self._utterances(tested, bad, (1.0,)),
        )
        if not parts.training:
            raise DataError(f"{source} holds no recording to train on.{bad.summary}")
        plain = int(np.argmin([abs(speed - 1) for speed in config.speeds]))
        heard = [one.versions[plain] for one in parts.training]
        heard += [one.versions[0] for one in parts.validation]
        self.seen = Seen.of(frames.tobytes() for frames in heard)
        self.findings += tuple(_changed([one for *_, one in read], config.sample_rate))
        self.findings += self._new_letters(parts)
        self.findings += (
            Finding(
                kind="split",
                count=len(parts.test),
                what="recordings held back to score on",
                action=f"no {by} of theirs is trained on",
            ),
        )
        near = sorted([*places.near_training, *places.near_validation])
        if near:
            self.findings += (
                Finding(
                    kind="near",
                    count=len(near),
                    what="recordings whose text is nearly that of one held back"
                    if by == "text"
                    else f"recordings whose {by} is that of one held back",
                    action="left out",
                    example=texts[near[0]][:60],
                ),
            )
        if config.language_model:
            self.language = self.decoder.letters_by(config.language_model)
        if config.word_model:
            self.words = self.decoder.words_by(config.word_model)
        return parts

    def read(self, source: Path | str, purpose: Purpose, bad: BadRows) -> list[Utterance]:
        """Read a manifest and its recordings."""
        recordings = read_manifest(Path(source), self.config, bad)
        read = self._heard(recordings, bad, self.alphabet.letters)
        self.findings += self._mapped(read)
        return self._utterances(read, bad, (1.0,))

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
        """With a language model, or one of words, choose their weights on the validation part."""
        if (self.language or self.words) and self.parts.validation:
            self.choose_search(self.language, self.words)

    def scored(self, data: list[Utterance], known: Parts[list[Utterance]] | None) -> Evaluation:
        """Compare greedy and beam search with the nearest recording."""
        searches: dict[str, tuple[Search, Scorer | None]] = {}
        searches[self.name] = replace(self.search, beam=1), None
        if self.search.beam > 1:
            beam = f"{self.name}, beam of {self.search.beam}"
            searches[beam] = self.search, self.decoder.scorer(self.search)
            if self.language:
                scorer = self.decoder.scorer(self.search, self.language)
                searches[f"{beam} and language model"] = self.search, scorer
            if self.words:
                both = " and language model" if self.language else ""
                scorer = self.decoder.scorer(self.search, self.language, self.words)
                searches[f"{beam}{both} and word model"] = self.search, scorer
        methods, factors = {}, {}
        for name, way in searches.items():
            began = time.perf_counter()
            methods[name] = [
                self.decoder.written(self._likely(one.versions[0]), *way)[0]
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
        by, clusters = self._independent(data)
        return Evaluation(
            references=references,
            by=by,
            clusters=clusters,
            methods=methods,
            scores={name: error_rates(references, texts) for name, texts in methods.items()},
            substitutions=substitutions(references, methods[list(searches)[-1]]),
            real_time_factors=factors,
            left_out=left_out,
            known=self.seen.count(one.versions[0].tobytes() for one in data),
        )

    def probed(self, data: list[Utterance]) -> Probe:
        """Return the network and recordings with their texts for `gated.explain`."""
        seconds = self.decoder.step_seconds
        return speech_probe(self.network, f"{self.name} that hears", data, seconds)

    @property
    def decoder(self) -> Decoder:
        """What writes texts by the letters of the training part."""
        return Decoder(self.config, self.alphabet)

    @property
    def transcriber(self) -> Transcriber:
        """What transcribes with the network as it is now, without torch."""
        state = self.network.state_dict().items()
        weights = {name: of.detach().cpu().numpy() for name, of in state}
        model = Model(Program(self.program(), weights), weights, self.task)
        return Transcriber(model, self.config, self.alphabet, self.search, self.mean)

    def transcribe(self, path: Path | str) -> Transcript:
        """Transcribe a recording, with the language and word models of the training.

        More is done by `transcriber`, which a run has too: `gated.load`.

        Raises:
            DataError: it cannot be decoded, is silent, or too short.
            FileNotFoundError: there is no such file.
        """
        return self.transcriber.transcribe(path, self.language, self.words)

    def program(self) -> dict[str, Any]:
        """Return what reads features, and predicts blank and letters at each step."""
        writer = Writer("numbers", self.config.mels)
        frames = writer.add(
            "standardise", writer.input, mean=self.mean.tolist(), deviation=self.deviation.tolist()
        )
        found = writer.add("softmax", self.network.write(writer, frames), name="likely")
        return writer.program("probabilities", found, labels=["", *self.alphabet.letters])

    def choose_search(
        self, language: Letters | None = None, words: WordModel | None = None
    ) -> Search:
        """Choose weight and bonus of the language model, then of the words, on validation.

        Raises:
            DataError: there is no validation part.
        """
        held = self.parts.validation
        if not held:
            raise DataError("There is no validation part to choose the search on.")
        references = [one.text for one in held]
        likely = [self._likely(one.versions[0]) for one in held]

        def errors(search: Search, words: WordModel | None) -> float:
            scorer = self.decoder.scorer(search, language, words)
            texts = [self.decoder.written(of, search, scorer)[0] for of in likely]
            return error_rates(references, texts).wer

        if language is not None:
            tried = [
                replace(self.search, weight=weight, bonus=bonus)
                for weight in WEIGHTS
                for bonus in BONUSES
            ]
            self.search = min(
                counted("Choosing the search", tried), key=lambda search: errors(search, None)
            )
        if words is not None:
            tried = [
                replace(self.search, word_weight=weight, word_bonus=bonus)
                for weight in WORD_WEIGHTS
                for bonus in WORD_BONUSES
            ]
            self.search = min(
                counted("Choosing the weight of words", tried),
                key=lambda search: errors(search, words),
            )
        return self.search

    def written_in_time(self, count: int) -> list[tuple[Utterance, list[Word]]]:
        """Return `count` or fewer recordings of the test part, with their words and times."""
        tested = self.parts.test
        chosen = tested[:: max(1, -(-len(tested) // count))]
        way = self.search, self.decoder.scorer(self.search, self.language, self.words)
        return [
            (one, self.decoder.written(self._likely(one.versions[0]), *way)[1]) for one in chosen
        ]

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

    def _independent(self, data: Sequence[Utterance]) -> tuple[By, list[str]]:
        """Return what the parts do not share, and that of each recording, whose errors go along."""
        by = self.config.split_by
        if by == "recording":
            return by, [str(place) for place in range(len(data))]
        if by == "speaker" and all(one.speaker for one in data):
            return by, [one.speaker for one in data]
        return "text", [one.text for one in data]

    def _mapped(self, read: Sequence[Read]) -> tuple[Finding, ...]:
        """Return a finding of letters that the alphabet lacks, where it has others for them."""
        letters = Counter(
            letter
            for _, text, _ in read
            for letter in text
            if letter not in self.alphabet.letters and self.alphabet.written(letter) != letter
        )
        if not letters:
            return ()
        most = ", ".join(
            f"{letter} as {self.alphabet.written(letter)} ({count})"
            for letter, count in letters.most_common(8)
        )
        return (
            Finding(
                kind="letters",
                count=sum(letters.values()),
                what="letters outside the alphabet",
                action="written by others of it",
                example=most,
            ),
        )

    def _new_letters(self, parts: Parts[list[Utterance]]) -> tuple[Finding, ...]:
        """Return a finding of letters in what is held back that the training part lacks."""
        trained = {letter for one in parts.training for letter in one.text}
        held = (*parts.validation, *parts.test)
        new = Counter(letter for one in held for letter in one.text if letter not in trained)
        if not new:
            return ()
        return (
            Finding(
                kind="new letters",
                count=sum(new.values()),
                what="letters of what is held back that the training part lacks",
                action="cannot be learnt",
                example=" ".join(sorted(new)),
            ),
        )

    def _heard(self, recordings: Sequence[Recording], bad: Bad, letters: str) -> list[Read]:
        """Return recordings with their normalised text and features; unusable ones go to `bad`.

        Args:
            recordings: rows of a manifest.
            bad: is given the errors.
            letters: digits and symbols among these are kept; others are spelled or refused.
        """
        config, read = self.config, []
        speller = Speller(config.spell) if config.spell else None
        for one in counted("Computing features of recordings", recordings):
            try:
                text = speller.spelled(one.text) if speller else one.text
                if not config.keep_punctuation or speller:
                    check_spelled(text, letters)
                text = normalised(
                    text, keep_case=config.keep_case, keep_punctuation=config.keep_punctuation
                )
                if not text:
                    raise DataError(f"its text {one.text!r} has nothing that is spoken.")
                read.append((one, text, self._store.heard(one.path)))
            except (DataError, FileNotFoundError) as error:
                bad(DataError(f"{one}: {error}"))
        return read

    def _utterances(
        self,
        read: Sequence[Read],
        bad: Bad,
        speeds: Sequence[float],
    ) -> list[Utterance]:
        """Encode texts and normalise features; what cannot be written or told goes to `bad`."""
        utterances = []
        for one, given, heard in counted("Computing features at each speed", read):
            try:
                text = self.alphabet.written(given)
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
            utterances.append(Utterance(str(one), text, codes, heard.seconds, normal, one.speaker))
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


def texts_of(read: Sequence[Read]) -> list[str]:
    """Return the normalised texts of recordings."""
    return [text for _, text, _ in read]


def _keys(by: By, read: Sequence[Read]) -> list[str]:
    """Return what may not be in two parts of a split: speakers, or the contents of recordings."""
    if by == "speaker":
        return [one.speaker for one, *_ in read]
    return [
        hashlib.blake2b(heard.frames.tobytes(), digest_size=16).hexdigest() for *_, heard in read
    ]


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
