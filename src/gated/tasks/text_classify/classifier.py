"""The learner of text labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch

from gated.configuration import demand_numbers
from gated.data.bad_rows import BadRows
from gated.data.findings import Finding
from gated.data.predictions import label_columns
from gated.data.single_labels import single_labels
from gated.data.split_by_text import bare, near_to, split_by_text
from gated.errors import DataError, MissingExtraError, ModelFileError
from gated.explain import Probe
from gated.live.program import POINTS, Writer
from gated.model_files import attached_file
from gated.phases import phase
from gated.scoring.label_scores import Evaluation, Floats, Integers, confusion_of, score_of
from gated.scoring.seen import Seen, refuse_known
from gated.scoring.verdict import NOT_WANTED, Scope
from gated.tasks.learner import Learner, Parts, Purpose
from gated.tasks.text_classify.baseline import MOST_CHARACTERS, WORDS, bag_of_words
from gated.tasks.text_classify.budget import usual_steps, usual_subwords
from gated.tasks.text_classify.config import TextClassifyConfig, TextClassifyTraining
from gated.tasks.text_classify.linear import LinearText, fit_linear
from gated.tasks.text_classify.network import TextNetwork
from gated.tasks.text_classify.probe import text_probe
from gated.tasks.text_classify.task import Scores, TextTask, logits_of
from gated.tasks.text_classify.texts import LabelledText, read_texts
from gated.texts.config import OF_THE_READER
from gated.texts.text import Codes, points_of
from gated.texts.vocabulary import UNKNOWN, Letters, Subwords, Vocabulary

TEXTS = Scope("texts", "of {} wordings")
FREQUENT = "most frequent label"
LINEAR = "linear.safetensors"
"""File of the linear part."""
TRUSTS = (0.25, 0.5, 0.75, 1.0)
"""Candidates of `TextClassifier.trust`, besides 0."""


@dataclass(frozen=True)
class Texts:
    """Texts and their labels, as indices of the classes."""

    texts: list[str]
    labels: Integers | None
    """(N,), indices of the labels; None where they are unknown."""
    rows: list[int]
    """Row of each text in its file."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def truth(self) -> Integers:
        """The labels, where they are known."""
        assert self.labels is not None  # noqa: S101 - read to train or to score on
        return self.labels


class TextClassifier(Learner[TextClassifyConfig, Texts, Evaluation]):
    """Learns to label texts.

    Args:
        config: options of the network and of the split.
        training: how to train; with `init_from`, a language model's run, the network starts from
            its weights, with its sizes and vocabulary.
    """

    task = "text_classify"
    config_type, training_type = TextClassifyConfig, TextClassifyTraining
    learned = ("vocabulary", "labels", "frequencies", "seen", "trust")
    adopts, begins_with = OF_THE_READER, ("language", "text_classify")
    head = ("head.",)
    does = "label texts"
    data = (
        "Table (CSV, Parquet or a sheet) with the columns text and label; to predict or explain, "
        "also a file of texts, one a line."
    )
    made_of = "texts"

    network: TextNetwork
    vocabulary: Vocabulary
    labels: tuple[str, ...]
    frequencies: Floats
    """(C,), share of each label in the training part."""
    seen: Seen
    """Digests of the examples that were trained on."""
    trust: float = 1.0
    """By what the network's logits are multiplied before they are added to the linear part's."""
    linear: LinearText | None = None
    """The linear part, if there is one."""

    def split(self, source: Path | str, bad: BadRows) -> Parts[Texts]:
        """Split texts so that no held-out text has a near-duplicate in the training part.

        This holds too for test data in a file of their own.
        """
        config = self.config
        texts = read_texts(Path(source), self.config, bad, labelled=True)
        self.labels = self.labels_among((str(of.label) for of in texts), self.adopted("labels"))
        self.findings += single_labels(
            (str(of.label) for of in texts), source, own_test=config.test_data is not None
        )
        own = 0.0 if config.test_data else config.test
        parted = split_by_text([(of.text,) for of in texts], own, config.validation, self.seed)
        training, validation, test = (
            [texts[place] for place in places]
            for places in (parted.training, parted.validation, parted.test)
        )
        near = [texts[of].text for of in (*parted.near_training, *parted.near_validation)]
        if config.test_data:
            test = read_texts(config.test_data, config, bad, labelled=True)
            tested = [bare(of.text) for of in test]
            refuse_known(Seen.of(bare(of.text) for of in texts).count(tested), len(test), "texts")
            held = near_to([(of.text,) for of in test])
            near += [of.text for of in (*training, *validation) if held((of.text,))]
            training, validation = (
                [of for of in part if not held((of.text,))] for part in (training, validation)
            )
        parts = Parts(*map(self._labelled, (training, validation, test)))
        counts = np.bincount(parts.training.truth, minlength=len(self.labels))
        self.frequencies = counts / max(1, len(parts.training))
        if np.count_nonzero(counts) < 2:
            raise DataError(
                f"The training part of {source} has fewer than two labels; to learn takes "
                "two. Give more texts, or hold back fewer."
            )
        self._choose_sizes(parts.training.texts)
        self.vocabulary = self.adopted("vocabulary") or self._learnt(parts.training.texts)
        self._fit_linear(parts)
        self.seen = Seen.of(map(bare, (*parts.training.texts, *parts.validation.texts)))
        everything = [*parts.training.texts, *parts.validation.texts, *parts.test.texts]
        self.findings += tuple(self._found_in(everything, near))
        return parts

    def read(self, source: Path | str, purpose: Purpose, bad: BadRows) -> Texts:
        """Read a table (.csv); to predict or explain, also another file with a text a line."""
        read = read_texts(Path(source), self.config, bad, labelled=purpose == "score")
        if purpose == "predict" or not all(of.label for of in read):
            return Texts([of.text for of in read], None, [of.row for of in read])
        return self._labelled(read)

    def check_learned(self) -> None:
        """Check that there is a frequency for each label."""
        demand_numbers("The share of a label", self.frequencies, count=len(self.labels))

    def new_network(self) -> TextNetwork:
        """Make a network for the vocabulary and the labels."""
        return TextNetwork(self.config, len(self.vocabulary), len(self.labels))

    def new_task(self) -> TextTask:
        """Return the training task, with labels weighted equally if that is configured."""
        known, held = self.parts.training, self.parts.validation
        return TextTask(
            self.network,
            self._coded(known.texts),
            known.truth,
            self._importance(),
            (self._coded(held.texts), held.truth),
            self.seed,
            (self._unseen, self._linear_scores(held.texts)),
        )

    def settle(self) -> None:
        """Choose on the validation part by how much the network corrects the linear part."""
        if self.linear is None:
            return
        held = self.parts.validation
        self.trust = choose_trust(
            self._network_logits(held.texts),
            self._linear_scores(held.texts),
            held.truth,
            self._importance(),
        )

    def attached(self) -> dict[str, bytes]:
        """The linear part, and how the vocabulary cuts texts."""
        linear = {LINEAR: self.linear.to_bytes()} if self.linear else {}
        return linear | self.vocabulary.attached()

    @classmethod
    def load(cls, directory: Path | str, **given: Any) -> Self:
        """Read what `save` wrote."""
        classifier = super().load(directory, **given)
        classifier.linear = saved_linear(Path(directory), len(classifier.labels))
        return classifier

    def scored(self, data: Texts, known: Parts[Texts] | None) -> Evaluation:
        """Compare with a linear model of words and letters."""
        probabilities = {self.name: self.predict_proba(data.texts)}
        left_out = {}
        if known and self.training.no_baseline:
            left_out[WORDS] = NOT_WANTED
        elif known:
            training, held = known.training, known.validation
            every = max(1, -(-sum(map(len, training.texts)) // MOST_CHARACTERS))
            if every > 1:
                left_out[f"{WORDS}, of all texts"] = f"it learnt from one in {every}"
            with phase(f"Baseline: {WORDS}"):
                probabilities[WORDS] = bag_of_words(
                    (training.texts[::every], training.truth[::every]),
                    (held.texts, held.truth),
                    data.texts,
                    len(self.labels),
                )
        probabilities[FREQUENT] = np.tile(self.frequencies, (len(data), 1))
        # The same but for case, digits and punctuation is no second text.
        wordings = np.array([bare(text) for text in data.texts])
        return Evaluation(
            labels=self.labels,
            scores={name: score_of(of, data.truth, wordings) for name, of in probabilities.items()},
            confusion=confusion_of(probabilities[self.name], data.truth, self.labels),
            scope=TEXTS,
            left_out=left_out,
            known=self.seen.count(wordings.tolist()),
        )

    def predicted(self, data: Texts) -> pl.DataFrame:
        """Return each text, its most probable label and the probability of each label."""
        columns = label_columns(self.labels, self.predict_proba(data.texts))
        return self.table({self.config.text: data.texts}, columns, data.rows)

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Return (N, C), the probability of each of `labels` for each text.

        Raises:
            DataError: a text is empty.
        """
        if not all(texts):
            raise DataError(f"Text {list(map(bool, texts)).index(False)} is empty; give a text.")
        if not texts:
            return np.zeros((0, len(self.labels)))
        logits = self.trust * self._network_logits(texts) + self._linear_scores(texts)
        probabilities: Floats = torch.softmax(torch.from_numpy(logits), -1).numpy()
        return probabilities

    def program(self) -> dict[str, Any]:
        """Return what reads a text, and predicts the probability of each label."""
        longest, count = self.config.longest, len(self.vocabulary)
        if self.linear is None:
            writer = Writer("codes", count, longest=longest, **self.vocabulary.of_program())
            logits = self.network.write(writer, writer.input)
        else:
            writer = Writer("text", POINTS)
            logits = self.linear.write(writer, LINEAR.removesuffix("safetensors"))
            if self.trust:
                options = {"codes": count, "longest": longest, **self.vocabulary.of_program()}
                codes = writer.add("encode", writer.input, **options)
                network = self.network.write(writer, codes)
                logits = writer.add("add", logits, network, factors=[1.0, self.trust])
        found = writer.add("softmax", logits)
        return writer.program("probabilities", found, labels=list(self.labels))

    def probed(self, data: Texts) -> Probe:
        """Return the network and texts for `gated.explain`; with labels, also the loss."""
        coded = self._coded(data.texts)
        return text_probe(
            self.network,
            self.name,
            self.labels,
            self.vocabulary,
            coded,
            data.labels,
            self._linear_scores(data.texts),
        )

    def _network_logits(self, texts: Sequence[str]) -> Floats:
        """Return (N, C), the logits of the network alone."""
        if not texts:
            return np.zeros((0, len(self.labels)))
        self.network.eval()
        logits: Floats = logits_of(self.network, self._coded(texts)).double().numpy()
        return logits

    def _linear_scores(self, texts: Sequence[str]) -> Scores:
        """Return (N, C), the logits of the linear part; zeros without one."""
        if self.linear is None:
            return np.zeros((len(texts), len(self.labels)), np.float32)
        return self.linear.scores(texts)

    def _importance(self) -> Floats:
        """Return (C,), what each label weighs in training."""
        weights = np.ones(len(self.labels))
        if self.config.balance:
            there = self.frequencies > 0
            weights[there] = 1 / (there.sum() * self.frequencies[there])
        return weights

    def _choose_sizes(self, texts: Sequence[str]) -> None:
        """Choose the steps and the number of subwords by the size of the training part."""
        if not {"steps", "epochs", "minutes"} & self.training.given:
            steps = usual_steps(self.training.usual_steps, len(texts))
            self.training = replace(self.training, steps=steps)
        if "vocabulary" not in self.config.given and not self.origin:
            subwords = usual_subwords(sum(map(len, texts)))
            self.config = replace(self.config, vocabulary=subwords)

    def _fit_linear(self, parts: Parts[Texts]) -> None:
        """Fit the linear part, or go on with that of the run of `init_from`."""
        training, held = parts.training, parts.validation
        self.linear, self.trust = None, 1.0
        if self.config.no_linear:
            self._unseen = self._linear_scores(training.texts)
            return
        origin = self.origin
        if origin and origin.description.get("task") == self.task and not self.anew:
            self.linear = saved_linear(origin.run, len(self.labels))
        with phase("Fitting the linear part"):
            if self.linear:
                self._unseen = self.linear.scores(training.texts)
                return
            self.linear, self._unseen = fit_linear(
                (training.texts, training.truth),
                (held.texts, held.truth),
                self._importance(),
                self.seed,
            )

    def _labelled(self, texts: Sequence[LabelledText]) -> Texts:
        places = {label: place for place, label in enumerate(self.labels)}
        for of in texts:
            if of.label not in places:
                raise DataError(
                    f"The label {of.label!r} is none of those trained on: "
                    f"{', '.join(self.labels)}. Mend or remove its texts."
                )
        labels = np.array([places[str(of.label)] for of in texts], np.int64)
        return Texts([of.text for of in texts], labels, [of.row for of in texts])

    def _learnt(self, texts: Sequence[str]) -> Vocabulary:
        """Return the vocabulary of the training texts."""
        unit = self.config.unit
        letters = "byte" if unit == "byte" else "character"
        blocks = (points_of(text, letters) for text in texts)
        if unit == "subword":
            return Subwords.learn(blocks, self.config.vocabulary)
        return Letters.of(blocks, unit)

    def _coded(self, texts: Sequence[str]) -> list[Codes]:
        unit, longest = self.config.unit, self.config.longest
        return [self.vocabulary.encode(points_of(text, unit))[:longest] for text in texts]

    def _found_in(self, everything: Sequence[str], near: Sequence[str]) -> list[Finding]:
        """Find texts that are cut, that are nearly the same, and characters that are not known."""
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
        kinds = (
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
            for kind, count, what, action, example in kinds
            if count
        ]


def _beginning(texts: Sequence[str]) -> str:
    """Show how the first of some texts begins."""
    return repr(texts[0][:40] + "…") if texts else ""


def saved_linear(directory: Path, labels: int) -> LinearText | None:
    """Return the linear part that is saved beside a model; None if there is none.

    Raises:
        ModelFileError: it is damaged, or of another number of labels.
    """
    path = attached_file(directory, LINEAR)
    if path is None:
        return None
    try:
        linear = LinearText.from_bytes(path.read_bytes())
        if len(linear.bias) != labels:
            raise ValueError(f"it scores {len(linear.bias)} labels, and the network {labels}")
    except MissingExtraError:
        raise
    except Exception as error:  # no file may hold what leads to a traceback
        raise ModelFileError(f"The model in {directory} is damaged: {error}.") from error
    return linear


def choose_trust(network: Floats, linear: Scores, truth: Integers, importance: Floats) -> float:
    """Return by how much of the network's logits the linear part's are best corrected.

    The cross-entropy decides; what the network saves has to exceed its standard error. With no
    texts nothing vouches for the network, and the linear part stays as it is.

    Args:
        network: (N, C), logits by the network.
        linear: (N, C), logits by the linear part.
        truth: (N,), the labels.
        importance: (C,), what each label weighs.
    """
    rows, best, least = np.arange(len(truth)), 0.0, 0.0
    if len(truth) < 2:
        return best
    weights = importance[truth] / importance[truth].mean()

    def losses(trust: float) -> Floats:
        likely = torch.log_softmax(torch.from_numpy(trust * network + linear), -1).numpy()
        each: Floats = -weights * likely[rows, truth]
        return each

    without = losses(0.0)
    for trust in TRUSTS:
        change = losses(trust) - without
        sure = float(change.mean() + change.std() / len(truth) ** 0.5)
        if sure < least:
            best, least = trust, sure
    return best
