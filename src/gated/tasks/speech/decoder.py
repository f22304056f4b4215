"""From the log-probabilities of a network to texts: letters, and models of letters and words.

Shapes: S steps, C letters and the blank.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gated.errors import ConfigurationError, option
from gated.tasks.speech.alphabet import Alphabet, normalised
from gated.tasks.speech.config import SpeechConfig
from gated.tasks.speech.features import Frames
from gated.tasks.speech.search import (
    Letters,
    LetterScorer,
    Scorer,
    Scorers,
    Search,
    Word,
    greedy,
    letter_confidences,
    prefix_beam,
    words_of,
)
from gated.tasks.speech.words import WordModel, WordScorer

SECONDS_A_FRAME = 0.01


class Decoder:
    """Writes texts.

    Args:
        config: options of features and letters.
        alphabet: the letters.
    """

    def __init__(self, config: SpeechConfig, alphabet: Alphabet) -> None:
        self.config, self.alphabet = config, alphabet

    @property
    def step_seconds(self) -> float:
        """Duration of a step of the recurrent layers, in seconds."""
        return float(SECONDS_A_FRAME * 2**self.config.subsampling)

    def letters_by(self, run: Path) -> Letters:
        """Return the language model of a run, as a predictor of the next letter of the alphabet.

        Raises:
            ConfigurationError: `run` is not such a language model.
            MissingExtraError: torch, with which it is run, is not installed.
            ModelFileError: `run` holds no model, or a damaged one.
        """
        import gated.tasks  # learners need torch: only who wants one waits for it

        model: Any = gated.tasks.load(run)
        if not hasattr(model, "next_letter"):
            raise ConfigurationError(
                f"{option('language_model')}: {run} is of the task {model.task!r}; give a run of "
                "`gated fit language`."
            )
        letters: Letters = model.next_letter(self.alphabet.letters)
        return letters

    def words_by(self, path: Path) -> WordModel:
        """Return the word model of a text, written as the transcripts are, or of an ARPA file.

        Raises:
            DataError: the file holds no word, is damaged, or not UTF-8.
            FileNotFoundError: there is no such file.
        """
        config = self.config
        return WordModel.read(
            path,
            lambda line: normalised(
                line, keep_case=config.keep_case, keep_punctuation=config.keep_punctuation
            ),
        )

    def scorer(
        self, search: Search, language: Letters | None = None, words: WordModel | None = None
    ) -> Scorer | None:
        """Return what a search adds to the scores of texts; None for nothing.

        Raises:
            ConfigurationError: only known words are asked for, without a word model.
            DataError: a hot word, or no word of the model, can be written with the alphabet.
        """
        scorers: list[Scorer] = []
        if language is not None:
            scorers.append(LetterScorer(language, search.weight, search.bonus))
        if words is not None or search.hot_words:
            letters = self.alphabet.letters
            scorers.append(
                WordScorer(
                    letters,
                    words,
                    search.word_weight,
                    search.word_bonus if words is not None else 0.0,
                    search.hot_words,
                    search.hot_bonus,
                    search.only_known_words and words is not None,
                )
            )
        return Scorers(scorers) if scorers else None

    def written(
        self, likely: Frames, search: Search, scorer: Scorer | None = None, begin: float = 0.0
    ) -> tuple[str, list[Word]]:
        """Return the text of log-probabilities, and its words in time, `begin` seconds later."""
        if search.beam == 1:
            codes, steps = greedy(likely)
        else:
            codes, steps = prefix_beam(likely, search, scorer)
        text, sure = self.alphabet.decode(codes), letter_confidences(likely, codes, steps)
        words = words_of(text, steps, sure, self.step_seconds, begin)
        return " ".join(word.text for word in words), words
