"""What a model knows of a text, as numbers: characters, bytes or subwords."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError, ModelFileError, require

Points = NDArray[np.uint32]
"""Code points of characters, or bytes."""
UNKNOWN = 0
"""The code of whatever the training part does not hold."""
MOST = 2**16 - 1
MARKS = {"\n": "↵", " ": "␣", "\t": "⇥"}
"""How characters that cannot be seen are shown."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
WORDS = r"\n| ?\p{L}\p{M}*(?:\p{L}|\p{M})*| ?\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|[^\S\n]+|\p{M}+"
"""What no subword reaches beyond: a word with the space before it, a digit, a line's end."""


class Vocabulary(ABC):
    """Pieces of text, each with its code; that of the unknown comes first."""

    unit: str
    """What a piece is: character, byte or subword."""

    @abstractmethod
    def encode(self, points: Points) -> NDArray[np.uint16]:
        """Return the codes of a text; `UNKNOWN` for what is not known."""

    @abstractmethod
    def pieces(self) -> list[bytes]:
        """Return the bytes that each code stands for."""

    @abstractmethod
    def to_json_value(self) -> dict[str, Any]:
        """Return JSON values for `from_json_value`."""

    @classmethod
    def from_json_value(cls, saved: Mapping[str, Any]) -> Vocabulary:
        """Return what `to_json_value` of any vocabulary saved.

        Raises:
            KeyError: it is damaged.
            ModelFileError: it is damaged.
        """
        if "subwords" not in saved:
            # A vocabulary of all bytes is one of bytes, also where it does not say so.
            bytes_alone = saved["points"] == list(range(256))
            return Letters(saved["points"], "byte" if bytes_alone else "character")
        return Subwords(tokenizer_from(saved["subwords"]))

    def __len__(self) -> int:
        """Return the number of codes, the unknown included."""
        return len(self.pieces())

    def letters(self) -> NDArray[np.int64]:
        """Return (V,), how many characters, or bytes, each code stands for.

        A character counts where its first byte is.
        """
        if self.unit == "byte":
            return np.ones(len(self), np.int64)
        return np.array([sum(byte & 0xC0 != 0x80 for byte in of) for of in self.pieces()])

    def line_ends(self) -> NDArray[np.bool_]:
        """Return (V,), which codes end a line."""
        return np.array([of.endswith(b"\n") for of in self.pieces()])


class Letters(Vocabulary):
    """Characters or bytes, by code point."""

    def __init__(self, points: Sequence[int], unit: str) -> None:
        if len(set(points)) < len(points) or not all(0 <= of <= sys.maxunicode for of in points):
            raise ValueError("the characters of a vocabulary are code points, each once")
        self.unit = unit
        self.points = np.array(points, np.uint32)
        self._codes = np.zeros(int(self.points.max(initial=0)) + 2, np.uint16)
        self._codes[self.points] = np.arange(1, len(self.points) + 1)

    @classmethod
    def of(cls, blocks: Iterable[Points], unit: str) -> Letters:
        """Take every character of a text; of bytes, all 256.

        Raises:
            DataError: there are more than 65,535.
        """
        if unit == "byte":
            return cls(range(256), unit)
        known: Points = np.zeros(0, np.uint32)
        for block in blocks:
            known = np.union1d(known, block)
        if len(known) > MOST:
            raise DataError(f"The text holds {len(known):,} different characters; {MOST:,} fit.")
        return cls(known.tolist(), unit)

    def encode(self, points: Points) -> NDArray[np.uint16]:
        """Return a code for each point; for what is not known, `UNKNOWN`.

        >>> Letters([97, 99], "character").encode(np.array([99, 98, 97], np.uint32)).tolist()
        [2, 0, 1]
        """
        codes: NDArray[np.uint16] = self._codes[np.minimum(points, len(self._codes) - 1)]
        return codes

    def pieces(self) -> list[bytes]:
        """Return the bytes that each code stands for."""
        if self.unit == "byte":
            return [REPLACEMENT, *(bytes([point]) for point in self.points)]
        return [REPLACEMENT, *(chr(of).encode() for of in self.points)]

    def to_json_value(self) -> dict[str, Any]:
        """Return the points."""
        return {"points": self.points.tolist()}


class Subwords(Vocabulary):
    """Byte pairs (Sennrich, Haddow and Birch 2016) over the bytes of UTF-8: nothing is unknown."""

    unit = "subword"

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        # Not kept in its document: "<unknown>" in a text is text.
        tokenizer.encode_special_tokens = True
        byte = {letter: value for value, letter in _shown().items()}
        names = [tokenizer.id_to_token(code) for code in range(1, tokenizer.get_vocab_size())]
        self._pieces = [REPLACEMENT, *(bytes(byte[of] for of in name) for name in names)]

    @classmethod
    def learn(cls, blocks: Iterable[Points], most: int) -> Subwords:
        """Learn at most so many subwords, of which each came twice or more.

        The words of the text, each once, are in memory meanwhile.
        """
        tokenizers = require("tokenizers", extra="text")
        pre = tokenizers.pre_tokenizers
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
        words = pre.Split(tokenizers.Regex(WORDS), "isolated")
        tokenizer.pre_tokenizer = pre.Sequence(
            [words, pre.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=most,
            min_frequency=2,
            special_tokens=["<unknown>"],
            initial_alphabet=sorted(_shown().values()),
            show_progress=False,
        )
        tokenizer.train_from_iterator((_text(block) for block in blocks), trainer)
        return cls(tokenizer)

    def encode(self, points: Points) -> NDArray[np.uint16]:
        """Return the codes of the subwords of a text."""
        encoding = self._tokenizer.encode(_text(points), add_special_tokens=False)
        return np.array(encoding.ids, np.uint16)

    def pieces(self) -> list[bytes]:
        """Return the bytes that each code stands for."""
        return self._pieces

    def to_json_value(self) -> dict[str, Any]:
        """Return the JSON document of the tokenizers library."""
        return {"subwords": self._tokenizer.to_str()}


def tokenizer_from(text: str) -> Any:
    """Read a JSON document of the tokenizers library, of a model as gated makes them.

    Raises:
        ModelFileError: it is damaged.
    """
    tokenizers = require("tokenizers", extra="text")
    try:
        model = json.loads(text)["model"]
        if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
            # With a prefix that its subwords lack, the library ends the process.
            raise ValueError("they have a prefix or a suffix")
        return tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises no class of its own
        raise ModelFileError(f"The subwords of the model are damaged: {error}.") from error


def _text(points: Points) -> str:
    return points.astype("<u4").tobytes().decode("utf-32-le")


def _shown() -> dict[int, str]:
    """Return the letter by which the tokenizers library shows each byte (Radford et al. 2019)."""
    itself = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in itself]
    beyond = {byte: chr(256 + place) for place, byte in enumerate(others)}
    return {byte: chr(byte) for byte in itself} | beyond
