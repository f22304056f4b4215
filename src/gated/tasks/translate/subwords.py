"""Subwords of one language, learnt from its sentences."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby, repeat
from typing import Any, NamedTuple, Self

from gated.errors import DataError, require
from gated.tasks.translate.batches import SPECIAL, UNKNOWN
from gated.texts.vocabulary import tokenizer_from

ALPHABET = 4000
"""Characters at most, so that rare ones, of Chinese say, become unknown and are copied."""
SPACE = "▁"
"""Stands for a space."""
NO_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts that put no spaces between words, as Unicode's names of their letters begin."""

APART = r"▁?\p{Han}+|▁?\p{N}|▁?[^\p{L}\p{M}\p{N}▁]"
"""What is cut off from the letters beside it: runs of Chinese characters, single digits, single
signs of punctuation; ▁ is the space before."""


COPIED = re.compile(
    r"""
    (?: (?:https?|ftp|file)://\S | www\.\w ) [^\s<>"'（）「」《》，。；]* [\w/]  # addresses
    | [\w.+-]+ @ [\w-]+ (?:\.[\w-]+)+
    | (?<![\w/.~]) (?:~|\.{1,2})? (?:/[\w.-]*\w){2,} /?  # paths
    | % (?:\d+\$)? [-+#0]* \d* (?:\.\d+)? [a-zA-Z] (?![a-zA-Z])  # places for values
    | %\(\w+\)[a-zA-Z] | %[A-Z][A-Z_]+ | \$\(\w+\) | \$?\{\{?\s*[\w.]*\s*\}?\}
    """,
    re.VERBOSE | re.ASCII,
)
"""What is the same in every language, and is copied whole: addresses, paths, places for values."""


class Piece(NamedTuple):
    """A subword in its sentence."""

    code: int
    copied: str
    """What is copied if the subword is unknown: the whole word, if the script separates words by
    spaces, and otherwise the subword's own text."""


class Subwords:
    """Splits sentences of one language into subwords, and joins them again.

    A space is part of the word after it, so a sentence without unknown characters is restored
    exactly. A word with one is a single unknown token, so that it is copied as a whole.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        # Not kept in its document: "<pad>" in a sentence is text.
        tokenizer.encode_special_tokens = True
        self.names: list[str] = [
            tokenizer.id_to_token(code) for code in range(tokenizer.get_vocab_size())
        ]
        self._space = tokenizer.token_to_id(SPACE)

    @classmethod
    def learn(
        cls, sentences: Iterable[str], vocabulary: int, kind: str, unknown: Collection[str] = ()
    ) -> Self:
        """Learn at most `vocabulary` subwords, by byte-pair encoding or `unigram`.

        Args:
            sentences: of the training part.
            vocabulary: most subwords.
            kind: bpe or unigram.
            unknown: characters to leave out of all subwords.

        Raises:
            DataError: there are more characters than `vocabulary`.
        """
        tokenizers = require("tokenizers", extra="text")
        models, trainers = tokenizers.models, tokenizers.trainers
        sentences = list(sentences)
        counts = Counter(letter for sentence in sentences for letter in sentence)
        frequent = [letter for letter, _ in counts.most_common() if letter not in unknown]
        known = {SPACE, " ", *frequent[:ALPHABET]}
        # The space, and with unigrams one that the library reckons with for the unknown.
        least = len(known) - 1 + len(SPECIAL) + (kind == "unigram")
        if vocabulary < least:
            raise DataError(
                f"The sentences hold {len(counts):,} different characters, more than a vocabulary "
                f"of {vocabulary:,} has room for: raise vocabulary to {least:,} or more."
            )
        # Neither method leaves a character out that it reads, unless it is one of very many.
        left_out = str.maketrans(dict.fromkeys(counts.keys() - known, " "))
        options: dict[str, Any] = {
            "vocab_size": vocabulary,
            "special_tokens": list(SPECIAL),
            "show_progress": False,
        }
        if kind == "bpe":
            tokenizer = tokenizers.Tokenizer(models.BPE(unk_token=SPECIAL[UNKNOWN], fuse_unk=True))
            trainer = trainers.BpeTrainer(min_frequency=2, **options)
        else:
            tokenizer = tokenizers.Tokenizer(models.Unigram())
            trainer = trainers.UnigramTrainer(unk_token=SPECIAL[UNKNOWN], **options)
        pre = tokenizers.pre_tokenizers
        tokenizer.pre_tokenizer = pre.Sequence(
            [
                pre.Metaspace(prepend_scheme="always"),
                pre.Split(tokenizers.Regex(APART), "isolated"),
            ]
        )
        tokenizer.decoder = tokenizers.decoders.Metaspace(prepend_scheme="always")
        read = (sentence.translate(left_out) for sentence in sentences)
        tokenizer.train_from_iterator(read, trainer)
        return cls(tokenizer)

    def __len__(self) -> int:
        """Return the number of subwords."""
        return len(self.names)

    def encode(
        self, sentences: Sequence[str], sources: Sequence[str] | None = None
    ) -> list[list[int]]:
        """Return the codes of the subwords of sentences, the translations of `sources` if given."""
        encodings = self._tokenizer.encode_batch(list(sentences), add_special_tokens=False)
        return [
            [piece.code for piece in self._pieces(sentence, encoding, source)]
            if UNKNOWN in encoding.ids or COPIED.search(sentence)
            else encoding.ids
            for sentence, encoding, source in zip(
                sentences, encodings, sources or repeat(None, len(sentences)), strict=True
            )
        ]

    def pieces(
        self, sentence: str, source: str | None = None, hidden: str | None = None
    ) -> list[Piece]:
        """Split a sentence into subwords.

        Args:
            sentence: what to split.
            source: what it translates: what is `COPIED` is unknown only if that holds it, too.
            hidden: a word that is to be unknown.
        """
        encoding = self._tokenizer.encode(sentence, add_special_tokens=False)
        return self._pieces(sentence, encoding, source, hidden)

    def _pieces(
        self, sentence: str, encoding: Any, source: str | None, hidden: str | None = None
    ) -> list[Piece]:
        pieces: list[Piece] = []
        found = list(COPIED.finditer(sentence))
        if source is not None:
            there = {of[0] for of in COPIED.finditer(source)}
            found = [of for of in found if of[0] in there]
        copied = {of.start(): of[0] for of in found}

        def word_of(subword: tuple[int, tuple[int, int], int]) -> tuple[int, int]:
            """Number of its word; -1, and where it begins, if it is copied as a part of more."""
            _, (begin, end), word = subword
            inside = (of.start() for of in found if begin < of.end() and end > of.start())
            return next(((-1, start) for start in inside), (word, 0))

        every = zip(encoding.ids, encoding.offsets, encoding.word_ids, strict=True)
        for (number, start), of_word in groupby(every, key=word_of):
            subwords = [(code, offsets) for code, offsets, _ in of_word]
            codes = [code for code, _ in subwords]
            word = sentence[subwords[0][1][0] : subwords[-1][1][1]].strip()
            whole = _has_spaces_around(word)
            if number < 0:
                pieces += self._unknown(codes[0], copied[start])
            elif word == hidden or (whole and UNKNOWN in codes):
                pieces += self._unknown(codes[0], word)
            else:
                pieces += [
                    Piece(code, word if whole else sentence[slice(*offsets)].strip())
                    for code, offsets in subwords
                ]
        return _joined(pieces)

    def _unknown(self, first: int, copied: str) -> list[Piece]:
        """What is copied as one piece, after the space with which its `first` subword may begin."""
        space = [Piece(self._space, copied)] if self.names[first].startswith(SPACE) else []
        return [*space, Piece(UNKNOWN, copied)]

    def decode(self, names: Sequence[str]) -> str:
        """Join subwords, given as texts, to a sentence."""
        return str(self._tokenizer.decoder.decode(list(names)))

    def to_json_value(self) -> dict[str, Any]:
        """Return the JSON document of the tokenizers library."""
        document: dict[str, Any] = json.loads(self._tokenizer.to_str())
        return document

    @classmethod
    def from_json_value(cls, saved: Mapping[str, Any]) -> Self:
        """Return what `to_json_value` saved.

        Raises:
            ModelFileError: it is damaged.
        """
        return cls(tokenizer_from(json.dumps(saved)))


def without_spaces(letter: str) -> bool:
    """Whether a character is of a script that puts no spaces between words."""
    return unicodedata.name(letter, "").startswith(NO_SPACES)


def _has_spaces_around(word: str) -> bool:
    """Whether a word is of letters, in a script that parts words by spaces.

    >>> [_has_spaces_around(word) for word in ("Москва", "东京", "😀")]
    [True, False, False]
    """
    letters = [letter for letter in word if letter.isalpha()]
    return bool(letters) and not any(map(without_spaces, letters))


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Make one of unknown pieces beside each other, as of an emoji of several characters."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and piece.code == joined[-1].code == UNKNOWN:
            piece = Piece(UNKNOWN, joined.pop().copied + piece.copied)
        joined.append(piece)
    return joined
