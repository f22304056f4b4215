"""Options of translation: subwords, sentences, network and search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gated.configuration import Configuration
from gated.errors import ConfigurationError, option

MOST_FILES = 2
"""Aligned files of sentences and their translations."""
MOST_SUBWORDS = 1_000_000
"""Of a language; room for them is made before they are learnt."""


@dataclass(frozen=True, kw_only=True)
class TranslateConfig(Configuration):
    """Options of subwords, sentences, network and search."""

    source: str = "source"
    """Column of a table with the sentences, or their language in a TMX file of more than two."""
    target: str = "target"
    """Column of a table with their translations, or the language of these."""
    vocabulary: int = 6000
    """Subwords of each language at most; fewer where the text does not give so many."""
    subwords: Literal["bpe", "unigram"] = "bpe"
    """How words are cut: byte-pair encoding (Sennrich et al. 2016) or unigram (Kudo 2018)."""
    longest: int = 120
    """Subwords of the longest sentence to train on; longer ones are left out, and counted."""
    most_ratio: float = 9.0
    """Pairs are left out, as no translations of each other, if one side is over this many times
    as long as the other, relative to the usual ratio of lengths."""
    test_data: tuple[Path, ...] = ()
    """Pairs to score on, as a file or two aligned ones. By default some are held back."""
    validation_data: tuple[Path, ...] = ()
    """Pairs that choose the weights, likewise."""
    test: int | float = 0.05
    """Pairs held back for the score: their share, or from 1 on their number."""
    validation: int | float = 0.03
    """Pairs held back to choose the weights: their share, or from 1 on their number."""
    cell: Literal["lstm", "gru"] = "lstm"
    """Recurrent cell of the encoder; the decoder is an LSTM."""
    embedding: int = 256
    """Features of a subword."""
    hidden: int = 384
    """Units of the decoder; half as many for each direction of the encoder."""
    layers: int = 1
    """Layers of the encoder."""
    attention: Literal["multiplicative", "additive"] = "multiplicative"
    """Scores of Luong et al. (2015) or of Bahdanau et al. (2015)."""
    no_input_feeding: bool = False
    """Do not give the attention's output of each step to the next; training is a little faster."""
    dropout: float = 0.3
    """Dropout on embeddings, between layers, and before the output."""
    label_smoothing: float = 0.1
    """Share of the expected probability that is spread evenly over all subwords (Szegedy et al.
    2016)."""
    copying: float = 0.1
    """Share of the pairs with a word in common that are trained on a second time with this word
    replaced by the unknown word, so that the network learns to copy unknown words."""
    beam: int = 5
    """Translations that the search for the best one keeps at each step; 1 is greedy."""
    length_penalty: float = 1.0
    """α of Wu et al. (2016), equation 14: 0 favours short translations, 1 the mean per subword."""
    coverage_penalty: float = 0.0
    """β of Wu et al. (2016), equation 14: above 0 favours translations that read all the source."""
    skip_bad: bool = False
    """Leave out lines that cannot be used, and list them, where otherwise the first is an error."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        super().__post_init__()
        self._demand(vocabulary=8, longest=1, hidden=2, embedding=1, layers=1, beam=1)
        for name in ("test_data", "validation_data"):
            if len(getattr(self, name)) > MOST_FILES:
                raise ConfigurationError(
                    f"{option(name)} takes a file of pairs, or two aligned files, not "
                    f"{len(getattr(self, name))}."
                )
        self._demand(length_penalty=0, coverage_penalty=0, most_ratio=1)
        self._demand_shares("dropout", "label_smoothing", "copying", counts=("test", "validation"))
        if self.vocabulary > MOST_SUBWORDS:
            raise ConfigurationError(
                f"{option('vocabulary')} must be at most {MOST_SUBWORDS:,}, not "
                f"{self.vocabulary:,}."
            )
        if self.hidden % 2:
            raise ConfigurationError(
                f"{option('hidden')} is {self.hidden}; the encoder's two directions have "
                f"half of the units "
                "each, so give an even number."
            )
