"""The face of translation: fit, translate, score, save."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch

from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.explain import Probe
from gated.scoring.verdict import NOT_WANTED
from gated.tasks.translate.baselines import COPY, MOST_COMPARED, NEAREST, nearest
from gated.tasks.translate.cleaning import clean, left_out, tidy
from gated.tasks.translate.config import TranslateConfig
from gated.tasks.translate.copying import taught, unknown_characters
from gated.tasks.translate.network import TranslateNetwork
from gated.tasks.translate.pairs import Pair, Source, check_utf8, read_pairs
from gated.tasks.translate.probe import translate_probe
from gated.tasks.translate.score import LEAST, Evaluation, evaluate, quick_scores
from gated.tasks.translate.search import Wanted, search
from gated.tasks.translate.split import Split, split
from gated.tasks.translate.subwords import Subwords
from gated.tasks.translate.task import Encoded, TranslateTask
from gated.tasks.translate.translation import (
    NOTHING,
    Example,
    Translation,
    different,
    in_words,
)
from gated.training.findings import Finding
from gated.training.history import History
from gated.training.loop import train
from gated.training.model_files import load_model, save_model, write_atomically
from gated.training.options import TrainingOptions
from gated.training.progress import Progress
from gated.training.test_part import require_test_part

TASK = "translate"
MEMORY = "training-pairs.tsv"
"""File of the run with what was trained on, for the baseline and to know what is new."""
MOST_SCORED = 200
"""Validation sentences translated greedily at each validation."""
EXAMPLES = 10
"""Sentences shown in a report."""
READ_AT_MOST = 8
"""How many times as many subwords a sentence may have as the longest one to train on."""


class Translator:
    """Learns to translate from pairs of sentences.

    Args:
        config: the subwords, the sentences, the network, the search.
        training: how to train.
    """

    network: TranslateNetwork
    history: History
    """What happened in training."""

    def __init__(
        self, config: TranslateConfig | None = None, training: TrainingOptions | None = None
    ) -> None:
        self.config = config or TranslateConfig()
        self.training = training or TrainingOptions()
        self.findings: tuple[Finding, ...] = ()
        self._split: Split | None = None
        self._known: list[Pair] | None = None

    @property
    def parts(self) -> Split:
        """The pairs of `fit`, cleaned and parted.

        Raises:
            DataError: nothing was fitted here, as after `load`.
        """
        if self._split is None:
            raise DataError("This translator holds no data: fit it, or give the data to use.")
        return self._split

    @property
    def parameters(self) -> int:
        """Number of trained values in the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def prepare(self, data: Source) -> Self:
        """Read, clean and part `data`, learn subwords and make a network; the first half of `fit`.

        Raises:
            DataError: the data cannot be used; the message names the line.
            FileNotFoundError: there is no such file.
        """
        config = self.config
        pairs, cleaned = clean(read_pairs(data), config.longest, config.most_ratio)
        self._split = split(pairs, config.test, config.validation, self.training.seed)
        self._known = self._split.training
        known = self._split.training
        sides = [pair.source for pair in known], [pair.target for pair in known]
        self.source, self.target = (
            Subwords.learn(sentences, config.vocabulary, config.subwords, unknown)
            for sentences, unknown in zip(sides, unknown_characters(known), strict=True)
        )
        self._training, long = self._short_enough(known)
        copying = taught(known, self.source, self.target, config.copying, self.training.seed)
        self._training += filter(self._fits, copying)
        self.findings = (*cleaned, *self._split.findings, *long)
        # The same seed makes the same network, whatever was drawn before.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            self.network = TranslateNetwork(config, len(self.source), len(self.target))
        return self

    def fit(
        self,
        data: Source,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on `data` but for what is held back for validation and test.

        Args:
            data: path of tab-separated pairs or of a `.po`, a pair of paths of aligned files, or
                pairs of sentences.
            directory: where checkpoints are written; none by default.
            resume: go on from the checkpoint in `directory`.
            progress: told of each step.

        Raises:
            DataError: the data cannot be used; the message names the line.
            FileNotFoundError: there is no such file.
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
        """Train on the data of `prepare`; the second half of `fit`, with the same arguments."""
        held_out = self.parts.validation
        some = held_out[:: max(1, -(-len(held_out) // MOST_SCORED))]

        def scores() -> dict[str, float]:
            written = self._translated([pair.source for pair in some], self._wanted(beam=1))
            return quick_scores([best.text for best, *_ in written], [pair.target for pair in some])

        task = TranslateTask(
            self.network,
            self._training,
            self._encoded(held_out),
            self.config,
            self.training.seed,
            scores,
        )
        self.history = train(
            task, self.training, directory=directory, resume=resume, progress=progress
        )
        return self

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

        Spaces, control characters and Unicode forms are tidied as those of the training were; an
        empty sentence has an empty translation.

        Args:
            sentences: in the language of the sources.
            beam: translations kept at each step, 1 for a greedy search; by default the
                configuration's, and at least `n_best`.
            n_best: how many translations of each; there can be fewer.
            length_penalty: α of the search; by default the configuration's.
            coverage_penalty: β of the search; by default the configuration's.
            first: what messages call the first sentence.

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
                f"n_best is {n_best} and beam {wanted.beam}: the beam must hold the translations "
                "asked for, one or more."
            )
        for name in ("length_penalty", "coverage_penalty"):
            if not 0 <= getattr(wanted, name) < float("inf"):
                raise ConfigurationError(
                    f"{name} must be a number of at least 0, not {getattr(wanted, name)}."
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

    def check_test_part(self) -> None:
        """Make sure that there is enough to score on, before a training and not after it.

        Raises:
            DataError: fewer than 10 pairs were held back.
        """
        require_test_part(len(self.parts.test), what="pairs", least=LEAST)

    def score(self, data: Source | None = None) -> Evaluation:
        """Score translations beside the baselines: of the test part, or of other `data`.

        Raises:
            DataError: there is nothing to score.
        """
        if data is None:
            self.check_test_part()
        pairs, findings = (self.parts.test, ()) if data is None else self._cleaned(data)
        known = self._known or []
        sources = [pair.source for pair in pairs]
        methods = {
            self.name: [best.text for best, *_ in self._translated(sources, self._wanted())],
            COPY: sources,
        }
        left_out = {}
        if known and not self.training.no_baseline:
            every = -(-len(known) * len(sources) // MOST_COMPARED)
            methods[NEAREST] = nearest(known[::every], sources)
            if every > 1:
                left_out[f"{NEAREST}, of all"] = f"it is the nearest of one in {every}"
        elif known:
            left_out[NEAREST] = NOT_WANTED
        seen = {pair.source for pair in known}
        overlap = sum(source in seen for source in sources)
        targets = [pair.target for pair in pairs]
        return evaluate(sources, targets, methods, overlap, findings, left_out)

    def _cleaned(self, data: Source) -> tuple[list[Pair], tuple[Finding, ...]]:
        """Read pairs that are not trained on; whatever their lengths' ratio, they are pairs."""
        return clean(read_pairs(data), self.config.longest, most_ratio=float("inf"))

    def probe(self, data: Source) -> Probe:
        """Offer the network to `gated.explain`, on pairs of sentences.

        Raises:
            DataError: the data cannot be used; the message names the line.
            FileNotFoundError: there is no such file.
        """
        pairs, _ = self._cleaned(data)
        title = f"{self.name} that translates"
        return translate_probe(self.network, title, self._encoded(pairs), self.source.names)

    def examples(self, evaluation: Evaluation) -> list[Example]:
        """Draw sentences of an evaluation by the seed, and translate them."""
        random = np.random.default_rng(self.training.seed)
        count = len(evaluation.sources)
        places = random.permutation(count)[:EXAMPLES].tolist()
        sources = [evaluation.sources[place] for place in places]
        references = [evaluation.references[place] for place in places]
        return [
            Example(source, reference, best, quick_scores([best.text], [reference])["chrf"])
            for source, reference, (best, *_) in zip(
                sources, references, self._translated(sources, self._wanted()), strict=True
            )
        ]

    @property
    def facts(self) -> list[str]:
        """What there is to say of the network's size."""
        config = self.config
        return [
            f"{config.cell.upper()} encoder, {config.layers} layer(s) of 2 × {config.hidden // 2} "
            f"units; LSTM decoder of {config.hidden} units, {config.attention} attention; "
            f"{len(self.source):,} and {len(self.target):,} subwords; {self.parameters:,} "
            "parameters"
        ]

    @property
    def name(self) -> str:
        """What tables call the network."""
        return f"{self.config.cell.upper()} with attention"

    def save(self, directory: Path | str) -> None:
        """Write the model, atomically: `model.json`, its weights, and what it was trained on."""
        known = "".join(f"{pair.source}\t{pair.target}\n" for pair in self._known or [])
        Path(directory).mkdir(parents=True, exist_ok=True)
        write_atomically(Path(directory) / MEMORY, known.encode())
        save_model(
            Path(directory),
            self.network,
            {
                "task": TASK,
                "config": self.config.to_dict(),
                "training": self.training.to_dict(),
                "source": json.loads(self.source.to_json()),
                "target": json.loads(self.target.to_json()),
            },
        )

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            ModelFileError: there is no model of this kind, or it is damaged.
        """
        weights, description = load_model(Path(directory), TASK)
        try:
            translator = cls(
                TranslateConfig.from_dict(description["config"]),
                TrainingOptions.from_dict(description["training"]),
            )
            translator.source, translator.target = (
                Subwords.from_json(json.dumps(description[side])) for side in ("source", "target")
            )
            translator.network = TranslateNetwork(
                translator.config, len(translator.source), len(translator.target)
            )
            translator.network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelFileError(f"The model in {directory} is damaged: {error}.") from error
        known = Path(directory) / MEMORY
        if known.is_file() and known.stat().st_size:
            translator._known = read_pairs(known)
        translator.network.eval()
        return translator

    def _encoded(self, pairs: Sequence[Pair]) -> list[Encoded]:
        sources = self.source.encode([pair.source for pair in pairs])
        targets = self.target.encode([pair.target for pair in pairs])
        return list(zip(sources, targets, strict=True))

    def _short_enough(self, pairs: Sequence[Pair]) -> tuple[list[Encoded], list[Finding]]:
        """Encode the pairs whose sides both have few enough subwords, and tell of the others."""
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
