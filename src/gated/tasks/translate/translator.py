"""The learner of translation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from gated.data.bad_rows import BadRows
from gated.data.findings import Finding
from gated.errors import ConfigurationError, DataError, option
from gated.explain import Probe
from gated.model_files import attached_file
from gated.phases import phase
from gated.scoring.verdict import NOT_WANTED
from gated.tasks.learner import Learner, Parts, Purpose
from gated.tasks.translate.baselines import COPY, MOST_COMPARED, NEAREST, nearest
from gated.tasks.translate.cleaning import clean, left_out, tidy
from gated.tasks.translate.config import MOST_FILES, TranslateConfig
from gated.tasks.translate.copying import taught, unknown_characters, unknown_to, unwritable
from gated.tasks.translate.network import TranslateNetwork
from gated.tasks.translate.pairs import Pair, Source, check_utf8, read_pairs
from gated.tasks.translate.probe import translate_probe
from gated.tasks.translate.score import LEAST, Evaluation, evaluate, quick_scores
from gated.tasks.translate.search import Wanted, search
from gated.tasks.translate.split import Given, split
from gated.tasks.translate.subwords import Subwords
from gated.tasks.translate.task import Encoded, TranslateTask
from gated.tasks.translate.translation import (
    NOTHING,
    Example,
    Translation,
    different,
    in_words,
)
from gated.training.options import TrainingOptions

MEMORY = "training-pairs.tsv"
"""File of the run with what was trained on, for the baseline and to know what is new."""
MOST_SCORED = 200
"""Validation sentences translated greedily at each validation."""
EXAMPLES = 10
"""Sentences shown in a report."""
MOST_UNWRITABLE = 0.5
"""Share of the training pairs that the subwords of another run may be unable to write."""
READ_AT_MOST = 8
"""How many times as many subwords a sentence may have as the longest one to train on."""


class Translator(Learner[TranslateConfig, list[Pair], Evaluation]):
    """Learns to translate from pairs of sentences.

    Args:
        config: options of subwords, sentences, network and search.
        training: how to train.

    Data are the path of tab-separated pairs or of a `.po`, a pair of paths of aligned files, or
    pairs of sentences.
    """

    task = "translate"
    config_type = TranslateConfig
    learned = ("source", "target")
    adopts = (
        "vocabulary",
        "subwords",
        "cell",
        "embedding",
        "hidden",
        "layers",
        "attention",
        "no_input_feeding",
    )
    does = "translate sentences"
    data = (
        "Pairs in UTF-8: lines of a sentence, a tab and its translation; or gettext's .po, TMX or "
        "XLIFF; or a table (.csv, Parquet or a sheet) with the columns source and target; or two "
        "files of lines, the sentences and their translations."
    )
    most_files = MOST_FILES
    fewest_scored = LEAST
    made_of = "pairs"

    network: TranslateNetwork
    source: Subwords
    target: Subwords

    def __init__(
        self, config: TranslateConfig | None = None, training: TrainingOptions | None = None
    ) -> None:
        super().__init__(config, training)
        self.known: list[Pair] = []
        """What was trained on, for the baseline and to know what is new."""

    @property
    def name(self) -> str:
        """Name of the network in tables."""
        return f"{self.config.cell.upper()} with attention"

    def split(self, source: Source, bad: BadRows) -> Parts[list[Pair]]:
        """Read, clean and split pairs; learn subwords, or take those of the run of `init_from`."""
        config = self.config
        pairs, cleaned = clean(self._pairs(source, bad), config.longest, config.most_ratio)
        test, of_test = self._given(config.test_data, bad)
        validation, of_validation = self._given(config.validation_data, bad)
        given = Given(test, validation)
        parted = split(pairs, config.test, config.validation, self.seed, given)
        self.known = known = parted.training
        strange: list[Finding] = []
        if self.origin:
            self.source, self.target = self.adopted("source"), self.adopted("target")
            known, strange = self._writable(known)
            self.known = known
        else:
            sides = [pair.source for pair in known], [pair.target for pair in known]
            self.source, self.target = (
                Subwords.learn(sentences, config.vocabulary, config.subwords, unknown)
                for sentences, unknown in zip(sides, unknown_characters(known), strict=True)
            )
        self._training, long = self._short_enough(known)
        copying = taught(known, self.source, self.target, config.copying, self.seed)
        self._training += filter(self._fits, copying)
        self.findings = (*cleaned, *of_test, *of_validation, *parted.findings, *strange, *long)
        return Parts(known, parted.validation, parted.test)

    def read(self, source: Source, purpose: Purpose, bad: BadRows) -> list[Pair]:
        """Read pairs to score or explain; none is left out for the ratio of its lengths."""
        pairs, found = clean(self._pairs(source, bad), self.config.longest, most_ratio=float("inf"))
        self.findings = tuple(found)
        return pairs

    def new_network(self) -> TranslateNetwork:
        """Make a network for the subwords of both languages."""
        return TranslateNetwork(self.config, len(self.source), len(self.target))

    def new_task(self) -> TranslateTask:
        """Return the training task, with some greedy translations at each validation."""
        held_out = self.parts.validation
        some = held_out[:: max(1, -(-len(held_out) // MOST_SCORED))]

        def scores() -> dict[str, float]:
            written = self._translated([pair.source for pair in some], self._wanted(beam=1))
            return quick_scores([best.text for best, *_ in written], [pair.target for pair in some])

        return TranslateTask(
            self.network, self._training, self._encoded(held_out), self.config, self.seed, scores
        )

    def scored(self, data: list[Pair], known: Parts[list[Pair]] | None) -> Evaluation:
        """Compare with the untranslated source and with a translation memory."""
        sources = [pair.source for pair in data]
        methods = {
            self.name: [best.text for best, *_ in self._translated(sources, self._wanted())],
            COPY: sources,
        }
        missing = {}
        if self.known and self.training.no_baseline:
            missing[NEAREST] = NOT_WANTED
        elif self.known:
            every = -(-len(self.known) * len(sources) // MOST_COMPARED)
            with phase(f"Baseline: {NEAREST}"):
                methods[NEAREST] = nearest(self.known[::every], sources)
            if every > 1:
                missing[f"{NEAREST}, of all"] = f"it is the nearest of one in {every}"
        seen = {pair.source for pair in self.known}
        overlap = sum(source in seen for source in sources)
        findings = () if known else self.findings
        targets = [pair.target for pair in data]
        return evaluate(sources, targets, methods, overlap, findings, missing)

    def probed(self, data: list[Pair]) -> Probe:
        """Return the network and pairs of sentences for `gated.explain`."""
        title = f"{self.name} that translates"
        return translate_probe(self.network, title, self._encoded(data), self.source.names)

    def translate(
        self,
        sentences: Sequence[str],
        *,
        beam: int | None = None,
        n_best: int = 1,
        length_penalty: float | None = None,
        coverage_penalty: float | None = None,
        first: int = 1,
    ) -> list[list[Translation]]:
        """Return the `n_best` translations of each sentence, the best first, no two the same.

        Sentences are tidied as in training (spaces, control characters, Unicode form); an empty
        sentence has an empty translation.

        Args:
            sentences: in the language of the sources.
            beam: hypotheses kept at each step, 1 for greedy search; by default the
                configuration's, and at least `n_best`.
            n_best: translations to return for each sentence; there can be fewer.
            length_penalty: α of the search; by default the configuration's.
            coverage_penalty: β of the search; by default the configuration's.
            first: number of the first sentence in messages.

        Raises:
            ConfigurationError: `beam` or `n_best` is below 1, the beam is below `n_best`, or a
                penalty below 0.
            DataError: a sentence has more than 8 times as many subwords as the longest one to
                train on (`longest`), or is not Unicode.
        """
        wanted = self._wanted(beam, n_best, length_penalty, coverage_penalty)
        most = READ_AT_MOST * self.config.longest
        characters = most * max(map(len, self.source.names))
        for number, sentence in enumerate(sentences, first):
            check_utf8(sentence, f"Sentence {number:,}")
            # So long that cutting it into subwords would take its time, too.
            if len(sentence) > characters:
                raise self._too_long(number, sentence, f"{len(sentence):,} characters")
        tidied = [tidy(sentence) for sentence in sentences]
        for number, codes in enumerate(self.source.encode(tidied), first):
            if len(codes) > most:
                sentence = tidied[number - first]
                raise self._too_long(number, sentence, f"{len(codes):,} subwords")
        return self._translated(tidied, wanted)

    def _too_long(self, number: int, sentence: str, length: str) -> DataError:
        return DataError(
            f"Sentence {number:,}, which begins {sentence[:40]!r}, has {length}; this translator "
            f"reads up to {READ_AT_MOST * self.config.longest:,} subwords, {READ_AT_MOST} times "
            f"the longest that it was trained on (longest={self.config.longest}). Give one "
            "sentence a line."
        )

    def _wanted(
        self,
        beam: int | None = None,
        n_best: int = 1,
        length_penalty: float | None = None,
        coverage_penalty: float | None = None,
    ) -> Wanted:
        """Return what to search for; what is None is the configuration's."""
        config = self.config
        wanted = Wanted(
            max(config.beam, n_best) if beam is None else beam,
            config.length_penalty if length_penalty is None else length_penalty,
            config.coverage_penalty if coverage_penalty is None else coverage_penalty,
            n_best,
        )
        if n_best < 1 or wanted.beam < n_best:
            raise ConfigurationError(
                f"{option('n_best')} is {n_best} and {option('beam')} {wanted.beam}: the "
                f"beam must hold the translations "
                "asked for, one or more."
            )
        for name in ("length_penalty", "coverage_penalty"):
            if not 0 <= getattr(wanted, name) < float("inf"):
                raise ConfigurationError(
                    f"{option(name)} must be a number of at least 0, not {getattr(wanted, name)}."
                )
        return wanted

    def _translated(self, tidied: Sequence[str], wanted: Wanted) -> list[list[Translation]]:
        """Translate sentences of any length."""
        self.network.eval()
        codes = self.source.encode([sentence for sentence in tidied if sentence])
        # All that the beam holds, where some can turn out the same in words.
        kept = wanted if wanted.n_best == 1 else wanted._replace(n_best=2 * wanted.beam)
        found = iter(search(self.network, codes, kept))
        return [
            different(
                [in_words(sentence, one, self.source, self.target) for one in next(found)],
                wanted.n_best,
            )
            if sentence
            else [NOTHING]
            for sentence in tidied
        ]

    def examples(self, evaluation: Evaluation) -> list[Example]:
        """Choose random sentences of an evaluation, by the seed, and translate them."""
        random = np.random.default_rng(self.training.seed)
        count = len(evaluation.sources)
        places = random.permutation(count)[:EXAMPLES].tolist()
        sources = [evaluation.sources[place] for place in places]
        references = [evaluation.references[place] for place in places]
        return [
            Example(source, reference, best, quick_scores([best.text], [reference])["chrF"])
            for source, reference, (best, *_) in zip(
                sources, references, self._translated(sources, self._wanted()), strict=True
            )
        ]

    @property
    def fact(self) -> str:
        """One line on the network's layers, units and parameters."""
        config = self.config
        return (
            f"{config.cell.upper()} encoder, {config.layers} layer(s) of 2 × {config.hidden // 2} "
            f"units; LSTM decoder of {config.hidden} units, {config.attention} attention; "
            f"{len(self.source):,} and {len(self.target):,} subwords; {self.parameters:,} "
            "parameters"
        )

    def attached(self) -> dict[str, bytes]:
        """The training pairs, as the translation memory of later scores."""
        pairs = "".join(f"{pair.source}\t{pair.target}\n" for pair in self.known)
        return {MEMORY: pairs.encode()} if pairs else {}

    @classmethod
    def load(cls, directory: Path | str, **given: Any) -> Self:
        """Read what `save` wrote."""
        translator = super().load(directory, **given)
        path = attached_file(Path(directory), MEMORY)
        translator.known = read_pairs(path) if path else []
        return translator

    def _pairs(self, source: Source, bad: BadRows) -> list[Pair]:
        return read_pairs(source, bad, (self.config.source, self.config.target))

    def _given(
        self, files: Sequence[Path], bad: BadRows
    ) -> tuple[list[Pair] | None, tuple[Finding, ...]]:
        """Read the pairs of a part that has its own files, None where it has none; and findings."""
        if not files:
            return None, ()
        one = files[0] if len(files) == 1 else (files[0], files[1])
        return clean(self._pairs(one, bad), self.config.longest, most_ratio=float("inf"))

    def _encoded(self, pairs: Sequence[Pair]) -> list[Encoded]:
        sources = self.source.encode([pair.source for pair in pairs])
        targets = self.target.encode(
            [pair.target for pair in pairs], [pair.source for pair in pairs]
        )
        return list(zip(sources, targets, strict=True))

    def _writable(self, pairs: list[Pair]) -> tuple[list[Pair], list[Finding]]:
        """Leave out the pairs that the subwords of another run cannot write, and report them."""
        lacking = unwritable(pairs, self.source, self.target)
        if not lacking:
            return pairs, []
        what = f"training pairs whose translation {self.training.init_from} cannot write"
        if len(lacking) > MOST_UNWRITABLE * len(pairs):
            letters = sorted(unknown_to(self.target, [pair.target for pair in lacking]))
            raise DataError(
                f"{len(lacking):,} of {len(pairs):,} {what}: its subwords lack {len(letters):,} of "
                f"their characters, such as {' '.join(letters[:5])}. Train on them without "
                f"{option('init_from')}, or give pairs of the same two languages."
            )
        left = set(lacking)
        return [pair for pair in pairs if pair not in left], [left_out("unknown", what, lacking)]

    def _short_enough(self, pairs: Sequence[Pair]) -> tuple[list[Encoded], list[Finding]]:
        """Encode the pairs whose sides both have few enough subwords, and report the others."""
        encoded = self._encoded(pairs)
        long = [pair for pair, codes in zip(pairs, encoded, strict=True) if not self._fits(codes)]
        what = f"training pairs with more than {self.config.longest} subwords on one side"
        if len(long) == len(pairs):
            raise DataError(f"All {len(pairs):,} {what}: raise longest.")
        kept = list(filter(self._fits, encoded))
        return kept, [left_out("long", what, long)] if long else []

    def _fits(self, pair: Encoded) -> bool:
        """Whether both sides have few enough subwords to train on."""
        return max(map(len, pair)) <= self.config.longest
