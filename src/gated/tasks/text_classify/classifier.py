"""The face of text classification: fit, predict, score, save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.explain import Probe
from gated.scoring.label_scores import (
    Evaluation,
    Floats,
    Integers,
    confusion_of,
    score_of,
)
from gated.scoring.seen import Seen, refuse_known
from gated.scoring.verdict import NOT_WANTED, Scope
from gated.tasks.language.adoption import adopted
from gated.tasks.language.text import Codes, points_of
from gated.tasks.language.vocabulary import (
    UNKNOWN,
    Letters,
    Subwords,
    Vocabulary,
    vocabulary_from,
)
from gated.tasks.text_classify.baseline import MOST_CHARACTERS, WORDS, bag_of_words
from gated.tasks.text_classify.config import TextClassifyConfig, TextClassifyTraining
from gated.tasks.text_classify.network import TextNetwork
from gated.tasks.text_classify.probe import text_probe
from gated.tasks.text_classify.task import TextTask, odds_of
from gated.tasks.text_classify.texts import LabelledText, read_texts
from gated.training.findings import Finding
from gated.training.history import History
from gated.training.loop import train
from gated.training.manifest import BadRows
from gated.training.model_files import load_model, save_model
from gated.training.options import TrainingOptions
from gated.training.progress import Progress
from gated.training.split_by_text import bare, near_to, split_by_text
from gated.training.test_part import require_test_part

TASK = "text_classify"
TEXTS = Scope("texts", "of {} wordings")
FREQUENT = "most frequent label"


@dataclass(frozen=True)
class Part:
    """Texts and their labels, as places among all labels."""

    texts: list[str]
    labels: Integers

    def __len__(self) -> int:
        return len(self.texts)


class TextClassifier:
    """Learns to tell what a text is.

    Args:
        config: the network, and what is held back.
        training: how to train; with `init_from`, a language model's run, the network starts as
            that model reads, and its sizes and vocabulary are those of the run.
    """

    network: TextNetwork
    vocabulary: Vocabulary
    history: History
    """What happened in training."""

    def __init__(
        self, config: TextClassifyConfig | None = None, training: TrainingOptions | None = None
    ) -> None:
        self.config = config or TextClassifyConfig()
        self.training = training or TextClassifyTraining()
        self.labels: tuple[str, ...] = ()
        self.findings: tuple[Finding, ...] = ()
        """What was found in the data that were read last."""
        self.parts: dict[str, Part] = {}
        """Training, validation and test, after `prepare`."""
        self._frequencies = np.zeros(0)
        self._seen = Seen()

    @property
    def parameters(self) -> int:
        """Number of values in the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.config.cell.upper()

    def prepare(self, data: Path | str) -> Self:
        """Read texts, part them, and make a network; the first half of `fit`.

        No text of the validation and test parts has a near-duplicate in the training part, be it
        that test data are given in a file of their own.

        Raises:
            DataError: a row cannot be used; the training part holds one label only; or most of the
                test data stand in it.
            FileNotFoundError: there is no such file.
            ModelFileError: `init_from` is no run of a network that reads text.
        """
        if self.training.init_from:
            self.config, self.vocabulary = adopted(self.config, self.training.init_from)
        config, bad = self.config, BadRows(skip=self.config.skip_bad)
        texts = read_texts(Path(data), bad, labelled=True)
        self.labels = tuple(sorted({str(of.label) for of in texts}))
        own = 0.0 if config.test_data else config.test
        parted = split_by_text([(of.text,) for of in texts], own, config.validation, self._seed)
        chosen = {
            name: [texts[place] for place in places]
            for name, places in {
                "training": parted.training,
                "validation": parted.validation,
                "test": parted.test,
            }.items()
        }
        near = [texts[of].text for of in (*parted.near_training, *parted.near_validation)]
        if config.test_data:
            chosen["test"] = read_texts(config.test_data, bad, labelled=True)
            tested = [bare(of.text) for of in chosen["test"]]
            known = Seen.of(bare(of.text) for of in texts).count(tested)
            refuse_known(known, len(tested), "texts")
            held = near_to([(of.text,) for of in chosen["test"]])
            for name in ("training", "validation"):
                near += [of.text for of in chosen[name] if held((of.text,))]
                chosen[name] = [of for of in chosen[name] if not held((of.text,))]
        self.parts = {name: self._labelled(part) for name, part in chosen.items()}
        self._frequencies = np.bincount(
            self.parts["training"].labels, minlength=len(self.labels)
        ) / max(1, len(self.parts["training"]))
        if np.count_nonzero(self._frequencies) < 2:
            raise DataError(
                f"The training part of {data} has fewer than two labels; to tell apart takes two. "
                "Give more texts, or hold back fewer."
            )
        if not self.training.init_from:
            self.vocabulary = self._learnt()
        self._seen = Seen.of(
            bare(text) for name in ("training", "validation") for text in self.parts[name].texts
        )
        self.findings = (*bad.findings, *self._told_of_texts(near))
        self.network = self._new_network()
        return self

    def fit(
        self,
        data: Path | str,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on the texts of a table, but for those held back for validation and test.

        Args:
            data: CSV file with the columns text and label.
            directory: where checkpoints are written; none by default.
            resume: go on from the checkpoint in `directory`.
            progress: told of each step.

        Raises:
            DataError: a row cannot be used; or the training part holds one label only.
            FileNotFoundError: there is no such file.
            ModelFileError: `init_from` is no run of a network that reads text.
            TrainingDivergedError: the loss became NaN or infinite.
        """
        self.prepare(data)
        return self.train(directory=directory, resume=resume, progress=progress)

    def train(
        self,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on the texts of `prepare`; the second half of `fit`, with the same arguments."""
        known, held = self.parts["training"], self.parts["validation"]
        weights = np.ones(len(self.labels))
        if self.config.balance:
            there = self._frequencies > 0
            weights[there] = 1 / (there.sum() * self._frequencies[there])
        task = TextTask(
            self.network,
            self._coded(known.texts),
            known.labels,
            weights,
            (self._coded(held.texts), held.labels),
            self._seed,
        )
        self.history = train(
            task, self.training, directory=directory, resume=resume, progress=progress
        )
        return self

    def check_test_part(self) -> None:
        """Make sure that there is something to score on, before a training and not after it.

        Raises:
            DataError: no text was held back.
        """
        require_test_part(len(self.parts.get("test", ())), what="texts")

    def score(self) -> Evaluation:
        """Score on the test part of `prepare`, beside a linear model of words and letters.

        Raises:
            DataError: there is none, as after `load`.
        """
        self.check_test_part()
        known, held, asked = (self.parts[name] for name in ("training", "validation", "test"))
        if self.training.no_baseline:
            return self._evaluation(asked, {}, left_out={WORDS: NOT_WANTED})
        every = max(1, -(-sum(map(len, known.texts)) // MOST_CHARACTERS))
        words = bag_of_words(
            (known.texts[::every], known.labels[::every]),
            (held.texts, held.labels),
            asked.texts,
            len(self.labels),
        )
        left_out = {f"{WORDS}, of all texts": f"it learnt from one in {every}"} if every > 1 else {}
        return self._evaluation(asked, {WORDS: words}, left_out=left_out)

    def evaluate(self, data: Path | str) -> Evaluation:
        """Score on the texts of another table.

        Raises:
            DataError: a row cannot be used, or has a label that the training part does not have.
            FileNotFoundError: there is no such file.
        """
        bad = BadRows(skip=self.config.skip_bad)
        texts = read_texts(Path(data), bad, labelled=True)
        self.findings = tuple(bad.findings)
        return self._evaluation(self._labelled(texts), {})

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Return (N, C), the probability of each of `labels` for each text.

        Raises:
            DataError: a text is empty.
        """
        if not all(texts):
            raise DataError(f"Text {list(map(bool, texts)).index(False)} is empty; give a text.")
        if not texts:
            return np.zeros((0, len(self.labels)))
        self.network.eval()
        told: Floats = torch.softmax(odds_of(self.network, self._coded(texts)).double(), -1).numpy()
        return told

    def probe(self, data: Path | str) -> Probe:
        """Offer the network to `gated.explain`, on texts of a table or of lines.

        Raises:
            DataError: a row cannot be used.
            FileNotFoundError: there is no such file.
        """
        bad = BadRows(skip=self.config.skip_bad)
        read = read_texts(Path(data), bad, labelled=False)
        self.findings = tuple(bad.findings)
        known = all(of.label for of in read)
        labels = self._labelled(read).labels if known else None
        coded = self._coded([of.text for of in read])
        return text_probe(self.network, self.name, self.labels, self.vocabulary, coded, labels)

    def save(self, directory: Path | str) -> None:
        """Write the model, atomically: `model.json` and its weights."""
        description = {
            "task": TASK,
            "config": self.config.to_dict(),
            "training": self.training.to_dict(),
            "vocabulary": self.vocabulary.to_dict(),
            "labels": list(self.labels),
            "frequencies": self._frequencies.tolist(),
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
            config = TextClassifyConfig.from_dict(description["config"])
            classifier = cls(config, TrainingOptions.from_dict(description["training"]))
            classifier.vocabulary = vocabulary_from(description["vocabulary"], config.unit)
            classifier.labels = tuple(description["labels"])
            classifier._frequencies = np.array(description["frequencies"], float)
            classifier._seen = Seen.from_text(description.get("seen", ""))
            classifier.network = classifier._new_network()
            classifier.network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError, ConfigurationError) as error:
            raise ModelFileError(f"The model in {directory} is damaged: {error}.") from error
        classifier.network.eval()
        return classifier

    @property
    def _seed(self) -> int:
        return self.training.seed

    def _labelled(self, texts: Sequence[LabelledText]) -> Part:
        places = {label: place for place, label in enumerate(self.labels)}
        for of in texts:
            if of.label not in places:
                raise DataError(
                    f"The label {of.label!r} is none of those to tell apart: "
                    f"{', '.join(self.labels)}. Mend or remove its texts."
                )
        labels = np.array([places[str(of.label)] for of in texts], np.int64)
        return Part([of.text for of in texts], labels)

    def _learnt(self) -> Vocabulary:
        """Return the vocabulary of the training part."""
        unit = self.config.unit
        letters = "byte" if unit == "byte" else "character"
        blocks = (points_of(text, letters) for text in self.parts["training"].texts)
        if unit == "subword":
            return Subwords.learn(blocks, self.config.vocabulary)
        return Letters.of(blocks, unit)

    def _coded(self, texts: Sequence[str]) -> list[Codes]:
        unit, longest = self.config.unit, self.config.longest
        return [self.vocabulary.encode(points_of(text, unit))[:longest] for text in texts]

    def _told_of_texts(self, near: Sequence[str]) -> list[Finding]:
        """Find texts that are cut, that are nearly the same, and characters that are not known."""
        everything = [text for part in self.parts.values() for text in part.texts]
        shorter = [text for text in everything if len(text.encode()) > self.config.longest]
        whole = [self.vocabulary.encode(points_of(text, self.config.unit)) for text in shorter]
        cut = [
            text
            for text, codes in zip(shorter, whole, strict=True)
            if len(codes) > self.config.longest
        ]
        unknown: Counter[str] = Counter()
        if self.config.unit == "character":
            for text in everything:
                for letter in set(text):
                    codes = self.vocabulary.encode(points_of(letter, "character"))
                    unknown[letter] += int(codes[0] == UNKNOWN) * text.count(letter)
        strange = +unknown
        told = (
            (
                "near",
                len(near),
                "texts nearly the same as one held back",
                "left out",
                _beginning(near),
            ),
            (
                "long",
                len(cut),
                f"texts of more than {self.config.longest} {self.config.unit}s",
                "read up to there",
                _beginning(cut),
            ),
            (
                "unknown",
                strange.total(),
                "characters that the vocabulary does not hold",
                "read as one unknown character",
                repr(strange.most_common(1)[0][0]) if strange else "",
            ),
        )
        return [
            Finding(kind=kind, count=count, what=what, action=action, example=example)
            for kind, count, what, action, example in told
            if count
        ]

    def _evaluation(
        self, asked: Part, others: dict[str, Floats], left_out: dict[str, str] | None = None
    ) -> Evaluation:
        told = {
            self.name: self.predict_proba(asked.texts),
            **others,
            FREQUENT: np.tile(self._frequencies, (len(asked), 1)),
        }
        # The same but for case, digits and punctuation is no second text.
        wordings = np.array([bare(text) for text in asked.texts])
        return Evaluation(
            labels=self.labels,
            scores={name: score_of(of, asked.labels, wordings) for name, of in told.items()},
            confusion=confusion_of(told[self.name], asked.labels, self.labels),
            scope=TEXTS,
            left_out=left_out or {},
            known=self._seen.count(wordings.tolist()),
        )

    def _new_network(self) -> TextNetwork:
        # The same seed makes the same network, whatever was drawn before.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            return TextNetwork(self.config, len(self.vocabulary), len(self.labels))


def _beginning(texts: Sequence[str]) -> str:
    """Show how the first of some texts begins."""
    return repr(texts[0][:40] + "…") if texts else ""
