"""Subwords of one language, learnt from its sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from gated.errors import DataError, ModelFileError, require
from gated.tasks.translate.batches import SPECIAL, UNKNOWN

ALPHABET = 4000
"""Characters at most, so that rare ones, of Chinese say, become unknown and are copied."""


APART = r"▁?\p{Han}+|▁?\p{N}|▁?[^\p{L}\p{M}\p{N}▁]"
"""What is cut off from the letters beside it: runs of Chinese characters, single digits, single
signs of punctuation; ▁ is the space before."""


class Subwords:
    """Cuts sentences of one language into subwords and puts them together again.

    A space is part of the word after it, so any sentence comes back as it was, if it has no unknown
    character.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.names: list[str] = [
            tokenizer.id_to_token(code) for code in range(tokenizer.get_vocab_size())
        ]

    @classmethod
    def learn(cls, sentences: Iterable[str], vocabulary: int, kind: str) -> Self:
        """Learn at most `vocabulary` subwords, by byte-pair encoding or `unigram`.

        Raises:
            DataError: there are more characters than subwords asked for.
        """
        tokenizers = require("tokenizers", extra="text")
        models, trainers = tokenizers.models, tokenizers.trainers
        sentences = list(sentences)
        letters = len({letter for sentence in sentences for letter in sentence})
        if vocabulary < min(letters, ALPHABET) + len(SPECIAL):
            raise DataError(
                f"The sentences hold {letters:,} different characters, more than a vocabulary of "
                f"{vocabulary:,} has room for: raise vocabulary."
            )
        options: dict[str, Any] = {
            "vocab_size": vocabulary,
            "special_tokens": list(SPECIAL),
            "show_progress": False,
        }
        if kind == "bpe":
            tokenizer = tokenizers.Tokenizer(models.BPE(unk_token=SPECIAL[UNKNOWN], fuse_unk=True))
            trainer = trainers.BpeTrainer(min_frequency=2, limit_alphabet=ALPHABET, **options)
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
        tokenizer.train_from_iterator(sentences, trainer)
        return cls(tokenizer)

    def __len__(self) -> int:
        """Return the number of subwords."""
        return len(self.names)

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Cut sentences into subwords."""
        encodings = self._tokenizer.encode_batch(list(sentences), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def words(self, sentence: str) -> list[str]:
        """Return for each subword of `sentence` what to copy where it stands for the unknown.

        That is the whole word, where the script has words that spaces part and two cases, and
        otherwise the subword's own stretch of text.
        """
        encoding = self._tokenizer.encode(sentence, add_special_tokens=False)
        spans: dict[int, tuple[int, int]] = {}
        for word, (begin, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
            first, last = spans.get(word, (begin, end))
            spans[word] = min(first, begin), max(last, end)
        copied = []
        for word, (begin, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
            whole = sentence[slice(*spans[word])]
            part = sentence[begin:end] if whole.lower() == whole.upper() else whole
            copied.append(part.strip())
        return copied

    def decode(self, names: Sequence[str]) -> str:
        """Put subwords, by name, together."""
        return str(self._tokenizer.decoder.decode(list(names)))

    def to_json(self) -> str:
        """Write as the JSON document of the tokenizers library."""
        return str(self._tokenizer.to_str())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ModelFileError: it is damaged.
        """
        tokenizers = require("tokenizers", extra="text")
        try:
            return cls(tokenizers.Tokenizer.from_str(text))
        except Exception as error:  # the library raises no class of its own
            raise ModelFileError(f"The subwords of the model are damaged: {error}.") from error
