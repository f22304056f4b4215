"""The face of speech: fit, transcribe, score, save."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import torch

from gated.errors import DataError, ModelFileError
from gated.explain import Probe
from gated.scoring.seen import Seen
from gated.scoring.verdict import NOT_WANTED
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
    Search,
    Word,
    aligned,
    greedy,
    prefix_beam,
    words_of,
)
from gated.tasks.speech.task import SpeechTask, Utterance
from gated.training.findings import Finding
from gated.training.history import History
from gated.training.loop import train
from gated.training.manifest import Bad, BadRows
from gated.training.model_files import load_model, save_model
from gated.training.options import TrainingOptions
from gated.training.progress import Progress
from gated.training.split_by_text import split_by_text

TASK = "speech"
SECONDS_A_FRAME = 0.01
WEIGHTS = (0.2, 0.4, 0.6, 0.9)
BONUSES = (0.0, 0.5, 1.0)
"""Of a language model, and for each letter: what is tried on the validation part."""


@dataclass(frozen=True)
class Transcript:
    """What was heard in a recording."""

    text: str
    words: list[Word]
    seconds: float


class SpeechRecogniser:
    """Learns to write down what is said.

    Args:
        config: the features, the letters, the network.
        training: how to train.
    """

    network: SpeechNetwork
    history: History
    """What happened in training."""

    def __init__(
        self, config: SpeechConfig | None = None, training: TrainingOptions | None = None
    ) -> None:
        self.config = config or SpeechConfig()
        self.training = training or SpeechTraining()
        self.search = Search()
        """How transcripts are searched for."""
        self.findings: tuple[Finding, ...] = ()
        """What was found in the data that were read last."""
        self.alphabet = Alphabet("")
        self._mean = self._deviation = np.zeros(0, np.float32)
        self._parts: dict[str, list[Utterance]] = {}
        self._seen = Seen()
        self._store = FeatureStore(self.config.sample_rate, self.config.mels, self.config.cache)

    @property
    def parameters(self) -> int:
        """Number of values in the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def name(self) -> str:
        """What tables call the network."""
        return "LSTM, forwards" if self.config.streaming else "LSTM, both ways"

    def prepare(self, manifest: Path | str) -> Self:
        """Read a manifest and its recordings, divide them by text, and make a network.

        Raises:
            DataError: a row cannot be used, or too few recordings are left.
            FileNotFoundError: there is no such file.
        """
        config, bad = self.config, BadRows(skip=self.config.skip_bad)
        read = self._heard(read_manifest(Path(manifest), bad), bad)
        texts = [text for _, text, _ in read]
        parts = split_by_text(
            [(text,) for text in texts], config.test, config.validation, self.training.seed
        )
        if not parts.training:
            raise DataError(
                f"Of {len(read)} recordings none is left to train on: hold back fewer, give more."
                f"{bad.told}"
            )
        trained = [read[place][2].frames for place in parts.training]
        every = np.concatenate(trained)
        self._mean, self._deviation = every.mean(0), np.maximum(every.std(0), 1e-3)
        self.alphabet = Alphabet(
            config.alphabet or "".join(texts[place] for place in parts.training)
        )
        self._parts = {
            name: self._utterances([read[place] for place in places], bad, speeds)
            for name, places, speeds in (
                ("training", parts.training, config.speeds),
                ("validation", parts.validation, (1.0,)),
                ("test", parts.test, (1.0,)),
            )
        }
        if not self._parts["training"]:
            raise DataError(f"{manifest} holds no recording to train on.{bad.told}")
        near = len(parts.near_training) + len(parts.near_validation)
        self.findings = (*_changed([one for *_, one in read], config.sample_rate), *bad.findings)
        if near:
            first = min([*parts.near_training, *parts.near_validation])
            self.findings += (
                Finding(
                    kind="near",
                    count=near,
                    what="recordings whose text is nearly that of one held back",
                    action="left out",
                    example=texts[first][:60],
                ),
            )
        plain = int(np.argmin([abs(speed - 1) for speed in config.speeds]))
        self._seen = Seen.of(
            one.versions[plain if name == "training" else 0].tobytes()
            for name in ("training", "validation")
            for one in self._parts[name]
        )
        self.network = self._new_network()
        return self

    def fit(
        self,
        manifest: Path | str,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on the recordings of a manifest.

        Args:
            manifest: CSV file with the columns path and text.
            directory: where checkpoints are written; none by default.
            resume: go on from the checkpoint in `directory`.
            progress: told of each step.

        Raises:
            DataError: a row cannot be used, or too few recordings are left.
            FileNotFoundError: there is no such file.
            TrainingDivergedError: the loss became NaN or infinite.
        """
        self.prepare(manifest)
        return self.train(directory=directory, resume=resume, progress=progress)

    def train(
        self,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on what `prepare` read; the second half of `fit`."""
        task = SpeechTask(
            self.network,
            self.config,
            self.alphabet,
            self._parts["training"],
            self._parts["validation"],
            self.training.seed,
        )
        self.history = train(
            task, self.training, directory=directory, resume=resume, progress=progress
        )
        return self

    def transcribe(self, path: Path | str, language: Letters | None = None) -> Transcript:
        """Write down what is said in a recording.

        Args:
            path: of the recording.
            language: what is expected of the letters of the alphabet.

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
        """Return what transcribes a recording of so many samples a second as it comes.

        Raises:
            ConfigurationError: the network reads both ways.
        """
        return Listener(
            self.network.eval(),
            self.alphabet,
            self._mean,
            self._deviation,
            sample_rate=self.config.sample_rate,
            rate=rate,
        )

    def choose_search(self, language: Letters) -> Search:
        """Choose the weight of a language model, and the bonus, on the validation part.

        Raises:
            DataError: there is none, as after `load`.
        """
        held = self._parts.get("validation", [])
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

        self.search = min(tried, key=errors)
        return self.search

    def score(
        self, manifest: Path | str | None = None, *, language: Letters | None = None
    ) -> Evaluation:
        """Score on the test part of `prepare`, or on the recordings of another manifest.

        Args:
            manifest: by default the test part.
            language: what is expected of the letters of the alphabet.

        Raises:
            DataError: there is nothing to score on; a row cannot be used.
            FileNotFoundError: there is no such file.
        """
        utterances = self._parts.get("test", []) if manifest is None else self._read(manifest)
        if not utterances:
            raise DataError("There is no recording to score on; hold some back, or give others.")
        searches: dict[str, tuple[Search, Letters | None]] = {}
        searches[self.name] = replace(self.search, beam=1), None
        if self.search.beam > 1:
            beam = f"{self.name}, beam of {self.search.beam}"
            searches[beam] = self.search, None
            if language is not None:
                searches[f"{beam} and language model"] = self.search, language
        methods, factors = {}, {}
        for name, way in searches.items():
            began = time.perf_counter()
            methods[name] = [self._written(one.versions[0], *way)[0] for one in utterances]
            spent = time.perf_counter() - began
            factors[name] = spent / sum(one.seconds for one in utterances)
        known, left_out = self._parts.get("training"), {}
        if known and not self.training.no_baseline:
            methods[NEAREST] = nearest(known, utterances, self.config.speeds)
        elif known:
            left_out[NEAREST] = NOT_WANTED
        references = [one.text for one in utterances]
        return Evaluation(
            references=references,
            methods=methods,
            scores={name: error_rates(references, texts) for name, texts in methods.items()},
            substitutions=substitutions(references, methods[list(searches)[-1]]),
            real_time_factors=factors,
            left_out=left_out,
            known=self._seen.count(one.versions[0].tobytes() for one in utterances),
        )

    def written_in_time(
        self, count: int, language: Letters | None = None
    ) -> list[tuple[Utterance, list[Word]]]:
        """Return some recordings of the test part of `prepare`, with what was heard in them."""
        tested = self._parts.get("test", [])
        chosen = tested[:: max(1, -(-len(tested) // count))]
        return [(one, self._written(one.versions[0], self.search, language)[1]) for one in chosen]

    def probe(self, manifest: Path | str) -> Probe:
        """Offer the network to `gated.explain`, on recordings with their texts.

        Raises:
            DataError: a row cannot be used, or there is none.
            FileNotFoundError: there is no such file.
        """
        utterances = self._read(manifest)
        if not utterances:
            raise DataError(f"{manifest} holds no recording to look into.")
        return speech_probe(self.network, f"{self.name} that hears", utterances, self.step_seconds)

    @property
    def step_seconds(self) -> float:
        """How long a step of the recurrent layers lasts."""
        return float(SECONDS_A_FRAME * 2**self.config.subsampling)

    def _read(self, manifest: Path | str) -> list[Utterance]:
        bad = BadRows(skip=self.config.skip_bad)
        read = self._heard(read_manifest(Path(manifest), bad), bad)
        utterances = self._utterances(read, bad, (1.0,))
        self.findings = tuple(bad.findings)
        return utterances

    def save(self, directory: Path | str) -> None:
        """Write the model, atomically: `model.json` and its weights."""
        description = {
            "task": TASK,
            "config": self.config.to_dict(),
            "training": self.training.to_dict(),
            "letters": self.alphabet.letters,
            "search": asdict(self.search),
            "seen": self._seen.to_text(),
            "mean": self._mean.tolist(),
            "deviation": self._deviation.tolist(),
        }
        save_model(Path(directory), self.network, description)

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            ModelFileError: there is no model of this kind, or it is damaged.
        """
        weights, description = load_model(Path(directory), TASK)
        try:
            recogniser = cls(
                SpeechConfig.from_dict(description["config"]),
                SpeechTraining.from_dict(description["training"]),
            )
            recogniser.alphabet = Alphabet(description["letters"])
            recogniser.search = Search(**description["search"])
            recogniser._seen = Seen.from_text(description.get("seen", ""))
            recogniser._mean, recogniser._deviation = (
                np.array(description[name], np.float32) for name in ("mean", "deviation")
            )
            recogniser.network = recogniser._new_network()
            recogniser.network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelFileError(f"The model in {directory} is damaged: {error}.") from error
        recogniser.network.eval()
        return recogniser

    def _heard(
        self, recordings: Sequence[Recording], bad: Bad
    ) -> list[tuple[Recording, str, Heard]]:
        """Return recordings with their normalised text and features; unusable ones go to `bad`."""
        config, read = self.config, []
        for one in recordings:
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
        for one, text, heard in read:
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
        normal: Frames = (frames - self._mean) / self._deviation
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
            codes = prefix_beam(likely, search, language)
            steps = aligned(likely, codes)
        words = words_of(self.alphabet.decode(codes), steps, self.step_seconds)
        return " ".join(word.text for word in words), words

    def _new_network(self) -> SpeechNetwork:
        # The same seed makes the same network, whatever was drawn before.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            return SpeechNetwork(self.config, len(self.alphabet))


def _changed(heard: Sequence[Heard], rate: int) -> list[Finding]:
    """Tell of the recordings that were resampled or mixed down."""
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
