"""The face of language models: fit, score, write, save."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch

from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.explain import Probe
from gated.scoring.seen import Seen
from gated.scoring.verdict import NOT_WANTED, flattered
from gated.tasks.language.adoption import adopted
from gated.tasks.language.config import LanguageConfig, LanguageTraining
from gated.tasks.language.generation import Sampling, Typewriter, written_codes
from gated.tasks.language.network import LanguageNetwork, nats
from gated.tasks.language.ngrams import Compressor, Floats, best_ngrams, compressors_of
from gated.tasks.language.probe import language_probe
from gated.tasks.language.score import Evaluation, Stretches, verdict_of
from gated.tasks.language.task import CONTEXT, LanguageTask
from gated.tasks.language.text import Coded, Codes, Text, points_of, sentences_in, unknown_in
from gated.tasks.language.vocabulary import (
    UNKNOWN,
    Letters,
    Points,
    Subwords,
    Vocabulary,
    vocabulary_from,
)
from gated.training.findings import Finding
from gated.training.history import History
from gated.training.loop import train
from gated.training.model_files import load_model, save_model
from gated.training.options import TrainingOptions
from gated.training.progress import Progress
from gated.training.streams import Places
from gated.training.test_part import require_test_part

TASK = "language"
FEWEST = 2
"""Characters of each stream that a text must have."""
MOST_HELD = 2_000_000
"""Characters held back at most for the validations, and for the test: more say nothing new."""
MOST_LEARNT = 5_000_000
"""Characters that subwords are learnt from at most, evenly over the training part."""
MOST_UNKNOWN = 0.5
"""Share of a text that the vocabulary of another run may lack."""
MOST_COMPARED = 20_000_000
"""Characters, the last before the test part, whose sentences are known again."""
SCORED_STREAMS = 8
"""Streams that a text is cut into when it is scored."""
OTHERS = "n-grams", "xz", "bzip2"
"""What a language model has to beat."""


class Scored(NamedTuple):
    """What a network needs for a text."""

    bits: Floats
    """(G,), of each of its stretches."""
    unknown: int
    """Codes of what the vocabulary does not hold."""
    known: int
    """Characters, or bytes, of sentences that were trained on."""


class LanguageModel:
    """Learns what comes next in a text.

    Args:
        config: what it reads, and the network.
        training: how to train.
    """

    network: LanguageNetwork
    vocabulary: Vocabulary
    history: History
    """What happened in training."""

    def __init__(
        self, config: LanguageConfig | None = None, training: TrainingOptions | None = None
    ) -> None:
        self.config = config or LanguageConfig()
        self.training = training or LanguageTraining()
        self.findings: tuple[Finding, ...] = ()
        self._parts: dict[str, Coded] = {}
        self._seen = Seen()

    @property
    def parameters(self) -> int:
        """Number of values in the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.config.cell.upper()

    def prepare(self, files: Sequence[Path | str]) -> Self:
        """Read files, part their text by position, and make a network; the first half of `fit`.

        Raises:
            DataError: a file cannot be used, or the text is too short.
            FileNotFoundError: there is no such file.
        """
        self.findings = ()
        if self.training.init_from:
            self.config, self.vocabulary = adopted(self.config, self.training.init_from)
        config = self.config
        text = Text([Path(path) for path in files], config.unit)
        held, tested = (
            min(int(len(text) * share), MOST_HELD) for share in (config.validation, config.test)
        )
        first, last = len(text) - held - tested, len(text) - tested
        if not self.training.init_from:
            self.vocabulary = self._learnt(text, first)
        bounds = {"training": (0, first), "validation": (first, last), "test": (last, len(text))}
        self._parts = {
            name: text.coded(self.vocabulary, config.documents, *of) for name, of in bounds.items()
        }
        self._bounds = bounds
        needed, there = FEWEST * self.training.batch_size, len(self._parts["training"].codes)
        if there <= needed:
            raise DataError(
                f"The training part has {there} {config.unit}s; {self.training.batch_size} streams "
                f"need more than {needed}. Give a longer text or a smaller batch size."
            )
        known = text.points[max(0, last - MOST_COMPARED) : last]
        self._seen = Seen.of(sentences_in(known))
        self._text = text  # its files live as long as it does
        self._tell_unknown()
        self.network = self._new_network()
        return self

    def _tell_unknown(self) -> None:
        """Find what the vocabulary does not hold; of the training part only what another learnt."""
        if self.config.unit == "subword":
            return
        source = self.training.init_from
        where = "the training part" if source is None else f"the vocabulary of {source}"
        count, places = 0, []
        for name, (begin, _) in self._bounds.items():
            if name == "training" and not source:
                continue
            codes = self._parts[name].codes
            found, first = unknown_in(codes)
            if name == "training" and found > MOST_UNKNOWN * len(codes):
                raise DataError(
                    f"{where} does not hold {found / len(codes):.0%} of the characters of this "
                    "text; train on it without init_from."
                )
            count += found
            places += [begin + first] if found else []
        if not count:
            return
        self.findings = (
            *self.findings,
            Finding(
                kind="unknown",
                count=count,
                what=f"characters that {where} does not hold",
                action="read as one unknown character",
                example=f"{chr(int(self._text.points[places[0]]))!r} at character {places[0]:,}",
            ),
        )

    def _learnt(self, text: Text, first: int) -> Vocabulary:
        """Return the vocabulary of the training part, which ends before `first`."""
        config, blocks = self.config, text.blocks(0, first)
        if config.unit != "subword":
            return Letters.of(blocks, config.unit)
        some = islice(blocks, 0, None, max(1, -(-first // MOST_LEARNT)))
        vocabulary = Subwords.learn(some, config.vocabulary)
        if len(vocabulary) < config.vocabulary:
            self.findings = (
                Finding(
                    kind="vocabulary",
                    count=config.vocabulary - len(vocabulary),
                    what="subwords asked for that the training part does not hold twice",
                    action="not learnt",
                    example=f"{len(vocabulary):,} in place of {config.vocabulary:,}",
                ),
            )
        return vocabulary

    def fit(
        self,
        files: Sequence[Path | str],
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on all of a text but what is held back for validation and test.

        Args:
            files: texts in UTF-8, read one after the other.
            directory: where checkpoints are written; none by default.
            resume: go on from the checkpoint in `directory`.
            progress: told of each step.

        Raises:
            DataError: a file cannot be used, or the text is too short.
            FileNotFoundError: there is no such file.
            TrainingDivergedError: the loss became NaN or infinite.
        """
        self.prepare(files)
        return self.train(directory=directory, resume=resume, progress=progress)

    def train(
        self,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on the text of `prepare`; the second half of `fit`, with the same arguments."""
        parts = self._parts["training"], self._parts["validation"]
        task = LanguageTask(self.network, self.config, *parts, self.training.seed)
        self.history = train(
            task, self.training, directory=directory, resume=resume, progress=progress
        )
        return self

    def check_test_part(self) -> None:
        """Make sure that there is something to score on, before a training and not after it.

        Raises:
            DataError: no text was held back.
        """
        held = len(self._parts["test"].codes) if "test" in self._parts else 0
        require_test_part(held, what=f"{self.config.unit}s", least=2)

    def score(self) -> Evaluation:
        """Score on the test part of `prepare`, beside counted contexts and compressors.

        Raises:
            DataError: there is none, as after `load`.
        """
        self.check_test_part()
        begin, end = self._bounds["test"]
        inside = self._text.file_ends[:-1]
        ends = inside[(inside >= begin) & (inside < end - 1)] + 1 - begin
        points = self._text.points[begin:end]
        scored, stretches = self._scored(self._parts["test"], points, ends)
        if self.training.no_baseline:
            return self._evaluation(scored, stretches, left_out=dict.fromkeys(OTHERS, NOT_WANTED))
        # Subwords are compared with what counts and compresses characters.
        letters, parts = self.vocabulary, self._parts
        if self.config.unit == "subword":
            letters = Letters.of(self._text.blocks(*self._bounds["training"]), "character")
            parts = {
                name: self._text.coded(letters, "none", *of) for name, of in self._bounds.items()
            }
        training, validation, test = (of.codes for of in parts.values())
        ngrams, order = best_ngrams(training, validation, len(letters))
        # Of the characters that the network predicts: all but what it begins with.
        said = ngrams.bits_of(np.asarray(test), order)[-stretches.count :]
        counted = {f"{order + 1}-grams": stretches.sums(said, np.arange(len(said)))}
        compressors = compressors_of(training, test, stretches.count, letters)
        return self._evaluation(scored, stretches, counted, compressors)

    def evaluate(self, files: Sequence[Path | str]) -> Evaluation:
        """Score on other texts.

        Raises:
            DataError: a file cannot be used.
            FileNotFoundError: there is no such file.
        """
        text = Text([Path(path) for path in files], self.config.unit)
        coded = text.coded(self.vocabulary, self.config.documents)
        return self._evaluation(*self._scored(coded, text.points, text.file_ends[:-1] + 1))

    def probe(self, files: Sequence[Path | str]) -> Probe:
        """Offer the network to `gated.explain`, on stretches of texts.

        Raises:
            DataError: a file cannot be used, or is too short.
            FileNotFoundError: there is no such file.
        """
        text = Text([Path(path) for path in files], self.config.unit)
        if len(text) < 2:
            raise DataError(f"A text of {len(text)} {self.config.unit}s cannot be looked into.")
        title = f"{self.name} that reads {self.config.unit}s"
        return language_probe(
            self.network, title, text.coded(self.vocabulary).codes, self.vocabulary
        )

    def generate(
        self,
        prompts: Sequence[str],
        *,
        length: int,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
    ) -> list[str]:
        """Return what the model writes after each prompt.

        Args:
            prompts: texts to go on with.
            length: characters, or bytes, to write.
            sampling: how they are drawn.
            stop: texts, before the first of which a continuation ends.

        Raises:
            ConfigurationError: `length` is below 1, or a stop text is empty.
            DataError: there is no prompt, or one that is empty or wholly unknown.
        """
        if length < 1:
            raise ConfigurationError(f"length is {length}; it must be 1 or more.")
        if "" in stop:
            raise ConfigurationError("stop: an empty text stops nothing; leave it out.")
        told: list[list[str]] = [[] for _ in prompts]
        going = set(range(len(prompts))) if stop else set()
        tail = max(map(len, stop), default=0)
        for pieces in islice(self.writing(prompts, sampling), length):
            for text, piece in zip(told, pieces, strict=True):
                text.append(piece)
            # A stop text ends in the last piece; a piece may be one of four bytes.
            going -= {k for k in going if any(of in "".join(told[k][-4 * tail :]) for of in stop)}
            if stop and not going:
                break
        return [cut("".join(text), stop) for text in told]

    def writing(
        self, prompts: Sequence[str], sampling: Sampling | None = None
    ) -> Iterator[list[str]]:
        """Yield, without end, what comes next after each prompt, a step at a time.

        Raises:
            DataError: there is no prompt, or one that is empty or wholly unknown.
        """
        read = [self._prompt(prompt) for prompt in prompts]
        if not read:
            raise DataError("There is no prompt to go on with.")
        typewriters = [Typewriter(self.vocabulary) for _ in prompts]
        for codes in written_codes(self.network, read, sampling or Sampling()):
            yield [
                typewriter.text(code)
                for typewriter, code in zip(typewriters, codes.tolist(), strict=True)
            ]

    def unknown_in(self, prompt: str) -> list[str]:
        """Return the characters of a prompt that the model has never seen."""
        if self.config.unit != "character":
            return []
        codes = self._coded(prompt)
        letters = [letter for letter, code in zip(prompt, codes, strict=True) if code == UNKNOWN]
        return list(dict.fromkeys(letters))

    def codes_of(self, text: str) -> torch.Tensor:
        """Return (T,), the codes of a text."""
        return torch.from_numpy(self._coded(text).astype(np.int64))

    def known_start(self) -> str:
        """Return a text of one character that can begin a prompt: a line's end, if it is known."""
        if not self.unknown_in("\n"):
            return "\n"
        return self.vocabulary.pieces()[1].decode()

    def save(self, directory: Path | str) -> None:
        """Write the model, atomically: `model.json` and its weights."""
        description = {
            "task": TASK,
            "config": self.config.to_dict(),
            "training": self.training.to_dict(),
            "vocabulary": self.vocabulary.to_dict(),
            "seen": self._seen.to_text(),
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
            config = LanguageConfig.from_dict(description["config"])
            model = cls(config, TrainingOptions.from_dict(description["training"]))
            model._seen = Seen.from_text(description.get("seen", ""))
            model.vocabulary = vocabulary_from(description["vocabulary"], config.unit)
            model.network = model._new_network()
            model.network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelFileError(f"The model in {directory} is damaged: {error}.") from error
        model.network.eval()
        return model

    def _scored(self, text: Coded, points: Points, ends: Places) -> tuple[Scored, Stretches]:
        """Return the bits of each stretch of a text whose files end after `ends` points."""
        if len(text.codes) < 2:
            raise DataError(f"A text of {len(text.codes)} {self.config.unit}s cannot be scored.")
        self.network.eval()
        each = nats(self.network, text, CONTEXT, SCORED_STREAMS, 4 * self.config.window)
        # In the same measure whatever is read at a step.
        letters = self.vocabulary.letters()[text.codes[1:]].astype(np.int64)
        stretches = Stretches(int(letters.sum()), np.maximum(ends - 1, 0))
        bits = stretches.sums(each.double().numpy() / np.log(2), np.cumsum(letters) - letters)
        sentences = list(sentences_in(points))
        again = self._seen.among(sentences) @ np.array([len(of) for of in sentences], np.int64)
        return Scored(bits, int((text.codes == UNKNOWN).sum()), int(again)), stretches

    def _evaluation(
        self,
        scored: Scored,
        stretches: Stretches,
        counted: Mapping[str, Floats] | None = None,
        compressors: Mapping[str, Compressor] | None = None,
        left_out: Mapping[str, str] | None = None,
    ) -> Evaluation:
        sums = {self.name: scored.bits, **(counted or {})}
        bits = {name: float(of.sum()) / stretches.count for name, of in sums.items()}
        others = compressors or {}
        bits |= {name: of.bits() / stretches.count for name, of in others.items()}
        unit = "byte" if self.config.unit == "byte" else "character"
        verdict = verdict_of(bits, stretches, sums, others, unit).without(left_out or {})
        verdict = verdict.adding(flattered(scored.known))
        return Evaluation(
            bits=bits, count=stretches.count, unknown=scored.unknown, unit=unit, verdict=verdict
        )

    def _prompt(self, prompt: str) -> torch.Tensor:
        if not (self._coded(prompt) != UNKNOWN).any():
            raise DataError(
                f"The prompt {prompt!r} holds no character that the model has seen; it begins with "
                "at least one."
            )
        # A line begins by reading the end of the one before it.
        begun = self.config.documents == "line" and not prompt.startswith("\n")
        return self.codes_of("\n" + prompt if begun else prompt)

    def _coded(self, text: str) -> Codes:
        return self.vocabulary.encode(points_of(text, self.config.unit))

    def _new_network(self) -> LanguageNetwork:
        # The same seed makes the same network, whatever was drawn before.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            return LanguageNetwork(self.config, len(self.vocabulary))


def cut(text: str, stop: Sequence[str]) -> str:
    """Return `text` up to the first of the `stop` texts.

    >>> cut("one. two; three", [";", "."])
    'one'
    """
    ends = [text.find(of) for of in stop if of in text]
    return text[: min(ends)] if ends else text
