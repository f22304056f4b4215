"""The learner of language models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gated.core.ngrams import Floats, NGrams
from gated.data.bad_rows import Bad, BadRows
from gated.data.findings import Finding
from gated.errors import ConfigurationError, DataError, ModelFileError, ProgramError, option
from gated.explain import Probe
from gated.live.program import Writer
from gated.model_files import attached_file
from gated.phases import phase
from gated.scoring.seen import Seen
from gated.scoring.verdict import NOT_WANTED, flattered
from gated.tasks.language.cache import SHARPNESSES, Cache, Remembered
from gated.tasks.language.config import LanguageConfig, LanguageTraining
from gated.tasks.language.dynamic import Dynamic, read_in_order
from gated.tasks.language.generation import Sampling, Typewriter, written_codes
from gated.tasks.language.letters import NextLetter
from gated.tasks.language.mixture import Mixture
from gated.tasks.language.network import LanguageNetwork, nats
from gated.tasks.language.ngrams import Compressor, best_ngrams, compressors_of, word_ngrams
from gated.tasks.language.probe import language_probe
from gated.tasks.language.score import ALONE, Evaluation, Stretches, verdict_of
from gated.tasks.language.task import CONTEXT, LanguageTask
from gated.tasks.learner import Learner, Parts, Purpose
from gated.texts.config import OF_THE_READER
from gated.texts.text import Coded, Codes, Text, points_of, sentences_in, unknown_in
from gated.texts.vocabulary import UNKNOWN, Letters, Subwords, Vocabulary, text_of
from gated.texts.words import UNICODE, Spelling, Words

NGRAMS = "ngrams.npz"
"""File of the n-grams that are mixed in."""
DYNAMIC = "dynamic.scales"
"""File of the dynamic evaluation; no `npz` by name, for a live network has no use of it."""
MOST_FITTED = 60_000
"""Codes of the validation part, its first, that are read in order to fit what is mixed in."""
FEWEST_HELD = 100
"""Codes of a validation part that can say how much n-grams count."""
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


class LanguageModel(Learner[LanguageConfig, Coded, Evaluation]):
    """Learns to predict the next character of a text.

    Args:
        config: options of the text and the network.
        training: how to train.
    """

    task = "language"
    config_type, training_type = LanguageConfig, LanguageTraining
    learned = ("vocabulary", "seen", "cache")
    adopts = (*OF_THE_READER, "softmax")
    begins_with = ("language", "text_classify")
    does = "say what comes next in a text"
    data = "Files in UTF-8 of any size, read one after the other."
    made_of, most_files = "characters", None
    fewest_scored = 2

    network: LanguageNetwork
    vocabulary: Vocabulary
    seen: Seen
    """Digests of the sentences that were trained on."""
    mixture: Mixture | None = None
    """The n-grams that are mixed into the network's predictions, if they help."""
    dynamic: Dynamic | None = None
    """How the weights change in scores, if that helps."""
    cache: Cache | None = None
    """The cache that is mixed in there, if it helps."""
    _counted: NGrams | None = None
    """Those of the training part, and their best order, once they are counted."""
    """The same of words."""

    @property
    def counted(self) -> str:
        """Characters, bytes, subwords or words."""
        return f"{self.config.unit}s"

    def split(self, source: Path | str | Sequence[Path | str], bad: BadRows) -> Parts[Coded]:
        """Split the text by position, the test part at its end; learn a vocabulary."""
        config = self.config
        text = self._opened(source, bad)
        held, tested = (
            min(int(len(text) * share), MOST_HELD) for share in (config.validation, config.test)
        )
        first, last = len(text) - held - tested, len(text) - tested
        self.vocabulary = self.adopted("vocabulary") or self._learnt(text, first)
        bounds = {"training": (0, first), "validation": (first, last), "test": (last, len(text))}
        parts = Parts(
            *(text.coded(self.vocabulary, config.documents, *of) for of in bounds.values())
        )
        needed, there = FEWEST * self.training.batch_size, len(parts.training)
        if there <= needed:
            raise DataError(
                f"The training part has {there} {config.unit}s; {self.training.batch_size} streams "
                f"need more than {needed}. Give a longer text or a smaller batch size."
            )
        # Its files live as long as it does.
        self._text, self._bounds = text, bounds
        self.seen = Seen.of(sentences_in(text.points[max(0, last - MOST_COMPARED) : last]))
        self._tell_unknown(parts)
        return parts

    def read(
        self, source: Path | str | Sequence[Path | str], purpose: Purpose, bad: BadRows
    ) -> Coded:
        """Read texts of two characters or more; to score, each document starts with a new state."""
        text = self._opened(source, bad)
        if len(text) < 2:
            raise DataError(f"A text of {len(text)} {self.counted} is too short to {purpose}.")
        self._asked_text = text
        documents = self.config.documents if purpose == "score" else "none"
        return text.coded(self.vocabulary, documents)

    def new_network(self) -> LanguageNetwork:
        """Make a network for the vocabulary."""
        return LanguageNetwork(self.config, len(self.vocabulary), self.config.softmax)

    def new_task(self) -> LanguageTask:
        """Return the training task on streams through the training part."""
        parts = self.parts.training, self.parts.validation
        letters = self.vocabulary.letters().astype(np.int64)
        return LanguageTask(self.network, self.config, *parts, self.seed, letters)

    def settle(self) -> None:
        """Fit, on the validation part, what is mixed in and what learns on, where it helps."""
        held, config = self.parts.validation, self.config
        self.mixture = self._counted = self.dynamic = self.cache = None
        wanted = config.dynamic_evaluation or config.cache or not config.no_ngrams
        if len(held) < FEWEST_HELD or not wanted:
            return
        if config.dynamic_evaluation:
            with phase("Choosing how to learn from what is scored"):
                self.dynamic = Dynamic.fitted(self.network, self.parts.training, held)
        remembered = None
        if self.dynamic or config.cache:
            held = held.part(0, min(len(held), MOST_FITTED))
            sharpnesses = SHARPNESSES if config.cache else ()
            remembered = Remembered(held.codes, config.cache, sharpnesses)
        with phase("Scoring the validation part"):
            likely = np.exp(-self._nats(held, remembered))
        if not config.no_ngrams:
            with phase("Mixing n-grams in"):
                codes, size = np.asarray(held.codes), len(self.vocabulary)
                training = self.parts.training.codes
                words = config.unit == "word"
                self._counted = (
                    word_ngrams(training, size)
                    if words
                    else best_ngrams(training, self.parts.validation.codes, size)
                )
                self.mixture = Mixture.fitted(self._counted, likely, codes)
            if self.mixture:
                likely = self.mixture.probabilities(likely, codes)
        if config.cache and remembered:
            self.cache = Cache.fitted(likely, remembered)

    def attached(self) -> dict[str, bytes]:
        """What is mixed in, what learns on, and how the vocabulary cuts texts."""
        fitted = {NGRAMS: self.mixture, DYNAMIC: self.dynamic}
        files = {name: of.to_bytes() for name, of in fitted.items() if of}
        return files | self.vocabulary.attached()

    @classmethod
    def load(cls, directory: Path | str, **given: Any) -> Self:
        """Read what `save` wrote."""
        model = super().load(directory, **given)
        path = attached_file(Path(directory), NGRAMS)
        try:
            size = len(model.vocabulary)
            model.mixture = Mixture.from_bytes(path.read_bytes(), size) if path else None
            path = attached_file(Path(directory), DYNAMIC)
            model.dynamic = Dynamic.from_bytes(path.read_bytes(), model.network) if path else None
        except Exception as error:  # no file may hold what leads to a traceback
            raise ModelFileError(f"The model in {directory} is damaged: {error}.") from error
        return model

    def _nats(self, data: Coded, remembered: Remembered | None = None) -> Floats:
        """Return (N - 1,), the cross-entropy of each code after the first by the network alone.

        With what remembers its states, in order, and by weights that change if they are to.
        """
        if remembered and self.dynamic:
            return self.dynamic.read(self.network, data, remembered)
        if remembered:
            return read_in_order(self.network, data, remember=remembered)
        each = nats(self.network, data, CONTEXT, SCORED_STREAMS, 4 * self.config.window)
        found: Floats = each.double().numpy()
        return found

    def _added(self, data: Coded) -> dict[str, Floats]:
        """Return (N - 1,), nats of each code, by the network and as each part is added to it."""
        codes = np.asarray(data.codes)
        added = {ALONE: self._nats(data)}
        likely, remembered = np.exp(-added[ALONE]), None
        if self.dynamic or self.cache:
            sharpnesses = (self.cache.sharpness,) if self.cache else ()
            size = self.cache.size if self.cache else 0
            remembered = Remembered(codes, size, sharpnesses)
            nats = self._nats(data, remembered)
            likely = np.exp(-nats)
            if self.dynamic:
                added["dynamic evaluation"] = nats
        if self.mixture:
            likely = self.mixture.probabilities(likely, codes)
            added["n-grams"] = -np.log(likely)
        if self.cache and remembered:
            likely = self.cache.probabilities(likely, remembered.likely[0])
            added["cache"] = -np.log(likely)
        return added

    def scored(self, data: Coded, known: Parts[Coded] | None) -> Evaluation:
        """Compare with n-grams and compressors."""
        added = self._added(data)
        each = next(reversed(added.values()))
        letters = self.vocabulary.letters()[data.codes].astype(np.int64)
        text, (begin, end) = (
            (self._text, self._bounds["test"])
            if known
            else (self._asked_text, (0, len(self._asked_text)))
        )
        # In the same measure whatever is read at a step.
        inside = text.file_ends[:-1]
        ends = inside[(inside >= begin) & (inside < end - 1)] + 1 - begin
        # That a character is unknown does not say yet which it is.
        spelled = self._bits_of_unknown(data.codes)
        if isinstance(self.vocabulary, Words):
            found = [
                word
                for block in text.blocks(begin, end)
                for word in self.vocabulary.unknown(text_of(block))
            ]
            unknown = np.flatnonzero(data.codes == UNKNOWN)
            letters[unknown] = [len(word) for word in found]
            spelled[unknown] = Spelling(self.vocabulary.rare).bits(found)
        letters, spelled = letters[1:], spelled[1:]
        stretches = Stretches(int(letters.sum()), np.maximum(ends - 1, 0))
        places = np.cumsum(letters) - letters
        name = f"{self.name} with n-grams" if self.mixture else self.name
        sums = {name: stretches.sums(each / np.log(2) + spelled, places)}
        perplexities = {}
        if self.config.unit == "word":
            perplexities = {name: float(np.exp(of.mean())) for name, of in added.items()}
            perplexities[name] = float(np.exp(each.mean()))
        compressors: dict[str, Compressor] = {}
        left_out = {}
        if known and self.training.no_baseline:
            left_out = dict.fromkeys(OTHERS, NOT_WANTED)
        elif known:
            with phase("Baselines: n-grams and compressors"):
                counted, compressors = self._without_network(known, stretches)
            if self.config.unit == "word":
                words = self._bits_of_words(known)
                sums["5-grams of words"] = stretches.sums(words + spelled, places)
                perplexities["5-grams of words"] = float(2 ** words.mean())
            sums |= counted
        bits = {name: float(of.sum()) / stretches.count for name, of in sums.items()}
        for name, compressor in compressors.items():
            with phase(f"Baseline: {name}"):
                bits[name] = compressor.bits() / stretches.count
        unit = "byte" if self.config.unit == "byte" else "character"
        sentences = list(sentences_in(text.points[begin:end]))
        again = self.seen.among(sentences) @ np.array([len(of) for of in sentences], np.int64)
        with phase("Judging"):
            verdict = verdict_of(bits, stretches, sums, compressors, unit).without(left_out)
        return Evaluation(
            bits=bits,
            count=stretches.count,
            unknown=int((data.codes[1:] == UNKNOWN).sum())
            if perplexities
            else int((data.codes == UNKNOWN).sum()),
            words=len(each) if perplexities else 0,
            perplexities=perplexities,
            added={
                name: float((of / np.log(2) + spelled).sum()) / stretches.count
                for name, of in added.items()
            },
            unit=unit,
            verdict=verdict.adding(flattered(int(again))),
        )

    def program(self) -> dict[str, Any]:
        """Return what reads codes, and predicts after each the probability of each next one."""
        if self.config.unit == "word":
            raise ProgramError("a model of words is read by the command and LanguageModel.load")
        writer = Writer("codes", len(self.vocabulary), **self.vocabulary.of_program())
        found = writer.add("softmax", self.network.write(writer))
        if self.mixture:
            found = self.mixture.write(writer, found, NGRAMS.removesuffix("npz"))
        return writer.program("probabilities", found, labels=self.vocabulary.shown())

    def probed(self, data: Coded) -> Probe:
        """Return the network and stretches of a text for `gated.explain`."""
        title = f"{self.name} that reads {self.counted}"
        return language_probe(self.network, title, data.codes, self.vocabulary)

    def generate(
        self,
        prompts: Sequence[str],
        *,
        length: int,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
    ) -> list[str]:
        """Return the text generated after each prompt.

        Args:
            prompts: texts to continue.
            length: characters, or bytes, to generate.
            sampling: how they are drawn.
            stop: texts; a continuation ends before the first of them.

        Raises:
            ConfigurationError: `length` is below 1, or a stop text is empty.
            DataError: there is no prompt, or one that is empty or wholly unknown.
        """
        if length < 1:
            raise ConfigurationError(f"{option('length')} is {length}; it must be 1 or more.")
        if "" in stop:
            raise ConfigurationError(
                f"{option('stop')}: an empty text stops nothing; leave it out."
            )
        texts: list[list[str]] = [[] for _ in prompts]
        going = set(range(len(prompts))) if stop else set()
        tail = max(map(len, stop), default=0)
        for pieces in islice(self.writing(prompts, sampling), length):
            for text, piece in zip(texts, pieces, strict=True):
                text.append(piece)
            # A stop text ends in the last piece; a piece may be one of four bytes.
            going -= {k for k in going if any(of in "".join(texts[k][-4 * tail :]) for of in stop)}
            if stop and not going:
                break
        return [cut("".join(text), stop) for text in texts]

    def writing(
        self, prompts: Sequence[str], sampling: Sampling | None = None
    ) -> Iterator[list[str]]:
        """Yield the text generated after each prompt, a step at a time, without end.

        Raises:
            DataError: there is no prompt, or one that is empty or wholly unknown.
        """
        read = [self._prompt(prompt) for prompt in prompts]
        if not read:
            raise DataError("There is no prompt to go on with.")
        typewriters = [Typewriter(self.vocabulary) for _ in prompts]
        for codes in written_codes(self.network, read, sampling or Sampling(), self.mixture):
            yield [
                typewriter.text(code)
                for typewriter, code in zip(typewriters, codes.tolist(), strict=True)
            ]

    def unknown_in(self, prompt: str) -> list[str]:
        """Return the characters, or words, of a prompt that are not in the vocabulary."""
        if isinstance(self.vocabulary, Words):
            return list(dict.fromkeys(self.vocabulary.unknown(prompt)))
        if self.config.unit != "character":
            return []
        codes = self._coded(prompt)
        letters = [letter for letter, code in zip(prompt, codes, strict=True) if code == UNKNOWN]
        return list(dict.fromkeys(letters))

    def codes_of(self, text: str) -> torch.Tensor:
        """Return (T,), the codes of a text."""
        return torch.from_numpy(self._coded(text).astype(np.int64))

    def known_start(self) -> str:
        """Return a known character to begin a prompt with: a newline, if that is known."""
        if not self.unknown_in("\n"):
            return "\n"
        return self.vocabulary.pieces()[1].decode()

    def next_letter(self, letters: str) -> NextLetter:
        """Return a predictor of next letters, for the beam search of transcripts.

        Raises:
            ConfigurationError: the model reads no characters, or a letter is not in its vocabulary.
        """
        if self.config.unit != "character":
            raise ConfigurationError(
                f"The language model reads {self.counted}; it must read characters."
            )
        if unknown := self.unknown_in(letters):
            raise ConfigurationError(
                f"The language model has never seen {', '.join(map(repr, unknown))}: train it on "
                "text that is written like the transcripts."
            )
        begin = self.codes_of(self.known_start())
        return NextLetter(self.network.eval(), self.codes_of(letters), begin)

    def _bits_of_unknown(self, codes: Codes) -> Floats:
        """Return (N,), the bits that say which unknown character each code is; 0 for known ones.

        All characters of Unicode that the vocabulary does not hold are taken as equally likely.
        """
        others = UNICODE - len(self.vocabulary)
        return np.where(np.asarray(codes) == UNKNOWN, np.log2(others), 0.0)

    def _opened(self, source: Path | str | Sequence[Path | str], bad: Bad) -> Text:
        files = [source] if isinstance(source, (Path, str)) else source
        return Text([Path(path) for path in files], self.config.unit, bad)

    def _learnt(self, text: Text, first: int) -> Vocabulary:
        """Return the vocabulary of the training part, which ends before `first`."""
        config, blocks = self.config, text.blocks(0, first)
        if config.unit == "word":
            words = Words.learn(blocks, config.fewest)
            if not words.words:
                raise DataError(
                    f"The training part holds no word {config.fewest} times; lower "
                    f"{option('fewest')}, or read characters."
                )
            return words
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

    def _tell_unknown(self, parts: Parts[Coded]) -> None:
        """Find what the vocabulary does not hold; of the training part only what another learnt."""
        if self.config.unit == "subword":
            return
        words = self.config.unit == "word"
        source = self.training.init_from
        where = "the training part" if source is None else f"the vocabulary of {source}"
        count, places = 0, []
        for name, (begin, _) in self._bounds.items():
            if name == "training" and not source:
                continue
            codes = getattr(parts, name).codes
            found, first = unknown_in(codes)
            if name == "training" and found > MOST_UNKNOWN * len(codes):
                raise DataError(
                    f"{where} does not hold {found / len(codes):.0%} of the "
                    f"{self.counted if words else 'characters'} of this "
                    f"text; train on it without {option('init_from')}."
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
                what=f"words of the held-back parts that {where} does not hold often enough"
                if words
                else f"characters that {where} does not hold",
                action=f"read as one unknown {'word' if words else 'character'}",
                example=f"{len(self.vocabulary):,} words are in the vocabulary"
                if words
                else f"{chr(int(self._text.points[places[0]]))!r} at character {places[0]:,}",
            ),
        )

    def _without_network(
        self, known: Parts[Coded], stretches: Stretches
    ) -> tuple[dict[str, Floats], dict[str, Compressor]]:
        """Return the bits of each stretch by what counts, and what compresses."""
        # Subwords and words are compared with what counts and compresses characters, too.
        letters, parts = self.vocabulary, [known.training, known.validation, known.test]
        if self.config.unit in ("subword", "word"):
            letters = Letters.of(self._text.blocks(*self._bounds["training"]), "character")
            parts = [self._text.coded(letters, "none", *of) for of in self._bounds.values()]
        training, validation, test = (of.codes for of in parts)
        counted = self._counted if letters is self.vocabulary else None
        ngrams = counted or best_ngrams(training, validation, len(letters))
        # Of the characters that the network predicts: all but what it begins with.
        others = np.log2(UNICODE - len(letters))
        bits = ngrams.bits_of(np.asarray(test)) + np.where(test == UNKNOWN, others, 0.0)
        bits = bits[-stretches.count :]
        name = f"{ngrams.order + 1}-grams{' of characters' if self.config.unit == 'word' else ''}"
        sums = {name: stretches.sums(bits, np.arange(len(bits)))}
        begin, end = self._bounds["test"]
        points = np.asarray(self._text.points[begin:end])
        return sums, compressors_of(training, points, stretches.count, letters)

    def _bits_of_words(self, known: Parts[Coded]) -> Floats:
        """Return (N - 1,), the bits of each word of the test part by n-grams of words."""
        ngrams = self._counted or word_ngrams(known.training.codes, len(self.vocabulary))
        return ngrams.bits_of(np.asarray(known.test.codes))[1:]

    def _prompt(self, prompt: str) -> torch.Tensor:
        if not (self._coded(prompt) != UNKNOWN).any():
            raise DataError(
                f"The prompt {prompt!r} holds no "
                f"{'word' if self.config.unit == 'word' else 'character'} that the model has seen; "
                "it begins with at least one."
            )
        # A line begins by reading the end of the one before it.
        begun = self.config.documents == "line" and not prompt.startswith("\n")
        return self.codes_of("\n" + prompt if begun else prompt)

    def _coded(self, text: str) -> Codes:
        return self.vocabulary.encode(points_of(text, self.config.unit))


def cut(text: str, stop: Sequence[str]) -> str:
    """Return `text` up to the first occurrence of one of the `stop` texts.

    >>> cut("one. two; three", [";", "."])
    'one'
    """
    ends = [text.find(of) for of in stop if of in text]
    return text[: min(ends)] if ends else text
