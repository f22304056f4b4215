"""Vocabularies of characters, bytes or subwords; those of words are in `gated.texts.words`."""

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
"""The code of everything that is not in the vocabulary."""
MOST = 2**16 - 1
"""Largest number of pieces: codes have 16 bits, and one is for the unknown."""
MARKS = {"\n": "↵", " ": "␣", "\t": "⇥"}
"""Visible marks for invisible characters."""
SUBWORDS = "subwords.safetensors"
"""File of what a program needs to cut texts into subwords."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
WORDS = r"\n| ?\p{L}\p{M}*(?:\p{L}|\p{M})*| ?\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|[^\S\n]+|\p{M}+"
"""Subwords are within one of these: a word with the space before it, a digit, the end of a line."""


class Vocabulary(ABC):
    """Pieces of text, each with a code; code 0 is the unknown."""

    unit: str
    """What a piece is: character, byte, subword or word."""

    @abstractmethod
    def encode(self, points: Points) -> NDArray[np.uint16]:
        """Return the codes of a text; `UNKNOWN` for what is not in the vocabulary."""

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
        if "words" in saved:
            from gated.texts.words import Words

            return Words(saved["words"], saved["rare"])
        if "subwords" not in saved:
            # All 256 code points are a vocabulary of bytes; the unit is not saved.
            bytes_alone = saved["points"] == list(range(256))
            return Letters(saved["points"], "byte" if bytes_alone else "character")
        return Subwords(tokenizer_from(saved["subwords"]))

    def __len__(self) -> int:
        """Return the number of codes, the unknown included."""
        return len(self.pieces())

    def of_program(self) -> dict[str, Any]:
        """Return the options of a program's input by which texts become codes."""
        return {}

    def attached(self) -> dict[str, bytes]:
        """Return files that a program needs beside the model, by name; there may be none."""
        return {}

    def shown(self) -> list[str]:
        """Return the text of each code; bytes that are no text as � (U+FFFD)."""
        return [of.decode("utf-8", "replace") for of in self.pieces()]

    def letters(self) -> NDArray[np.int64]:
        """Return the number of characters, or bytes, of each code, (V,).

        A character counts in the code that holds its first byte.
        """
        if self.unit == "byte":
            return np.ones(len(self), np.int64)
        return np.array([sum(byte & 0xC0 != 0x80 for byte in of) for of in self.pieces()])

    def line_ends(self) -> NDArray[np.bool_]:
        """Return whether each code ends a line, (V,)."""
        return np.array([of.endswith(b"\n") for of in self.pieces()])


class Letters(Vocabulary):
    """A vocabulary of characters or bytes, by code point.

    Args:
        points: code points, each once.
        unit: character or byte.

    Raises:
        ValueError: `points` are not code points, or one is there twice.
    """

    def __init__(self, points: Sequence[int], unit: str) -> None:
        if len(set(points)) < len(points) or not all(0 <= of <= sys.maxunicode for of in points):
            raise ValueError("the characters of a vocabulary are code points, each once")
        self.unit = unit
        self.points = np.array(points, np.uint32)
        self._codes = np.zeros(int(self.points.max(initial=0)) + 2, np.uint16)
        self._codes[self.points] = np.arange(1, len(self.points) + 1)

    @classmethod
    def of(cls, blocks: Iterable[Points], unit: str) -> Letters:
        """Return the vocabulary of all characters of a text; for bytes, of all 256.

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
        """Return the code of each point; `UNKNOWN` for points that are not in the vocabulary.

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

    def of_program(self) -> dict[str, Any]:
        """Return the unit and the points, so that a program can read texts."""
        return {"unit": self.unit, "points": self.points.tolist()}

    def to_json_value(self) -> dict[str, Any]:
        """Return the points."""
        return {"points": self.points.tolist()}


class Subwords(Vocabulary):
    """A vocabulary of subwords by byte-pair encoding (Sennrich, Haddow and Birch 2016).

    It is over the bytes of UTF-8, so that no text is unknown.

    Args:
        tokenizer: a `tokenizers.Tokenizer`.
    """

    unit = "subword"

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        # "<unknown>" in a text is ordinary text; this setting is not part of the saved document.
        tokenizer.encode_special_tokens = True
        byte = {letter: value for value, letter in _shown().items()}
        names = [tokenizer.id_to_token(code) for code in range(1, tokenizer.get_vocab_size())]
        self._pieces = [REPLACEMENT, *(bytes(byte[of] for of in name) for name in names)]

    @classmethod
    def learn(cls, blocks: Iterable[Points], most: int) -> Subwords:
        """Learn at most `most` subwords, each of which occurs at least twice.

        The distinct words of the text are in memory meanwhile.
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
        tokenizer.train_from_iterator((text_of(block) for block in blocks), trainer)
        return cls(tokenizer)

    def encode(self, points: Points) -> NDArray[np.uint16]:
        """Return the codes of the subwords of a text."""
        encoding = self._tokenizer.encode(text_of(points), add_special_tokens=False)
        return np.array(encoding.ids, np.uint16)

    def pieces(self) -> list[bytes]:
        """Return the bytes that each code stands for."""
        return self._pieces

    def of_program(self) -> dict[str, Any]:
        """Return the names of the arrays that are attached."""
        stem = SUBWORDS.removesuffix("safetensors")
        return {"unit": self.unit, "bytes": f"{stem}bytes", "merges": f"{stem}merges"}

    def attached(self) -> dict[str, bytes]:
        """Return the code of each byte, (256,), and which codes merge into which, (M, 3)."""
        safetensors = require("safetensors.numpy", extra="train")
        model = json.loads(self._tokenizer.to_str())["model"]
        code, merges = model["vocab"], []
        for of in model["merges"]:
            left, right = of.split(" ") if isinstance(of, str) else of
            merges.append((code[left], code[right], code[left + right]))
        arrays = {
            "bytes": np.array([code[of] for of in _shown().values()], np.int32)[
                np.argsort([*_shown()])
            ],
            "merges": np.array(merges, np.int32).reshape(-1, 3),
        }
        return {SUBWORDS: safetensors.save(arrays)}

    def to_json_value(self) -> dict[str, Any]:
        """Return the JSON document of the tokenizers library."""
        return {"subwords": self._tokenizer.to_str()}


def tokenizer_from(text: str) -> Any:
    """Return the tokenizer of a JSON document that `Subwords.to_json_value` returned.

    Raises:
        ModelFileError: it is damaged.
    """
    tokenizers = require("tokenizers", extra="text")
    try:
        model = json.loads(text)["model"]
        if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
            # If a subword lacks the prefix, the library aborts the process.
            raise ValueError("they have a prefix or a suffix")
        return tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exceptions
        raise ModelFileError(f"The subwords of the model are damaged: {error}.") from error


def text_of(points: Points) -> str:
    """Return the text of code points."""
    return points.astype("<u4").tobytes().decode("utf-32-le")


def _shown() -> dict[int, str]:
    """Return the character that the tokenizers library has for each byte (Radford et al. 2019)."""
    itself = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in itself]
    beyond = {byte: chr(256 + place) for place, byte in enumerate(others)}
    return {byte: chr(byte) for byte in itself} | beyond
